//! When a body is asked for, and both halves of an exchange under way at once.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::DEADLINE;
use crate::support::wire::{Wire, status, until, values};
use crate::support::world::{World, public, route, token};
use serde_json::json;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn rest(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut heard));
    let _closed_or_reset = reading.await.expect("the end of the connection");
    String::from_utf8(heard).unwrap()
}

async fn write(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_refused_client_is_never_told_to_go_on() {
    let upstream = Wire::answering(OK).await;
    let world = World::with(upstream.address, vec![route("all", "/**")], |config| {
        config.ingress.as_mut().unwrap().listener.max_body_bytes = Some(10);
    })
    .await;
    let token = token(json!({"sub": "ada"}));
    for (authorization, length, code) in [
        ("", 4, 401),
        (&*format!("Authorization: Bearer {token}\r\n"), 11, 413),
    ] {
        let mut client = TcpStream::connect(world.ingress()).await.unwrap();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        write(&mut client, &request).await;
        // what would follow might be the body or the next request: the connection ends
        let heard = rest(&mut client).await;
        assert_eq!(status(&heard), code, "{heard}");
        assert_eq!(upstream.heard(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_allowed_client_is_told_to_go_on_once_and_its_body_passes() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    write(&mut client, request).await;
    let interim = until(&mut client, "\r\n\r\n").await;
    assert_eq!(interim, "HTTP/1.1 100 Continue\r\n\r\n");
    write(&mut client, "body").await;
    let answer = until(&mut client, "ok").await;
    assert_eq!(status(&answer), 200);
    let asked = upstream.heard().remove(0);
    assert!(asked.ends_with("\r\n\r\nbody"), "{asked}");
    assert_eq!(values(&asked, "expect"), Vec::<&str>::new());
}

/// The connection on which a request head has arrived.
async fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_arrives_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = vec![public("open", "/**")];
    let world = World::start(listener.local_addr().unwrap(), routes).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin";
    write(&mut client, head).await;
    let mut upstream = asked(&listener).await;
    until(&mut upstream, "begin").await;
    write(
        &mut upstream,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    let answer = until(&mut client, "no").await;
    assert_eq!(status(&answer), 403);
    // neither connection is used again
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(rest(&mut upstream).await, "");
}

#[tokio::test]
async fn both_halves_go_on_at_once_and_a_listening_client_may_be_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = vec![public("open", "/**")];
    let world = World::with(listener.local_addr().unwrap(), routes, |config| {
        config.ingress.as_mut().unwrap().listener.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n";
    write(&mut client, head).await;
    let mut upstream = asked(&listener).await;
    let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    write(&mut upstream, begin).await;
    until(&mut client, "first\r\n").await;
    // several times as long as an upload may pause before it is answered
    tokio::time::sleep(Duration::from_millis(900)).await;
    write(&mut client, "half").await;
    until(&mut upstream, "half").await;
    write(&mut upstream, "6\r\nsecond\r\n").await;
    until(&mut client, "second\r\n").await;
    write(&mut client, "rest").await;
    until(&mut upstream, "rest").await;
    write(&mut upstream, "5\r\nthird\r\n0\r\n\r\n").await;
    until(&mut client, "third\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_upload_that_pauses_is_its_clients_fault_and_no_timeout_of_the_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = vec![public("open", "/**")];
    let world = World::with(listener.local_addr().unwrap(), routes, |config| {
        config.ingress.as_mut().unwrap().listener.idle_timeout = Duration::from_millis(600);
        config.upstreams[0].server.timeout = Duration::from_millis(100);
    })
    .await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    write(&mut client, head).await;
    let _upstream = asked(&listener).await;
    assert_eq!(status(&rest(&mut client).await), 408);
}
