//! Opening a connection: DNS, TCP and TLS within one deadline, and its birth remembered.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

/// TCP keep-alive finds servers that vanished while a response was awaited.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// What is known of a connection; in the extensions of its responses. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Born {
    /// When it was opened.
    pub(super) at: Instant,
    /// Whether it has carried a response.
    pub(super) answered: Arc<AtomicBool>,
}

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    connector: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

impl Dial {
    pub(super) fn new(tls: &rustls::ClientConfig, timeout: Duration, http2: bool) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1();
        Self {
            connector: if http2 {
                builder.enable_http2().wrap_connector(tcp)
            } else {
                builder.wrap_connector(tcp)
            },
            timeout,
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Dial {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, req: Uri) -> Self::Future {
        let opening = tokio::time::timeout(self.timeout, self.connector.call(req));
        Box::pin(async move {
            let io = opening.await.map_err(|_late| "connect timeout passed")??;
            Ok(Stream {
                io,
                born: Born {
                    at: Instant::now(),
                    answered: Arc::default(),
                },
            })
        })
    }
}

/// A connection that knows when it was opened.
pub(super) struct Stream {
    io: MaybeHttpsStream<TokioIo<TcpStream>>,
    born: Born,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.born.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }
}
