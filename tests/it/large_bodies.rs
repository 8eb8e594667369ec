//! Bodies far larger than what the process may hold, both ways, over both protocols.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::DEADLINE;
use crate::support::gatepost::Gatepost;

const MEBIBYTE: u64 = 1024 * 1024;
static PART: [u8; 64 * 1024] = [7; 64 * 1024];

/// This many bytes, made as they are sent.
fn bytes(count: u64) -> UnsyncBoxBody<Bytes, Infallible> {
    let parts = count / PART.len() as u64;
    let parts = (0..parts).map(|_number| Ok(Frame::data(Bytes::from_static(&PART))));
    StreamBody::new(stream::iter(parts)).boxed_unsync()
}

async fn count<B: Body<Data = Bytes, Error: std::fmt::Debug>>(body: B) -> u64 {
    let mut body = pin!(body);
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame.unwrap().into_data().map_or(0, |data| data.len()) as u64;
    }
    count
}

/// An upstream that sends as many bytes as the path says, or says how many it was sent.
async fn upstream() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _peer)) = listener.accept().await {
            connections.spawn(async move {
                let answer = service_fn(|request: Request<Incoming>| async move {
                    let asked: u64 = request
                        .uri()
                        .path()
                        .trim_start_matches('/')
                        .parse()
                        .unwrap_or(0);
                    let body = if asked > 0 {
                        bytes(asked)
                    } else {
                        let taken = count(request.into_body()).await;
                        http_body_util::Full::from(taken.to_string()).boxed_unsync()
                    };
                    Ok::<_, Infallible>(Response::new(body))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ended = builder.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    (address, server)
}

/// Sends a request on a connection of its own.
async fn ask(
    to: SocketAddr,
    http2: bool,
    path: &str,
    body: u64,
    tasks: &mut JoinSet<()>,
) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let url = format!("http://a.test{path}");
    let request = Request::post(if http2 { &url } else { path })
        .header("host", "a.test")
        .body(bytes(body))
        .unwrap();
    if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        sender.send_request(request).await.unwrap()
    }
}

async fn pass(size: u64, http2: bool) {
    let (address, _server) = upstream().await;
    let protocol = if http2 { "http2" } else { "http1" };
    let config = format!(
        r#"
        [upstreams.app]
        url = "http://{address}"
        protocol = "{protocol}"
        [[routes]]
        path = "/**"
        auth = "none"
        upstream = "app"
        "#
    );
    let gatepost = Gatepost::start(&config).await;
    let ingress = gatepost.listener("ingress").await;
    let mut tasks = JoinSet::new();
    let response = ask(ingress, http2, "/1048576", 0, &mut tasks).await;
    assert_eq!(count(response.into_body()).await, MEBIBYTE);
    let before = gatepost.peak_memory();

    let response = ask(ingress, http2, &format!("/{size}"), 0, &mut tasks).await;
    // a client that reads late is no reason to gather what it has not read
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count(response.into_body()).await, size);

    let response = ask(ingress, http2, "/", size, &mut tasks).await;
    let said = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(said, size.to_string());
    let grown = gatepost.peak_memory() - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn a_quarter_of_a_gibibyte_passes_both_ways_in_bounded_memory() {
    for http2 in [false, true] {
        let passed = tokio::time::timeout(DEADLINE, pass(256 * MEBIBYTE, http2));
        passed.await.expect("in time");
    }
}

#[tokio::test]
#[ignore = "slow: four gibibytes"]
async fn a_gibibyte_passes_both_ways_in_bounded_memory() {
    for http2 in [false, true] {
        pass(1024 * MEBIBYTE, http2).await;
    }
}
