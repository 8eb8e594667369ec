//! WebSocket as the websockets library speaks it, through the running binary.

use serde_json::{Value, json};

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::issuer::now;
use crate::support::sidecar::{config, token};
use crate::support::tls::{Authority, Files};

/// Where a client finds `server` behind Gatepost.
async fn before(server: &Counterpart) -> (Gatepost, String) {
    let gatepost = Gatepost::start(&config(&server.url, "")).await;
    let url = format!("ws://{}", gatepost.listener("ingress").await);
    (gatepost, url)
}

fn bearer(more: &Value) -> Value {
    json!({"authorization": format!("Bearer {}", token(more))})
}

#[tokio::test]
async fn text_and_a_mebibyte_and_pings_pass_both_ways_compressed() {
    let server = or_skip!(counterparts::websocket_server().await);
    let (gatepost, url) = before(&server).await;
    let order = json!({
        "url": format!("{url}/chat?room=1"),
        "headers": bearer(&json!({})),
        "subprotocols": ["other", "chat"],
        "messages": ["hello", "", "ä", 1, 1_048_576, 100_000],
        "pings": 2,
    });
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    assert_eq!(outcome["status"], 101, "{outcome}");
    assert_eq!(
        outcome["messages"],
        json!(["hello", "", "ä", 1, 1_048_576, 100_000])
    );
    assert_eq!(outcome["pongs"], 2);
    assert_eq!(outcome["subprotocol"], "chat");
    assert_eq!(outcome["compressed"], true);
    assert_eq!(outcome["close"], json!({"code": 1000, "reason": ""}));
    assert_ne!(outcome["headers"]["x-request-id"], Value::Null);
    let metrics = gatepost.health("/metrics").await;
    assert!(
        metrics
            .text()
            .contains("gatepost_upgraded_connections{plane=\"ingress\"} 0"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn the_server_learns_who_calls_and_its_close_code_arrives() {
    let server = or_skip!(counterparts::websocket_server().await);
    let (_gatepost, url) = before(&server).await;
    let order = json!({
        "url": format!("{url}/headers"),
        "headers": merged(&bearer(&json!({})), &json!({"x-user-id": "mallory"})),
    });
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    let seen = outcome["messages"][0].as_str().expect("headers");
    let seen: Value = serde_json::from_str(seen).unwrap();
    assert_eq!(seen["x-user-id"], "ada");
    assert_eq!(seen["connection"], "upgrade");

    let order = json!({
        "url": format!("{url}/close"),
        "headers": bearer(&json!({})),
        "messages": ["x"],
        "until_closed": true,
    });
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    assert_eq!(
        outcome["close"],
        json!({"code": 4001, "reason": "told to"}),
        "{outcome}"
    );
}

#[tokio::test]
async fn who_may_not_is_told_before_anything_is_switched() {
    let server = or_skip!(counterparts::websocket_server().await);
    let (_gatepost, url) = before(&server).await;
    for (path, headers, status) in [
        ("/", json!({}), 401),
        ("/", json!({"authorization": "Bearer x.y.z"}), 401),
        ("/", bearer(&json!({"exp": now() - 3600})), 401),
        ("/editors/x", bearer(&json!({})), 403),
        ("/editors/x", bearer(&json!({"groups": ["editors"]})), 101),
        ("/public/x", json!({}), 101),
    ] {
        let order = json!({"url": format!("{url}{path}"), "headers": headers});
        let outcome = or_skip!(counterparts::websocket_client(order).await);
        assert_eq!(outcome["status"], status, "{path} {outcome}");
    }
}

#[tokio::test]
async fn when_the_token_expires_the_connection_breaks_off() {
    let server = or_skip!(counterparts::websocket_server().await);
    let (_gatepost, url) = before(&server).await;
    let order = json!({
        "url": format!("{url}/push"),
        // within the leeway of a minute
        "headers": bearer(&json!({"exp": now() - 57})),
        "until_closed": true,
    });
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    assert_eq!(outcome["status"], 101, "{outcome}");
    assert_eq!(outcome["close"]["code"], 1006, "{outcome}");
}

#[tokio::test]
async fn over_tls_on_both_sides_too() {
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority);
    let server = or_skip!(counterparts::websocket_server().await);
    let behind = Gatepost::start(&format!(
        "{}[ingress]\n{}",
        config(&server.url, ""),
        files.toml("")
    ))
    .await;
    let url = format!(
        "https://localhost:{}",
        behind.listener("ingress").await.port()
    );
    // the one behind would choose HTTP/2, which has no `Upgrade`
    let ca = files.path("clients-ca.pem");
    let keys = format!("tls = {{ ca_file = {:?} }}", ca.to_str().unwrap());
    let front = Gatepost::start(&format!(
        "{}[ingress]\n{}",
        config(&url, &keys),
        files.toml("")
    ))
    .await;
    let port = front.listener("ingress").await.port();
    let order = json!({
        "url": format!("wss://localhost:{port}/"),
        "authority_certificate": authority.pem(),
        "headers": bearer(&json!({})),
        "messages": ["hello", 100_000],
    });
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    assert_eq!(outcome["messages"], json!(["hello", 100_000]), "{outcome}");
    assert_eq!(outcome["close"]["code"], 1000);
}

fn merged(first: &Value, second: &Value) -> Value {
    let mut all = first.clone();
    crate::support::issuer::merge(&mut all, second);
    all
}
