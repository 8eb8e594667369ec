//! An HTTPS server under an authority of our own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use gatepost::client::tls::install_crypto_provider;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Map, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A certificate authority nobody knows.
pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    // A name of its own: OpenSSL takes a certificate whose issuer has its name for self-signed.
    let name = "authority of the tests";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

/// A server for `localhost`; stops when dropped.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) address: SocketAddr,
    _server: JoinSet<()>,
}

impl Secure {
    /// Offers these protocols and answers every request with JSON: `version` (`h1`, `h2`) and
    /// `headers` as they arrived.
    pub(crate) async fn start(
        authority: &CertifiedIssuer<'_, KeyPair>,
        protocols: &[&str],
    ) -> Self {
        Self::accepting(acceptor(authority, protocols, None)).await
    }

    /// The same for clients with a certificate of the same authority only.
    pub(crate) async fn asking(
        authority: &CertifiedIssuer<'_, KeyPair>,
        protocols: &[&str],
    ) -> Self {
        Self::accepting(acceptor(authority, protocols, Some(authority))).await
    }

    async fn accepting(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // a client that refuses the certificate breaks off here
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let _ended = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Self {
            address,
            _server: server,
        }
    }

    /// By name, which the certificate is for.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = match request.version() {
        Version::HTTP_2 => "h2",
        _older => "h1",
    };
    let headers: Map<_, _> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value.into())
        })
        .collect();
    let said = json!({ "version": version, "headers": headers });
    Ok(Response::new(Full::new(said.to_string().into())))
}

fn acceptor(
    authority: &CertifiedIssuer<'_, KeyPair>,
    protocols: &[&str],
    clients: Option<&CertifiedIssuer<'_, KeyPair>>,
) -> TlsAcceptor {
    install_crypto_provider();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = rustls::ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let mut config = builder
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server");
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    TlsAcceptor::from(Arc::new(config))
}
