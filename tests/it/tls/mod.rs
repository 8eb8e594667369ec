//! TLS on the running binary's listeners: what is spoken, and certificates that change.

mod clients;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Version;
use rustls::version::{TLS12, TLS13};
use tokio::task::JoinSet;

use crate::support::counterparts::or_skip;
use crate::support::eventually;
use crate::support::gatepost::{Gatepost, run};
use crate::support::http::raw;
use crate::support::programs::{curl, text};
use crate::support::sidecar::config;
use crate::support::tls::{Authority, Client, Files, VERSIONS};
use crate::support::upstream::Upstream;

/// An upstream, and what a listener before it needs for TLS.
struct Setting {
    authority: Authority,
    files: Files,
    upstream: Upstream,
}

impl Setting {
    async fn new() -> Self {
        let authority = Authority::new();
        Self {
            files: Files::new(&authority.server(), &authority),
            authority,
            upstream: Upstream::start().await,
        }
    }

    /// A config with these tables.
    fn config(&self, tables: &str) -> String {
        format!("{}{tables}", config(&self.upstream.url(), ""))
    }

    /// Gatepost whose ingress has these keys.
    async fn ingress(&self, keys: &str) -> Gatepost {
        Gatepost::start(&self.config(&format!("[ingress]\n{keys}"))).await
    }
}

/// Waits until so many handshakes of ingress have failed, no more.
async fn have_failed(gatepost: &Gatepost, count: u32) {
    let what = format!("{count} failed handshakes");
    eventually(&what, async || {
        (failed(gatepost).await == count).then_some(())
    })
    .await;
}

/// `gatepost_tls_handshakes_failed_total` of ingress.
async fn failed(gatepost: &Gatepost) -> u32 {
    let metrics = gatepost.health("/metrics").await;
    let sample = "gatepost_tls_handshakes_failed_total{listener=\"ingress\"} ";
    let value = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.parse().ok());
    value.expect("a sample")
}

#[tokio::test]
async fn both_protocols_are_negotiated_over_both_versions() {
    let setting = Setting::new().await;
    let Setting {
        authority,
        files,
        upstream,
    } = &setting;
    let gatepost = setting.ingress(&files.toml("")).await;
    let ingress = gatepost.listener("ingress").await;
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        for version in [&TLS12, &TLS13] {
            let client = Client::of(authority, None, protocols, &[version]);
            let mut session = client.open(ingress).await.unwrap();
            assert_eq!(session.version(), expected, "{protocols:?}");
            let lie = [("x-forwarded-proto", "http")];
            let reply = session.get("/public/a?b=c", &lie).await.unwrap();
            assert_eq!(reply.status, 200);
            let seen = upstream.last();
            assert_eq!(seen.uri.to_string(), "/public/a?b=c");
            assert_eq!(seen.header("x-forwarded-proto"), "https");
            let named = format!("localhost:{}", ingress.port());
            assert_eq!(seen.header("x-forwarded-host"), named);
            // many requests on one connection
            assert_eq!(session.get("/other", &[]).await.unwrap().status, 401);
        }
    }
    assert_eq!(failed(&gatepost).await, 0);
}

#[tokio::test]
async fn curl_speaks_http_2_over_tls() {
    let mut curl = or_skip!(curl());
    let setting = Setting::new().await;
    let Setting { files, .. } = &setting;
    let gatepost = setting.ingress(&files.toml("")).await;
    let port = gatepost.listener("ingress").await.port();
    curl.args([
        "--http2",
        "--write-out",
        "%{http_version} %{http_code}",
        "--cacert",
    ])
    .arg(files.path("clients-ca.pem"))
    .arg(format!("https://localhost:{port}/public/"));
    assert_eq!(text(curl).await, "{}2 200");
}

