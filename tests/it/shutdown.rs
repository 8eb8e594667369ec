//! SIGTERM to the running binary, with requests on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;

fn config(fast: &str, slow: &str, pre_drain: &str) -> String {
    format!(
        r#"
        [shutdown]
        pre_drain = "{pre_drain}"
        grace = "20s"
        [upstreams.fast]
        url = "{fast}"
        [upstreams.slow]
        url = "{slow}"
        [[routes]]
        name = "fast"
        path = "/fast"
        auth = "none"
        upstream = "fast"
        [[routes]]
        name = "slow"
        path = "/slow"
        auth = "none"
        upstream = "slow"
        "#
    )
}

async fn start(config: &str) -> Gatepost {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.toml");
    std::fs::write(&file, config).unwrap();
    let mut command =
        crate::support::gatepost::command(&["serve", "--config", file.to_str().unwrap()]);
    command.env("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0");
    Gatepost::spawn(command, directory).await
}

#[tokio::test]
async fn a_stop_under_load_fails_no_request() {
    let fast = Upstream::start().await;
    let mut slow = Wire::told().await;
    let slow_url = format!("http://{}", slow.address);
    let mut gatepost = start(&config(&fast.url(), &slow_url, "3s")).await;
    let ingress = gatepost.listener("ingress").await;

    // one request that is answered when all others are over
    let mut held = TcpStream::connect(ingress).await.unwrap();
    held.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    eventually("the held request", || async {
        (!slow.heard().is_empty()).then_some(())
    })
    .await;

    // clients as a load balancer's: they keep a connection as long as they may, and stop when
    // Gatepost is no longer ready
    let ready = Arc::new(AtomicBool::new(true));
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        let ready = Arc::clone(&ready);
        clients.spawn(async move {
            let mut last = 0;
            while ready.load(Ordering::Relaxed) {
                let mut connection = Connection::open(ingress).await;
                loop {
                    let reply = connection.send(Call::get(ingress, "/fast")).await;
                    assert_eq!(reply.status, 200);
                    last += 1;
                    if reply.header("connection") == "close" || !ready.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            last
        });
    }
    eventually("load", || async {
        (fast.requests().len() > 20).then_some(())
    })
    .await;
    gatepost.signal("TERM");
    eventually("not ready", || async {
        (gatepost.health("/readyz").await.status == 503).then_some(())
    })
    .await;
    // still served, and asked to leave
    let reply = gatepost.get("/fast").await.send().await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("connection")),
        (200, "close")
    );
    ready.store(false, Ordering::Relaxed);
    let sent = clients.join_all().await;
    assert!(sent.iter().all(|sent| *sent > 0), "{sent:?}");

    eventually("no more connections", || async {
        TcpStream::connect(ingress).await.is_err().then_some(())
    })
    .await;
    assert_eq!(
        gatepost.health("/livez").await.status,
        200,
        "watched to the end"
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld";
    slow.tell.send(answer).unwrap();
    let mut heard = String::new();
    held.read_to_string(&mut heard).await.unwrap();
    assert!(
        heard.starts_with("HTTP/1.1 200") && heard.ends_with("held"),
        "{heard}"
    );
    assert_eq!(gatepost.exit().await, Some(0));
    slow.closed.recv().await.unwrap();
    // the log is whole
    assert!(gatepost.output().contains(r#""path":"/slow""#));
}

#[tokio::test]
async fn a_second_signal_cuts_what_is_open() {
    let slow = Wire::told().await;
    let url = format!("http://{}", slow.address);
    let mut gatepost = start(&config(&url, &url, "10m")).await;
    let ingress = gatepost.listener("ingress").await;
    let mut held = TcpStream::connect(ingress).await.unwrap();
    held.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    eventually("the held request", || async {
        (!slow.heard().is_empty()).then_some(())
    })
    .await;
    gatepost.signal("TERM");
    eventually("not ready", || async {
        (gatepost.health("/readyz").await.status == 503).then_some(())
    })
    .await;
    gatepost.signal("INT");
    assert_eq!(gatepost.exit().await, Some(0));
    let mut heard = Vec::new();
    let _closed_or_reset = held.read_to_end(&mut heard).await;
    assert_eq!(heard, b"");
}

#[tokio::test]
async fn a_stop_waits_for_a_refresh_token_that_is_being_rotated() {
    const GRANTED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 81\r\n\r\n\
                           {\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":600,\"refresh_token\":\"r-2\"}";
    let target = Upstream::start().await;
    let tokens = Wire::told().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(file("configured"), "r-1").unwrap();
    let mut gatepost = Gatepost::start(&format!(
        r#"
        [shutdown]
        pre_drain = "0s"
        grace = "20s"
        [egress]
        listen = "127.0.0.1:0"
        [credentials.delegated]
        kind = "refresh_token"
        token_url = "http://{tokens}/token"
        client_id = "app"
        auth_method = "none"
        refresh_token = {{ file = "{configured}" }}
        state_file = "{state}"
        [[egress_targets]]
        name = "api"
        url = "{target}"
        credential = "delegated"
        "#,
        tokens = tokens.address,
        configured = file("configured"),
        state = file("state"),
        target = target.url(),
    ))
    .await;
    let egress = gatepost.listener("egress").await;
    let health = gatepost.listener("health").await;
    // a client that does not stay
    let mut gone = TcpStream::connect(egress).await.unwrap();
    gone.write_all(b"GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    eventually("the refresh", || async {
        (!tokens.heard().is_empty()).then_some(())
    })
    .await;
    drop(gone);
    gatepost.signal("TERM");
    // all that is left is what must not be cut
    eventually("the end of the drain", || async {
        TcpStream::connect(health).await.is_err().then_some(())
    })
    .await;
    tokens.tell.send(GRANTED).unwrap();
    assert_eq!(gatepost.exit().await, Some(0));
    let state = String::from_utf8(std::fs::read(file("state")).unwrap()).unwrap();
    assert!(state.contains(r#""refresh_token":"r-2""#), "{state}");
    assert!(target.requests().is_empty());
}
