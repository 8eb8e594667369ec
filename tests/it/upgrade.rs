//! Connections that switch protocols, byte by byte: what is offered, what a `101` opens, and when
//! it is closed. Real ones are in `websocket.rs`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::authz::Route;
use gatepost::clock::{ManualClock, UnixTime};
use gatepost::config::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::gatepost::Gatepost;
use crate::support::issuer::now;
use crate::support::wire::{Wire, ask, body, status, until, values};
use crate::support::world::{World, forward, public, route, token};
use crate::support::{DEADLINE, eventually};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: chat/2\r\nX-Kept: yes\r\n\r\nfirst";

/// An upstream that answers with [`SWITCH`] and says everything twice from then on.
struct Chat {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Chat {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                connections.spawn(chat(stream, Arc::clone(&kept)));
            }
        });
        Self {
            address,
            heads,
            _server: server,
        }
    }

    /// The only request so far.
    fn heard(&self) -> String {
        let heads = self.heads.lock().unwrap();
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads[0].clone()
    }
}

async fn chat(mut stream: TcpStream, heads: Arc<Mutex<Vec<String>>>) {
    let head = until(&mut stream, "\r\n\r\n").await;
    heads.lock().unwrap().push(head);
    stream.write_all(SWITCH.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        let said = buffer[..read].repeat(2);
        if read == 0 || stream.write_all(&said).await.is_err() {
            return;
        }
    }
}

/// Whether the other side closes, or breaks off, in time.
async fn closes(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest));
    let _closed_or_reset = reading.await.expect("the end of the tunnel");
    assert_eq!(rest, b"");
}

fn offer(token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: h2c, chat/2\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n{}\r\n",
        token.unwrap_or_default()
    )
}

/// An open tunnel.
async fn open(ingress: SocketAddr, token: Option<&str>) -> TcpStream {
    let mut client = TcpStream::connect(ingress).await.unwrap();
    client.write_all(offer(token).as_bytes()).await.unwrap();
    let head = until(&mut client, "first").await;
    assert_eq!(status(&head), 101, "{head}");
    client
}

/// Says something, and hears it twice.
async fn talk(client: &mut TcpStream) {
    client.write_all(b"hey").await.unwrap();
    until(client, "heyhey").await;
}

/// The gauge of upgraded connections on ingress.
fn gauge(world: &World) -> String {
    let name = "gatepost_upgraded_connections{plane=\"ingress\"} ";
    let metrics = world.app.world().telemetry.metrics.render();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or("none").to_owned()
}

async fn world(chat: &Chat, routes: Vec<Route>, change: impl FnOnce(&mut Config)) -> World {
    World::with(chat.address, routes, change).await
}

#[tokio::test]
async fn a_101_for_what_was_offered_opens_a_tunnel_and_nothing_said_early_is_lost() {
    let upstream = Chat::start().await;
    let world = world(&upstream, vec![route("all", "/**")], |_config| {}).await;
    let token = token(json!({"sub": "ada"}));
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    let request = offer(Some(&token)) + "early";
    client.write_all(request.as_bytes()).await.unwrap();
    let heard = until(&mut client, "firstearlyearly").await;
    assert_eq!(status(&heard), 101);
    assert_eq!(values(&heard, "connection"), ["upgrade"]);
    assert_eq!(values(&heard, "upgrade"), ["chat/2"]);
    assert_eq!(values(&heard, "x-kept"), ["yes"]);
    assert_eq!(values(&heard, "content-length"), Vec::<&str>::new());
    assert_eq!(values(&heard, "x-request-id").len(), 1);
    talk(&mut client).await;
    assert_eq!(gauge(&world), "1");

    let asked = upstream.heard();
    assert_eq!(values(&asked, "connection"), ["upgrade"]);
    assert_eq!(values(&asked, "upgrade"), ["chat/2"]);
    assert_eq!(values(&asked, "http2-settings"), Vec::<&str>::new());
    assert_eq!(values(&asked, "x-user-id"), ["ada"]);

    // one direction may end before the other
    client.shutdown().await.unwrap();
    closes(&mut client).await;
    let line = world.log(1).await.remove(0);
    assert_eq!(
        [&line["decision"], &line["status"], &line["bytes"]],
        [&json!("allow"), &json!(101), &json!(21)],
        "{line}"
    );
    eventually("the gauge", async || (gauge(&world) == "0").then_some(())).await;
}

