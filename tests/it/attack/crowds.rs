//! Many connections that ask for nothing, or never finish asking: everybody else is answered, and
//! memory stays in bounds.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{sidecar, sidecar_under};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;

/// Resident memory of one waiting connection, in bytes: that of a debug build, with its head
/// buffer. The figure for a release build stands in docs/performance.md.
const EACH: u64 = 32 * 1024;

/// A client that is answered throughout.
async fn good_client_is_answered(gatepost: &Gatepost) {
    for _ in 0..10 {
        assert_eq!(gatepost.get("/good").await.send().await.status, 200);
    }
}

/// Opens this many connections, each with these bytes, a few at a time.
async fn crowd(to: SocketAddr, size: usize, bytes: &'static [u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(size);
    while crowd.len() < size {
        let mut arriving = JoinSet::new();
        for _ in 0..100.min(size - crowd.len()) {
            arriving.spawn(async move {
                let mut stream = TcpStream::connect(to).await.unwrap();
                stream.write_all(bytes).await.unwrap();
                stream
            });
        }
        crowd.extend(arriving.join_all().await);
    }
    crowd
}

/// Open connections of ingress, by its gauge.
async fn connections(gatepost: &Gatepost) -> usize {
    let sample = r#"gatepost_connections{listener="ingress"}"#;
    gatepost.metric(sample).await.unwrap_or(0)
}

#[tokio::test]
async fn a_thousand_heads_that_never_end_are_answered_408_and_disturb_nobody() {
    const CROWD: usize = 1000;
    let (gatepost, _upstream) = sidecar(r#"header_timeout = "2s""#).await;
    let ingress = gatepost.listener("ingress").await;
    good_client_is_answered(&gatepost).await;
    let before = gatepost.memory();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let crowd = crowd(ingress, CROWD, head).await;
    // one more byte now and then does not help them
    let mut tricklers = JoinSet::new();
    for mut stream in crowd {
        tricklers.spawn(async move {
            let mut answer = Vec::new();
            loop {
                tokio::select! {
                    read = stream.read_buf(&mut answer) => {
                        if read.unwrap_or(0) == 0 {
                            return String::from_utf8(answer).unwrap();
                        }
                    }
                    () = tokio::time::sleep(Duration::from_millis(300)) => {
                        // the end shows when it is read
                        let _sent = stream.write_all(b"x").await;
                    }
                }
            }
        });
    }
    let mut late = 0;
    while !tricklers.is_empty() {
        good_client_is_answered(&gatepost).await;
        while let Some(answer) = tricklers.try_join_next() {
            let answer = answer.unwrap();
            late += usize::from(answer.starts_with("HTTP/1.1 408 "));
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
                "{answer}"
            );
        }
    }
    // a byte on its way while we close is a reset, which may take the answer with it
    assert!(late > CROWD / 2, "{late}");
    let reason = r#"plane="ingress",reason="request_timeout""#;
    gatepost
        .counts(&format!("gatepost_rejected_total{{{reason}}} {CROWD}"))
        .await;
    eventually("no connection", || async {
        (connections(&gatepost).await == 0).then_some(())
    })
    .await;
    let peak = gatepost.peak_memory();
    assert!(
        peak < before + CROWD as u64 * EACH / 1024,
        "{before} {peak}"
    );
}

#[tokio::test]
async fn ten_thousand_idle_connections_disturb_nobody() {
    const CROWD: usize = 10_000;
    // each end of a connection has a descriptor, in its own process
    const DESCRIPTORS: u64 = CROWD as u64 + 1500;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < DESCRIPTORS) {
        eprintln!("SKIPPED: {DESCRIPTORS} open files are needed, {limit:?} allowed");
        return;
    }
    if limit.current.is_some_and(|current| current < DESCRIPTORS) {
        limit.current = Some(DESCRIPTORS);
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    // it raises its own limit
    let (gatepost, _upstream) = sidecar_under(
        r#"ulimit -S -n 1024 && exec "$@""#,
        "max_connections = 10100\nheader_timeout = \"60s\"\nidle_timeout = \"60s\"",
    )
    .await;
    let ingress = gatepost.listener("ingress").await;
    good_client_is_answered(&gatepost).await;
    let before = gatepost.memory();
    let mut most = Vec::new();
    for _ in 0..2 {
        let mut crowd = crowd(ingress, CROWD / 2, b"").await;
        good_client_is_answered(&gatepost).await;
        // the other half has been answered once, and is kept alive
        let request = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
        crowd.extend(self::crowd(ingress, CROWD / 2, request).await);
        for stream in crowd.iter_mut().skip(CROWD / 2) {
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        eventually("all of them", || async {
            (connections(&gatepost).await >= CROWD).then_some(())
        })
        .await;
        good_client_is_answered(&gatepost).await;
        most.push(gatepost.memory());
        drop(crowd);
        eventually("no connection", || async {
            (connections(&gatepost).await == 0).then_some(())
        })
        .await;
        good_client_is_answered(&gatepost).await;
    }
    let (first, second) = (most[0], most[1]);
    assert!(
        first < before + CROWD as u64 * EACH / 1024,
        "{before} {first}"
    );
    // what the first crowd took was there again, less what the allocator lost in between
    assert!(second < first + first / 3, "{first} {second}");
}
