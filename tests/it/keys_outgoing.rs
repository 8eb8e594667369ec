//! The outgoing client against peers that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gatepost::client::outgoing::{FetchError, Outgoing};
use gatepost::client::tls::install_crypto_provider;
use gatepost::config;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

const KIB_64: usize = 64 * 1024;
/// Long enough for whatever is not meant to run into it.
const PATIENT: Duration = Duration::from_secs(30);

fn outgoing(client: &config::Client) -> Outgoing {
    install_crypto_provider();
    Outgoing::new(client).unwrap()
}

fn plain() -> Outgoing {
    outgoing(&config::Client::default())
}

/// What a peer does after it has read a request's head.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Sends this and closes.
    Says(&'static str),
    /// Accepts, reads, never answers.
    Silent,
    /// Sends the head, then a byte now and then, for ever.
    Drips,
    /// Sends an endless chunked body.
    Floods,
}

/// A peer on loopback; counts connections and bytes sent, and keeps the requests it read.
struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    requests: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Peer {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let sent = Arc::new(AtomicUsize::new(0));
        let (tell, requests) = tokio::sync::mpsc::unbounded_channel();
        let (accepted, counted) = (Arc::clone(&connections), Arc::clone(&sent));
        let serve = async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                open.spawn(behave(stream, manner, Arc::clone(&counted), tell.clone()));
            }
        };
        tokio_util::task::TaskTracker::new().spawn(serve);
        Self {
            address,
            connections,
            sent,
            requests,
        }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.address)).unwrap()
    }
}

async fn behave(
    mut stream: TcpStream,
    manner: Manner,
    sent: Arc<AtomicUsize>,
    tell: tokio::sync::mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                break;
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
    let told = tell.send(String::from_utf8(request).unwrap());
    told.expect("the test still listens");
    match manner {
        Manner::Says(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await?;
            // a close with unread input would be a reset
            while stream.read(&mut buffer).await? > 0 {}
        }
        Manner::Silent => std::future::pending().await,
        Manner::Drips => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Manner::Floods => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            // 64 MiB at most
            for _ in 0..16 * 1024 {
                stream.write_all(chunk.as_bytes()).await?;
                sent.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_peer_answers_is_told_apart() {
    type Judge = fn(&FetchError) -> bool;
    let redirect: Judge = |error| matches!(error, FetchError::Redirect(_));
    let protocol: Judge = |error| matches!(error, FetchError::Protocol(_));
    let too_large: Judge = |error| matches!(error, FetchError::TooLarge(KIB_64));
    let cases: [(&'static str, Judge); 7] = [
        (
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            redirect,
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /jwks\r\ncontent-length: 0\r\n\r\n",
            redirect,
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", protocol),
        ("", protocol),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", protocol),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
            protocol,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n",
            too_large,
        ),
    ];
    let outgoing = plain();
    for (answer, expected) in cases {
        let peer = Peer::start(Manner::Says(answer)).await;
        let url = peer.url("/jwks?query=sensitive");
        let error = outgoing.get(&url, PATIENT, KIB_64).await.unwrap_err();
        assert!(expected(&error), "{answer:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("sensitive"));
        assert_eq!(peer.connections.load(Ordering::SeqCst), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn an_error_status_is_an_answer_until_it_is_asked_to_be_ok() {
    let answer = "HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy";
    let peer = Peer::start(Manner::Says(answer)).await;
    let fetched = plain().get(&peer.url("/"), PATIENT, KIB_64).await.unwrap();
    assert_eq!(fetched.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(&fetched.body[..], b"busy");
    let retry_after = Some(Duration::from_secs(7));
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let expected = FetchError::Status {
        status,
        retry_after,
    };
    assert_eq!(fetched.ok().unwrap_err(), expected);
    assert_eq!(expected.to_string(), "status 503");
}

#[tokio::test]
async fn the_deadline_covers_head_and_body() {
    for manner in [Manner::Silent, Manner::Drips] {
        let peer = Peer::start(manner).await;
        let deadline = Duration::from_millis(200);
        let error = plain().get(&peer.url("/"), deadline, KIB_64).await;
        assert_eq!(error.unwrap_err(), FetchError::Timeout, "{manner:?}");
    }
}

#[tokio::test]
async fn a_flood_is_cut_off_at_the_limit() {
    let peer = Peer::start(Manner::Floods).await;
    let error = plain().get(&peer.url("/"), PATIENT, KIB_64).await;
    assert_eq!(error.unwrap_err(), FetchError::TooLarge(KIB_64));
    // the rest are socket buffers, far from the 64 MiB on offer
    assert!(peer.sent.load(Ordering::SeqCst) < 32 * 1024 * 1024);
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://{address}/?query=sensitive")).unwrap();
    let error = plain().get(&url, PATIENT, KIB_64).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect(_)), "{error:?}");
    assert!(error.to_string().starts_with("connect: "), "{error}");
    assert!(!error.to_string().contains("sensitive"), "{error}");
}

#[tokio::test]
async fn a_form_is_encoded_and_carries_its_authorization() {
    let answer =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 26\r\n\r\n{\"error\":\"invalid_client\"}";
    let mut peer = Peer::start(Manner::Says(answer)).await;
    let mut authorization = HeaderValue::from_static("Basic aWQ6c2VjcmV0");
    authorization.set_sensitive(true);
    let form = [("grant_type", "client_credentials"), ("scope", "a/b c&d=é")];
    let fetched = plain()
        .post_form(
            &peer.url("/token"),
            &form,
            Some(authorization),
            PATIENT,
            KIB_64,
        )
        .await
        .unwrap();
    assert_eq!(fetched.status, StatusCode::BAD_REQUEST);
    assert_eq!(&fetched.body[..], b"{\"error\":\"invalid_client\"}");
    let request = peer.requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    for line in [
        "authorization: Basic aWQ6c2VjcmV0",
        "content-type: application/x-www-form-urlencoded",
        "accept: application/json",
    ] {
        assert!(head.lines().any(|sent| sent == line), "{line} in {head}");
    }
    assert_eq!(
        body,
        "grant_type=client_credentials&scope=a%2Fb+c%26d%3D%C3%A9"
    );
}

#[tokio::test]
async fn a_configured_proxy_is_used_but_for_loopback_and_no_proxy() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let mut proxy = Peer::start(Manner::Says(answer)).await;
    let direct = Peer::start(Manner::Says(answer)).await;
    let client = config::Client {
        proxy: Some(proxy.url("/")),
        no_proxy: vec!["0.0.0.0".to_owned()],
        extra_roots: config::Certificates::default(),
    };
    let outgoing = outgoing(&client);

    let through = Url::parse("http://issuer.invalid/jwks").unwrap();
    outgoing.get(&through, PATIENT, KIB_64).await.unwrap();
    let request = proxy.requests.recv().await.unwrap();
    assert!(
        request.starts_with("GET http://issuer.invalid/jwks "),
        "{request}"
    );

    outgoing
        .get(&direct.url("/"), PATIENT, KIB_64)
        .await
        .unwrap();
    assert_eq!(direct.connections.load(Ordering::SeqCst), 1);
    // another way to say this machine, which is not exempt by itself
    let exempt = Url::parse(&format!("http://0.0.0.0:{}/", direct.address.port())).unwrap();
    outgoing.get(&exempt, PATIENT, KIB_64).await.unwrap();
    assert_eq!(direct.connections.load(Ordering::SeqCst), 2);
    assert_eq!(proxy.connections.load(Ordering::SeqCst), 1);
}
