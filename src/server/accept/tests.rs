//! Real sockets, short limits. The clock of these tests is real, since the kernel's is.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;

use super::*;

fn limits() -> config::Listener {
    config::Listener {
        header_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        max_header_bytes: 16 * 1024,
        max_connections: 8,
        ..config::Listener::at((Ipv4Addr::LOCALHOST, 0).into())
    }
}

struct Server {
    address: SocketAddr,
    tasks: TaskTracker,
    leaving: Arc<AtomicBool>,
    stop: CancellationToken,
    cut: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
    answered: Arc<AtomicUsize>,
    telemetry: Arc<Telemetry>,
}

impl Server {
    /// Waits until a metric has this value.
    async fn counts(&self, sample: &str) {
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while !self.telemetry.metrics.render().contains(sample) {
            let metrics = self.telemetry.metrics.render();
            assert!(tokio::time::Instant::now() < end, "{sample} in {metrics}");
            tokio::task::yield_now().await;
        }
    }
}

async fn start(limits: config::Listener) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Serving {
        name: "test",
        plane: Some(Plane::Ingress),
        limits,
        world: None,
        telemetry: Telemetry::quiet(),
        workers: Some(Workers::start(NonZeroUsize::MIN).unwrap()),
        tasks: TaskTracker::new(),
        leaving: Arc::default(),
        stop: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    let answered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&answered);
    let answer = move |request: Request<Incoming>, _peer| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_ne!(request.uri().path(), "/panic", "asked to");
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            Response::new(Body::full("hello"))
        }
    };
    let telemetry = Arc::clone(&serving.telemetry);
    let (tasks, leaving, stop, cut) = (
        serving.tasks.clone(),
        Arc::clone(&serving.leaving),
        serving.stop.clone(),
        serving.cut.clone(),
    );
    let accepting = tasks.spawn(serve(listener, serving, answer));
    Server {
        address,
        tasks,
        leaving,
        stop,
        cut,
        accepting,
        answered,
        telemetry,
    }
}

/// Writes `bytes` and reads until the server closes.
fn exchange(address: SocketAddr, bytes: &'static str) -> tokio::task::JoinHandle<String> {
    tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // a reset ends the answer as a close does
        let _read = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    })
}

