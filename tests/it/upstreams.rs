//! Upstreams of several addresses: one that dies, all that die, names that move; connections that
//! are bounded, HTTP/2 without TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::counterparts::or_skip;
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::upstream::{Upstream, json as answer};

/// An upstream that says its name.
async fn named(name: &'static str, address: impl Into<SocketAddr>) -> Upstream {
    Upstream::answering_at(address, move |_request| answer(&json!(name))).await
}

const ANYWHERE: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A public route `/**` to one upstream with these keys.
pub(crate) fn config(upstream: &str) -> String {
    format!(
        "[upstreams.app]\n{upstream}\n[[routes]]\npath = \"/**\"\nauth = \"none\"\nupstream = \"app\"\n"
    )
}

/// Who answered `/`, or the status without an answer.
async fn who(ingress: SocketAddr) -> String {
    let reply = Call::get(ingress, "/").send().await;
    match reply.status {
        StatusCode::OK => reply.json().as_str().unwrap().to_owned(),
        other => other.as_u16().to_string(),
    }
}

/// What `/status` says of the upstream.
async fn status(gatepost: &Gatepost) -> Value {
    let admin = gatepost.listener("admin").await;
    let reply = Call::get(admin, "/status")
        .header("host", "localhost")
        .send()
        .await;
    reply.json()["upstreams"]["app"].clone()
}

/// A sample of this metric of the upstream.
async fn metric(gatepost: &Gatepost, name: &str) -> i64 {
    let sample = format!("{name}{{plane=\"ingress\",upstream=\"app\"}} ");
    let metrics = gatepost.health("/metrics").await;
    let mut lines = metrics.text().lines();
    let value = lines.find_map(|line| line.strip_prefix(&sample));
    value.expect(name).parse().unwrap()
}

#[tokio::test]
async fn an_address_that_dies_under_load_costs_what_was_in_flight_and_nothing_more() {
    let (one, two) = (named("one", ANYWHERE).await, named("two", ANYWHERE).await);
    let dying = two.address;
    let gatepost = Gatepost::start(&config(&format!(
        "url = \"http://127.0.0.1\"\naddresses = [\"{}\", \"{dying}\"]\neject_for = \"200ms\"",
        one.address
    )))
    .await;
    let ingress = gatepost.listener("ingress").await;
    let (ended, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (ended, answered) = (Arc::clone(&ended), Arc::clone(&answered));
        clients.spawn(async move {
            let mut statuses = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                // half of them cannot be sent twice
                let method = if number % 2 == 0 {
                    Method::GET
                } else {
                    Method::POST
                };
                let reply = Call::new(method.clone(), ingress, "/")
                    .body("x")
                    .send()
                    .await;
                statuses.push((method, reply.status.as_u16()));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            statuses
        });
    }
    let more = async |count| {
        let goal = answered.load(Ordering::Relaxed) + count;
        eventually("answers", || async {
            (answered.load(Ordering::Relaxed) >= goal).then_some(())
        })
        .await;
    };
    more(100).await;
    drop(two);
    more(200).await;
    ended.store(true, Ordering::Relaxed);
    let statuses = clients.join_all().await.concat();
    for (method, status) in &statuses {
        assert!([200, 502, 503, 504].contains(status), "{method} {status}");
    }
    let failed = statuses.iter().filter(|(_, status)| *status != 200).count();
    assert!(
        failed <= 8,
        "more than what was in flight: {failed} of {}",
        statuses.len()
    );

    // it recovered without help, and knows why
    for _ in 0..50 {
        assert_eq!(who(ingress).await, "one");
    }
    assert_eq!(metric(&gatepost, "gatepost_upstream_ejected").await, 1);
    assert!(metric(&gatepost, "gatepost_upstream_ejections_total").await >= 1);
    assert!(metric(&gatepost, "gatepost_upstream_retries_total").await >= 1);
    let addresses = status(&gatepost).await["addresses"].clone();
    assert_eq!(addresses[0]["ejected"], false);
    assert_eq!(addresses[1]["address"], dying.to_string());
    assert_eq!(addresses[1]["ejected"], true);

    let _back = named("two", dying).await;
    eventually("requests to the address that is back", || async {
        (who(ingress).await == "two").then_some(())
    })
    .await;
    assert_eq!(metric(&gatepost, "gatepost_upstream_ejected").await, 0);
}

