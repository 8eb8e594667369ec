mod http2;
mod limit;
mod still_good;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::client::jwks::Background;
use crate::client::tls;
use crate::config;
use crate::telemetry::{Plane, Telemetry};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a busy machine pauses.
const PATIENCE: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the n-th request gets.
type Answer = fn(usize) -> Option<&'static str>;

/// A server that answers request number `n` (from 0, over all connections) with `answer(n)` and
/// closes the connection if it ends in `close`. `None`: never answers.
async fn server(answer: Answer) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&connections);
    let requests = Arc::new(AtomicUsize::new(0));
    let tasks = TaskTracker::new();
    let spawner = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _peer)) = listener.accept().await {
            opened.fetch_add(1, Ordering::SeqCst);
            spawner.spawn(converse(stream, answer, Arc::clone(&requests)));
        }
    });
    (address, connections)
}

async fn converse(mut stream: TcpStream, answer: Answer, requests: Arc<AtomicUsize>) {
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {
        if !heard.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            continue;
        }
        heard.clear();
        let Some(text) = answer(requests.fetch_add(1, Ordering::SeqCst)) else {
            std::future::pending::<()>().await;
            return;
        };
        stream.write_all(text.as_bytes()).await.unwrap();
        if text.ends_with("close") || text.is_empty() {
            return;
        }
    }
}

fn pool(url: &str) -> Pool {
    pool_of(&server_at(url))
}

fn server_at(url: &str) -> config::Server {
    config::Server {
        connect_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        ..config::Server::at(url.parse().unwrap())
    }
}

fn pool_of(server: &config::Server) -> Pool {
    tls::install_crypto_provider();
    let telemetry = Telemetry::quiet();
    let means = Means {
        metrics: &telemetry.metrics,
        trust: &Trust::new(&config::Client::default()).unwrap(),
        workers: 2,
        background: &Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        },
    };
    means.pool(Plane::Ingress, "app", server, None).unwrap()
}

async fn send(
    pool: &Pool,
    request: Request<Payload>,
    timeout: Duration,
) -> Result<Response<Reply>, SendError> {
    send_by(0, pool, request, timeout).await
}

async fn send_by(
    worker: usize,
    pool: &Pool,
    request: Request<Payload>,
    timeout: Duration,
) -> Result<Response<Reply>, SendError> {
    let (head, body) = request.into_parts();
    let head = || Ok(Request::from_parts(head.clone(), ()));
    pool.send(worker, body, timeout, head, || Ok(())).await
}

fn get(pool: &Pool) -> Request<Payload> {
    Request::get("/a?b=c")
        .header(HOST, pool.host())
        .body(Payload::Empty)
        .unwrap()
}

#[tokio::test]
async fn each_way_to_get_no_response_has_its_name() {
    let cases: [(Answer, SendError); 4] = [
        (
            |_| Some("SSH-2.0-OpenSSH\r\n\r\nclose"),
            SendError::Protocol,
        ),
        (|_| Some(""), SendError::Protocol),
        (|_| Some("HTTP/1.1 200 OK\r\nclose"), SendError::Protocol),
        (|_| None, SendError::Timeout),
    ];
    for (answer, error) in cases {
        let (address, _connections) = server(answer).await;
        let pool = pool(&format!("http://{address}"));
        let sent = send(&pool, get(&pool), Duration::from_millis(100)).await;
        assert_eq!(sent.unwrap_err(), error);
    }
    // a port that was free a moment ago
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let pool = pool(&format!("http://{}", free.local_addr().unwrap()));
    drop(free);
    let sent = send(&pool, get(&pool), PATIENCE).await;
    assert_eq!(sent.unwrap_err(), SendError::Unreachable);
}

