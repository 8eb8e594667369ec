//! TLS on our listeners: certificates that change under open sockets, and who the client is.
//!
//! A handshake takes what the world in force holds ([`Terminations`]), so that a reload puts a new
//! certificate, key or client CA into force for every connection opened from then on. Of those that
//! are open it ends the ones a changed client CA vouched for ([`Terminations::withdraw`]). Sessions
//! are resumed under the very same files only: a ticket would outlive that CA.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::certificate::{self, Certificate, PemError, Unreadable};
use crate::clock::UnixTime;
use crate::config::{self, Config};

/// What every listener with TLS shows and asks for, by the listener's name.
#[derive(Debug)]
pub struct Terminations(Vec<(&'static str, Arc<Termination>)>);

/// TLS of one listener.
#[derive(Debug)]
pub struct Termination {
    settings: config::Tls,
    /// SHA-256 of all its files.
    content: Vec<u8>,
    server: Arc<ServerConfig>,
    not_after: Option<UnixTime>,
    clients: Option<Clients>,
}

/// Whom a listener's client CA vouches for.
#[derive(Debug)]
struct Clients {
    /// SHA-256 of the CA's file.
    content: Vec<u8>,
    /// Cancelled once it vouches for nobody any more.
    withdrawn: CancellationToken,
}

impl Terminations {
    /// Reads the disk. A listener whose settings and files are those of `previous` keeps its
    /// sessions. An error names the file.
    pub fn load(config: &Config, previous: Option<&Self>) -> io::Result<Self> {
        let mut all = Vec::new();
        for (name, listener) in config.listeners() {
            if let Some(settings) = listener.and_then(|listener| listener.tls.as_ref()) {
                let previous = previous.and_then(|known| known.of(name));
                all.push((name, Termination::load(settings, previous)?));
            }
        }
        Ok(Self(all))
    }

    /// That of the listener of this name; `None` if it speaks plain HTTP.
    #[must_use]
    pub fn of(&self, listener: &str) -> Option<&Arc<Termination>> {
        self.0
            .iter()
            .find(|(name, _)| *name == listener)
            .map(|(_, termination)| termination)
    }

    /// Once `now` is in force instead: those whom a client CA vouched for that is another there, or
    /// none, are asked to leave.
    pub fn withdraw(&self, now: &Self) {
        for (name, old) in &self.0 {
            let Some(old) = &old.clients else { continue };
            let new = now.of(name).and_then(|new| new.clients.as_ref());
            if new.is_none_or(|new| new.content != old.content) {
                old.withdrawn.cancel();
            }
        }
    }

    /// When the certificate of each listener runs out, where that can be read.
    pub fn expiries(&self) -> impl Iterator<Item = (&'static str, UnixTime)> {
        self.0
            .iter()
            .filter_map(|(name, termination)| Some((*name, termination.not_after?)))
    }
}

impl Termination {
    fn load(settings: &config::Tls, previous: Option<&Arc<Self>>) -> io::Result<Arc<Self>> {
        let chain = read(&settings.certificate_file)?;
        let key = read(&settings.key_file)?;
        let roots = settings.client_ca.as_ref().map(|ca| read(&ca.file));
        let roots = roots.transpose()?;
        let content = digest(&[Some(&chain), Some(&key), roots.as_ref()]);
        if let Some(same) =
            previous.filter(|known| known.settings == *settings && known.content == content)
        {
            return Ok(Arc::clone(same));
        }

        let clients = roots.as_ref().map(|roots| {
            let content = digest(&[Some(roots)]);
            let known = previous.and_then(|known| known.clients.as_ref());
            let same = known.filter(|known| known.content == content);
            Clients {
                withdrawn: same.map_or_else(CancellationToken::new, |same| same.withdrawn.clone()),
                content,
            }
        });
        let at = |file: &Path| {
            let file = file.display().to_string();
            move |error: PemError| invalid(format!("{file} {error}"))
        };
        let chain = certificate::chain(&chain).map_err(at(&settings.certificate_file))?;
        let not_after = chain
            .first()
            .and_then(|first| Certificate::read(first).ok())
            .map(|read| read.not_after);
        let key = certificate::private_key(&key).map_err(at(&settings.key_file))?;
        let pair = certificate::certified_key(chain, key).map_err(at(&settings.key_file))?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = match settings.min_version {
            config::TlsVersion::V1_2 => rustls::ALL_VERSIONS,
            config::TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(io::Error::other)?;
        let builder = match (&settings.client_ca, &roots) {
            (Some(ca), Some(pem)) => {
                let mut roots = RootCertStore::empty();
                certificate::add_roots(&mut roots, pem).map_err(at(&ca.file))?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if ca.required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
            _none => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
        Ok(Arc::new(Self {
            settings: settings.clone(),
            content,
            server: Arc::new(server),
            not_after,
            clients,
        }))
    }

    /// Shakes hands, within `patience`. `now` judges a client certificate that a resumed session
    /// brings along, which rustls does not look at again.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        patience: Duration,
        now: UnixTime,
    ) -> Result<(TlsStream<TcpStream>, Secured), NoHandshake> {
        let shaking = async {
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
            let hello = hello.await.map_err(|error| {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    NoHandshake::Left
                } else {
                    NoHandshake::Failed(error)
                }
            })?;
            let stream = hello.into_stream(Arc::clone(&self.server));
            stream.await.map_err(NoHandshake::Failed)
        };
        let stream = tokio::time::timeout(patience, shaking).await??;
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[CertificateDer<'_>]>::first)
            .map(Certificate::read)
            .transpose()?;
        if certificate
            .as_ref()
            .is_some_and(|shown| shown.has_expired(now))
        {
            return Err(NoHandshake::Expired);
        }
        let clients = self.clients.as_ref().filter(|_| certificate.is_some());
        let secured = Secured {
            withdrawn: clients.map(|clients| clients.withdrawn.clone()),
            certificate,
        };
        Ok((stream, secured))
    }
}

/// What a handshake told of the client.
#[derive(Clone, Debug)]
pub struct Secured {
    /// Its certificate, if it showed one: one that leads to the listener's client CA.
    pub certificate: Option<Certificate>,
    /// Cancelled once the client CA vouches for that no more; `None` without one.
    pub withdrawn: Option<CancellationToken>,
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHandshake {
    /// A health check of a load balancer does that: no fault.
    #[error("the client left before it said anything")]
    Left,
    #[error("not within header_timeout")]
    Late(#[from] Elapsed),
    #[error("{0}")]
    Failed(io::Error),
    #[error("the client's certificate is {0}")]
    Odd(#[from] Unreadable),
    #[error("the client's certificate has expired since its session began")]
    Expired,
}

fn read(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    fs::read(file).map(Zeroizing::new).map_err(|error| {
        let message = format!("{} cannot be read: {error}", file.display());
        io::Error::new(error.kind(), message)
    })
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn digest(files: &[Option<&Zeroizing<Vec<u8>>>]) -> Vec<u8> {
    let mut sha = Context::new(&SHA256);
    for file in files {
        let length = file.map_or(u64::MAX, |file| {
            u64::try_from(file.len()).unwrap_or(u64::MAX)
        });
        sha.update(&length.to_be_bytes());
        sha.update(file.map_or(&[], |file| file.as_slice()));
    }
    sha.finish().as_ref().to_vec()
}
