//! Whom the outgoing client believes over TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use gatepost::client::outgoing::{FetchError, Fetched, Outgoing};
use gatepost::client::tls::install_crypto_provider;
use gatepost::config;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use url::Url;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An HTTPS server on loopback, one answer per connection.
fn serve(
    authority: &CertifiedIssuer<'_, KeyPair>,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> SocketAddr {
    install_crypto_provider();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            // a client that refuses the certificate breaks off here
            if tls.read(&mut [0; 4096]).is_ok() {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                tls.write_all(answer.as_bytes()).unwrap();
                tls.flush().unwrap();
            }
        }
    });
    address
}

async fn get(address: SocketAddr, trusted: Option<&str>) -> Result<Fetched, FetchError> {
    let roots = trusted.map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
    let client = config::Client {
        extra_roots: config::Certificates(roots.into_iter().collect()),
        ..config::Client::default()
    };
    let url = Url::parse(&format!("https://localhost:{}/jwks", address.port())).unwrap();
    let outgoing = Outgoing::new(&client).unwrap();
    outgoing.get(&url, Duration::from_secs(30), 1024).await
}

#[tokio::test]
async fn an_extra_ca_is_trusted_and_an_unknown_one_is_not() {
    let authority = authority();
    let address = serve(&authority, "localhost", |_params| {});
    let fetched = get(address, Some(&authority.pem())).await.unwrap();
    assert_eq!(&fetched.body[..], b"{}");
    let error = get(address, None).await.unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn an_expired_or_foreign_certificate_is_refused() {
    let authority = authority();
    let expired = serve(&authority, "localhost", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let foreign = serve(&authority, "elsewhere.example", |_params| {});
    for address in [expired, foreign] {
        let error = get(address, Some(&authority.pem())).await.unwrap_err();
        assert!(matches!(error, FetchError::Tls(_)), "{error:?}");
        assert!(error.to_string().starts_with("tls: "), "{error}");
    }
}
