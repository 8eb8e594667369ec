//! An upstream that misbehaves.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{first_status, talk};
use crate::support::wire::{Wire, values};
use crate::support::world::{World, public};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

async fn reply(answer: &'static str) -> String {
    let upstream = Wire::answering(answer).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    talk(world.ingress(), GET).await
}

#[tokio::test]
async fn a_broken_reply_is_a_502_or_a_clean_one() {
    let huge: &'static str = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(1_000_000)
    )
    .leak();
    for broken in [
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        huge,
    ] {
        let answer = reply(broken).await;
        let start = broken.get(..60).unwrap_or(broken);
        assert_eq!(first_status(&answer), Some(502), "{start:?} {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
    }
}

#[tokio::test]
async fn a_reply_framed_twice_has_one_framing_after_us() {
    for twice in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let answer = reply(twice).await;
        assert_eq!(first_status(&answer), Some(200), "{answer}");
        assert_eq!(values(&answer, "content-length").len(), 0, "{answer}");
        assert_eq!(
            values(&answer, "transfer-encoding"),
            ["chunked"],
            "{answer}"
        );
        assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn what_follows_a_reply_is_nobodys() {
    let upstream = Wire::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\
         Set-Cookie: stolen=1\r\n\r\nevil",
    )
    .await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    let request = format!("{get}\r\n{get}\r\n{get}Connection: close\r\n\r\n");
    let answer = talk(world.ingress(), request.as_bytes()).await;
    assert!(
        !answer.contains("evil") && !answer.contains("stolen"),
        "{answer}"
    );
    assert_eq!(answer.matches("200 OK").count(), 3, "{answer}");
}

#[tokio::test]
async fn a_reply_that_breaks_off_never_looks_whole() {
    for (broken, said) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
            "content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n9\r\nrest",
            "transfer-encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n",
            "transfer-encoding",
        ),
    ] {
        let upstream = Wire::told().await;
        let world = World::start(upstream.address, vec![public("open", "/**")]).await;
        let mut client = TcpStream::connect(world.ingress()).await.unwrap();
        client.write_all(GET).await.unwrap();
        upstream.tell.send(broken).unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|bytes| bytes == b"part") {
            if client.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                break;
            }
        }
        drop(upstream);
        let _ended = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        if first_status(&answer) == Some(200) {
            assert!(values(&answer, said).len() == 1, "{answer}");
            assert!(answer.contains("part"), "{answer}");
            assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        } else {
            // broken before the head was on its way: a 502, or a connection closed without a word
            assert!(
                matches!(first_status(&answer), Some(502) | None),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn interim_and_private_headers_stay_behind() {
    let answer = reply(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nX-Auth-Handle: h\r\n\
         x_auth_handle: h\r\nConnection: X-Request-ID, content-length, set-cookie\r\n\
         Set-Cookie: a=b\r\nProxy-Connection: x\r\nTE: x\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    assert_eq!(first_status(&answer), Some(200), "{answer}");
    assert!(
        !answer.to_ascii_lowercase().contains("auth-handle"),
        "{answer}"
    );
    assert!(
        !answer.to_ascii_lowercase().contains("auth_handle"),
        "{answer}"
    );
    assert_eq!(values(&answer, "x-request-id").len(), 1);
    assert_eq!(values(&answer, "content-length"), ["2"]);
    assert!(values(&answer, "proxy-connection").is_empty());
}
