//! Pooled connections to one server, shared by ingress and egress: HTTP/1.1, or HTTP/2 where TLS
//! negotiates it. Bodies stream both ways with back-pressure; dropping the future or the response
//! ends the request.

mod dial;
mod payload;

use std::error::Error as _;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self as client, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use url::Url;

use self::dial::{Born, Dial};
pub use self::payload::{BodyError, Limits, Payload, Streamed};
use crate::reason::{Denial, Failure};

/// A connection to a name is not reused after this long, so that DNS changes are followed.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How many closed connections one request may meet.
const MAX_RETRIES: u32 = 3;
/// A server that gives no response is warned of this often; each request line tells its own reason.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
/// HTTP/2 pings find servers that vanished without a FIN.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Why a request got no response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection: refused, unresolvable, TLS failed, or `connect_timeout` passed.
    #[error("no connection")]
    Unreachable,
    /// No response head in time.
    #[error("no response head in time")]
    Timeout,
    /// Not HTTP, or broken off before the head.
    #[error("not an HTTP response")]
    Protocol,
    /// The request's own body ended it.
    #[error("request body: {0}")]
    Body(BodyError),
}

impl SendError {
    /// What the client is told: a denial if its own body is to blame, else a failure of the server.
    pub fn blame(self) -> Result<Denial, Failure> {
        match self {
            Self::Unreachable => Err(Failure::UpstreamUnreachable),
            Self::Timeout => Err(Failure::UpstreamTimeout),
            Self::Protocol => Err(Failure::UpstreamProtocol),
            Self::Body(BodyError::TooLarge) => Ok(Denial::BodyTooLarge),
            Self::Body(BodyError::Stalled | BodyError::Broken) => Ok(Denial::RequestMalformed),
        }
    }
}

