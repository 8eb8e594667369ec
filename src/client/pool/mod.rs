//! Pooled connections to one server, shared by ingress and egress: HTTP/1.1, or HTTP/2 where TLS
//! negotiates it or `protocol` asks for it. Bodies stream both ways with back-pressure; dropping the future or the response
//! ends the request.
//!
//! hyper-util's pooled client is not used: it has no bound, does not say
//! which address a connection goes to, and wakes a task of its own for each step of a response.

mod addresses;
mod bell;
mod connection;
mod dial;
pub mod gathered;
mod http2;
mod lane;
mod limit;
mod means;
mod patience;
mod payload;
mod reply;
mod take;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use serde_json::Value;
use tokio::time::Instant;

use self::addresses::{Addresses, Unresolved};
pub use self::connection::Switched;
use self::connection::{Connection, Lost, closed_unanswered};
pub use self::dial::Stream;
use self::dial::{Dial, DialError};
use self::lane::Lane;
use self::limit::Limit;
pub use self::means::Means;
use self::patience::Patience;
use self::payload::Progress;
pub use self::payload::{BodyError, Limits, Payload, Streamed};
pub use self::reply::{Reply, ReplyError};
use self::take::{Attempts, Taken};
use crate::client::tls::Trust;
use crate::config;
use crate::reason::{Denial, Failure};
use crate::telemetry::metrics::ServerMetrics;

/// A server that gives no response is warned of this often; each request line tells its own reason.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Why a request got no response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection: refused, unresolvable, TLS failed, or `connect_timeout` passed.
    #[error("no connection")]
    Unreachable,
    /// Its name leads to link-local addresses only.
    #[error("no address a credential may be sent to")]
    LinkLocal,
    /// `max_connections` are in use, and none was given back within `connect_timeout`.
    #[error("no free connection")]
    Overloaded,
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
    /// What the client is told: a denial if its own body is to blame or the target is none we send
    /// to, else a failure of the server.
    pub fn blame(self) -> Result<Denial, Failure> {
        match self {
            Self::Unreachable => Err(Failure::UpstreamUnreachable),
            Self::LinkLocal => Ok(Denial::EgressTargetRefused),
            Self::Overloaded => Err(Failure::UpstreamOverloaded),
            Self::Timeout => Err(Failure::UpstreamTimeout),
            Self::Protocol => Err(Failure::UpstreamProtocol),
            Self::Body(BodyError::TooLarge) => Ok(Denial::BodyTooLarge),
            Self::Body(BodyError::Stalled) => Ok(Denial::RequestTimeout),
            Self::Body(BodyError::Broken) => Ok(Denial::RequestMalformed),
        }
    }
}

/// Connections to one server, and the base path before every request's. Clones share them.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    server: config::Server,
    trust: Trust,
    scheme: Scheme,
    host: HeaderValue,
    base: String,
    addresses: Arc<Addresses>,
    dial: Dial,
    limit: Arc<Limit>,
    /// One for each worker.
    lanes: Box<[Arc<Lane>]>,
    metrics: ServerMetrics,
    /// When a missing response was last warned of.
    warned: Mutex<Option<Instant>>,
}

impl Pool {
    /// `Host` for this server: host and port of its URL.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// Whether a request may ask to switch protocols here: only HTTP/1.1 can.
    #[must_use]
    pub fn may_switch(&self) -> bool {
        self.0.dial.may_be_http1()
    }

