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
}

async fn start(limits: config::Listener) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Serving {
        name: "test",
        plane: None,
        limits,
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
async fn a_silent_client_and_a_half_head_are_closed_at_the_header_timeout() {
    let server = start(config::Listener {
        header_timeout: Duration::from_millis(50),
        ..limits()
    })
    .await;
    for sent in [
        "",
        "PRI * HT",
        "GET / HTTP/1.1\r\nHost: a",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        assert_eq!(exchange(server.address, sent).await.unwrap(), "", "{sent}");
    }
    // the second head on one connection is timed too
    let answer = tokio::task::spawn_blocking(move || {
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
        stream.read(&mut answer).unwrap_or(0)
    });
    assert_eq!(answer.await.unwrap(), 0);
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
async fn a_head_over_the_limit_is_431() {
    let server = start(limits()).await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
        "x".repeat(17 * 1024)
    );
    let answer = exchange(server.address, head.leak()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(server.answered.load(Ordering::SeqCst), 0);
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
