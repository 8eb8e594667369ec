//! Forward auth over real sockets: what each proxy is told.

use std::sync::Arc;

use gatepost::authz::Route;
use gatepost::config::{Config, KeyLocation};
use http::Method;
use serde_json::{Value, json};

use crate::support::wire::{ask, body, send, status, values};
use crate::support::world::{World, proxies, public, route, token};

pub(crate) fn ada() -> String {
    let token = token(json!({"sub": "ada", "email": "ada@example.test", "groups": ["ops"]}));
    format!("Authorization: Bearer {token}")
}

pub(crate) async fn world(change: impl FnOnce(&mut Config)) -> World {
    let read = Route {
        methods: vec![Method::GET],
        // forward auth needs no upstream
        forward: None,
        ..route("read", "/read/**")
    };
    let nobody = ([127, 0, 0, 1], 9).into();
    World::with(nobody, vec![read, public("open", "/open")], change).await
}

/// An issuer whose keys cannot be had.
pub(crate) fn without_keys(config: &mut Config) {
    config.issuers[0].keys = KeyLocation::JwksUrl("http://127.0.0.1:9/jwks".parse().unwrap());
    let mut issuer = (*config.issuers[0].issuer).clone();
    issuer.algorithms = vec![gatepost::authn::issuer::Algorithm::RS256];
    config.issuers[0].issuer = Arc::new(issuer);
}

/// A token that the keys of [`without_keys`] would prove.
pub(crate) const UNPROVABLE: &str = "Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.\
    eyJpc3MiOiJob2t1c2FpIiwiYXVkIjoiYXBwIiwic3ViIjoiYWRhIiwiZXhwIjo0MDAwMDAwMDAwfQ.AAAA";