    /// The path before every request's, without trailing slash; mostly empty.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.0.base
    }

    /// What `/status` shows: addresses, and how many connections there are.
    #[must_use]
    pub fn report(&self) -> Value {
        let mut report = self.0.addresses.report();
        let open = self.0.metrics.open_connections();
        if let Some(report) = report.as_object_mut() {
            report.insert("url".to_owned(), self.0.server.url.as_str().into());
            report.insert("connections".to_owned(), open.into());
        }
        report
    }

    /// Sends a request of this body and the head that `head` makes, and waits for the response head,
    /// at most `timeout` after the last byte of the body. The URI's path and query are sent as they
    /// are, `Host` is the caller's; by the connections of this worker.
    ///
    /// An address that cannot be connected to makes room for the next: nothing was sent yet. A request
    /// is sent again only where a kept connection turned out to be closed, or a fresh one breaks and
    /// there is another address; and only if nothing of it was sent, or it is idempotent and without a
    /// streamed body (RFC 9110 §9.2.2). `head` makes its head once more for that, so that none is
    /// copied for the rare case.
    ///
    /// A connection may be long in coming. `still_good` is asked each time there is one: if what the
    /// head carries must not be sent any more, nothing is.
    ///
    /// A request with `Upgrade` goes by HTTP/1.1; whether a `101` was asked for is the caller's to
    /// judge before it takes [`Reply::into_switched`].
    pub async fn send<E>(
        &self,
        worker: usize,
        body: Payload,
        timeout: Duration,
        head: impl Fn() -> Result<Request<()>, E> + Send,
        still_good: impl Fn() -> Result<(), E> + Send,
    ) -> Result<Response<Reply>, E>
    where
        E: From<SendError>,
    {
        let shared = &self.0;
        let lane = shared
            .lanes
            .get(worker % shared.lanes.len())
            .ok_or(SendError::Unreachable)?;
        let mut spare = body.again();
        // made where it stays: a request is large, and a future keeps room for each place it was in
        let mut request = head()?.map(|()| body);
        frame(&mut request);
        let patience = Patience::new(timeout, request.body());
        spare = spare.filter(|_body| request.method().is_idempotent());
        let mut attempts = Attempts::default();
        let mut now = patience.since;
        attempts.http1 = request.headers().contains_key(UPGRADE);
        let (response, mut connection) = loop {
            let Taken {
                mut connection,
                kept,
            } = self.take(lane, &mut attempts, now).await.map_err(|error| {
                match (&error, attempts.failures()) {
                    (DialError::NoAddress, Some(failures)) => self.complain(failures),
                    (other, _) => self.complain(&Chain(other).to_string()),
                }
                match error {
                    DialError::Full => SendError::Overloaded,
                    DialError::Unresolved(Unresolved::LinkLocal(_)) => SendError::LinkLocal,
                    DialError::Unresolved(Unresolved::Name(_) | Unresolved::Late)
                    | DialError::NoAddress
                    | DialError::Io(_)
                    | DialError::Late
                    | DialError::NoTurn
                    | DialError::Http(_)
                    | DialError::NotHttp2 => SendError::Unreachable,
                }
            })?;
            if let Err(ended) = still_good() {
                connection.give_back(lane);
                return Err(ended);
            }
            self.address(&mut request, &connection)?;
            let (error, unsent) = match connection.exchange(request, &patience).await {
                Ok(response) => break (response, connection),
                Err(Lost::Late) => {
                    connection.address().failed();
                    return Err(SendError::Timeout.into());
                }
                Err(Lost::Broken { error, unsent }) => (error, unsent),
            };
            if let Some(broken) = patience.progress().and_then(Progress::broken) {
                return Err(SendError::Body(broken).into());
            }
            let closed = unsent.is_some() || closed_unanswered(&error);
            let again = unsent.map(|unsent| *unsent).or_else(|| {
                let body = spare.take().filter(|_| closed)?;
                Some(head().ok()?.map(|()| body))
            });
            let stale = kept && closed && attempts.fresh.is_none();
            if stale {
                now = Instant::now();
                attempts.fresh = Some(now);
            } else {
                attempts.failed(connection.address(), &error);
            }
            match again {
                Some(again) if stale || self.has_another(&attempts) => {
                    shared.metrics.retried();
                    request = again;
                }
                Some(_) | None => {
                    match attempts.failures() {
                        Some(failures) => self.complain(failures),
                        None => self.complain(&Chain(&error).to_string()),
                    }
                    return Err(SendError::Protocol.into());
                }
            }
        };
        connection.address().succeeded();
        if let Some(progress) = patience.progress() {
            progress.answered();
        }
        let (mut head, incoming) = response.into_parts();
        // chunks overrule a length (RFC 9112 6.3), which would frame what is passed on
        if head.headers.contains_key(TRANSFER_ENCODING) {
            head.headers.remove(CONTENT_LENGTH);
        }
        if let Connection::Http1(http1) = &mut connection
            && head.version < Version::HTTP_11
        {
            http1.ends();
        }
        let reply = match connection {
            Connection::Http1(http1) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                Reply::switched(incoming, http1.into_switched().ok_or(SendError::Protocol)?)
            }
            connection @ (Connection::Http1(_) | Connection::Http2(_)) => {
                Reply::new(incoming, connection, lane, shared.server.read_timeout)
            }
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
                // options of HTTP/1.1, and what they name would go with them
                request.headers_mut().remove(CONNECTION);
                let host = match request.headers_mut().remove(HOST) {
                    Some(host) => host.as_bytes().to_vec(),
                    // an earlier attempt has moved it there
                    None => match request.uri().authority() {
                        Some(authority) => authority.as_str().into(),
                        None => self.0.host.as_bytes().to_vec(),
                    },
                };
                let uri = Uri::builder()
                    .scheme(self.0.scheme.clone())
                    .authority(host.as_slice())
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
    fn complain(&self, error: &str) {
        let server = self.0.host.to_str().unwrap_or_default();
        let now = Instant::now();
        let mut warned = self.0.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| now < at + WARN_INTERVAL) {
            drop(warned);
            tracing::debug!(server, error, "no response");
        } else {
            *warned = Some(now);
            drop(warned);
            tracing::warn!(server, error, "no response");
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
