//! The request log and the metrics, from outside: what is in them, and what never is.

use serde_json::json;

use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Upstream, json};

struct Setup {
    gatepost: Gatepost,
    token: String,
    /// Holds the issuer, which is the upstream too.
    _issuer: Upstream,
}

async fn start(log: &str) -> Setup {
    let signer = Signer::new("key-one");
    let keys = json!({ "keys": [signer.jwk()] });
    let issuer = Upstream::answering(move |_request| json(&keys)).await;
    let config = format!(
        r#"
        [log]
        {log}

        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{0}/jwks"
        audiences = ["app"]
        algorithms = ["RS256"]

        [upstreams.app]
        url = "{0}"

        [[routes]]
        name = "orders"
        path = "/orders/**"
        upstream = "app"

        [[routes]]
        name = "admin"
        path = "/admin/**"
        require = {{ scopes = ["admin"] }}
        upstream = "app"
        "#,
        issuer.url()
    );
    let gatepost = Gatepost::start(&config).await;
    gatepost.ready().await;
    let token = signer.mint(&json!({
        "iss": "https://users.example",
        "aud": "app",
        "sub": "ada",
        "email": "ada@private.example",
        "iat": now(),
        "exp": now() + 600,
    }));
    Setup {
        gatepost,
        token,
        _issuer: issuer,
    }
}

#[tokio::test]
async fn a_line_says_who_asked_what_and_what_became_of_it() {
    let setup = start("").await;
    let (gatepost, token) = (&setup.gatepost, &setup.token);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let allowed = gatepost
        .get("/orders/42?secret=1")
        .await
        .bearer(token)
        .header("user-agent", "test \"one\"")
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .send()
        .await;
    assert_eq!(allowed.status, 200);
    let line = gatepost.line_of(&allowed).await;
    for (field, expected) in [
        ("level", json!("info")),
        ("trace_id", json!(trace)),
        ("plane", json!("ingress")),
        ("route", json!("orders")),
        ("method", json!("GET")),
        ("path", json!("/orders/42")),
        ("status", json!(200)),
        ("decision", json!("allow")),
        ("user_id", json!("ada")),
        ("principal_kind", json!("user")),
        ("issuer", json!("users")),
        ("kid", json!("key-one")),
        ("client", json!("127.0.0.1")),
        ("user_agent", json!("test \"one\"")),
        ("bytes", json!(allowed.body.len())),
    ] {
        assert_eq!(line[field], expected, "{field} of {line}");
    }
    assert!(line.get("reason").is_none());
    assert!(line["upstream_ms"].is_f64());

    let denied = gatepost.get("/admin/x").await.bearer(token).send().await;
    assert_eq!(denied.status, 403);
    let second = gatepost.line_of(&denied).await;
    assert_eq!(second["decision"], "deny");
    assert_eq!(second["reason"], "scope_missing");
    assert_eq!(second["user_id"], "ada");
    assert_eq!(second["token"], line["token"]);
    assert!(second.get("upstream_ms").is_none());
}

#[tokio::test]
async fn nothing_presented_reaches_log_metrics_or_events() {
    let setup = start("level = \"trace\"").await;
    let (gatepost, token) = (&setup.gatepost, &setup.token);
    let signature = token.rsplit('.').next().unwrap();
    let forged = format!("{token}x");
    for presented in [token, &forged] {
        let reply = gatepost
            .get("/orders/1?access_token=query-secret")
            .await
            .bearer(presented)
            .header("cookie", "session=cookie-secret")
            .header("x-api-key", "key-secret")
            .header("x-auth-handle", "handle-secret")
            .send()
            .await;
        gatepost.line_of(&reply).await;
    }
    let metrics = gatepost.health("/metrics").await;
    for secret in [
        signature,
        "query-secret",
        "cookie-secret",
        "key-secret",
        "handle-secret",
        "ada@private.example",
    ] {
        assert!(!gatepost.output().contains(secret), "{secret} in the log");
        assert!(!metrics.text().contains(secret), "{secret} in the metrics");
    }
}

#[tokio::test]
async fn without_request_lines_only_refusals_are_written() {
    let setup = start("requests = false").await;
    let (gatepost, token) = (&setup.gatepost, &setup.token);
    let allowed = gatepost.get("/orders/1").await.bearer(token).send().await;
    assert_eq!(allowed.status, 200);
    let denied = gatepost.get("/orders/2").await.send().await;
    assert_eq!(
        gatepost.line_of(&denied).await["reason"],
        "credential_missing"
    );
    // the allowed request ended before the denied one began
    let id = allowed.header("x-request-id");
    assert!(!gatepost.output().contains(id));
    eventually("both are counted", || async {
        let metrics = gatepost.health("/metrics").await;
        [
            r#"gatepost_requests_total{plane="ingress",route="orders",status_class="2xx"} 1"#,
            r#"gatepost_requests_total{plane="ingress",route="orders",status_class="4xx"} 1"#,
        ]
        .iter()
        .all(|line| metrics.text().contains(line))
        .then_some(())
    })
    .await;
}
