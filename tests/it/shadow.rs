//! Shadow mode with the real binary: who would be refused passes, and everybody can see it.

use http::Method;
use serde_json::{Value, json};

use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply};
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Upstream, json};

fn config(upstream: &str, keys: &str) -> String {
    format!(
        r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]

        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{keys}"
        audiences = ["app"]
        algorithms = ["RS256"]

        [upstreams.app]
        url = "{upstream}"

        [[routes]]
        name = "orders"
        path = "/orders/**"
        methods = ["GET"]
        require = {{ groups = ["ops"] }}
        on_behalf_of = {{ clients = ["batch"] }}
        upstream = "app"
        mode = "shadow"

        [[routes]]
        name = "enforced"
        path = "/enforced"
        upstream = "app"
        "#
    )
}

struct Setup {
    gatepost: Gatepost,
    signer: Signer,
    upstream: Upstream,
}

async fn start() -> Setup {
    let signer = Signer::new("key-one");
    let keys = json!({ "keys": [signer.jwk()] });
    let upstream = Upstream::answering(move |_request| json(&keys)).await;
    let keys = format!("{}/jwks", upstream.url());
    let gatepost = Gatepost::start(&config(&upstream.url(), &keys)).await;
    gatepost.ready().await;
    Setup {
        gatepost,
        signer,
        upstream,
    }
}

impl Setup {
    fn token(&self, groups: &[&str], expires_at: u64) -> String {
        self.signer.mint(&json!({
            "iss": "https://users.example", "aud": "app", "sub": "ada",
            "groups": groups, "exp": expires_at,
        }))
    }
}

/// How each dialect asks about a `GET` of `/orders/1`.
async fn ask_as(gatepost: &Gatepost, dialect: &str, token: Option<&str>) -> Reply {
    let to = gatepost.listener("forward_auth").await;
    let call = match dialect {
        "nginx" => Call::get(to, "/auth/nginx")
            .header("x-original-method", "GET")
            .header("x-original-url", "https://api.test/orders/1"),
        "envoy" => Call::get(to, "/auth/envoy/orders/1"),
        other => Call::get(to, &format!("/auth/{other}"))
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "api.test")
            .header("x-forwarded-uri", "/orders/1"),
    };
    let call = call.header("x-user-id", "root");
    match token {
        Some(token) => call.bearer(token).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn who_would_be_refused_reaches_the_app_and_is_named_only_if_proven() {
    let setup = start().await;
    let gatepost = &setup.gatepost;
    let good = setup.token(&["ops"], now() + 600);
    let reader = setup.token(&["readers"], now() + 600);
    let expired = setup.token(&["ops"], now() - 600);
    for (token, who, reason) in [
        (Some(&*good), "ada", None),
        (Some(&*reader), "ada", Some("group_missing")),
        (Some(&*expired), "", Some("token_expired")),
        (Some("x.y.z"), "", Some("token_malformed")),
        (None, "", Some("credential_missing")),
    ] {
        let call = gatepost.get("/orders/1").await.header("x-user-id", "root");
        let call = call.header("X_User_Groups", "ops");
        let reply = match token {
            Some(token) => call.bearer(token).send().await,
            None => call.send().await,
        };
        assert_eq!(reply.status, 200, "{reason:?}");
        let seen = setup.upstream.last();
        assert_eq!(seen.header("x-user-id"), who, "{reason:?}");
        assert_eq!(seen.header("x_user_groups"), "", "{reason:?}");
        let line = gatepost.line_of(&reply).await;
        assert_eq!(line["decision"], "allow", "{line}");
        assert_eq!(line.get("reason"), None, "{line}");
        let told = reason.map(Value::from);
        assert_eq!(line.get("shadow_reason"), told.as_ref(), "{line}");
        let decision = reason.map(|_refused| Value::from("deny"));
        assert_eq!(line.get("shadow_decision"), decision.as_ref(), "{line}");

        for dialect in ["nginx", "traefik", "caddy", "haproxy", "envoy"] {
            let reply = ask_as(gatepost, dialect, token).await;
            assert_eq!(reply.status, 200, "{dialect} {reason:?}");
            assert_eq!(reply.headers["x-user-id"], who, "{dialect} {reason:?}");
            let line = gatepost.line_of(&reply).await;
            assert_eq!(line.get("shadow_reason"), told.as_ref(), "{line}");
        }
        if let Some(reason) = reason {
            for (plane, count) in [("ingress", 1), ("forward_auth", 5)] {
                gatepost
                    .counts(&format!(
                        r#"gatepost_shadow_decisions_total{{outcome="deny",plane="{plane}",reason="{reason}",route="orders"}} {count}"#
                    ))
                    .await;
            }
        }
    }
    // what was let through was allowed, and nothing else was counted as refused
    let metrics = gatepost.health("/metrics").await;
    assert!(
        !metrics
            .text()
            .contains(r#"gatepost_decisions_total{outcome="deny""#)
    );
}

#[tokio::test]
async fn routing_normalisation_other_routes_and_validation_refuse_as_ever() {
    let setup = start().await;
    let gatepost = &setup.gatepost;
    let ingress = gatepost.listener("ingress").await;
    let reader = setup.token(&["readers"], now() + 600);
    let before = setup.upstream.requests().len();
    for (method, path, status) in [
        (Method::POST, "/orders/1", 405),
        (Method::TRACE, "/orders/1", 405),
        (Method::GET, "/orders/%2e%2e/x", 400),
        (Method::GET, "/orders//x", 400),
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/enforced", 401),
    ] {
        let reply = Call::new(method.clone(), ingress, path).send().await;
        assert_eq!(reply.status, status, "{method} {path}");
    }
    let forward_auth = gatepost.listener("forward_auth").await;
    for (token, status) in [(None, 401), (Some(&reader), 403)] {
        let call = Call::get(forward_auth, "/api/v1/validate?route=orders");
        let reply = match token {
            Some(token) => call.bearer(token).send().await,
            None => call.send().await,
        };
        assert_eq!(reply.status, status);
        let line = gatepost.line_of(&reply).await;
        assert_eq!(line["decision"], "deny");
        assert_eq!(line.get("shadow_decision"), None);
    }
    assert_eq!(setup.upstream.requests().len(), before, "nothing went on");
}

#[tokio::test]
async fn a_service_the_rule_refuses_states_no_user() {
    let setup = start().await;
    for (groups, user) in [(&["ops"][..], "eve"), (&[], "batch")] {
        let token = setup.signer.mint(&json!({
            "iss": "https://users.example", "aud": "app", "sub": "batch", "client_id": "batch",
            "groups": groups, "exp": now() + 600,
        }));
        let call = setup.gatepost.get("/orders/1").await.bearer(&token);
        let reply = call.header("x-user-id", "eve").send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(setup.upstream.last().header("x-user-id"), user);
    }
}

#[tokio::test]
async fn an_outage_of_the_issuer_refuses_nobody_and_is_noted_as_a_failure() {
    let signer = Signer::new("key-one");
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), "http://127.0.0.1:9/jwks")).await;
    let token = signer.mint(&json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada",
        "groups": ["ops"], "exp": now() + 600,
    }));
    let enforced = gatepost.get("/enforced").await.bearer(&token).send().await;
    assert_eq!(enforced.status, 503);
    let reply = gatepost.get("/orders/1").await.bearer(&token).send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(upstream.last().header("x-user-id"), "");
    let line = gatepost.line_of(&reply).await;
    assert_eq!(line["shadow_decision"], "fail", "{line}");
    assert_eq!(line["shadow_reason"], "keys_unavailable", "{line}");
    let reply = ask_as(&gatepost, "nginx", Some(&token)).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-user-id")),
        (200, "")
    );
}

