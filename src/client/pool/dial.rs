//! Opening a connection: TCP, TLS and HTTP's own handshake.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::Means;
use super::addresses::Unresolved;
use super::connection::{Connection, Http1};
use super::gathered::Gathered;
use super::http2::{Holding, Http2};
use super::limit::Slot;
use crate::client::jwks::Background;
use crate::config::{self, Protocol};

/// HTTP/2 pings find servers that vanished without a FIN.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// HTTP/1.1 in ALPN.
const HTTP1_1: &[u8] = b"http/1.1";

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// No address of the server's name.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// Every address has failed the request.
    #[error("no other address")]
    NoAddress,
    /// TCP or TLS.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// `connect_timeout`, or this address's share of it, passed.
    #[error("connect timeout passed")]
    Late,
    /// Another request's connection to this address was not open in time.
    #[error("no turn to connect")]
    NoTurn,
    /// HTTP's handshake.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// TLS did not negotiate HTTP/2, which is asked for.
    #[error("the server does not speak HTTP/2")]
    NotHttp2,
    /// `max_connections` are open, and none was given back within `connect_timeout`.
    #[error("max_connections are in use")]
    Full,
}

/// The bytes of a connection: TCP alone, or TLS over it.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Opens connections to one server.
#[derive(Debug)]
pub(super) struct Dial {
    protocol: Protocol,
    tls: Option<(TlsOffer, ServerName<'static>)>,
    /// Whether TLS negotiated HTTP/1.1 last.
    chose_http1: AtomicBool,
    background: Background,
}

/// TLS that offers what the protocol asks for.
struct TlsOffer(TlsConnector);

impl std::fmt::Debug for TlsOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsOffer").finish_non_exhaustive()
    }
}

impl Dial {
    pub(super) fn new(server: &config::Server, means: &Means<'_>) -> io::Result<Self> {
        let url = &server.url;
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {what}"));
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let host = url.host_str().ok_or_else(|| invalid("no host"))?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = match &server.tls.server_name {
                    Some(name) => name.clone(),
                    None => ServerName::try_from(host.to_owned())
                        .map_err(|_error| invalid("not a name TLS can verify"))?,
                };
                let mut tls = means.trust.client_config(&server.tls)?;
                let offers: &[&[u8]] = match server.protocol {
                    Protocol::Auto => &[b"h2", HTTP1_1],
                    Protocol::Http1 => &[HTTP1_1],
                    Protocol::Http2 => &[b"h2"],
                };
                tls.alpn_protocols = offers.iter().map(|name| name.to_vec()).collect();
                Some((TlsOffer(TlsConnector::from(Arc::new(tls))), name))
            }
            _other => return Err(invalid("neither http nor https")),
        };
        Ok(Self {
            protocol: server.protocol,
            tls,
            chose_http1: AtomicBool::new(false),
            background: means.background.clone(),
        })
    }

    /// Whether HTTP/2 is asked for, or TLS may choose it.
    pub(super) fn may_be_http2(&self) -> bool {
        match self.protocol {
            Protocol::Auto => self.tls.is_some(),
            Protocol::Http1 => false,
            Protocol::Http2 => true,
        }
    }

    /// The same, with what TLS chose last.
    pub(super) fn expects_http2(&self) -> bool {
        self.may_be_http2() && !self.chose_http1.load(Ordering::Relaxed)
    }

    /// Whether HTTP/1.1 may be spoken: nothing else can switch protocols.
    pub(super) fn may_be_http1(&self) -> bool {
        self.protocol != Protocol::Http2
    }

    /// Opens a connection to the address of its slot; `http1`: by HTTP/1.1, whatever TLS might
    /// choose.
    pub(super) async fn open(&self, slot: Slot, http1: bool) -> Result<Connection, DialError> {
        let tcp = TcpStream::connect(slot.address().at()).await?;
        tcp.set_nodelay(true)?;
        let Some((tls, name)) = &self.tls else {
            let stream = Stream::Left(tcp);
            return match self.protocol {
                Protocol::Auto | Protocol::Http1 => self.http1(stream, slot).await,
                Protocol::Http2 => self.http2(stream, slot).await,
            };
        };
        if http1 {
            let only = tls.0.with_alpn(vec![HTTP1_1.to_vec()]);
            let tls = only.connect(name.clone(), tcp).await?;
            return self.http1(Stream::Right(Box::new(tls)), slot).await;
        }
        let tls = tls.0.connect(name.clone(), tcp).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Right(Box::new(tls));
        match (self.protocol, http2) {
            (Protocol::Auto | Protocol::Http2, true) => {
                self.chose_http1.store(false, Ordering::Relaxed);
                self.http2(stream, slot).await
            }
            (Protocol::Http2, false) => Err(DialError::NotHttp2),
            (Protocol::Http1, _) | (Protocol::Auto, false) => {
                self.chose_http1.store(true, Ordering::Relaxed);
                self.http1(stream, slot).await
            }
        }
    }

    async fn http1(&self, stream: Stream, slot: Slot) -> Result<Connection, DialError> {
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(Gathered(stream)))
            .await?;
        let http1 = Http1::new(sender, connection, slot);
        Ok(Connection::Http1(Box::new(http1)))
    }

    async fn http2(&self, stream: Stream, slot: Slot) -> Result<Connection, DialError> {
        let address = Arc::clone(slot.address());
        let (sender, connection) = http2::Builder::new(Holding::new(slot))
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .handshake(TokioIo::new(stream))
            .await?;
        let http2 = Http2::new(sender, address);
        let driven = http2.drive(connection);
        let stop = self.background.stop.clone();
        self.background.tasks.spawn(async move {
            stop.run_until_cancelled(driven).await;
        });
        Ok(Connection::Http2(http2))
    }
}
