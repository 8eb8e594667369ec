//! Pooled connections to one server, shared by ingress and egress: HTTP/1.1, or HTTP/2 where TLS
//! negotiates it. Bodies stream both ways with back-pressure; dropping the future or the response
//! ends the request.
//!
//! hyper-util's pooled client is not used: it has neither a maximum age nor a bound, does not say
//! which address a connection goes to, and wakes a task of its own for each step of a response.

mod connection;
mod dial;
mod lane;
mod payload;
mod reply;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use tokio::time::{Instant, sleep};

use self::connection::{Connection, Lost, Patience, closed_unanswered};
use self::dial::Dial;
use self::lane::{Lane, Taken};
use self::payload::Progress;
pub use self::payload::{BodyError, Limits, Payload, Streamed};
pub use self::reply::Reply;
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config;
use crate::reason::{Denial, Failure};

/// A connection to a name is not reused after this long, so that DNS changes are followed.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A server that gives no response is warned of this often; each request line tells its own reason.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

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
            Self::Body(BodyError::Stalled) => Ok(Denial::RequestTimeout),
            Self::Body(BodyError::Broken) => Ok(Denial::RequestMalformed),
        }
    }
}

/// What every pool is made with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// Whose certificates are believed.
    pub trust: &'m Trust,
    /// How many workers send requests.
    pub workers: usize,
    /// Where idle connections are swept and HTTP/2 ones driven.
    pub background: &'m Background,
}

impl Means<'_> {
    /// A pool for `server`: `previous`, if nothing it was made from has changed, else a new one,
    /// which opens no connection yet.
    pub fn pool(&self, server: &config::Server, previous: Option<&Pool>) -> io::Result<Pool> {
        match previous {
            Some(pool) if pool.made_from.0 == *server && pool.made_from.1 == *self.trust => {
                Ok(pool.clone())
            }
            Some(_) | None => Pool::new(server, self),
        }
    }
}