#[tokio::test]
async fn with_every_address_down_it_is_503_and_with_one_back_200_at_once() {
    let (one, two) = (named("one", ANYWHERE).await, named("two", ANYWHERE).await);
    let address = one.address;
    let gatepost = Gatepost::start(&config(&format!(
        "url = \"http://127.0.0.1\"\naddresses = [\"{address}\", \"{}\"]\neject_for = \"1h\"",
        two.address
    )))
    .await;
    let ingress = gatepost.listener("ingress").await;
    assert_eq!([who(ingress).await, who(ingress).await].concat().len(), 6);
    drop((one, two));
    for _ in 0..5 {
        let reply = Call::post(ingress, "/").send().await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("retry-after"), "1");
        let line = gatepost.line_of(&reply).await;
        assert_eq!(line["reason"], "upstream_unreachable");
    }
    assert_eq!(metric(&gatepost, "gatepost_upstream_ejected").await, 2);
    let _back = named("one", address).await;
    assert_eq!(who(ingress).await, "one");
}

/// A line of shell that runs `"$@"` with a hosts file of its own, `None` where that is not permitted.
fn with_hosts(folder: &TempDir) -> Option<(String, std::path::PathBuf)> {
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let mount = format!("mount --bind {hosts:?} /etc/hosts");
    for unshare in ["unshare --mount", "unshare --map-root-user --mount"] {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{unshare} /bin/sh -c '{mount}'")]);
        let permitted = shell.stderr(Stdio::null()).status();
        if permitted.is_ok_and(|status| status.success()) {
            let line = format!(r#"exec {unshare} /bin/sh -c '{mount} && exec "$@"' sh "$@""#);
            return Some((line, hosts));
        }
    }
    eprintln!("skipped: no mount namespace of our own is permitted, so no name can move");
    None
}

#[tokio::test]
async fn a_name_that_moves_is_followed_and_one_that_is_lost_stays_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let (line, hosts) = or_skip!(with_hosts(&folder));
    let says = |lines: &str| {
        // in place: the mount is of this very file
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{lines}")).unwrap();
    };
    let one = named("one", ANYWHERE).await;
    let port = one.address.port();
    let two = named("two", ([127, 0, 0, 2], port)).await;
    says("127.0.0.1 app.test\n");
    let config = "workers = 1\n".to_owned()
        + &config(&format!(
            "url = \"http://app.test:{port}\"\ndns_refresh = \"100ms\""
        ));
    let gatepost = Gatepost::start_under(&line, &config, &[]).await;
    let ingress = gatepost.listener("ingress").await;
    for _ in 0..5 {
        assert_eq!(who(ingress).await, "one");
    }
    says("127.0.0.2 app.test\n");
    eventually("the name's new address", || async {
        (who(ingress).await == "two").then_some(())
    })
    .await;
    // connections to the old one are open still, and not used
    for _ in 0..20 {
        assert_eq!(who(ingress).await, "two");
    }
    assert_eq!(two.last().header("host"), format!("app.test:{port}"));
    eventually("the old connections closed", || async {
        (metric(&gatepost, "gatepost_upstream_connections").await == 1).then_some(())
    })
    .await;

    says("");
    eventually("a failed look-up", || async {
        status(&gatepost).await["unresolved"]
            .is_string()
            .then_some(())
    })
    .await;
    assert_eq!(who(ingress).await, "two");
}