#[tokio::test]
async fn check_start_status_metrics_and_explain_say_it() {
    let setup = start().await;
    let gatepost = &setup.gatepost;
    let reply = gatepost.get("/orders/1").await.send().await;
    gatepost.line_of(&reply).await;

    let admin = gatepost.listener("admin").await;
    let status = Call::get(admin, "/status").send().await.json();
    assert_eq!(status["shadow_routes"], json!(["orders"]));
    assert_eq!(status["routes"][0]["access"]["mode"], "shadow");
    assert_eq!(status["routes"][1]["access"]["mode"], "enforce");
    assert_eq!(
        status["shadowed_last_15_minutes"],
        json!([{ "reason": "credential_missing", "count": 1 }])
    );
    assert_eq!(status["refusals_last_15_minutes"], json!([]));
    gatepost.counts("gatepost_shadow_routes 1").await;
    let warned = gatepost
        .events("WARN")
        .iter()
        .any(|event| event["fields"]["key"] == "routes[0].mode");
    assert!(warned, "{:?}", gatepost.events("WARN"));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    let text = {
        let url = setup.upstream.url();
        config(&url, &format!("{url}/jwks"))
    };
    std::fs::write(&file, &text).unwrap();
    let file = file.to_str().unwrap();
    let checked = run(&["check", "--config", file], &[]);
    let checked = String::from_utf8(checked.stdout).unwrap();
    for expected in [
        "warning: routes[0].mode: route orders is in shadow mode and protects nothing",
        "orders: GET */orders/** -> app (shadow: refuses nobody)\n",
    ] {
        assert!(checked.contains(expected), "{checked}");
    }
    assert!(checked.ends_with("ok, 1 warning\n"), "{checked}");

    let jwks = folder.path().join("jwks.json");
    std::fs::write(&jwks, json!({ "keys": [setup.signer.jwk()] }).to_string()).unwrap();
    let explain = [
        "explain",
        "--config",
        file,
        "--jwks",
        jwks.to_str().unwrap(),
    ];
    let mut explain = [&explain[..], &["--path", "/orders/1"]].concat();
    let explained = run(&explain, &[]);
    assert_eq!(explained.status.code(), Some(0));
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(
        explained.contains("\nshadow          not enforced: deny, credential_missing\n"),
        "{explained}"
    );
    explain.extend(["--format", "json"]);
    let explained: Value = serde_json::from_slice(&run(&explain, &[]).stdout).unwrap();
    assert_eq!(explained["decision"], "allow");
    assert_eq!(
        explained["shadow"],
        json!({ "decision": "deny", "reason": "credential_missing", "status": 401 })
    );

    // enforced from the next reload on
    let enforcing = text.replace("mode = \"shadow\"", "mode = \"enforce\"");
    gatepost.reload(&enforcing, "accepted", 1).await;
    gatepost.counts("gatepost_shadow_routes 0").await;
    assert_eq!(gatepost.get("/orders/1").await.send().await.status, 401);
}