/// How each dialect asks about `GET` of a path.
fn calls(path: &str) -> [(&'static str, Vec<String>); 5] {
    let forwarded = |name: &str| {
        vec![
            format!("GET /auth/{name} HTTP/1.1"),
            "Host: gatepost".to_owned(),
            "X-Forwarded-Method: GET".to_owned(),
            "X-Forwarded-Proto: https".to_owned(),
            "X-Forwarded-Host: api.test".to_owned(),
            format!("X-Forwarded-Uri: {path}?q"),
        ]
    };
    [
        (
            "nginx",
            vec![
                "GET /auth/nginx HTTP/1.1".to_owned(),
                "Host: gatepost".to_owned(),
                "X-Original-Method: GET".to_owned(),
                format!("X-Original-URL: https://api.test{path}?q"),
            ],
        ),
        ("traefik", forwarded("traefik")),
        ("caddy", forwarded("caddy")),
        ("haproxy", forwarded("haproxy")),
        (
            "envoy",
            vec![
                format!("GET /auth/envoy{path}?q HTTP/1.1"),
                "Host: api.test".to_owned(),
            ],
        ),
    ]
}

pub(crate) async fn call(world: &World, lines: &[String], more: &[&str]) -> String {
    let lines: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    ask(world.forward_auth(), &lines).await
}

#[tokio::test]
async fn allow_is_200_and_every_identity_header() {
    let world = world(|_config| {}).await;
    for (dialect, lines) in calls("/read/1") {
        let answer = call(&world, &lines, &[&ada(), "X-User-ID: root"]).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{dialect} {answer}");
        assert_eq!(body(&answer), "", "{dialect}");
        for (name, value) in [
            ("x-user-id", "ada"),
            ("x-tenant-id", ""),
            ("x-user-name", ""),
            ("x-user-email", "ada@example.test"),
            ("x-user-groups", "ops"),
            ("x-user-roles", ""),
            ("x-user-permissions", ""),
            ("x-auth-issuer", "legacy"),
            ("x-client-id", ""),
            ("x-principal-kind", "user"),
        ] {
            // an empty value has no space after the colon
            let line = format!("\r\n{name}: {value}\r\n");
            assert!(answer.contains(&line), "{dialect} {name} {answer}");
        }
        assert_eq!(values(&answer, "x-request-id").len(), 1);
    }
    let anonymous = call(&world, &calls("/open")[0].1, &["X-User-ID: root"]).await;
    assert!(anonymous.contains("\r\nx-user-id: \r\n"), "{anonymous}");
    let line = world.log(1).await.remove(0);
    assert_eq!(line["plane"], "forward_auth");
    assert_eq!(line["path"], "/read/1");
    assert_eq!(line["route"], "read");
}

#[tokio::test]
async fn nginx_hears_401_403_and_500_and_the_others_the_truth() {
    let expired = token(json!({"sub": "ada", "exp": 1_000_000_000}));
    let expired = format!("Authorization: Bearer {expired}");
    let world = world(|config| config.errors.expose_reason = false).await;
    for (path, credential, reason, nginx, others) in [
        ("/read/1", None, "credential_missing", 401, 401),
        ("/read/1", Some(&expired), "token_expired", 401, 401),
        ("/nowhere", None, "no_route", 403, 403),
        ("/read/../x", None, "path_ambiguous", 403, 400),
    ] {
        for (dialect, lines) in calls(path) {
            let credential: Vec<&str> = credential.into_iter().map(String::as_str).collect();
            let answer = call(&world, &lines, &credential).await;
            let (code, told) = if dialect == "nginx" {
                (nginx, vec![reason])
            } else {
                (others, vec![])
            };
            assert_eq!(status(&answer), code, "{dialect} {path} {answer}");
            assert_eq!(values(&answer, "x-auth-reason"), told, "{dialect} {path}");
            let challenged = usize::from(code == 401);
            assert_eq!(values(&answer, "www-authenticate").len(), challenged);
            assert_eq!(values(&answer, "x-user-id").len(), 0);
        }
    }
    let [(_, mut nginx), (_, mut traefik), ..] = calls("/read/1");
    nginx[2] = "X-Original-Method: DELETE".to_owned();
    traefik[2] = "X-Forwarded-Method: DELETE".to_owned();
    assert_eq!(status(&call(&world, &nginx, &[]).await), 403);
    let answer = call(&world, &traefik, &[]).await;
    assert_eq!(status(&answer), 405);
    assert_eq!(values(&answer, "allow"), ["GET, HEAD"]);
}

#[tokio::test]
async fn an_outage_is_neither_a_denial_nor_an_allow() {
    let world = world(without_keys).await;
    for (dialect, lines) in calls("/read/1") {
        let answer = call(&world, &lines, &[UNPROVABLE]).await;
        let code = if dialect == "nginx" { 500 } else { 503 };
        assert_eq!(status(&answer), code, "{dialect} {answer}");
        assert_eq!(values(&answer, "x-auth-reason"), ["keys_unavailable"]);
        assert_eq!(values(&answer, "retry-after").len(), 1, "{dialect}");
    }
}

#[tokio::test]
async fn only_a_trusted_peer_may_state_a_request() {
    let elsewhere = world(|config| {
        config.forward_auth.as_mut().unwrap().trusted_proxies = proxies(&["10.0.0.0/8"]);
    })
    .await;
    for (dialect, lines) in calls("/read/1") {
        let answer = call(&elsewhere, &lines, &[&ada()]).await;
        assert_eq!(status(&answer), 403, "{dialect} {answer}");
        assert_eq!(values(&answer, "x-auth-reason"), ["peer_untrusted"]);
    }
    // validation is about the token only: any peer may ask
    let lines = [
        "GET /api/v1/validate HTTP/1.1".to_owned(),
        "Host: a".to_owned(),
    ];
    assert_eq!(status(&call(&elsewhere, &lines, &[&ada()]).await), 200);
}

#[tokio::test]
async fn a_request_that_is_stated_twice_or_not_at_all_is_refused() {
    let world = world(|_config| {}).await;
    for (dialect, lines) in calls("/open") {
        let code = if dialect == "nginx" { 403 } else { 400 };
        for stated in lines.iter().skip(2) {
            let answer = call(&world, &lines, &[stated]).await;
            assert_eq!(status(&answer), code, "{dialect} twice {stated}");
            let without: Vec<String> = lines
                .iter()
                .filter(|line| *line != stated)
                .cloned()
                .collect();
            let answer = call(&world, &without, &[]).await;
            assert_eq!(status(&answer), code, "{dialect} without {stated}");
            assert_eq!(values(&answer, "x-auth-reason"), ["request_malformed"]);
        }
    }
    let lines = ["GET /elsewhere HTTP/1.1".to_owned(), "Host: a".to_owned()];
    assert_eq!(status(&call(&world, &lines, &[&ada()]).await), 404);
}

#[tokio::test]
async fn another_familys_headers_say_nothing_and_are_counted() {
    let world = world(|_config| {}).await;
    let [(_, nginx), (_, traefik), .., (_, envoy)] = calls("/read/1");
    let original = [
        "X-Original-Method: GET",
        "X-Original-URL: https://api.test/open",
    ];
    let forwarded = [
        "X-Forwarded-Method: GET",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: api.test",
        "X-Forwarded-Uri: /open",
    ];
    for (lines, more) in [
        (nginx, &forwarded[..]),
        (traefik, &original[..]),
        (envoy, &forwarded[..]),
    ] {
        let answer = call(&world, &lines, more).await;
        assert_eq!(status(&answer), 401, "{lines:?} {answer}");
    }
    let scraped = ask(
        world.addresses().health,
        &["GET /metrics HTTP/1.1", "Host: a"],
    )
    .await;
    for dialect in ["nginx", "forwarded", "envoy"] {
        let counted = format!("gatepost_foreign_headers_total{{dialect=\"{dialect}\"}} 1\n");
        assert!(scraped.contains(&counted), "{counted}{scraped}");
    }
}

#[tokio::test]
async fn any_method_may_ask_and_what_frames_or_upgrades_the_call_is_harmless() {
    let world = world(|_config| {}).await;
    for (dialect, lines) in calls("/read/1") {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE",
        ] {
            let mut lines = lines.clone();
            lines[0] = lines[0].replace("GET ", &format!("{method} "));
            // Envoy's own method is the original one
            let reads = matches!(method, "GET" | "HEAD");
            let code = if dialect == "envoy" && !reads {
                405
            } else {
                200
            };
            let answer = call(&world, &lines, &[&ada()]).await;
            assert_eq!(status(&answer), code, "{dialect} {method} {answer}");
            let refused = call(&world, &lines, &[]).await;
            let refused = (status(&refused), body(&refused).is_empty());
            let code = if code == 200 { 401 } else { 405 };
            assert_eq!(refused, (code, method == "HEAD"), "{dialect} {method}");
        }
        for harmless in [
            &["Content-Length: 5"][..],
            // more than any listener takes, and none of it comes
            &["Content-Length: 99999999999"],
            &["Content-Length: 5", "Expect: 100-continue"],
            &["Transfer-Encoding: chunked", "Expect: 100-continue"],
            &[
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AA==",
            ],
            &["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
            &[
                "TE: trailers",
                "Trailer: x-user-id",
                "Keep-Alive: timeout=5",
            ],
        ] {
            let answer = call(&world, &lines, &[&[ada().as_str()], harmless].concat()).await;
            assert!(
                answer.starts_with("HTTP/1.1 200 "),
                "{dialect} {harmless:?} {answer}"
            );
            assert_eq!(body(&answer), "", "{dialect} {harmless:?}");
        }
    }
}

#[tokio::test]
async fn a_calls_body_is_never_read_as_another_call() {
    let world = world(|_config| {}).await;
    let inner = format!(
        "GET /auth/envoy/read/1 HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
        ada()
    );
    for (_dialect, lines) in calls("/read/1") {
        for framed in [
            format!("Content-Length: {}\r\n\r\n{inner}", inner.len()),
            format!(
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n",
                inner.len()
            ),
        ] {
            let last = "GET /auth/envoy/read/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let all = format!("{}\r\n{framed}{last}", lines.join("\r\n"));
            let answers = send(world.forward_auth(), &all).await;
            assert!(answers.starts_with("HTTP/1.1 401 "), "{answers}");
            assert!(!answers.contains("HTTP/1.1 200 "), "{answers}");
        }
    }
}

#[tokio::test]
async fn validate_tells_who_a_token_is_about() {
    let world = world(|_config| {}).await;
    let validate = |query: &str| {
        vec![
            format!("GET /api/v1/validate{query} HTTP/1.1"),
            "Host: gatepost".to_owned(),
        ]
    };
    let answer = call(&world, &validate(""), &[&ada()]).await;
    assert_eq!(values(&answer, "cache-control"), ["no-store"]);
    let user: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(
        user,
        json!({
            "id": "ada", "name": null, "email": "ada@example.test", "issuer": "legacy",
            "groups": ["ops"], "roles": [], "permissions": [], "scopes": [],
            "tenant": null, "client": null, "kind": "user", "expiry": 4_000_000_000_u64,
        })
    );
    for (query, credential, code) in [
        ("", None, 401),
        ("", Some("Authorization: Bearer x.y.z"), 401),
        ("?route=read", Some(ada().leak() as &str), 200),
        ("?route=read", None, 401),
        ("?route=nothing", Some(ada().leak()), 404),
        ("?route=read&route=open", Some(ada().leak()), 400),
    ] {
        let credential: Vec<&str> = credential.into_iter().collect();
        let answer = call(&world, &validate(query), &credential).await;
        assert_eq!(status(&answer), code, "{query} {answer}");
    }
    let open = call(&world, &validate("?route=open"), &[]).await;
    let user: Value = serde_json::from_str(body(&open)).unwrap();
    assert_eq!(
        (&user["kind"], &user["id"]),
        (&json!("anonymous"), &Value::Null)
    );
}
