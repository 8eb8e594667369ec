//! Protocols switched on the way out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Running, fixed, target};
use crate::support::wire::{Wire, status, values};

#[tokio::test]
async fn the_app_switches_protocols_with_a_credential_attached() {
    let billing = Wire::told().await;
    let url = format!("http://{}/base", billing.address);
    let targets = vec![target("billing", &url, &["static"])];
    let gatepost = Running::start(vec![fixed()], targets).await;
    billing
        .tell
        .send("HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        .unwrap();
    let mut app = TcpStream::connect(gatepost.at).await.unwrap();
    app.write_all(
        b"GET /billing/feed HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer of-the-app\r\n\r\n",
    )
    .await
    .unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        assert_ne!(app.read_buf(&mut heard).await.unwrap(), 0);
    }
    let heard = String::from_utf8(heard).unwrap();
    assert_eq!(status(&heard), 101);
    assert_eq!(values(&heard, "upgrade"), ["websocket"]);
    let asked = billing.heard().remove(0);
    assert!(asked.starts_with("GET /base/feed HTTP/1.1"), "{asked}");
    assert_eq!(values(&asked, "authorization"), ["Bearer s3cret-static"]);
    assert_eq!(values(&asked, "upgrade"), ["websocket"]);
    assert_eq!(values(&asked, "connection"), ["upgrade"]);
    assert_eq!(values(&asked, "sec-websocket-key").len(), 1);
    drop(app);
    crate::support::eventually("the log line", async || {
        let lines = gatepost.lines();
        lines.contains("\"status\":101").then_some(())
    })
    .await;
}
