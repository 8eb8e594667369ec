//! The limits of a listener, and who its client is, through the real binary.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{first_status, sidecar, talk};
use crate::support::gatepost::Gatepost;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Sends requests for these targets with these fields over one HTTP/2 connection, one by one.
async fn over_http2(to: SocketAddr, asked: &[(&str, &[(&str, &str)])]) -> Vec<StatusCode> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut statuses = Vec::new();
    for (target, fields) in asked {
        let mut request = Request::get(format!("http://a{target}")).version(Version::HTTP_2);
        for (name, value) in *fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        statuses.push(sender.send_request(request).await.unwrap().status());
    }
    statuses
}

#[tokio::test]
async fn over_http2_too_much_is_refused_as_over_http1_and_the_connection_goes_on() {
    let (gatepost, upstream) = sidecar("").await;
    let ingress = gatepost.listener("ingress").await;
    let path = format!("/{}", "x".repeat(17 * 1024));
    let (large, larger) = ("x".repeat(40_000), "x".repeat(70_000));
    let many = vec![("x-many", "1"); 101];
    let statuses = over_http2(
        ingress,
        &[
            ("/", &[]),
            (&path, &[]),
            ("/", &many),
            ("/", &[("x-large", &large)]),
            ("/", &[("x-large", &larger)]),
            ("/", &[]),
        ],
    )
    .await;
    assert_eq!(statuses, [200, 414, 431, 200, 431, 200]);
    assert_eq!(upstream.requests().len(), 3);
    for reason in ["uri_too_long", "headers_too_large"] {
        gatepost
            .counts(&format!(
                r#"gatepost_rejected_total{{plane="ingress",reason="{reason}"}} 1"#
            ))
            .await;
    }
}

/// What a request that follows these bytes is answered, and the address the log line names.
async fn client_of(gatepost: &Gatepost, before: &[u8], request: &[u8]) -> (Option<u16>, String) {
    let bytes = [before, request].concat();
    let answer = talk(gatepost.listener("ingress").await, &bytes).await;
    let status = first_status(&answer);
    if status != Some(200) {
        return (status, answer);
    }
    let mut lines = answer.lines();
    let id = lines.find_map(|line| line.strip_prefix("x-request-id: "));
    let line = gatepost.line(id.expect("an id")).await;
    let client = line.get("client").and_then(Value::as_str);
    (status, client.unwrap_or_default().to_owned())
}

fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    [start, &[command, family][..], &length, addresses].concat()
}

const ADDRESSES: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];

