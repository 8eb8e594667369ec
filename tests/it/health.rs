//! The health listener and `gatepost health`, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde_json::json;

use crate::support::gatepost::{Gatepost, run};
use crate::support::http::Call;
use crate::support::issuer::Signer;
use crate::support::upstream::{Upstream, json, status};

fn config(issuer: &Upstream) -> String {
    format!(
        r#"
        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{}/jwks"
        audiences = ["app"]
        algorithms = ["RS256"]

        [upstreams.app]
        url = "http://127.0.0.1:9"

        [[routes]]
        name = "orders"
        path = "/orders/**"
        upstream = "app"
        "#,
        issuer.url()
    )
}

#[tokio::test]
async fn it_is_alive_at_once_and_ready_when_the_issuer_had_keys() {
    let up = Arc::new(AtomicBool::new(false));
    let (answers, keys) = (
        Arc::clone(&up),
        json!({ "keys": [Signer::new("one").jwk()] }),
    );
    let issuer = Upstream::answering(move |_request| {
        if answers.load(Ordering::SeqCst) {
            json(&keys)
        } else {
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    })
    .await;
    let gatepost = Gatepost::start(&config(&issuer)).await;
    let address = gatepost.listener("health").await.to_string();
    let asked = |more: &[&str]| run(&[&["health", "--address", &address], more].concat(), &[]);

    assert_eq!(gatepost.health("/livez").await.text(), "ok\n");
    let cold = gatepost.health("/readyz").await;
    assert_eq!(cold.status, 503);
    assert_eq!(
        cold.json(),
        json!({ "ready": false, "draining": false, "issuers_without_keys": ["users"] })
    );
    assert_eq!(asked(&[]).status.code(), Some(0));
    let not_ready = asked(&["--ready"]);
    assert_eq!(not_ready.status.code(), Some(1));
    assert_eq!([not_ready.stdout, not_ready.stderr].concat(), b"");

    up.store(true, Ordering::SeqCst);
    gatepost.ready().await;
    assert_eq!(asked(&["--ready"]).status.code(), Some(0));
}

#[tokio::test]
async fn metrics_count_a_refused_request_under_its_reason() {
    let keys = json!({ "keys": [Signer::new("one").jwk()] });
    let issuer = Upstream::answering(move |_request| json(&keys)).await;
    let gatepost = Gatepost::start(&config(&issuer)).await;
    gatepost.ready().await;
    for (path, status) in [("/orders/1", 401), ("/nowhere", 404)] {
        let reply = gatepost.get(path).await.send().await;
        assert_eq!(reply.status, status);
        // counted before it is written
        gatepost.line_of(&reply).await;
    }

    let metrics = gatepost.health("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for expected in [
        r#"gatepost_decisions_total{outcome="deny",plane="ingress",reason="credential_missing",route="orders"} 1"#,
        r#"gatepost_decisions_total{outcome="deny",plane="ingress",reason="no_route",route=""} 1"#,
        r#"gatepost_requests_total{plane="ingress",route="orders",status_class="4xx"} 1"#,
        r#"gatepost_keys_refresh_total{issuer="users",result="success"} 1"#,
        "gatepost_config_generation 1",
    ] {
        assert!(
            metrics.text().lines().any(|line| line == expected),
            "{expected}\n{}",
            metrics.text()
        );
    }
}

#[tokio::test]
async fn nothing_else_is_served_there() {
    let issuer = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&issuer)).await;
    for path in ["/", "/config", "/status", "/jwks", "/orders/1"] {
        assert_eq!(gatepost.health(path).await.status, 404, "{path}");
    }
    let health = gatepost.listener("health").await;
    let posted = Call::post(health, "/livez").send().await;
    assert_eq!(
        (posted.status.as_u16(), posted.header("allow")),
        (405, "GET, HEAD")
    );
}

#[test]
fn nobody_there_is_exit_code_1_and_silence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let output = run(&["health"], &[("GATEPOST__HEALTH__LISTEN", &address)]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!([output.stdout, output.stderr].concat(), b"");
}
