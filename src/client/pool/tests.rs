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
use crate::client::tls;
use crate::config;

const SECOND: Duration = Duration::from_secs(1);
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
        connect_timeout: SECOND,
        idle_timeout: SECOND,
        ..config::Server::at(url.parse().unwrap())
    }
}

fn pool_of(server: &config::Server) -> Pool {
    tls::install_crypto_provider();
    let means = Means {
        trust: &Trust::new(&config::Client::default()).unwrap(),
        workers: 1,
        background: &Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        },
    };
    means.pool(server, None).unwrap()
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
        let sent = pool.send(0, get(&pool), Duration::from_millis(100)).await;
        assert_eq!(sent.unwrap_err(), error);
    }
    // a port that was free a moment ago
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let pool = pool(&format!("http://{}", free.local_addr().unwrap()));
    drop(free);
    let sent = pool.send(0, get(&pool), SECOND).await;
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
        let response = pool.send(0, request, SECOND).await.unwrap();
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
        let response = pool.send(0, get(&pool), SECOND).await.unwrap();
        response.into_body().collect().await.unwrap();
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header(HOST, pool.host())
            .body(body)
            .unwrap();
        let sent = pool.send(0, request, SECOND).await;
        assert_eq!(sent.is_ok(), safe, "{method}");
        let expected = if safe { 2 } else { 1 };
        assert_eq!(connections.load(Ordering::SeqCst), expected, "{method}");
    }
    // a server that closes even a new connection is asked once
    let (address, connections) = server(|_| Some("")).await;
    let pool = pool(&format!("http://{address}"));
    let sent = pool.send(0, get(&pool), SECOND).await;
    assert_eq!(sent.unwrap_err(), SendError::Protocol);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_to_a_name_is_not_reused_for_ever() {
    for (host, expected) in [("app.example", [1, 2, 3]), ("127.0.0.1", [1, 1, 1])] {
        let (address, connections) = server(|_| Some(OK)).await;
        let named = pool_of(&config::Server {
            idle_timeout: MAX_AGE * 10,
            ..server_at(&format!("http://{host}:80"))
        });
        let pool = Pool {
            dial: pool(&format!("http://{address}")).dial,
            ..named
        };
        for expected in expected {
            let response = pool.send(0, get(&pool), SECOND).await.unwrap();
            response.into_body().collect().await.unwrap();
            assert_eq!(connections.load(Ordering::SeqCst), expected, "{host}");
            tokio::time::pause();
            tokio::time::advance(MAX_AGE).await;
            tokio::time::resume();
        }
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
        assert_eq!(pool.may_be_http2(), url.starts_with("https"));
    }
}
