//! Keys that change and token endpoints that break, with oauth2-mock-server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::upstream::Upstream;

async fn mint(server: &Counterpart, subject: &str, kid: &Value) -> String {
    let command = json!({
        "kid": kid,
        "claims": {"sub": subject, "aud": "orders", "client_id": "load"},
    });
    let minted = server.control("mint", &command).await;
    minted["token"].as_str().expect("a token").to_owned()
}

fn ingress_config(server: &Counterpart, upstream: &Upstream) -> String {
    format!(
        r#"
        [issuers.partner]
        kind = "oidc"
        issuer = "{}"
        audiences = ["orders"]
        algorithms = ["RS256", "ES256"]

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        upstream = "app"
        "#,
        server.url,
        upstream.url()
    )
}

/// Sends requests one after the other until told to stop; the statuses that were not 200.
async fn load(to: SocketAddr, token: String, stop: Arc<AtomicBool>) -> (u64, Vec<u16>) {
    let mut connection = Connection::open(to).await;
    let mut sent = 0;
    let mut refused = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let reply = connection.send(Call::get(to, "/").bearer(&token)).await;
        sent += 1;
        if reply.status != 200 {
            refused.push(reply.status.as_u16());
        }
    }
    (sent, refused)
}

#[tokio::test]
async fn no_request_is_refused_while_keys_rotate() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&ingress_config(&server, &upstream)).await;
    gatepost.ready().await;
    let ingress = gatepost.listener("ingress").await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..2 {
        let token = mint(&server, &format!("before-{client}"), &Value::Null).await;
        clients.spawn(load(ingress, token, Arc::clone(&stop)));
    }
    // Each new key is used the moment it is published, by tokens never seen before.
    for (turn, alg) in ["RS256", "ES256", "RS256"].into_iter().enumerate() {
        let rotated = server
            .control("rotate", &json!({"alg": alg, "keep": true}))
            .await;
        let mut first_users = JoinSet::new();
        for user in 0..5 {
            let token = mint(&server, &format!("user-{turn}-{user}"), &rotated["kid"]).await;
            first_users.spawn(Call::get(ingress, "/").bearer(&token).send());
        }
        for reply in first_users.join_all().await {
            assert_eq!(reply.status, 200, "turn {turn}: {reply:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for (sent, refused) in clients.join_all().await {
        assert!(sent > 0);
        assert!(refused.is_empty(), "{refused:?} of {sent}");
    }
}

#[tokio::test]
async fn a_key_that_left_the_set_no_longer_verifies() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&ingress_config(&server, &upstream)).await;
    gatepost.ready().await;

    let old = mint(&server, "ada", &Value::Null).await;
    assert_eq!(
        gatepost.get("/").await.bearer(&old).send().await.status,
        200
    );
    server.control("rotate", &json!({"keep": false})).await;
    let new = mint(&server, "ada", &Value::Null).await;
    // The new kid brings the new set, which lacks the old key: the cached token goes with it.
    assert_eq!(
        gatepost.get("/").await.bearer(&new).send().await.status,
        200
    );
    let denied = gatepost.get("/").await.bearer(&old).send().await;
    assert_eq!(denied.status, 401);
    assert_eq!(gatepost.line_of(&denied).await["reason"], "key_unknown");
}

/// An egress target for each path of a token endpoint, named like it.
fn egress_config(server: &Counterpart, target: &Upstream, names: &[&str]) -> String {
    let mut config = "[egress]\nlisten = \"127.0.0.1:0\"\n".to_owned();
    for name in names {
        write!(
            config,
            r#"
            [credentials.{name}]
            kind = "client_credentials"
            token_url = "{}/token/{name}"
            client_id = "orders"
            client_secret = {{ insecure_literal = "secret" }}

            [[egress_targets]]
            name = "{name}"
            url = "{}"
            credential = "{name}"
            "#,
            server.url,
            target.url()
        )
        .expect("text");
    }
    config
}

#[tokio::test]
async fn a_broken_token_endpoint_means_503_and_nothing_sent_until_it_recovers() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let target = Upstream::start().await;
    let broken = [
        json!({"at": "/token/refusing", "status": 400, "body": {"error": "invalid_scope"}}),
        json!({"at": "/token/busy", "status": 429, "headers": {"retry-after": "1"}}),
        json!({"at": "/token/failing", "status": 500}),
        json!({"at": "/token/empty", "status": 200, "body": {"token_type": "Bearer"}}),
    ];
    for answer in &broken {
        server.control("answer", answer).await;
    }
    let names = ["refusing", "busy", "failing", "empty"];
    let gatepost = Gatepost::start(&egress_config(&server, &target, &names)).await;
    let egress = gatepost.listener("egress").await;

    for name in names {
        let refused = Call::get(egress, &format!("/{name}/x")).send().await;
        assert_eq!(refused.status, 503, "{name}: {refused:?}");
        let line = gatepost.line_of(&refused).await;
        assert_eq!(line["reason"], "egress_token_unavailable", "{name}");
    }
    assert!(target.requests().is_empty());

    for name in names {
        let well = json!({"at": format!("/token/{name}")});
        server.control("answer", &well).await;
    }
    for name in names {
        eventually("a token after all", || async {
            let reply = Call::get(egress, &format!("/{name}/x")).send().await;
            (reply.status == 200).then_some(())
        })
        .await;
        assert!(
            target
                .last()
                .header("authorization")
                .starts_with("Bearer ey")
        );
    }
}

#[tokio::test]
async fn a_slow_token_endpoint_is_asked_once_for_all_who_wait() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let target = Upstream::start().await;
    let slow = json!({
        "at": "/token/slow", "status": 200, "delay_ms": 500,
        "body": {"access_token": "opaque-token", "token_type": "Bearer", "expires_in": 3600},
    });
    server.control("answer", &slow).await;
    let gatepost = Gatepost::start(&egress_config(&server, &target, &["slow"])).await;
    let egress = gatepost.listener("egress").await;

    let mut calls = JoinSet::new();
    for _ in 0..10 {
        calls.spawn(Call::get(egress, "/slow/x").send());
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let seen = server.control("seen", &json!({"at": "/token/slow"})).await;
    assert_eq!(seen["requests"], 1);
    assert_eq!(target.requests().len(), 10);
    for request in target.requests() {
        assert_eq!(request.header("authorization"), "Bearer opaque-token");
    }
}
