//! Upstreams that reset, dawdle, close and flood, and an upstream behind TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::authz::Route;
use gatepost::config::{Certificates, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::http::Call;
use crate::support::secure::{self, Secure};
use crate::support::wire::{Wire, ask, body, send, status};
use crate::support::world::{World, forward, public};

/// Serves each connection with `serve`; ends with the returned set.
async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _peer)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    });
    (address, server)
}

/// Reads up to the end of a request head.
async fn head(stream: &mut TcpStream) -> bool {
    let mut heard = Vec::new();
    while !heard.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_reset_before_the_head_is_502_and_one_in_the_body_is_never_a_clean_end() {
    for (answer, whole) in [
        ("", true),
        ("HTTP/1.1 200 OK\r\nContent-Le", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
            false,
        ),
    ] {
        let told = Arc::new(Notify::new());
        let reset = Arc::clone(&told);
        let (address, _server) = serving(move |mut stream| {
            let reset = Arc::clone(&reset);
            async move {
                if head(&mut stream).await {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if !whole {
                        reset.notified().await;
                    }
                    stream.set_zero_linger().unwrap();
                }
            }
        })
        .await;
        let world = World::start(address, vec![public("open", "/**")]).await;
        if whole {
            let heard = ask(world.ingress(), &["GET / HTTP/1.1", "Host: a"]).await;
            assert_eq!(status(&heard), 502, "{answer:?} {heard}");
            assert!(body(&heard).contains("upstream_protocol"), "{heard}");
        } else {
            let mut client = TcpStream::connect(world.ingress()).await.unwrap();
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            let mut heard = Vec::new();
            while !heard.windows(4).any(|bytes| bytes == b"part") {
                assert_ne!(client.read_buf(&mut heard).await.unwrap(), 0);
            }
            told.notify_one();
            let _closed_or_reset = client.read_to_end(&mut heard).await;
            let heard = String::from_utf8(heard).unwrap();
            assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
            // neither the last chunk nor all ten bytes
            assert!(
                !heard.ends_with("0\r\n\r\n") && body(&heard).contains("part"),
                "{heard}"
            );
            assert!(!body(&heard).contains("502"), "{heard}");
        }
        // the next request is no worse off
        let again = ask(
            world.ingress(),
            &["GET /nowhere HTTP/1.1", "Host: a", "Host: b"],
        )
        .await;
        assert_eq!(status(&again), 400);
    }
}

#[tokio::test]
async fn the_timeout_is_to_the_head_and_a_slow_body_goes_on() {
    let upstream = Wire::told().await;
    let mut forward = forward();
    forward.timeout = Some(Duration::from_millis(300));
    let route = Route {
        forward: Some(forward),
        ..public("open", "/**")
    };
    let world = World::start(upstream.address, vec![route]).await;
    upstream
        .tell
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        .unwrap();
    let tell = upstream.tell.clone();
    let mut later = JoinSet::new();
    later.spawn(async move {
        // later than the timeout, however busy the machine
        tokio::time::sleep(Duration::from_millis(700)).await;
        tell.send("1\r\nb\r\n0\r\n\r\n").unwrap();
    });
    let heard = ask(world.ingress(), &["GET / HTTP/1.1", "Host: a"]).await;
    assert!(heard.ends_with("1\r\nb\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn an_upstream_that_closes_kept_connections_fails_no_get() {
    // says nothing of closing, and closes: after the answer, or on hearing a second request
    let (address, _server) = serving(|mut stream| async move {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if head(&mut stream).await {
            stream.write_all(ok).await.unwrap();
            let second = tokio::time::timeout(Duration::from_millis(1), head(&mut stream));
            let _heard = second.await;
        }
    })
    .await;
    let world = World::start(address, vec![public("open", "/**")]).await;
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        let ingress = world.ingress();
        clients.spawn(async move {
            for _ in 0..50 {
                let reply = Call::get(ingress, "/").send().await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn an_https_upstream_is_believed_by_the_extra_ca_only() {
    let authority = secure::authority();
    let other = secure::authority();
    for (trusted, protocols, code, said) in [
        (Some(&authority), &["h2", "http/1.1"][..], 200, "h2"),
        (Some(&authority), &["http/1.1"][..], 200, "h1"),
        (Some(&authority), &[][..], 200, "h1"),
        (Some(&other), &["h2"][..], 503, "upstream_unreachable"),
        (None, &["h2"][..], 503, "upstream_unreachable"),
    ] {
        let upstream = Secure::start(&authority, protocols).await;
        let world = World::with(upstream.address, vec![public("open", "/**")], |config| {
            config.upstreams[0].server = Server::at(upstream.url().parse().unwrap());
            let roots = trusted.map(|authority| authority.der().clone());
            config.client.extra_roots = Certificates(roots.into_iter().collect());
        })
        .await;
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        ] {
            let heard = send(world.ingress(), request).await;
            assert_eq!(status(&heard), code, "{protocols:?} {heard}");
            assert!(body(&heard).contains(said), "{protocols:?} {heard}");
        }
    }
}