/// Connections to one server, and the base path before every request's. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool {
    made_from: Arc<(config::Server, Trust)>,
    scheme: Scheme,
    host: HeaderValue,
    base: String,
    dial: Dial,
    /// One for each worker.
    lanes: Arc<[Arc<Lane>]>,
    /// When a missing response was last warned of.
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    fn new(server: &config::Server, means: &Means<'_>) -> io::Result<Self> {
        let url = &server.url;
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {what}"));
        let host = url.host().ok_or_else(|| invalid("no host"))?;
        let named = matches!(host, url::Host::Domain(name) if name != "localhost");
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let dial = Dial::new(server, means)?;
        let lane = || Arc::new(Lane::new(server.idle_timeout, named.then_some(MAX_AGE)));
        let pool = Self {
            made_from: Arc::new((server.clone(), means.trust.clone())),
            scheme: if dial.may_be_http2() {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            host: HeaderValue::from_str(&authority).map_err(|_error| invalid("bad host"))?,
            base: url.path().trim_end_matches('/').to_owned(),
            dial,
            lanes: (0..means.workers.max(1)).map(|_worker| lane()).collect(),
            warned: Arc::default(),
        };
        pool.sweep(means.background);
        Ok(pool)
    }

    /// Looks after idle connections until the last clone is dropped.
    fn sweep(&self, background: &Background) {
        let lanes = Arc::downgrade(&self.lanes);
        let stop = background.stop.clone();
        background.tasks.spawn(async move {
            while stop
                .run_until_cancelled(sleep(SWEEP_INTERVAL))
                .await
                .is_some()
                && let Some(lanes) = lanes.upgrade()
            {
                lanes.iter().for_each(|lane| lane.sweep());
            }
        });
    }

    /// `Host` for this server: host and port of its URL.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Whether TLS may negotiate HTTP/2 here.
    #[must_use]
    pub fn may_be_http2(&self) -> bool {
        self.dial.may_be_http2()
    }

    /// The path before every request's, without trailing slash; mostly empty.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and waits for the response head, at most `timeout` after the last byte of
    /// its body. The URI's path and query are sent as they are, `Host` is the caller's; by the
    /// connections of this worker.
    ///
    /// Tried again, on a fresh connection, only when a kept one turned out to be closed: any request
    /// of which nothing was sent, and an idempotent one without a streamed body even if it was (RFC
    /// 9110 §9.2.2): the server may have closed just as we wrote.
    pub async fn send(
        &self,
        worker: usize,
        mut request: Request<Payload>,
        timeout: Duration,
    ) -> Result<Response<Reply>, SendError> {
        let lane = self
            .lanes
            .get(worker % self.lanes.len())
            .ok_or(SendError::Unreachable)?;
        frame(&mut request);
        let patience = Patience::new(timeout, request.body());
        let mut spare = copy(&request);
        let mut fresh = false;
        let (response, connection) = loop {
            let taken = lane.take(&self.dial, fresh).await;
            let Taken {
                mut connection,
                kept,
            } = taken.map_err(|error| {
                self.complain(&error);
                SendError::Unreachable
            })?;
            self.address(&mut request, &connection)?;
            let (error, unsent) = match connection.exchange(request, &patience).await {
                Ok(response) => break (response, connection),
                Err(Lost::Late) => return Err(SendError::Timeout),
                Err(Lost::Broken { error, unsent }) => (error, unsent),
            };
            if let Some(broken) = patience.progress().and_then(Progress::broken) {
                return Err(SendError::Body(broken));
            }
            let again = unsent
                .map(|unsent| *unsent)
                .or_else(|| spare.take().filter(|_| closed_unanswered(&error)));
            match again {
                Some(again) if kept && !fresh => {
                    fresh = true;
                    request = again;
                }
                Some(_) | None => {
                    self.complain(&error);
                    return Err(SendError::Protocol);
                }
            }
        };
        let (mut head, incoming) = response.into_parts();
        // chunks overrule a length (RFC 9112 6.3), which would frame what is passed on
        if head.headers.contains_key(TRANSFER_ENCODING) {
            head.headers.remove(CONTENT_LENGTH);
        }
        let reply = match connection {
            Connection::Http1(http1) => Reply::by_http1(incoming, http1, Arc::clone(lane)).await,
            Connection::Http2(_shared) => Reply::by_http2(incoming),
        };
        Ok(Response::from_parts(head, reply))
    }

    /// Puts the host where the protocol has it: `Host`, or `:authority` (RFC 9113 8.3.1).
    fn address(
        &self,
        request: &mut Request<Payload>,
        connection: &Connection,
    ) -> Result<(), SendError> {
        let target = request
            .uri()
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/"));
        let (uri, version) = match connection {
            Connection::Http1(_) => {
                if let Some(authority) = request.uri().authority() {
                    let host = HeaderValue::from_str(authority.as_str())
                        .map_err(|_error| SendError::Protocol)?;
                    request.headers_mut().insert(HOST, host);
                }
                (Uri::from(target), Version::HTTP_11)
            }
            Connection::Http2(_) => {
                let host = request.headers_mut().remove(HOST);
                let host = host.as_ref().unwrap_or(&self.host);
                let uri = Uri::builder()
                    .scheme(self.scheme.clone())
                    .authority(host.as_bytes())
                    .path_and_query(target)
                    .build()
                    .map_err(|_error| SendError::Protocol)?;
                (uri, Version::HTTP_2)
            }
        };
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        Ok(())
    }

    /// Tells why a request got no response, without a line per request in an outage.
    fn complain(&self, error: &dyn std::error::Error) {
        let server = self.host.to_str().unwrap_or_default();
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| now < at + WARN_INTERVAL) {
            drop(warned);
            tracing::debug!(server, error = %Chain(error), "no response");
        } else {
            *warned = Some(now);
            drop(warned);
            tracing::warn!(server, error = %Chain(error), "no response");
        }
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

/// An error with its causes, on one line.
struct Chain<'e>(&'e dyn std::error::Error);

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