#[tokio::test]
async fn a_connection_is_reused_and_a_closed_one_replaced() {
    let (address, connections) = server(|n| {
        Some(if n == 1 {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclose"
        } else {
            OK
        })
    })
    .await;
    let pool = pool(&format!("http://{address}"));
    for expected in [1, 1, 2] {
        let request = Request::post("/")
            .header(HOST, pool.host())
            .body(Payload::Full(Bytes::from_static(b"x")))
            .unwrap();
        let response = send(&pool, request, PATIENCE).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_unanswered_is_retried_where_that_is_safe() {
    for (method, body, safe) in [
        ("GET", Payload::Empty, true),
        ("PUT", Payload::Full(Bytes::from_static(b"x")), true),
        ("POST", Payload::Empty, false),
    ] {
        // request 1 is heard and not answered: the server closed as we wrote
        let (address, connections) = server(|n| Some(if n == 1 { "" } else { OK })).await;
        let pool = pool(&format!("http://{address}"));
        let response = send(&pool, get(&pool), PATIENCE).await.unwrap();
        response.into_body().collect().await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header(HOST, pool.host())
            .body(body)
            .unwrap();
        let sent = send(&pool, request, PATIENCE).await;
        assert_eq!(sent.is_ok(), safe, "{method}");
        let expected = if safe { 2 } else { 1 };
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{method}");
    }
    // a server that closes even a new connection is asked once
    let (address, connections) = server(|_| Some("")).await;
    let pool = pool(&format!("http://{address}"));
    let sent = send(&pool, get(&pool), PATIENCE).await;
    assert_eq!(sent.unwrap_err(), SendError::Protocol);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A server at these addresses, whatever its URL says.
fn server_of(addresses: &[SocketAddr]) -> config::Server {
    let endpoint = |address: &SocketAddr| config::Endpoint {
        host: url::Host::parse(&address.ip().to_string()).unwrap(),
        port: address.port(),
    };
    config::Server {
        endpoints: addresses.iter().map(endpoint).collect(),
        ..server_at("http://app.internal")
    }
}

/// An address nobody listens at.
async fn nobody() -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    free.local_addr().unwrap()
}

fn post(pool: &Pool) -> Request<Payload> {
    Request::post("/")
        .header(HOST, pool.host())
        .body(Payload::Full(Bytes::from_static(b"x")))
        .unwrap()
}

async fn read(sent: Result<Response<Reply>, SendError>) -> Bytes {
    sent.unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
}

#[tokio::test]
async fn a_refused_address_makes_room_for_the_next_whatever_the_request() {
    let (address, connections) = server(|_| Some(OK)).await;
    let pool = pool_of(&server_of(&[nobody().await, address]));
    for _ in 0..6 {
        assert_eq!(read(send(&pool, post(&pool), PATIENCE).await).await, "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let report = pool.report();
    let ejected: Vec<_> = [0, 1].map(|n| &report["addresses"][n]["ejected"]).into();
    assert_eq!(ejected, [true, false]);
    assert_eq!(report["connections"], 1);
}

#[tokio::test]
async fn requests_take_turns_among_addresses_and_reuse_their_connections() {
    let (one, at_one) = server(|_| Some(OK)).await;
    let (two, at_two) = server(|_| Some(OK)).await;
    let pool = pool_of(&server_of(&[one, two]));
    for _ in 0..6 {
        read(send(&pool, get(&pool), PATIENCE).await).await;
    }
    assert_eq!(at_one.load(Ordering::SeqCst), 1);
    assert_eq!(at_two.load(Ordering::SeqCst), 1);
    assert_eq!(pool.report()["connections"], 2);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_followed_by_another_address_if_that_is_safe() {
    for (safe, expected) in [(true, Ok(())), (false, Err(SendError::Protocol))] {
        let (broken, asked) = server(|_| Some("")).await;
        let (sound, _connections) = server(|_| Some(OK)).await;
        let pool = pool_of(&server_of(&[broken, sound]));
        let request = if safe { get(&pool) } else { post(&pool) };
        let sent = send(&pool, request, PATIENCE).await;
        assert_eq!(sent.map(drop), expected);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_address_that_is_gone_is_not_used_again() {
    let (address, connections) = server(|_| Some(OK)).await;
    let pool = pool_of(&server_of(&[address]));
    read(send(&pool, get(&pool), PATIENCE).await).await;
    // as when DNS stops naming it, and names it again
    for answer in ["127.0.0.2", "127.0.0.1"] {
        let answer = vec![answer.parse().unwrap()];
        assert!(pool.0.addresses.learn(0, Ok(answer)));
    }
    read(send(&pool, get(&pool), PATIENCE).await).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    let lane = &pool.0.lanes[0];
    lane.sweep();
    assert_eq!(pool.report()["connections"], 1);
}

#[tokio::test]
async fn a_body_may_be_slow_but_not_silent_for_longer_than_allowed() {
    for (read_timeout, silent) in [(Some(SECOND), true), (None, false)] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let pool = pool_of(&config::Server {
            read_timeout,
            ..server_of(&[listener.local_addr().unwrap()])
        });
        let answer = async {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream
        };
        let (mut stream, reply) = tokio::join!(answer, send(&pool, get(&pool), PATIENCE));
        let mut body = reply.unwrap().into_body();
        let early = tokio::time::timeout(Duration::from_millis(1), body.frame());
        assert!(early.await.is_err());
        stream.write_all(b"ok").await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        // a reader that is slow to ask is not the server's silence
        tokio::time::pause();
        tokio::time::advance(SECOND * 5).await;
        let begun = Instant::now();
        let next = tokio::time::timeout(SECOND * 60, body.frame()).await;
        assert_eq!(next.is_ok(), silent);
        if let Ok(frame) = next {
            assert!(matches!(frame, Some(Err(ReplyError::Silent))));
            assert!(begun.elapsed() >= SECOND, "{:?}", begun.elapsed());
        }
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_pool_knows_its_host_and_base() {
    for (url, host, base) in [
        ("http://127.0.0.1:80", "127.0.0.1", ""),
        ("http://[::1]:5000/", "[::1]:5000", ""),
        ("http://localhost:3000", "localhost:3000", ""),
        ("https://Api.Example.com/v1/x/", "api.example.com", "/v1/x"),
    ] {
        let pool = pool(url);
        assert_eq!(pool.host(), host);
        assert_eq!(pool.base(), base);
        assert!(pool.may_switch());
    }
}
