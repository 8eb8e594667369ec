//! What an HTTP/2 server may do to a request, frame by frame.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::tests::{SECOND, get, pool_of, send, server_at};
use super::*;
use crate::config;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `:status: 200` (RFC 7541 appendix A).
const STATUS_200: &[u8] = &[0x88];

async fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u8, payload: &[u8]) {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, id];
    frame.extend(payload);
    stream.write_all(&frame).await.unwrap();
}

/// The stream of the next request; `None` at the end.
async fn request(stream: &mut TcpStream) -> Option<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        if head[3] == HEADERS {
            return Some(head[8]);
        }
    }
}

/// A server whose first connection answers one request and refuses the second by GOAWAY.
async fn goes_away(mut stream: TcpStream, number: usize) {
    let mut preface = vec![0; PREFACE.len()];
    stream.read_exact(&mut preface).await.unwrap();
    write(&mut stream, SETTINGS, 0, 0, &[]).await;
    while let Some(id) = request(&mut stream).await {
        if number == 0 && id > 1 {
            // the last stream it looked at is 1
            write(&mut stream, GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
        } else {
            write(&mut stream, HEADERS, 5, id, STATUS_200).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_a_server_going_away_did_not_look_at_is_sent_to_it_anew() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let tasks = TaskTracker::new();
    let spawner = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            spawner.spawn(goes_away(stream, counter.fetch_add(1, Ordering::SeqCst)));
        }
    });
    let pool = pool_of(&config::Server {
        protocol: config::Protocol::Http2,
        ..server_at(&url)
    });
    for expected in [1, 2] {
        let response = send(&pool, get(&pool), SECOND).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}
