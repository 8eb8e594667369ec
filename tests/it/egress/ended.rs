//! A credential that ends while its request waits for a connection: it is not sent, by egress or by a
//! route that replaces `Authorization`. The clock moves when told to.

use std::net::Ipv4Addr;

use gatepost::authz::Route;
use gatepost::authz::route::{Authorization, Forward};
use gatepost::clock::{ManualClock, UnixTime};
use gatepost::config::Upstream as Named;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::*;
use crate::support::upstream::{self, Upstream};
use crate::support::world::{self, World};
use crate::support::{DEADLINE, eventually};

/// A server that answers a request each time it is let.
struct Slow {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    may_answer: Arc<Semaphore>,
}

impl Slow {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let slow = Self {
            at: listener.local_addr().unwrap(),
            heard: Arc::default(),
            may_answer: Arc::new(Semaphore::new(0)),
        };
        let (heard, may_answer) = (Arc::clone(&slow.heard), Arc::clone(&slow.may_answer));
        let tasks = TaskTracker::new();
        let spawner = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let (heard, may_answer) = (Arc::clone(&heard), Arc::clone(&may_answer));
                spawner.spawn(converse(stream, heard, may_answer));
            }
        });
        slow
    }

    /// Waits until it has heard so many requests; the credential of the last.
    async fn hears(&self, count: usize) -> String {
        eventually("the request", async || {
            let heard = self.heard.lock().unwrap();
            (heard.len() == count).then(|| heard[count - 1].clone())
        })
        .await
    }
}

async fn converse(
    mut stream: TcpStream,
    heard: Arc<Mutex<Vec<String>>>,
    may_answer: Arc<Semaphore>,
) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {
        if !bytes.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut bytes)).unwrap();
        let line = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then_some(value)
        });
        heard.lock().unwrap().push(line.unwrap().to_owned());
        may_answer.acquire().await.unwrap().forget();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

#[tokio::test]
async fn what_ends_while_its_request_waits_for_a_connection_is_not_sent() {
    let slow = Slow::start().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let tokens = Upstream::answering(move |_request| {
        let number = 1 + count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let token = format!("granted-{number}");
        upstream::json(&json!({ "access_token": token, "token_type": "Bearer", "expires_in": 100 }))
    })
    .await;
    let one_at_a_time = Server {
        max_connections: 1,
        connect_timeout: DEADLINE,
        ..Server::at(format!("http://{}", slow.at).parse().unwrap())
    };
    let replaced = Route {
        forward: Some(Forward {
            authorization: Authorization::Replace("granted".into()),
            ..world::forward()
        }),
        ..world::route("replaced", "/**")
    };
    let clock = Arc::new(ManualClock::new(UnixTime(1_800_000_000)));
    let world = World::by_clock(
        Arc::<ManualClock>::clone(&clock),
        slow.at,
        vec![replaced],
        |world| {
            let egress = config(
                vec![granted(&tokens.url())],
                vec![EgressTarget {
                    server: one_at_a_time.clone(),
                    ..target("slow", "http://unused.test", &["granted"])
                }],
            );
            world.egress = egress.egress;
            world.credentials = egress.credentials;
            world.egress_targets = egress.egress_targets;
            world.upstreams = vec![Named {
                name: "app".into(),
                server: one_at_a_time.clone(),
            }];
        },
    )
    .await;
    let user = world::token(json!({ "sub": "ada" }));
    let egress = world.addresses().egress.unwrap();
    let sending = TaskTracker::new();
    let mut attached = 0;
    for round in 0..2 {
        let call = || match round {
            0 => Call::get(egress, "/slow/x"),
            _ingress => Call::get(world.ingress(), "/x").bearer(&user),
        };
        let send = || sending.spawn(call().send());
        let gave = async |count: usize| {
            let line = format!(
                r#"gatepost_credential_calls_total{{credential="granted",kind="client_credentials",outcome="attached"}} {count}"#
            );
            eventually("the credential", async || {
                let metrics = world.app.world().telemetry.metrics.render();
                metrics.lines().any(|known| known == line).then_some(())
            })
            .await;
        };
        let first = send();
        let token = slow.hears(2 * round + 1).await;
        // there is one connection, and it is in use
        let second = send();
        gave(attached + 2).await;
        clock.advance(Duration::from_secs(200));
        slow.may_answer.add_permits(1);
        assert_eq!(first.await.unwrap().status, 200);
        let refused = second.await.unwrap();
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("retry-after"), "1");
        // the next one has another, and the connection
        let third = send();
        assert_ne!(slow.hears(2 * round + 2).await, token);
        slow.may_answer.add_permits(1);
        assert_eq!(third.await.unwrap().status, 200);
        attached += 3;
        gave(attached).await;
        // ended too
        clock.advance(Duration::from_secs(200));
    }
    let lines = world.log(6).await;
    // two of them end at about the same time
    let reason = |line: &serde_json::Value| line["reason"].as_str().map(str::to_owned);
    let refused: Vec<_> = lines.iter().filter_map(reason).collect();
    assert_eq!(refused, ["egress_token_unavailable"; 2]);
    assert!(lines.iter().all(|line| line["credential"] == "granted"));
}