#[tokio::test]
async fn at_the_header_timeout_a_silent_client_is_closed_and_a_half_head_answered() {
    let server = start(config::Listener {
        header_timeout: Duration::from_millis(50),
        ..limits()
    })
    .await;
    for sent in ["", "PRI * HT", "PRI * HTTP/2.0\r\n\r\n"] {
        assert_eq!(exchange(server.address, sent).await.unwrap(), "", "{sent}");
    }
    let metrics = server.telemetry.metrics.render();
    assert!(!metrics.contains("request_timeout"), "{metrics}");
    let late = |answer: &str| {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    };
    late(
        &exchange(server.address, "GET / HTTP/1.1\r\nHost: a")
            .await
            .unwrap(),
    );
    // the second head on one connection is timed too
    let second = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let mut answer = vec![0; 1024];
        let mut filled = 0;
        while !answer[..filled].ends_with(b"hello") {
            filled += stream.read(&mut answer[filled..]).unwrap();
        }
        stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
        let mut second = String::new();
        stream.read_to_string(&mut second).map(|_bytes| second)
    });
    late(&second.await.unwrap().unwrap());
    server
        .counts(r#"gatepost_rejected_total{plane="ingress",reason="request_timeout"} 2"#)
        .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_the_idle_timeout() {
    let server = start(config::Listener {
        idle_timeout: Duration::from_millis(50),
        ..limits()
    })
    .await;
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_request_in_flight_is_not_idle() {
    let server = start(config::Listener {
        header_timeout: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(20),
        ..limits()
    })
    .await;
    let waiting = exchange(server.address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    while server.answered.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // as long as several idle timeouts on this connection
    for _ in 0..4 {
        assert_eq!(exchange(server.address, "").await.unwrap(), "");
    }
    assert!(!waiting.is_finished());
    server.cut.cancel();
    assert_eq!(waiting.await.unwrap(), "");
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives() {
    let server = start(limits()).await;
    let answer = exchange(
        server.address,
        "GET /panic HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_head_over_a_limit_is_refused_and_counted() {
    let server = start(config::Listener {
        max_headers: 3,
        max_uri_bytes: 20,
        ..limits()
    })
    .await;
    let head = |target: &str, fields: &str| -> &'static str {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").leak()
    };
    let long = format!("X-Long: {}\r\n", "x".repeat(17 * 1024));
    for (head, expected) in [
        (head("/", "A: 1\r\n"), 200),
        (head("/", "A: 1\r\nA: 2\r\n"), 431),
        (head("/", &long), 431),
        (head("/4567890123?56789012", ""), 200),
        (head("/4567890123?567890123", ""), 414),
        // the authority is bounded with the rest of the head
        (head("http://longer.than.example/4567890123", ""), 200),
    ] {
        let answer = exchange(server.address, head).await.unwrap();
        let status = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&status), "{head}: {answer}");
    }
    assert_eq!(server.answered.load(Ordering::SeqCst), 3);
    for (reason, count) in [("headers_too_large", 2), ("uri_too_long", 1)] {
        let sample =
            format!(r#"gatepost_rejected_total{{plane="ingress",reason="{reason}"}} {count}"#);
        server.counts(&sample).await;
    }
}

#[tokio::test]
async fn a_client_with_too_many_connections_is_told_so_and_keeps_those_it_has() {
    let server = start(config::Listener {
        max_connections_per_peer: Some(2),
        ..limits()
    })
    .await;
    let busy: Vec<_> = (0..2)
        .map(|_| exchange(server.address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    while server.answered.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    for field in ["connection: close", "retry-after: 1"] {
        assert!(answer.contains(&format!("\r\n{field}\r\n")), "{answer}");
    }
    for sample in [
        r#"gatepost_connections_refused_total{listener="test",reason="peer_limit"} 1"#,
        r#"gatepost_rejected_total{plane="ingress",reason="connection_limit"} 1"#,
        r#"gatepost_connections{listener="test"} 2"#,
        r#"gatepost_connection_limit{listener="test"} 8"#,
    ] {
        server.counts(sample).await;
    }
    assert!(busy.iter().all(|busy| !busy.is_finished()));
    server.cut.cancel();
    for busy in busy {
        assert_eq!(busy.await.unwrap(), "");
    }
    assert_eq!(server.answered.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn stop_closes_idle_connections_and_cut_the_rest() {
    let server = start(limits()).await;
    let idle = exchange(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let busy = exchange(server.address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    while server.answered.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    server.stop.cancel();
    assert!(idle.await.unwrap().ends_with("hello"));
    server.accepting.await.unwrap();
    assert!(!busy.is_finished());
    server.tasks.close();
    server.cut.cancel();
    server.tasks.wait().await;
    assert_eq!(busy.await.unwrap(), "");
}

#[tokio::test]
async fn before_the_end_a_client_is_asked_to_leave_and_a_request_on_its_way_is_read() {
    let server = start(limits()).await;
    // kept alive by its own wish, closed by ours
    server.leaving.store(true, Ordering::Relaxed);
    let leaver = exchange(server.address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = leaver.await.unwrap();
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");

    // connected, and perhaps not yet accepted, when the end comes
    let mut late = std::net::TcpStream::connect(server.address).unwrap();
    late.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.stop.cancel();
    let heard = tokio::task::spawn_blocking(move || {
        let mut heard = String::new();
        late.read_to_string(&mut heard).map(|_bytes| heard)
    });
    let heard = heard.await.unwrap().unwrap();
    assert!(heard.ends_with("hello"), "{heard}");
}

#[tokio::test]
async fn beyond_the_cap_clients_wait_for_a_slot() {
    let server = start(config::Listener {
        max_connections: 1,
        ..limits()
    })
    .await;
    let busy = exchange(server.address, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    while server.answered.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    let mut second = TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut second, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.answered.load(Ordering::SeqCst), 1);
    server.cut.cancel();
    assert_eq!(busy.await.unwrap(), "");
}
