//! gRPC as grpcio speaks it.

use serde_json::{Value, json};

use crate::support::counterparts::{self, or_skip};

/// One call of `test.Service`.
fn call(method: &str, kind: &str, messages: &[&str]) -> Value {
    json!({"method": format!("/test.Service/{method}"), "kind": kind, "messages": messages})
}

#[tokio::test]
async fn client_and_server_understand_each_other() {
    let server = or_skip!(counterparts::grpc_server().await);
    let target = server.url.trim_start_matches("http://");
    let calls = [
        call("Unary", "unary_unary", &["hello"]),
        call("Fail", "unary_unary", &["x"]),
    ];
    let order = json!({"target": target, "calls": calls});
    let outcomes = or_skip!(counterparts::grpc_client(order).await);
    assert_eq!(outcomes[0]["messages"], json!(["hello"]));
    assert_eq!(outcomes[1]["code"], "NOT_FOUND");
}
