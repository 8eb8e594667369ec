//! Certificates, and a client that speaks TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gatepost::client::tls::install_crypto_provider;
use http::{Request, Version};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CertifiedIssuer, DistinguishedName, DnType, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::DEADLINE;
use super::http::Reply;
use super::secure::authority;

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    key: Vec<u8>,
}

/// An authority of our own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self(authority())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For `localhost`.
    pub(crate) fn server(&self) -> Identity {
        self.issue(&["localhost"], |_params| {})
    }

    /// For a client of this SPIFFE ID.
    pub(crate) fn client(&self, id: &str) -> Identity {
        self.issue(&[], |params| {
            let uri = Ia5String::try_from(id).expect("ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        })
    }

    /// For these names, changed.
    pub(crate) fn issue(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "test");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        }
    }
}

/// A listener's files in a folder: `tls.crt`, `tls.key`, `clients-ca.pem`.
#[derive(Debug)]
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new(server: &Identity, clients: &Authority) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.show(server);
        files.write("clients-ca.pem", &clients.pem());
        files
    }

    /// Puts another certificate, with its key, in place of the first.
    pub(crate) fn show(&self, server: &Identity) {
        self.write("tls.key", &server.key_pem);
        self.write("tls.crt", &server.pem);
    }

    /// Replaces a file at once, as `mv` does.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let new = self.path("new");
        std::fs::write(&new, content).expect("written");
        std::fs::rename(new, self.path(name)).expect("moved");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `tls = { … }` with these files and further keys.
    pub(crate) fn toml(&self, more: &str) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "tls = {{ certificate_file = {:?}, key_file = {:?}{more} }}\n",
            path("tls.crt"),
            path("tls.key"),
        )
    }

    /// The same, with client certificates: `required` or `optional`.
    pub(crate) fn mutual(&self, client_certificate: &str) -> String {
        let ca = self.path("clients-ca.pem");
        self.toml(&format!(
            ", client_ca_file = {:?}, client_certificate = \"{client_certificate}\"",
            Path::display(&ca).to_string(),
        ))
    }
}

/// A client that trusts one authority. Clones share its sessions.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<ClientConfig>);

/// Both versions that are spoken.
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;

impl Client {
    /// Offers these protocols.
    pub(crate) fn new(trusted: &Authority, shown: Option<&Identity>, protocols: &[&str]) -> Self {
        Self::of(trusted, shown, protocols, VERSIONS)
    }

    /// HTTP/1.1, with a certificate or without.
    pub(crate) fn http1(trusted: &Authority, shown: Option<&Identity>) -> Self {
        Self::new(trusted, shown, &["http/1.1"])
    }

    /// The same with these versions of TLS.
    pub(crate) fn of(
        trusted: &Authority,
        shown: Option<&Identity>,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        install_crypto_provider();
        let mut roots = RootCertStore::empty();
        roots.add(trusted.0.der().clone()).expect("a root");
        let builder =
            ClientConfig::builder_with_protocol_versions(versions).with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.clone()));
                builder
                    .with_client_auth_cert(vec![shown.certificate.clone()], key)
                    .expect("a client")
            }
        };
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        Self(Arc::new(config))
    }

    /// Shakes hands. With TLS 1.3 a server that refuses our certificate is heard of later.
    pub(crate) async fn connect(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(to).await?;
        TlsConnector::from(Arc::clone(&self.0))
            .connect(name, stream)
            .await
    }

    /// A connection, kept open.
    pub(crate) async fn open(&self, to: SocketAddr) -> Result<Session, String> {
        let stream = self.connect(to).await.map_err(|error| error.to_string())?;
        Session::over(stream, to)
            .await
            .map_err(|error| error.to_string())
    }

    /// A `GET` on a connection of its own; why not, if there is no answer.
    pub(crate) async fn get(&self, to: SocketAddr, path: &str) -> Result<Reply, String> {
        self.open(to).await?.get(path, &[]).await
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Session {
    sender: Sender,
    to: SocketAddr,
    /// Whether the handshake was short, and who the server said it was.
    pub(crate) resumed: bool,
    pub(crate) server: CertificateDer<'static>,
    /// Carries the bytes; ends with the connection.
    _driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Session {
    async fn over(stream: TlsStream<TcpStream>, to: SocketAddr) -> hyper::Result<Self> {
        let tls = stream.get_ref().1;
        let resumed = tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let shown = tls.peer_certificates().expect("a server's certificate");
        let server = shown[0].clone().into_owned();
        let http2 = tls.alpn_protocol() == Some(b"h2");
        let stream = TokioIo::new(stream);
        let mut driver = JoinSet::new();
        // what goes wrong shows in the response
        let sender = if http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            driver.spawn(async move { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Self {
            sender,
            to,
            resumed,
            server,
            _driver: driver,
        })
    }

    pub(crate) fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, String> {
        let authority = format!("localhost:{}", self.to.port());
        let mut request = Request::builder();
        request = match self.sender {
            Sender::Http1(_) => request.uri(path).header("host", authority),
            Sender::Http2(_) => request.uri(format!("https://{authority}{path}")),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("a request");
        let exchange = async {
            let response = match &mut self.sender {
                Sender::Http1(sender) => sender.send_request(request).await,
                Sender::Http2(sender) => sender.send_request(request).await,
            };
            Reply::of(response?).await
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .expect("an end in time")
            .map_err(|error| error.to_string())
    }
}