/// A hello of TLS 1.1 (RFC 4346) that lacks nothing but a version of today.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // no session; TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA and its ECDSA twin; no compression
    hello.extend([0, 0, 4, 0xc0, 0x13, 0xc0, 0x09, 1, 0]);
    // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
    hello.extend([0, 10, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let length = u8::try_from(hello.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &*hello].concat()
}

async fn answer(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_is_no_handshake_ends_the_connection_and_is_counted() {
    let setting = Setting::new().await;
    let Setting {
        authority,
        files,
        upstream,
    } = &setting;
    let toml = files.toml(", min_version = \"1.2\"");
    let keys = format!("header_timeout = \"2s\"\n{toml}");
    let gatepost = setting.ingress(&keys).await;
    let ingress = gatepost.listener("ingress").await;

    // fatal alert: protocol_version
    let alert = answer(ingress, &hello_of_tls_1_1()).await;
    assert_eq!((alert[0], &alert[5..]), (21, &[2, 70][..]), "{alert:?}");
    have_failed(&gatepost, 1).await;
    let plain = b"GET /public/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(!raw(ingress, plain).await.contains("HTTP/1.1"));
    have_failed(&gatepost, 2).await;
    let error = Client::new(authority, None, &["smtp"])
        .get(ingress, "/")
        .await;
    assert!(error.unwrap_err().contains("NoApplicationProtocol"));
    have_failed(&gatepost, 3).await;
    // silent, and silent after half a hello: ended by the header timeout, or this hangs
    let half = hello_of_tls_1_1();
    tokio::join!(answer(ingress, b""), answer(ingress, &half[..20]));
    have_failed(&gatepost, 5).await;
    // a load balancer that only looks whether there is somebody
    drop(tokio::net::TcpStream::connect(ingress).await.unwrap());

    let reply = Client::http1(authority, None)
        .get(ingress, "/public/")
        .await;
    assert_eq!(reply.unwrap().status, 200);
    assert_eq!(failed(&gatepost).await, 5);
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn tls_1_3_only_is_tls_1_3_only() {
    let setting = Setting::new().await;
    let Setting {
        authority, files, ..
    } = &setting;
    let toml = files.toml(", min_version = \"1.3\"");
    let gatepost = setting.ingress(&toml).await;
    let ingress = gatepost.listener("ingress").await;
    let with = async |version| {
        let client = Client::of(authority, None, &["h2"], &[version]);
        client
            .get(ingress, "/public/")
            .await
            .map(|reply| reply.status.as_u16())
    };
    assert_eq!(with(&TLS13).await, Ok(200));
    assert!(with(&TLS12).await.unwrap_err().contains("ProtocolVersion"));
}

#[tokio::test]
async fn every_other_listener_speaks_tls_too() {
    let setting = Setting::new().await;
    let Setting {
        authority, files, ..
    } = &setting;
    let toml = files.toml("");
    let text = setting.config(&format!(
        "[admin]\n{toml}[forward_auth]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n{toml}[egress]\nlisten = \"127.0.0.1:0\"\n{toml}"
    ));
    let gatepost = Gatepost::start(&text).await;
    for protocol in ["h2", "http/1.1"] {
        let client = Client::new(authority, None, &[protocol]);
        let asked = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-uri", "/public/x"),
        ];
        let admin = gatepost.listener("admin").await.port();
        let origin = |scheme| format!("{scheme}://localhost:{admin}");
        for (listener, path, headers, expected) in [
            ("admin", "/status", &[][..], 200),
            ("admin", "/status", &[("origin", &*origin("https"))], 200),
            ("admin", "/status", &[("origin", &*origin("http"))], 403),
            ("forward_auth", "/auth/traefik", &asked, 200),
            ("egress", "/nowhere/", &[], 403),
        ] {
            let mut session = client
                .open(gatepost.listener(listener).await)
                .await
                .unwrap();
            let reply = session.get(path, headers).await.unwrap();
            assert_eq!(reply.status, expected, "{listener} {protocol} {reply:?}");
        }
    }
}

#[tokio::test]
async fn the_health_command_asks_over_tls() {
    let setting = Setting::new().await;
    let Setting { files, .. } = &setting;
    let toml = files.toml("");
    let text = setting.config(&format!("[health]\n{toml}"));
    let gatepost = Gatepost::start(&text).await;
    let address = gatepost.listener("health").await.to_string();
    let code = |more: &[&str]| {
        run(&[&["health", "--address", &address], more].concat(), &[])
            .status
            .code()
    };
    assert_eq!(code(&["--tls"]), Some(0));
    assert_eq!(code(&[]), Some(1));
    // as configured
    let file = files.path("gatepost.toml");
    std::fs::write(&file, text).unwrap();
    let listen = [("GATEPOST__HEALTH__LISTEN", &*address)];
    let asked = run(&["health", "--config", file.to_str().unwrap()], &listen);
    assert_eq!(asked.status.code(), Some(0));
}

/// Sends requests until told to stop, each connection ten of them: how many, and what went wrong.
async fn load(client: Client, to: SocketAddr, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut sent, mut wrong) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let mut session = match client.open(to).await {
            Ok(session) => session,
            Err(error) => {
                wrong.push(error);
                continue;
            }
        };
        for _ in 0..10 {
            sent += 1;
            match session.get("/public/", &[]).await {
                Ok(reply) if reply.status == 200 => {}
                Ok(reply) => wrong.push(reply.status.to_string()),
                Err(error) => wrong.push(error),
            }
        }
    }
    (sent, wrong)
}

