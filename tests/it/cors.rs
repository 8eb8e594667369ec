//! CORS with the real binary: what a browser's preflight gets, and who may read what comes back.

use http::{Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply};
use crate::support::issuer::{hmac_token, now};
use crate::support::upstream::{Answer, Recorded, Upstream};
use crate::support::wire;

const SECRET: &str = "a secret of at least thirty-two bytes";
const PAGE: &str = "https://app.example";

fn config(upstream: &str) -> String {
    format!(
        r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]

        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        secret = {{ insecure_literal = "{SECRET}" }}
        audiences = ["app"]
        algorithms = ["HS256"]

        [upstreams.app]
        url = "{upstream}"
        [upstreams.gone]
        url = "http://127.0.0.1:9"

        [[routes]]
        name = "closed"
        path = "/closed"
        upstream = "app"

        [[routes]]
        name = "shared"
        path = "/shared/**"
        methods = ["GET", "PUT"]
        require = {{ groups = ["ops"] }}
        upstream = "app"
        [routes.cors]
        origins = ["{PAGE}", "http://localhost:5173"]
        expose = ["www-authenticate"]
        credentials = true
        max_age = "1h"

        [[routes]]
        name = "world"
        path = "/world"
        auth = "none"
        upstream = "app"
        cors = {{ origins = ["*"] }}

        [[routes]]
        name = "gone"
        path = "/gone"
        auth = "none"
        upstream = "gone"
        cors = {{ origins = ["{PAGE}"] }}

        [[routes]]
        name = "passed"
        path = "/passed/**"
        methods = ["GET", "DELETE"]
        upstream = "app"
        cors = "pass"

        [[routes]]
        name = "asked"
        path = "/asked"
        cors = "pass"
        "#
    )
}

/// An app that says who may read `/shared/own`, and answers preflights.
fn app(request: &Recorded) -> Answer {
    let mut answer = Response::builder();
    if request.uri.path() == "/shared/own" || request.method == Method::OPTIONS {
        answer = answer
            .header("access-control-allow-origin", "https://own.example")
            .header("vary", "accept");
    }
    answer.body(Full::default()).unwrap()
}

async fn start() -> (Gatepost, Upstream) {
    let upstream = Upstream::answering(app).await;
    let gatepost = Gatepost::start(&config(&upstream.url())).await;
    gatepost.ready().await;
    (gatepost, upstream)
}

fn token(groups: &[&str]) -> String {
    let claims = json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada",
        "groups": groups, "exp": now() + 600,
    });
    hmac_token(SECRET.as_bytes(), "k", &claims)
}

/// The CORS headers of a reply, and `Vary`, sorted.
fn shared(reply: &Reply) -> Vec<String> {
    let mut shown: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || *name == "vary")
        .map(|(name, value)| {
            let name = name.as_str().trim_start_matches("access-control-");
            format!("{name}: {}", value.to_str().unwrap())
        })
        .collect();
    shown.sort();
    shown
}

async fn preflight(gatepost: &Gatepost, path: &str, origin: &str, method: &str) -> Reply {
    let ingress = gatepost.listener("ingress").await;
    Call::new(Method::OPTIONS, ingress, path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization")
        .send()
        .await
}

const READABLE: [&str; 4] = [
    "allow-credentials: true",
    "allow-origin: https://app.example",
    "expose-headers: www-authenticate",
    "vary: origin",
];

#[tokio::test]
async fn ingress_answers_a_preflight_itself() {
    let (gatepost, upstream) = start().await;
    let reply = preflight(&gatepost, "/shared/1", PAGE, "PUT").await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (204, &b""[..]));
    assert_eq!(
        shared(&reply),
        [
            "allow-credentials: true",
            "allow-headers: authorization, content-type",
            "allow-methods: GET, PUT",
            "allow-origin: https://app.example",
            "expose-headers: www-authenticate",
            "max-age: 3600",
            "vary: origin",
        ]
    );
    let line = gatepost.line_of(&reply).await;
    assert_eq!(line["route"], "shared");
    assert_eq!(line["method"], "OPTIONS");
    assert_eq!(
        (&line["decision"], &line["status"]),
        (&json!("allow"), &json!(204))
    );

    let reply = preflight(&gatepost, "/world", "https://any.example", "GET").await;
    assert_eq!(reply.status, 204);
    assert_eq!(
        shared(&reply),
        [
            "allow-headers: content-type",
            "allow-methods: GET, HEAD, POST, PUT, PATCH, DELETE",
            "allow-origin: *",
            "max-age: 600",
        ]
    );
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "null",
    ] {
        let reply = preflight(&gatepost, "/shared/1", origin, "PUT").await;
        assert_eq!(reply.status, 204, "{origin}");
        assert_eq!(shared(&reply), ["vary: origin"], "{origin}");
    }
    assert_eq!(upstream.requests().len(), 0, "the app is not asked");
}

