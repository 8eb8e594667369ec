//! gRPC over TLS, as grpcio speaks it.

use serde_json::{Value, json};

use crate::support::counterparts::{self, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::sidecar::{config, token};
use crate::support::tls::{Authority, Files};

fn call(method: &str, kind: &str, messages: &[&str]) -> Value {
    json!({
        "method": format!("/test.Service/{method}"), "kind": kind, "messages": messages,
        "metadata": {"authorization": format!("Bearer {}", token(&json!({})))},
    })
}

#[tokio::test]
async fn calls_pass_and_one_that_fails_on_the_way_says_why() {
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