#[tokio::test]
async fn a_certificate_is_swapped_under_load_without_a_signal_and_nothing_fails() {
    let setting = Setting::new().await;
    let Setting {
        authority, files, ..
    } = &setting;
    let (first, second) = (authority.server(), authority.server());
    files.show(&first);
    let gatepost = setting.ingress(&files.toml("")).await;
    let ingress = gatepost.listener("ingress").await;
    let client = Client::of(authority, None, &["h2"], VERSIONS);
    let mut before = client.open(ingress).await.unwrap();
    assert_eq!(before.get("/public/", &[]).await.unwrap().status, 200);
    assert_eq!(before.server, first.certificate);

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for protocol in ["h2", "http/1.1"] {
        let client = Client::new(authority, None, &[protocol]);
        clients.spawn(load(client, ingress, Arc::clone(&stop)));
    }
    files.show(&second);
    gatepost.reloads("accepted", 1).await;
    let fresh = Client::http1(authority, None);
    let after = fresh.open(ingress).await.unwrap();
    assert_eq!(after.server, second.certificate);

    // half a pair changes nothing, and says so
    files.write("tls.key", &first.key_pem);
    gatepost.reloads("rejected", 1).await;
    eventually("an event that names the key", async || {
        let told = gatepost.events("ERROR");
        let told = told.iter().map(ToString::to_string);
        let mut told = told.filter(|event| event.contains("tls.key_file"));
        told.next()
            .filter(|event| event.contains("another certificate"))
    })
    .await;
    let still = Client::http1(authority, None).open(ingress).await.unwrap();
    assert_eq!(still.server, second.certificate);

    stop.store(true, Ordering::Relaxed);
    for (sent, wrong) in clients.join_all().await {
        assert!(sent > 0);
        assert!(wrong.is_empty(), "{wrong:?} of {sent}");
    }
    // the oldest connection is as good as ever
    assert_eq!(before.get("/public/", &[]).await.unwrap().status, 200);
    assert_eq!(failed(&gatepost).await, 0);
}

#[tokio::test]
async fn sessions_are_resumed_until_the_files_change() {
    let setting = Setting::new().await;
    let Setting {
        authority, files, ..
    } = &setting;
    let toml = setting.config(&format!("[ingress]\n{}", files.toml("")));
    let gatepost = Gatepost::start(&toml).await;
    let ingress = gatepost.listener("ingress").await;
    for version in [&TLS12, &TLS13] {
        let client = Client::of(authority, None, &["http/1.1"], &[version]);
        let resumed = async || {
            let mut session = client.open(ingress).await.unwrap();
            // tickets of TLS 1.3 come with the first answer
            assert_eq!(session.get("/public/", &[]).await.unwrap().status, 200);
            session.resumed
        };
        assert!(!resumed().await);
        assert!(resumed().await);
        let accepted = gatepost.reloads("accepted", 0).await;
        gatepost.reload(&toml, "accepted", accepted + 1).await;
        assert!(resumed().await, "a reload that changed no file");
        files.show(&authority.server());
        gatepost.reload(&toml, "accepted", accepted + 2).await;
        assert!(!resumed().await, "another certificate");
    }
}