#[tokio::test]
async fn what_is_no_preflight_or_on_no_shared_route_is_judged() {
    let (gatepost, upstream) = start().await;
    let closed = preflight(&gatepost, "/closed", PAGE, "GET").await;
    assert_eq!((closed.status.as_u16(), shared(&closed)), (401, vec![]));
    for path in ["/shared/1", "/passed/1"] {
        let other = preflight(&gatepost, path, PAGE, "POST").await;
        assert_eq!((other.status.as_u16(), shared(&other)), (405, vec![]));
    }

    let ingress = gatepost.listener("ingress").await;
    let origin = "Origin: https://app.example";
    let method = "Access-Control-Request-Method: GET";
    for (headers, status) in [
        (vec![], 405),
        (vec![origin], 405),
        (vec![method], 405),
        (vec![origin, origin, method], 405),
        (vec![origin, "Origin: https://evil.example", method], 405),
        (vec![origin, method, method], 405),
        (vec![origin, method, "X-HTTP-Method-Override: DELETE"], 405),
        (vec![origin, method, "x_http_method_override: DELETE"], 405),
        (
            vec![origin, method, "Connection: upgrade", "Upgrade: websocket"],
            405,
        ),
    ] {
        for path in ["/shared/1", "/passed/1"] {
            let line = format!("OPTIONS {path} HTTP/1.1");
            let lines = [&[line.as_str(), "Host: api.test"], &headers[..]].concat();
            let answer = wire::ask(ingress, &lines).await;
            assert_eq!(wire::status(&answer), status, "{lines:?} {answer}");
        }
    }
    // where OPTIONS is served it takes a credential
    let plain = Call::new(Method::OPTIONS, ingress, "/closed").send().await;
    assert_eq!(plain.status, 401);
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_page_may_read_responses_denials_and_failures() {
    let (gatepost, _upstream) = start().await;
    let ask = async |path: &str, origin: Option<&str>, token: Option<&str>| {
        let mut call = gatepost.get(path).await;
        if let Some(origin) = origin {
            call = call.header("origin", origin);
        }
        match token {
            Some(token) => call.bearer(token).send().await,
            None => call.send().await,
        }
    };
    let (ops, reader) = (token(&["ops"]), token(&[]));
    for (token, status) in [(Some(&ops), 200), (Some(&reader), 403), (None, 401)] {
        let token = token.map(String::as_str);
        let reply = ask("/shared/1", Some(PAGE), token).await;
        assert_eq!(reply.status, status);
        assert_eq!(shared(&reply), READABLE, "{status}");
        for origin in [None, Some("https://evil.example")] {
            let reply = ask("/shared/1", origin, token).await;
            assert_eq!(reply.status, status);
            assert_eq!(shared(&reply), ["vary: origin"], "{status} {origin:?}");
        }
    }
    let failed = ask("/gone", Some(PAGE), None).await;
    assert_eq!(failed.status, 503);
    assert_eq!(
        shared(&failed),
        ["allow-origin: https://app.example", "vary: origin"]
    );
    // the app's own word stands, alone
    let own = ask("/shared/own", Some(PAGE), Some(&ops)).await;
    assert_eq!(
        shared(&own),
        ["allow-origin: https://own.example", "vary: accept"]
    );
    let closed = ask("/closed", Some(PAGE), None).await;
    assert_eq!((closed.status.as_u16(), shared(&closed)), (401, vec![]));
}

#[tokio::test]
async fn a_preflight_that_passes_reaches_the_app_for_nobody() {
    let (gatepost, upstream) = start().await;
    let ingress = gatepost.listener("ingress").await;
    let reply = Call::new(Method::OPTIONS, ingress, "/passed/1")
        .header("origin", PAGE)
        .header("access-control-request-method", "DELETE")
        .header("x-user-id", "root")
        .header("X_User_Groups", "ops")
        .bearer(&token(&["ops"]))
        .send()
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        shared(&reply),
        ["allow-origin: https://own.example", "vary: accept"]
    );
    let seen = upstream.last();
    assert_eq!(seen.method, Method::OPTIONS);
    assert_eq!(seen.header("origin"), PAGE);
    assert_eq!(seen.header("access-control-request-method"), "DELETE");
    for name in [
        "x-user-id",
        "x_user_groups",
        "x-user-groups",
        "x-auth-issuer",
    ] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    let line = gatepost.line_of(&reply).await;
    assert_eq!(line["route"], "passed");
    assert_eq!(line.get("user_id"), None, "{line}");
    // the request it asked about needs its credential
    let denied = Call::new(Method::DELETE, ingress, "/passed/1");
    let denied = denied.header("origin", PAGE).send().await;
    assert_eq!((denied.status.as_u16(), shared(&denied)), (401, vec![]));
}