#[tokio::test]
async fn a_name_nobody_knows_is_503_and_the_log_says_so() {
    let gatepost = Gatepost::start(&config("url = \"http://nowhere.invalid\"")).await;
    let reply = gatepost.get("/").await.send().await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        gatepost.line_of(&reply).await["reason"],
        "upstream_unreachable"
    );
    warned(&gatepost, "cannot resolve nowhere.invalid").await;
}

/// Waits for a warning with this in its error.
pub(crate) async fn warned(gatepost: &Gatepost, why: &str) {
    eventually(why, || async {
        let mut events = gatepost.events("WARN").into_iter();
        events.find(|event| {
            let error = event["fields"]["error"].as_str();
            error.is_some_and(|error| error.contains(why))
        })
    })
    .await;
}

/// An upstream whose answers wait until they are let go; counts what it holds.
struct Holding {
    address: SocketAddr,
    held: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    _server: JoinSet<()>,
}

/// Serves HTTP/1.1, or with prior knowledge HTTP/2: says the version and the host it was asked for.
async fn holding(free: usize) -> Holding {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (held, gate) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(Semaphore::new(free)),
    );
    let mut server = JoinSet::new();
    let shared = (Arc::clone(&held), Arc::clone(&gate));
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _peer)) = listener.accept().await {
            let (held, gate) = shared.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (held, gate) = (Arc::clone(&held), Arc::clone(&gate));
                async move {
                    held.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    held.fetch_sub(1, Ordering::SeqCst);
                    let host = request.uri().authority().map(ToString::to_string);
                    let said = json!([format!("{:?}", request.version()), host]);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said.to_string()))))
                }
            });
            connections.spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let serving = builder.serve_connection(TokioIo::new(stream), service);
                let _ended = serving.await;
            });
        }
    });
    Holding {
        address,
        held,
        gate,
        _server: server,
    }
}

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let upstream = holding(0).await;
    let at = upstream.address;
    let text = |timeout| {
        config(&format!(
            "url = \"http://{at}\"\nmax_connections = 2\nconnect_timeout = \"{timeout}\""
        ))
    };
    let gatepost = Gatepost::start(&text("30s")).await;
    let ingress = gatepost.listener("ingress").await;
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        clients.spawn(async move { Call::get(ingress, "/").send().await });
    }
    eventually("two held requests", || async {
        (upstream.held.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    assert_eq!(metric(&gatepost, "gatepost_upstream_connections").await, 2);
    upstream.gate.add_permits(6);
    let replies: Vec<Reply> = clients.join_all().await;
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );

    gatepost.reload(&text("100ms"), "accepted", 1).await;
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(async move { Call::get(ingress, "/").send().await });
    }
    eventually("two held requests", || async {
        (upstream.held.load(Ordering::SeqCst) == 2).then_some(())
    })
    .await;
    let refused = Call::get(ingress, "/").send().await;
    assert_eq!(refused.status, 503);
    assert_eq!(
        gatepost.line_of(&refused).await["reason"],
        "upstream_overloaded"
    );
    upstream.gate.add_permits(2);
    clients.join_all().await;
}

#[tokio::test]
async fn http2_without_tls_is_spoken_where_asked_for_and_the_host_is_the_routes() {
    let upstream = holding(1000).await;
    let url = format!("url = \"http://{}\"", upstream.address);
    let http2 = config(&format!("{url}\nprotocol = \"http2\"")) + "host = \"preserve\"\n";
    let gatepost = Gatepost::start(&http2).await;
    let asked = gatepost
        .get("/")
        .await
        .header("host", "shop.example")
        .send();
    assert_eq!(asked.await.json(), json!(["HTTP/2.0", "shop.example"]));
    let mut clients = JoinSet::new();
    let ingress = gatepost.listener("ingress").await;
    for _ in 0..20 {
        clients.spawn(async move { Call::post(ingress, "/").body("x").send().await });
    }
    let replies = clients.join_all().await;
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );
    gatepost.reload(&config(&url), "accepted", 1).await;
    let reply = gatepost.get("/").await.send().await;
    assert_eq!(reply.json(), json!(["HTTP/1.1", null]));
}
