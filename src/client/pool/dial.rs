//! Opening a connection: DNS, TCP, TLS and HTTP's own handshake, within one deadline.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Means;
use super::connection::{Connection, Http1, Http2};
use crate::client::jwks::Background;
use crate::config;

/// HTTP/2 pings find servers that vanished without a FIN.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// DNS, TCP or TLS.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// `connect_timeout` passed.
    #[error("connect timeout passed")]
    Late,
    /// HTTP's handshake.
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    host: String,
    port: u16,
    tls: Option<(TlsOffer, ServerName<'static>)>,
    timeout: Duration,
    background: Background,
}

/// TLS that offers `h2` and `http/1.1`.
#[derive(Clone)]
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
        let host = url.host_str().ok_or_else(|| invalid("no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_error| invalid("not a name TLS can verify"))?;
                let mut tls = means.trust.client_config(&server.tls)?;
                tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                Some((TlsOffer(TlsConnector::from(Arc::new(tls))), name))
            }
            _other => return Err(invalid("neither http nor https")),
        };
        Ok(Self {
            host: host.to_owned(),
            port: url
                .port_or_known_default()
                .ok_or_else(|| invalid("no port"))?,
            tls,
            timeout: server.connect_timeout,
            background: means.background.clone(),
        })
    }

    /// Whether TLS may choose HTTP/2.
    pub(super) fn may_be_http2(&self) -> bool {
        self.tls.is_some()
    }

    /// Opens one.
    pub(super) async fn open(&self) -> Result<Connection, DialError> {
        tokio::time::timeout(self.timeout, self.connect())
            .await
            .map_err(|_late| DialError::Late)?
    }

    async fn connect(&self) -> Result<Connection, DialError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let Some((tls, name)) = &self.tls else {
            return self.http1(Stream::Plain(tcp)).await;
        };
        let tls = tls.0.connect(name.clone(), tcp).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Stream::Tls(Box::new(tls));
        if http2 {
            self.http2(stream).await
        } else {
            self.http1(stream).await
        }
    }

    async fn http1(&self, stream: Stream) -> Result<Connection, DialError> {
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Connection::Http1(Box::new(Http1::new(sender, connection))))
    }

    async fn http2(&self, stream: Stream) -> Result<Connection, DialError> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
            .handshake(TokioIo::new(stream))
            .await?;
        let stop = self.background.stop.clone();
        self.background.tasks.spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "HTTP/2 connection ended");
                },
                () = stop.cancelled() => {}
            }
        });
        Ok(Connection::Http2(Http2::new(sender)))
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