#[tokio::test]
async fn forward_auth_allows_a_preflight_for_nobody() {
    let (gatepost, _upstream) = start().await;
    let to = gatepost.listener("forward_auth").await;
    let ask = async |dialect: &str, path: &str, more: &[(&str, &str)]| {
        let mut call = match dialect {
            "nginx" => Call::get(to, "/auth/nginx")
                .header("x-original-method", "OPTIONS")
                .header("x-original-url", &format!("https://api.test{path}")),
            "envoy" => Call::new(Method::OPTIONS, to, &format!("/auth/envoy{path}")),
            other => Call::get(to, &format!("/auth/{other}"))
                .header("x-forwarded-method", "OPTIONS")
                .header("x-forwarded-proto", "https")
                .header("x-forwarded-host", "api.test")
                .header("x-forwarded-uri", path),
        };
        for (name, value) in more {
            call = call.header(name, value);
        }
        call.send().await
    };
    let good = format!("Bearer {}", token(&["ops"]));
    let preflight = [
        ("origin", PAGE),
        ("access-control-request-method", "GET"),
        ("authorization", &good),
        ("x-user-id", "root"),
    ];
    for dialect in ["nginx", "traefik", "caddy", "haproxy", "envoy"] {
        for path in ["/asked", "/passed/1", "/shared/1"] {
            let reply = ask(dialect, path, &preflight).await;
            assert_eq!(reply.status, 200, "{dialect} {path}");
            assert_eq!(&*reply.body, b"", "{dialect} {path}");
            assert_eq!(reply.headers["x-user-id"], "", "{dialect} {path}");
            assert_eq!(shared(&reply), Vec::<String>::new());
        }
        for more in [&preflight[..1], &preflight[1..2], &[]] {
            let reply = ask(dialect, "/asked", more).await;
            assert_eq!(reply.status, 401, "{dialect} {more:?}");
        }
        let closed = ask(dialect, "/closed", &preflight[..2]).await;
        assert_eq!(closed.status, 401, "{dialect}");
    }
}

#[test]
fn explain_says_who_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, config("http://127.0.0.1:9")).unwrap();
    let file = file.to_str().unwrap();
    for (path, upstream, who) in [
        (
            "/shared/1",
            Value::Null,
            "preflight for PUT: answered by ingress, passed to the app by forward auth, without a credential",
        ),
        (
            "/passed/1",
            json!("app"),
            "preflight for DELETE: passed to the app, without a credential",
        ),
    ] {
        let method = who.split([' ', ':']).nth(2).unwrap();
        let asked = format!("Access-Control-Request-Method: {method}");
        let arguments = [
            &[
                "explain", "--config", file, "--path", path, "--method", "OPTIONS",
            ][..],
            &[
                "--header",
                "Origin: https://app.example",
                "--header",
                &asked,
            ],
            &["--format", "json"],
        ];
        let output = run(&arguments.concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(explained["upstream"], upstream);
        let steps = explained["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["step"] == "cors").unwrap();
        assert_eq!(step["found"], who);
        assert_eq!(steps[2]["step"], "route", "{steps:?}");
    }
}