/// Connections to one `scheme://host:port`, and the base path before every request's.
#[derive(Clone, Debug)]
pub struct Pool {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    base: String,
    client: Client<Dial, Payload>,
    /// For requests whose `Host` is not the URL's: HTTP/2 would say `:authority` and contradict it.
    http1: Option<Client<Dial, Payload>>,
    /// Whether the host is a name, whose address may change.
    named: bool,
    /// When a missing response was last warned of.
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// A pool for `url` (`http` or `https`); opens no connection yet.
    pub fn new(
        url: &Url,
        connect_timeout: Duration,
        idle_timeout: Duration,
        tls: &rustls::ClientConfig,
    ) -> io::Result<Self> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {what}"));
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            _other => return Err(invalid("neither http nor https")),
        };
        let host = url.host().ok_or_else(|| invalid("no host"))?;
        let named = matches!(host, url::Host::Domain(name) if name != "localhost");
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let client = |http2| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(idle_timeout)
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(PING_INTERVAL)
                .build(Dial::new(tls, connect_timeout, http2))
        };
        Ok(Self {
            scheme: if https { Scheme::HTTPS } else { Scheme::HTTP },
            host: HeaderValue::from_str(&authority).map_err(|_error| invalid("bad host"))?,
            authority: authority.parse().map_err(|_error| invalid("bad host"))?,
            base: url.path().trim_end_matches('/').to_owned(),
            client: client(https),
            http1: https.then(|| client(false)),
            named,
            warned: Arc::default(),
        })
    }

    /// `Host` for this server: host and port of its URL.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Whether TLS may negotiate HTTP/2 here.
    #[must_use]
    pub fn may_be_http2(&self) -> bool {
        self.http1.is_some()
    }

    /// The path before every request's, without trailing slash; mostly empty.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and waits for the response head, at most `timeout` after the last byte of
    /// its body. The URI's path and query are sent as they are; scheme and authority are this
    /// pool's, `Host` is the caller's.
    ///
    /// Tried again only when a kept connection turned out to be closed: any request of which nothing
    /// was sent, and an idempotent one without a streamed body even if it was (RFC 9110 §9.2.2): the
    /// server may have closed just as we wrote.
    pub async fn send(
        &self,
        mut request: Request<Payload>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, SendError> {
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()
            .map_err(|_error| SendError::Protocol)?;
        *request.version_mut() = Version::HTTP_11;
        frame(&mut request);
        let client = match &self.http1 {
            Some(http1) if !self.names_us(&request) => http1,
            Some(_) | None => &self.client,
        };
        let progress = request.body().progress();
        let mut deadline = Instant::now() + timeout;
        let mut spare = copy(&request);
        let mut retries = 0;
        let (mut response, captured) = loop {
            let captured = self.named.then(|| capture_connection(&mut request));
            let mut answer = std::pin::pin!(client.request(request));
            let answer = loop {
                match tokio::time::timeout_at(deadline, answer.as_mut()).await {
                    Ok(answer) => break answer,
                    Err(_late) => {
                        // a long upload is not a late answer
                        let latest = progress.as_ref().and_then(|body| body.latest());
                        match latest.map(|at| at + timeout) {
                            Some(later) if later > deadline => deadline = later,
                            Some(_) | None => return Err(SendError::Timeout),
                        }
                    }
                }
            };
            let error = match answer {
                Ok(response) => break (response, captured),
                Err(error) => error,
            };
            if let Some(broken) = progress.as_ref().and_then(|body| body.broken()) {
                return Err(SendError::Body(broken));
            }
            if retries < MAX_RETRIES
                && closed_unanswered(&error)
                && let Some(again) = spare.take()
            {
                retries += 1;
                spare = copy(&again);
                request = again;
                continue;
            }
            self.complain(&error);
            return Err(if error.is_connect() {
                SendError::Unreachable
            } else {
                SendError::Protocol
            });
        };
        // chunks overrule a length (RFC 9112 6.3), which would frame what is passed on
        if response.headers().contains_key(TRANSFER_ENCODING) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        if let Some(born) = response.extensions().get::<Born>() {
            born.answered.store(true, Ordering::Relaxed);
            if let Some(captured) = captured
                && born.at.elapsed() > MAX_AGE
                && let Some(connection) = captured.connection_metadata().as_ref()
            {
                connection.poison();
            }
        }
        Ok(response)
    }

    /// Tells why a request got no response, without a line per request in an outage.
    fn complain(&self, error: &client::Error) {
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| now < at + WARN_INTERVAL) {
            drop(warned);
            tracing::debug!(server = %self.authority, error = %Chain(error), "no response");
        } else {
            *warned = Some(now);
            drop(warned);
            tracing::warn!(server = %self.authority, error = %Chain(error), "no response");
        }
    }

    fn names_us(&self, request: &Request<Payload>) -> bool {
        let mut hosts = request.headers().get_all(HOST).iter();
        hosts.next() == Some(&self.host) && hosts.next().is_none()
    }
}

/// Says that a body of unknown length follows: hyper assumes none with `GET`.
fn frame(request: &mut Request<Payload>) {
    if matches!(request.body(), Payload::Streamed(_))
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().contains_key(CONTENT_LENGTH)
    {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

/// The same request once more, if sending it twice does what sending it once does.
fn copy(request: &Request<Payload>) -> Option<Request<Payload>> {
    let body = match request.body() {
        Payload::Empty => Payload::Empty,
        Payload::Full(bytes) => Payload::Full(bytes.clone()),
        Payload::Streamed(_) => return None,
    };
    if !request.method().is_idempotent() {
        return None;
    }
    let mut copied = Request::new(body);
    *copied.method_mut() = request.method().clone();
    *copied.uri_mut() = request.uri().clone();
    *copied.version_mut() = request.version();
    *copied.headers_mut() = request.headers().clone();
    Some(copied)
}

/// Whether a connection that had answered before ended without answering.
fn closed_unanswered(error: &client::Error) -> bool {
    let closed = error.source().is_some_and(|cause| {
        let reset = |io: &io::Error| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        };
        cause.downcast_ref().is_some_and(|cause: &hyper::Error| {
            let io = cause.source().and_then(|cause| cause.downcast_ref());
            cause.is_incomplete_message() || io.is_some_and(reset)
        })
    });
    let mut extensions = http::Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extensions);
    }
    closed
        && extensions
            .get()
            .is_some_and(|born: &Born| born.answered.load(Ordering::Relaxed))
}

/// An error with its causes, on one line.
struct Chain<'e>(&'e (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
