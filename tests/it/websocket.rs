//! WebSocket as the websockets library speaks it.

use serde_json::json;

use crate::support::counterparts::{self, or_skip};

#[tokio::test]
async fn client_and_server_understand_each_other() {
    let server = or_skip!(counterparts::websocket_server().await);
    let url = server.url.replace("http:", "ws:") + "/";
    let order = json!({"url": url, "messages": ["hello", 100_000]});
    let outcome = or_skip!(counterparts::websocket_client(order).await);
    assert_eq!(outcome["messages"], json!(["hello", 100_000]));
}
