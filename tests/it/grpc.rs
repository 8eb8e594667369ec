//! gRPC as grpcio speaks it, through the running binary: HTTP/2 on both sides.

use serde_json::{Value, json};

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::issuer::now;
use crate::support::sidecar::{config, token};
use crate::support::tls::{Authority, Files};
use crate::support::{Gone, eventually};

/// Where a client finds `server` behind Gatepost.
async fn before(server: &Counterpart) -> (Gatepost, String) {
    let gatepost = Gatepost::start(&config(&server.url, "protocol = \"http2\"")).await;
    let target = gatepost.listener("ingress").await.to_string();
    (gatepost, target)
}

/// One call of `test.Service` by ada.
fn call(method: &str, kind: &str, messages: &[&str]) -> Value {
    json!({
        "method": format!("/test.Service/{method}"), "kind": kind, "messages": messages,
        "metadata": {"authorization": format!("Bearer {}", token(&json!({})))},
    })
}

#[tokio::test]
async fn every_kind_of_call_passes_with_its_metadata_and_trailers() {
    let server = or_skip!(counterparts::grpc_server().await);
    let (_gatepost, target) = before(&server).await;
    let big = "x".repeat(1_000_000);
    let mut unary = call("Unary", "unary_unary", &["hello"]);
    unary["metadata"]["x-user-id"] = json!("mallory");
    unary["metadata"]["x-mine"] = json!("kept");
    let calls = [
        unary,
        call("Unary", "unary_unary", &[&big]),
        call("Down", "unary_stream", &["3:10"]),
        call("Down", "unary_stream", &["20:100000"]),
        call("Up", "stream_unary", &["a", "bc", &big]),
        // each is sent when the one before it was answered
        call("Both", "stream_stream", &["one", "two", &big, "four"]),
        // no message, no body: trailers only
        call("Fail", "unary_unary", &["x"]),
    ];
    let order = json!({"target": target, "calls": calls});
    let outcomes = or_skip!(counterparts::grpc_client(order).await);
    for outcome in &outcomes.as_array().unwrap()[..6] {
        assert_eq!(outcome["code"], "OK", "{outcomes}");
    }
    assert_eq!(outcomes[0]["messages"], json!(["hello"]));
    assert_eq!(outcomes[0]["trailing"]["x-last"], "trailer");
    let seen = outcomes[0]["initial"]["seen"].as_str().unwrap();
    let seen: Value = serde_json::from_str(seen).unwrap();
    assert_eq!(
        (&seen["x-user-id"], &seen["x-mine"]),
        (&json!("ada"), &json!("kept"))
    );
    assert_ne!(outcomes[0]["initial"]["x-request-id"], Value::Null);
    assert_eq!(outcomes[1]["messages"], json!([1_000_000]));
    assert_eq!(outcomes[2]["messages"], json!(vec!["\0".repeat(10); 3]));
    assert_eq!(outcomes[3]["messages"], json!(vec![100_000; 20]));
    assert_eq!(outcomes[4]["messages"], json!(["1000003"]));
    assert_eq!(
        outcomes[5]["messages"],
        json!(["one", "two", 1_000_000, "four"])
    );
    let failed = &outcomes[6];
    assert_eq!(
        [&failed["code"], &failed["details"]],
        [&json!("NOT_FOUND"), &json!("no such thing: ä")]
    );
    assert_eq!(failed["trailing"]["x-why"], "because");
    assert_eq!(failed["trailing"]["x-why-bin"], "00ff");
}

#[tokio::test]
async fn a_refusal_is_the_grpc_status_that_its_http_status_maps_to() {
    let server = or_skip!(counterparts::grpc_server().await);
    let (_gatepost, target) = before(&server).await;
    let mut anonymous = call("Unary", "unary_unary", &["x"]);
    anonymous["metadata"] = json!({});
    let mut expired = call("Both", "stream_stream", &["x", "y"]);
    let old = token(&json!({"exp": now() - 3600}));
    expired["metadata"] = json!({"authorization": format!("Bearer {old}")});
    let mut forbidden = call("Unary", "unary_unary", &["x"]);
    forbidden["method"] = json!("/editors/Unary");
    // a client that still sends: nothing overtakes the status
    let mut sending = call("Up", "stream_unary", &["a"; 40]);
    sending["metadata"] = expired["metadata"].clone();
    let mut calls = vec![anonymous, expired, forbidden];
    calls.resize(40, sending);
    let order = json!({"target": target, "calls": calls});
    let outcomes = or_skip!(counterparts::grpc_client(order).await);
    let codes: Vec<&Value> = outcomes
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| &outcome["code"])
        .collect();
    let mut expected = ["UNAUTHENTICATED"; 40];
    expected[2] = "PERMISSION_DENIED";
    assert_eq!(codes, expected, "{outcomes}");

    let gone = Gone::take();
    let keys = "protocol = \"http2\"";
    let config = config(&format!("http://{}", gone.address), keys);
    let gatepost = Gatepost::start(&config).await;
    let target = gatepost.listener("ingress").await.to_string();
    let order = json!({"target": target, "calls": [call("Unary", "unary_unary", &["x"])]});
    let outcomes = or_skip!(counterparts::grpc_client(order).await);
    assert_eq!(outcomes[0]["code"], "UNAVAILABLE", "{outcomes}");
}

#[tokio::test]
async fn a_call_given_up_by_the_client_is_cancelled_at_the_server() {
    let server = or_skip!(counterparts::grpc_server().await);
    let (_gatepost, target) = before(&server).await;
    let mut wait = call("Wait", "unary_unary", &["x"]);
    wait["timeout"] = json!(0.5);
    let order = json!({"target": target, "calls": [wait]});
    let outcomes = or_skip!(counterparts::grpc_client(order).await);
    assert_eq!(outcomes[0]["code"], "DEADLINE_EXCEEDED");
    let direct = server.url.trim_start_matches("http://").to_owned();
    eventually("the cancellation", async || {
        let order = json!({"target": direct, "calls": [call("Gone", "unary_unary", &["x"])]});
        let outcomes = counterparts::grpc_client(order).await.unwrap();
        (outcomes[0]["messages"] == json!(["1"])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn over_tls_calls_pass_and_one_that_fails_on_the_way_says_why() {
    let server = or_skip!(counterparts::grpc_server().await);
    let authority = Authority::new();
    let files = Files::new(&authority.server(), &authority);
    let config = config(&server.url, r#"protocol = "http2""#);
    let config = format!("{config}\n[ingress]\n{}", files.toml(""));
    let gatepost = Gatepost::start(&config).await;
    let port = gatepost.listener("ingress").await.port();
    let order = json!({
        "target": format!("localhost:{port}"),
        "authority_certificate": authority.pem(),
        "calls": [
            call("Unary", "unary_unary", &["hello"]),
            call("Both", "stream_stream", &["one", "two"]),
            call("Break", "unary_stream", &["first"]),
        ],
    });
    let done = or_skip!(counterparts::grpc_client(order).await);
    assert_eq!(done[0]["messages"], json!(["hello"]), "{done}");
    assert_eq!(done[0]["trailing"], json!({"x-last": "trailer"}));
    assert_eq!(done[1]["messages"], json!(["one", "two"]), "{done}");
    assert_eq!(done[2]["messages"], json!(["first"]), "{done}");
    assert_eq!(done[2]["code"], "ABORTED");
    assert_eq!(done[2]["details"], "broken off");
    assert_eq!(done[2]["trailing"], json!({"x-why": "because"}));
}
