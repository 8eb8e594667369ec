//! HTTP/2 clients that ask and do not let us answer.

use std::time::Duration;

use super::frames::{Http2, RST_STREAM, SETTINGS, frame, request};
use crate::support::wire::Wire;
use crate::support::world::{World, public};

/// What a stream is told that is not wanted any more.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[tokio::test]
async fn a_client_that_grants_no_window_loses_its_stream_and_keeps_no_upstream_busy() {
    let mut upstream = Wire::told().await;
    let world = World::with(upstream.address, vec![public("open", "/**")], |config| {
        let limits = &mut config.ingress.as_mut().unwrap().listener;
        limits.idle_timeout = Duration::from_millis(500);
    })
    .await;
    let mut client = Http2::connect(world.ingress()).await;
    // SETTINGS_INITIAL_WINDOW_SIZE
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    assert!(client.send(&no_window).await);
    // the connection is as good as ever
    for stream in [1, 3] {
        assert!(client.send(&request(stream, "/")).await);
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nmore to come";
        upstream.tell.send(begun).unwrap();
        let reset = loop {
            let (kind, _flags, payload) = client.next().await.expect("the connection is open");
            if kind == RST_STREAM {
                break payload;
            }
        };
        assert_eq!(reset, CANCEL);
        upstream.closed.recv().await.unwrap();
    }
    for line in world.log(2).await {
        assert_eq!(line["status"], 200, "{line}");
    }
}