#[tokio::test]
async fn a_trusted_proxy_names_its_client_in_a_proxy_header_and_must() {
    let (gatepost, upstream) = sidecar(
        r#"
        proxy_protocol = true
        trusted_proxies = ["127.0.0.1/32", "10.0.0.0/8"]
        header_timeout = "1s"
        "#,
    )
    .await;
    let text = |rest: &str| format!("PROXY {rest}\r\n").into_bytes();
    for (header, client) in [
        (text("TCP4 192.0.2.7 198.51.100.1 56324 443"), "192.0.2.7"),
        (
            text("TCP6 2001:db8::7 2001:db8::1 56324 443"),
            "2001:db8::7",
        ),
        (text("UNKNOWN"), "0.0.0.0"),
        (binary(0x21, 0x11, ADDRESSES), "192.0.2.7"),
        (binary(0x20, 0, b""), "127.0.0.1"),
    ] {
        let answer = client_of(&gatepost, &header, GET).await;
        assert_eq!(answer, (Some(200), client.to_owned()));
        let seen = upstream.last();
        assert_eq!(seen.header("x-forwarded-for"), client);
    }
    // the peer is the client then: what it says of others is not believed, unless it is trusted too
    let forwarded =
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    for (header, client, passed) in [
        (
            text("TCP4 192.0.2.7 198.51.100.1 56324 443"),
            "192.0.2.7",
            "192.0.2.7",
        ),
        (
            text("TCP4 10.0.0.1 198.51.100.1 56324 443"),
            "6.6.6.6",
            "6.6.6.6, 10.0.0.1",
        ),
        // whoever the proxy cannot name is not the proxy; its own checks are
        (text("UNKNOWN"), "0.0.0.0", "0.0.0.0"),
        (binary(0x21, 0, b""), "0.0.0.0", "0.0.0.0"),
        (binary(0x20, 0, b""), "6.6.6.6", "6.6.6.6, 127.0.0.1"),
    ] {
        let answer = client_of(&gatepost, &header, forwarded).await;
        assert_eq!(answer, (Some(200), client.to_owned()));
        assert_eq!(upstream.last().header("x-forwarded-for"), passed);
    }
    let before = upstream.requests().len();
    let refused: [&[u8]; 5] = [
        GET,
        b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\n",
        &[&b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"[..], ADDRESSES, GET].concat(),
        // a header that does not come in time
        b"PROXY TCP4 192.0.2.7",
        b"",
    ];
    for bytes in refused {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let answer = talk(gatepost.listener("ingress").await, bytes).await;
        assert_eq!(answer, "", "{shown}");
    }
    assert_eq!(upstream.requests().len(), before);
    let reason = r#"listener="ingress",reason="proxy_header""#;
    gatepost
        .counts(&format!(
            "gatepost_connections_refused_total{{{reason}}} {}",
            refused.len()
        ))
        .await;
}

#[tokio::test]
async fn a_proxy_header_of_anybody_else_is_not_read() {
    let (gatepost, upstream) = sidecar(
        r#"
        proxy_protocol = true
        trusted_proxies = ["192.0.2.0/24"]
        "#,
    )
    .await;
    let header = b"PROXY TCP4 10.1.1.1 198.51.100.1 56324 443\r\n";
    let (status, _answer) = client_of(&gatepost, header, GET).await;
    assert_eq!(status, Some(400));
    assert_eq!(upstream.requests().len(), 0);
    let served = client_of(&gatepost, b"", GET).await;
    assert_eq!(served, (Some(200), "127.0.0.1".to_owned()));
}

#[tokio::test]
async fn forwarded_names_the_client_where_it_is_chosen() {
    let (gatepost, upstream) = sidecar(
        r#"
        client_address = "forwarded"
        trusted_proxies = ["127.0.0.1/32"]
        "#,
    )
    .await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=1.1.1.1\r\nForwarded: for=\"[2001:db8::7]:99\";proto=https\r\nConnection: close\r\n\r\n";
    let answer = client_of(&gatepost, b"", request).await;
    assert_eq!(answer, (Some(200), "2001:db8::7".to_owned()));
    // the proxy writes the other one: this is its client's
    assert_eq!(upstream.last().header("x-forwarded-for"), "127.0.0.1");
}

/// Opens a connection that is answered once and then kept; `None` if it was refused.
async fn kept(to: SocketAddr, before: &str) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!("{before}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"{}") {
        if stream.read_buf(&mut answer).await.unwrap_or(0) == 0 {
            return Err(String::from_utf8(answer).unwrap());
        }
    }
    Ok(stream)
}

/// The PROXY header of a proxy that speaks for itself.
const LOCAL: &str = "\r\n\r\n\0\r\nQUIT\n \0\0\0";

#[tokio::test]
async fn connections_are_limited_by_client_but_not_those_of_a_trusted_proxy() {
    let (gatepost, _upstream) = sidecar(
        r#"
        max_connections_per_peer = 2
        proxy_protocol = true
        trusted_proxies = ["127.0.0.1/32"]
        "#,
    )
    .await;
    let ingress = gatepost.listener("ingress").await;
    let from = |client: &str| format!("PROXY TCP4 {client} 198.51.100.1 56324 443\r\n");
    let mut held = Vec::new();
    for before in [
        LOCAL,
        LOCAL,
        LOCAL,
        &from("192.0.2.7"),
        &from("192.0.2.7"),
        &from("192.0.2.8"),
    ] {
        held.push(kept(ingress, before).await.expect(before));
    }
    let refused = kept(ingress, &from("192.0.2.7")).await.unwrap_err();
    assert_eq!(first_status(&refused), Some(429), "{refused}");
    // one that leaves makes room
    drop(held.remove(3));
    gatepost
        .counts(r#"gatepost_connections{listener="ingress"} 5"#)
        .await;
    kept(ingress, &from("192.0.2.7")).await.unwrap();
}

#[tokio::test]
async fn who_may_ask_forward_auth_is_whom_the_proxy_header_names() {
    let config = r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        proxy_protocol = true
        trusted_proxies = ["127.0.0.1/32", "10.0.0.0/8"]
        [[routes]]
        path = "/**"
        auth = "none"
        "#;
    let gatepost = Gatepost::start(config).await;
    let address = gatepost.listener("forward_auth").await;
    let request = "GET /auth/nginx HTTP/1.1\r\nHost: a\r\nX-Original-URL: http://a/\r\nX-Original-Method: GET\r\nConnection: close\r\n\r\n";
    for (client, expected) in [("10.0.0.1", 200), ("192.0.2.7", 403)] {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 56324 443\r\n");
        let answer = talk(address, format!("{header}{request}").as_bytes()).await;
        assert_eq!(first_status(&answer), Some(expected), "{client}: {answer}");
    }
}
