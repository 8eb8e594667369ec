//! TLS to targets: no credential goes to a server that has not shown who it is.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::secure::{Secure, authority};

fn config(target: &str) -> String {
    format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"
        [credentials.robot]
        kind = "static_token"
        token = {{ insecure_literal = "s3cret-robot" }}
        [[egress_targets]]
        name = "billing"
        credential = "robot"
        {target}
        "#
    )
}

#[tokio::test]
async fn a_credential_goes_to_the_server_that_is_believed_and_to_no_other() {
    let (ours, other) = (authority(), authority());
    let open = Secure::start(&ours, &["h2", "http/1.1"]).await;
    let asking = Secure::asking(&ours, &["h2", "http/1.1"]).await;
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("{path:?}")
    };
    let ca = write("ca.pem", ours.pem());
    let wrong = write("other.pem", other.pem());
    let shown = format!(
        "client_certificate_file = {}, client_key_file = {}",
        write("client.pem", certificate.pem()),
        write("key.pem", key.serialize_pem()),
    );
    let (here, there) = (open.url(), asking.url());
    let port = open.address.port();
    let addresses = format!("addresses = [\"127.0.0.1:{port}\"]");
    for (target, expected) in [
        (
            format!("url = \"{here}\"\ntls = {{ ca_file = {ca} }}"),
            Ok("h2"),
        ),
        (
            format!("url = \"{here}\"\nprotocol = \"http1\"\ntls = {{ ca_file = {ca} }}"),
            Ok("h1"),
        ),
        (
            format!("url = \"{there}\"\ntls = {{ ca_file = {ca}, {shown} }}"),
            Ok("h2"),
        ),
        (
            format!(
                "url = \"https://billing.internal\"\n{addresses}\ntls = {{ ca_file = {ca}, server_name = \"localhost\" }}"
            ),
            Ok("h2"),
        ),
        // another authority, none of the system's, another name
        (
            format!("url = \"{here}\"\ntls = {{ ca_file = {wrong} }}"),
            Err(503),
        ),
        (format!("url = \"{here}\""), Err(503)),
        (
            format!("url = \"https://billing.internal\"\n{addresses}\ntls = {{ ca_file = {ca} }}"),
            Err(503),
        ),
        // it wants to know who we are
        (
            format!("url = \"{there}\"\ntls = {{ ca_file = {ca} }}"),
            Err(0),
        ),
    ] {
        let gatepost = Gatepost::start(&config(&target)).await;
        let at = gatepost.listener("egress").await;
        let reply = Call::get(at, "/billing/x").send().await;
        match expected {
            Ok(version) => {
                assert_eq!(reply.status, 200, "{target}: {reply:?}");
                let said = reply.json();
                assert_eq!(said["version"], version);
                assert_eq!(said["headers"]["authorization"], "Bearer s3cret-robot");
            }
            // TLS 1.3 tells after the handshake, and the connection may break before we hear it
            Err(0) => assert!(reply.status.is_server_error(), "{target}: {reply:?}"),
            Err(code) => assert_eq!(reply.status, code, "{target}: {reply:?}"),
        }
        assert!(!gatepost.output().contains("s3cret"));
    }
}

/// Nothing but the handshake is sent to a server that answers it with nonsense, or not at all.
#[tokio::test]
async fn nothing_of_the_credential_is_sent_before_the_handshake_is_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            let (mut stream, _peer) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            // until we are given up
            while stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
            kept.lock().unwrap().push(bytes);
        }
    });
    let target = format!("url = \"https://localhost:{port}\"\nconnect_timeout = \"300ms\"");
    let gatepost = Gatepost::start(&config(&target)).await;
    let at = gatepost.listener("egress").await;
    let reply = Call::post(at, "/billing/x")
        .body("s3cret-body")
        .send()
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-auth-reason"), "upstream_unreachable");
    let heard = crate::support::eventually("the bytes", async || {
        let heard = heard.lock().unwrap().clone();
        (!heard.is_empty()).then_some(heard)
    })
    .await;
    for bytes in heard {
        // one record: a handshake's (RFC 8446 5.1), and it is the whole of what came
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        assert_eq!((bytes[0], bytes.len()), (22, 5 + length));
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains("s3cret") && !text.contains("robot"),
            "{text}"
        );
    }
}
