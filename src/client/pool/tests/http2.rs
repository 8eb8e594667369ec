//! What an HTTP/2 server may do to a request, frame by frame.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::{PATIENCE, get, pool_of, send, server_at};
use crate::client::pool::*;
use crate::config;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
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
    next(stream, HEADERS).await
}

/// The stream of the next frame of this kind; `None` at the end.
async fn next(stream: &mut TcpStream, kind: u8) -> Option<u8> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        if head[3] == kind {
            return Some(head[8]);
        }
    }
}

/// A server that speaks `converse` on each connection, after the prefaces; `settings` is the payload
/// of its own. The pool that asks it, and how many connections it has had.
async fn server<F>(
    settings: &'static [u8],
    converse: impl Fn(TcpStream, usize) -> F + Copy + Send + 'static,
) -> (Pool, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let tasks = TaskTracker::new();
    let spawner = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut stream, _peer)) = listener.accept().await {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            spawner.spawn(async move {
                let mut preface = vec![0; PREFACE.len()];
                stream.read_exact(&mut preface).await.unwrap();
                write(&mut stream, SETTINGS, 0, 0, settings).await;
                converse(stream, number).await;
            });
        }
    });
    let pool = pool_of(&config::Server {
        protocol: config::Protocol::Http2,
        ..server_at(&url)
    });
    (pool, connections)
}

async fn ok(pool: &Pool) -> Response<Reply> {
    let response = send(pool, get(pool), PATIENCE).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

#[tokio::test]
async fn a_request_that_a_server_going_away_did_not_look_at_is_sent_to_it_anew() {
    let (pool, connections) = server(&[], |mut stream, number| async move {
        while let Some(id) = request(&mut stream).await {
            if number == 0 && id > 1 {
                // the last stream it looked at is 1
                write(&mut stream, GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
            } else {
                write(
                    &mut stream,
                    HEADERS,
                    END_STREAM | END_HEADERS,
                    id,
                    STATUS_200,
                )
                .await;
            }
        }
    })
    .await;
    for expected in [1, 2] {
        ok(&pool).await;
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn a_connection_of_a_server_going_away_counts_until_its_last_stream_has_ended() {
    let (pool, connections) = server(&[], |mut stream, number| async move {
        while let Some(id) = request(&mut stream).await {
            write(&mut stream, HEADERS, END_HEADERS, id, STATUS_200).await;
            if number == 0 {
                write(&mut stream, GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
            }
        }
    })
    .await;
    let first = ok(&pool).await;
    let _second = ok(&pool).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    assert_eq!(pool.report()["connections"], 2);
    drop(first);
    while pool.report()["connections"] != 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_does_not_answer_in_time_gets_no_more_requests_until_it_answers() {
    let (pool, connections) = server(&[], |mut stream, number| async move {
        while let Some(id) = request(&mut stream).await {
            match (number, id) {
                (0, 1 | 5) => {}
                (0, 3) => {
                    // the first is answered after the second was given up
                    next(&mut stream, RST_STREAM).await;
                    write(&mut stream, HEADERS, END_HEADERS, 1, STATUS_200).await;
                }
                _other => write(&mut stream, HEADERS, END_HEADERS, id, STATUS_200).await,
            }
        }
    })
    .await;
    let soon = Duration::from_millis(500);
    let (_answered, late) = tokio::join!(ok(&pool), send(&pool, get(&pool), soon));
    assert_eq!(late.unwrap_err(), SendError::Timeout);
    let late = send(&pool, get(&pool), soon).await;
    assert_eq!(late.unwrap_err(), SendError::Timeout);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    ok(&pool).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_is_sent_as_many_requests_at_once_as_it_allows() {
    // SETTINGS_MAX_CONCURRENT_STREAMS = 2
    let (pool, connections) = server(&[0, 3, 0, 0, 0, 2], |mut stream, _number| async move {
        while let Some(id) = request(&mut stream).await {
            write(&mut stream, HEADERS, END_HEADERS, id, STATUS_200).await;
        }
    })
    .await;
    let mut open = Vec::new();
    for expected in [1, 1, 2, 2, 3] {
        open.push(ok(&pool).await);
        assert_eq!(connections.load(Ordering::SeqCst), expected);
        // whoever drives the connection hears what it allows
        tokio::task::yield_now().await;
    }
}
