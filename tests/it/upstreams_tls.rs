//! TLS towards upstreams: whom we believe, what we show.

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::support::gatepost::Gatepost;
use crate::support::secure::{Secure, authority};
use crate::upstreams::{config, warned};

/// The files of one test.
struct Files(TempDir);

impl Files {
    /// Writes a file: its path, quoted.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        format!("{path:?}")
    }
}

#[tokio::test]
async fn tls_to_an_upstream_is_believed_and_shown_as_configured() {
    let (ours, other) = (authority(), authority());
    let asking = Secure::asking(&ours, &["h2", "http/1.1"]).await;
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let files = Files(tempfile::tempdir().unwrap());
    let ca = files.write("ca.pem", &ours.pem());
    let other = files.write("other.pem", &other.pem());
    let shown = format!(
        "client_certificate_file = {}, client_key_file = {}",
        files.write("client.pem", &certificate.pem()),
        files.write("key.pem", &key.serialize_pem()),
    );
    let port = asking.address.port();
    let here = format!("url = \"https://localhost:{port}\"");
    let alias = format!("url = \"https://app.internal:99\"\naddresses = [\"127.0.0.1:{port}\"]");
    for (upstream, expected) in [
        (
            format!("{here}\ntls = {{ ca_file = {ca}, {shown} }}"),
            Ok("h2"),
        ),
        (
            format!("{here}\nprotocol = \"http1\"\ntls = {{ ca_file = {ca}, {shown} }}"),
            Ok("h1"),
        ),
        (
            format!("{alias}\ntls = {{ ca_file = {ca}, server_name = \"localhost\", {shown} }}"),
            Ok("h2"),
        ),
        (
            format!("{here}\ntls = {{ ca_file = {other}, {shown} }}"),
            Err((503, "invalid peer certificate")),
        ),
        (
            format!("{here}\ntls = {{ {shown} }}"),
            Err((503, "invalid peer certificate")),
        ),
        (
            format!("{alias}\ntls = {{ ca_file = {ca}, {shown} }}"),
            Err((503, "not valid for name")),
        ),
        (
            format!("{alias}\ntls = {{ ca_file = {ca}, server_name = \"localhost\" }}"),
            // TLS 1.3 tells after the handshake, and the connection may break before we hear it
            Err((502, "127.0.0.1:")),
        ),
    ] {
        let gatepost = Gatepost::start(&config(&upstream)).await;
        let reply = gatepost.get("/").await.header("x-a", "b").send().await;
        match expected {
            Ok(version) => {
                assert_eq!(reply.status, 200, "{upstream}: {}", reply.text());
                assert_eq!(reply.json()["version"], version);
            }
            Err((code, why)) => {
                assert_eq!(reply.status, code, "{upstream}: {}", reply.text());
                warned(&gatepost, why).await;
            }
        }
    }
}

#[tokio::test]
async fn a_changed_ca_file_is_believed_without_a_restart() {
    let (ours, other) = (authority(), authority());
    let upstream = Secure::start(&ours, &["http/1.1"]).await;
    let files = Files(tempfile::tempdir().unwrap());
    let ca = files.write("ca.pem", &other.pem());
    let gatepost = Gatepost::start(&config(&format!(
        "url = {:?}\ntls = {{ ca_file = {ca} }}",
        upstream.url()
    )))
    .await;
    assert_eq!(gatepost.get("/").await.send().await.status, 503);
    files.write("ca.pem", &ours.pem());
    gatepost.reloads("accepted", 1).await;
    assert_eq!(gatepost.get("/").await.send().await.status, 200);
}