#[tokio::test]
async fn what_is_not_an_offer_is_not_passed_on() {
    for lines in [
        &["GET / HTTP/1.1", "Upgrade: chat/2"][..],
        &["GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c"],
        &["GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: TLS/1.2"],
        &["GET / HTTP/1.0", "Connection: Upgrade", "Upgrade: chat/2"],
        &[
            "POST / HTTP/1.1",
            "Connection: Upgrade",
            "Upgrade: chat/2",
            "Content-Length: 2\r\n\r\nok",
        ],
    ] {
        let plain = Wire::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let world = World::start(plain.address, vec![public("open", "/**")]).await;
        let mut asked = lines.to_vec();
        asked.insert(1, "Host: a");
        let mut client = TcpStream::connect(world.ingress()).await.unwrap();
        let request = asked.join("\r\n") + "\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = until(&mut client, "ok").await;
        assert_eq!(status(&answer), 200, "{asked:?}");
        let sent = plain.heard().remove(0);
        assert_eq!(values(&sent, "upgrade"), Vec::<&str>::new(), "{asked:?}");
        assert_eq!(values(&sent, "connection"), Vec::<&str>::new(), "{asked:?}");
    }
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_no_tunnel() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    for (asked, answered) in [
        ("chat/2", "Upgrade: chat\r\n"),
        ("chat/2", "Upgrade: chat/2, h2c\r\n"),
        ("chat/2", ""),
        ("h2c", "Upgrade: h2c\r\n"),
    ] {
        let answer = format!("{switch}{answered}\r\n").leak();
        let upstream = Wire::answering(answer).await;
        let world = World::start(upstream.address, vec![public("open", "/**")]).await;
        let offer = format!("Upgrade: {asked}");
        let lines = ["GET / HTTP/1.1", "Host: a", "Connection: upgrade", &offer];
        let heard = ask(world.ingress(), &lines).await;
        assert_eq!(status(&heard), 502, "{asked} {answered}");
        assert!(body(&heard).contains("upstream_protocol"), "{heard}");
        assert_eq!(gauge(&world), "none");
    }
}

#[tokio::test]
async fn a_refused_client_reaches_no_upstream_and_any_other_status_is_a_response() {
    let upstream = Wire::answering("HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno").await;
    let world = World::start(upstream.address, vec![route("all", "/**")]).await;
    let mut client = TcpStream::connect(world.ingress()).await.unwrap();
    client.write_all(offer(None).as_bytes()).await.unwrap();
    let refused = until(&mut client, "\"credential_missing\"}").await;
    assert_eq!(status(&refused), 401);
    assert_eq!(upstream.heard(), Vec::<String>::new());
    // on the same connection
    let token = token(json!({"sub": "ada"}));
    for _ in 0..2 {
        let request = offer(Some(&token));
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = until(&mut client, "no").await;
        assert_eq!(status(&answer), 426);
    }
    assert_eq!(upstream.heard().len(), 2);
}

#[tokio::test]
async fn a_tunnel_ends_with_its_token_or_when_the_route_says() {
    let upstream = Chat::start().await;
    let lasting = |path: &str, lifetime| Route {
        forward: Some(gatepost::authz::route::Forward {
            upgrade_lifetime: Some(lifetime),
            ..forward()
        }),
        ..route(path, path)
    };
    let hour = Duration::from_secs(3600);
    let chat = "/chat";
    // the leeway is a minute
    let (short, long) = (-59, 3600);
    let mut cases = JoinSet::new();
    for (route, age, ends) in [
        (route("all", chat), short, true),
        (route("all", chat), long, false),
        (lasting(chat, hour), short, false),
        (lasting(chat, Duration::from_millis(50)), long, true),
        (public("all", chat), short, false),
    ] {
        let upstream = upstream.address;
        cases.spawn(async move {
            let shown = format!("{route:?} {age}");
            // its second lasts from the upgrade, however slow the machine is until then
            let begun = now();
            let clock = Arc::new(ManualClock::new(UnixTime(begun)));
            let world = World::by_clock(clock, upstream, vec![route], |_config| {}).await;
            let exp = begun.saturating_add_signed(age);
            let token = token(json!({"sub": "ada", "exp": exp}));
            let mut client = open(world.ingress(), Some(&token)).await;
            if ends {
                closes(&mut client).await;
                assert_eq!(world.log(1).await[0]["status"], 101, "{shown}");
            } else {
                tokio::time::sleep(Duration::from_millis(2100)).await;
                talk(&mut client).await;
            }
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_a_busy_one_is_not_taken_for_a_slow_head() {
    let upstream = Chat::start().await;
    let world = world(&upstream, vec![public("open", "/**")], |config| {
        let ingress = config.ingress.as_mut().unwrap();
        ingress.listener.header_timeout = Duration::from_millis(100);
        ingress.listener.idle_timeout = Duration::from_secs(1);
    })
    .await;
    let mut client = open(world.ingress(), None).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1500) {
        talk(&mut client).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    closes(&mut client).await;
}

#[tokio::test]
async fn a_client_that_goes_away_closes_the_tunnel_to_the_upstream() {
    let mut upstream = Wire::told().await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    upstream.tell.send(SWITCH).unwrap();
    let client = open(world.ingress(), None).await;
    client.set_zero_linger().unwrap();
    drop(client);
    let closed = tokio::time::timeout(DEADLINE, upstream.closed.recv());
    closed.await.expect("closed").unwrap();
}

#[tokio::test]
async fn a_drain_closes_tunnels_and_does_not_wait_for_them() {
    let mut upstream = Wire::told().await;
    let config = format!(
        r#"
        [shutdown]
        grace = "20s"
        [upstreams.app]
        url = "http://{}"
        [[routes]]
        path = "/**"
        auth = "none"
        upstream = "app"
        "#,
        upstream.address
    );
    let mut gatepost = Gatepost::start(&config).await;
    upstream.tell.send(SWITCH).unwrap();
    let mut client = open(gatepost.listener("ingress").await, None).await;
    gatepost.signal("TERM");
    // not broken off
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    upstream.closed.recv().await.unwrap();
    assert_eq!(gatepost.exit().await, Some(0));
    let output = gatepost.output();
    assert!(output.contains("\"status\":101"), "{output}");
    assert!(!output.contains("cutting off"), "{output}");
}
