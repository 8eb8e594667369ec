//! Too much of something.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{first_status, talk, world};

#[tokio::test]
async fn too_much_is_refused_with_its_status_and_goes_nowhere() {
    let (world, upstream) = world(|config| {
        config.ingress.as_mut().unwrap().listener.max_body_bytes = Some(1000);
    })
    .await;
    let get = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
    let many = "X: y\r\n".repeat(120);
    for (what, request, allowed) in [
        (
            "a large header",
            get(&format!("X: {}", "x".repeat(70_000))),
            &[431][..],
        ),
        (
            "a huge header",
            get(&format!("X: {}", "x".repeat(2_000_000))),
            &[431],
        ),
        (
            "a huge token",
            get(&format!("Authorization: Bearer {}", "x".repeat(1_000_000))),
            &[431],
        ),
        (
            "a header without an end",
            format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(500_000)),
            &[431],
        ),
        ("many headers", get(&many), &[431]),
        (
            "a long name",
            get(&format!("{}: x", "x".repeat(66_000))),
            &[400, 431],
        ),
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000)),
            &[414, 431],
        ),
        (
            "many segments",
            format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", "/a".repeat(50_000)),
            &[414, 431],
        ),
        (
            "a long method",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(70_000)),
            &[400, 431],
        ),
        (
            "a long host",
            get(&format!("Host: {}", "a".repeat(300))),
            &[400],
        ),
        (
            "a large body",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n{}",
                "x".repeat(1001)
            ),
            &[413],
        ),
        (
            "a body of terabytes",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000\r\n\r\n".to_owned(),
            &[413],
        ),
        (
            "a large body that asks",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n"
                .to_owned(),
            &[413],
        ),
    ] {
        let answer = talk(world.ingress(), request.as_bytes()).await;
        // with much still unread the connection may be reset before the answer is read
        let status = first_status(&answer);
        assert!(
            status.is_none() && request.len() > 100_000
                || status.is_some_and(|status| allowed.contains(&status)),
            "{what}: {status:?}"
        );
        assert!(!answer.contains("100 Continue"), "{what}");
    }
    assert!(upstream.heard().is_empty());
    // nobody else has noticed
    let answer = talk(world.ingress(), get("Connection: close").as_bytes()).await;
    assert_eq!(first_status(&answer), Some(200));
}

#[tokio::test]
async fn a_client_that_trickles_its_head_or_body_is_cut_off() {
    let (world, upstream) = world(|_config| {}).await;
    for (start, expected) in [
        ("", None),
        ("G", Some(408)),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", Some(408)),
        ("PRI * HTTP/2.0\r\n\r\nSM", None),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ] {
        let mut stream = TcpStream::connect(world.ingress()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // ends, or the test hangs
        let _ended = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(first_status(&answer), expected, "{start:?}: {answer}");
    }
    assert!(upstream.heard().is_empty());
    let answer = talk(
        world.ingress(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx",
    )
    .await;
    assert_eq!(first_status(&answer), Some(408), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(upstream.last().body, None, "never whole");
}
