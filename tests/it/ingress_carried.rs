//! Ingress: how requests and responses are carried, and what happens when they cannot be.

use std::time::Duration;

use gatepost::authz::Route;
use http::Version;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::Gone;
use crate::support::wire::{Wire, ask, body, send, status, values};
use crate::support::world::{World, forward, public, route};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn each_failure_of_the_upstream_has_its_status() {
    let garbage = Wire::answering("SSH-2.0-OpenSSH_9\r\n\r\n").await;
    let closing = Wire::answering("").await;
    let upgrading = Wire::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    )
    .await;
    let silent = Wire::told().await;
    let gone = Gone::take();
    for (address, code, reason, text) in [
        (
            garbage.address,
            502,
            "upstream_protocol",
            "Service communication failed",
        ),
        (
            closing.address,
            502,
            "upstream_protocol",
            "Service communication failed",
        ),
        (
            upgrading.address,
            502,
            "upstream_protocol",
            "Service communication failed",
        ),
        (
            silent.address,
            504,
            "upstream_timeout",
            "Service communication failed",
        ),
        (
            gone.address,
            503,
            "upstream_unreachable",
            "Service unavailable",
        ),
    ] {
        let mut forward = forward();
        // the others may take their time on a busy machine
        if address == silent.address {
            forward.timeout = Some(Duration::from_millis(200));
        }
        let route = Route {
            forward: Some(forward),
            ..public("open", "/**")
        };
        let world = World::start(address, vec![route]).await;
        let lines = ["GET / HTTP/1.1", "Host: a", "Accept: application/json"];
        let answer = ask(world.ingress(), &lines).await;
        assert_eq!(status(&answer), code, "{reason} {answer}");
        let expected = json!({"error": text, "reason": reason});
        assert_eq!(body(&answer), expected.to_string());
        assert_eq!(values(&answer, "retry-after"), ["1"]);
        assert_eq!(world.log(1).await[0]["reason"], reason);
    }
}

#[tokio::test]
async fn a_response_passes_less_what_ends_at_this_hop() {
    let upstream = Wire::answering(
        "HTTP/1.1 401 No Way\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
         X-Hop: 1\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Auth-Handle: leaked\r\n\
         X-Request-ID: theirs\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nWWW-Authenticate: Basic\r\n\
         Content-Length: 4\r\n\r\nmine",
    )
    .await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let answer = ask(world.ingress(), &["GET / HTTP/1.1", "Host: a"]).await;
    assert!(answer.starts_with("HTTP/1.1 401 No Way\r\n"), "{answer}");
    assert_eq!(body(&answer), "mine");
    assert_eq!(values(&answer, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(values(&answer, "www-authenticate"), ["Basic"]);
    assert_ne!(values(&answer, "x-request-id"), ["theirs"]);
    for gone in [
        "keep-alive",
        "x-hop",
        "proxy-authenticate",
        "upgrade",
        "x-auth-handle",
    ] {
        assert_eq!(values(&answer, gone), Vec::<&str>::new(), "{gone}");
    }
    let line = world.log(1).await.remove(0);
    assert_eq!(
        (&line["decision"], &line["status"]),
        (&json!("allow"), &json!(401))
    );
}

#[tokio::test]
async fn a_response_streams_as_the_upstream_sends_it() {
    let upstream = Wire::told().await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let request = b"GET /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    upstream
        .tell
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .unwrap();
    // the second part is sent only when the first has arrived
    let mut heard = Vec::new();
    while !heard.windows(5).any(|bytes| bytes == b"first") {
        assert_ne!(client.read_buf(&mut heard).await.unwrap(), 0);
    }
    upstream.tell.send("6\r\nsecond\r\n0\r\n\r\n").unwrap();
    client.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.ends_with("6\r\nsecond\r\n0\r\n\r\n"), "{heard}");
    assert_eq!(world.log(1).await[0]["bytes"], 11);
}

#[tokio::test]
async fn a_truncated_response_never_looks_whole() {
    let upstream = Wire::told().await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    upstream
        .tell
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        .unwrap();
    let mut heard = Vec::new();
    while !heard.windows(4).any(|bytes| bytes == b"part") {
        assert_ne!(client.read_buf(&mut heard).await.unwrap(), 0);
    }
    drop(upstream);
    // closed or reset, but without the last chunk
    let _ended = client.read_to_end(&mut heard).await;
    let heard = String::from_utf8(heard).unwrap();
    assert!(!heard.ends_with("0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_upstream_request() {
    let mut upstream = Wire::told().await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    while upstream.heard().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(client);
    upstream.closed.recv().await.unwrap();
    let line = world.log(1).await.remove(0);
    assert_eq!(
        (&line["decision"], &line["status"]),
        (&json!("allow"), &json!(499))
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let upstream = Wire::answering(OK).await;
    let world = World::with(upstream.address, vec![public("open", "/**")], |config| {
        config.ingress.as_mut().unwrap().listener.max_body_bytes = Some(4);
    })
    .await;
    for (request, code) in [
        ("Content-Length: 4\r\n\r\n1234", 200),
        ("Content-Length: 5\r\n\r\n12345", 413),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
            200,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
            413,
        ),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        let answer = send(world.ingress(), &format!("{head}{request}")).await;
        assert_eq!(status(&answer), code, "{request} {answer}");
    }
    assert_eq!(upstream.heard().len(), 2);
}

#[tokio::test]
async fn a_body_is_asked_for_only_once_its_request_is_allowed() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![route("all", "/**")]).await;
    let lines = [
        "POST / HTTP/1.1",
        "Host: a",
        "Content-Length: 4",
        "Expect: 100-continue",
    ];
    let answer = ask(world.ingress(), &lines).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(upstream.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn http2_is_carried_over_http1() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let stream = TcpStream::connect(world.ingress()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let request = |host: Option<&str>| {
        let mut request = http::Request::get("http://api.test:81/a?b")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers");
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.body(Empty::<bytes::Bytes>::new()).unwrap()
    };
    let response = sender.send_request(request(None)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok");
    let headers = upstream.last_headers();
    let (ours, id_and_theirs) = headers.split_at(4);
    assert_eq!(
        ours,
        [
            &format!("host: {}", upstream.address),
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-forwarded-host: api.test:81",
        ]
    );
    assert_eq!(
        id_and_theirs[1..],
        ["cookie: a=1; b=2", "connection: te", "te: trailers"]
    );
    let contradicted = sender
        .send_request(request(Some("other.test")))
        .await
        .unwrap();
    assert_eq!(contradicted.status(), 400);
    assert_eq!(upstream.heard().len(), 1);
}
