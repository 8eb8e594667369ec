//! The accept loop of every listener: limits, timeouts, drain.
//!
//! hyper-util's version-detecting server never times out a client that stays silent, and hyper has
//! one timeout for "no next request" and "half a request head"; [`guard`] tells them apart.

mod guard;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::guard::{Activity, Guarded, InFlight};
use crate::config;
use crate::server::body::Body;
use crate::server::respond;
use crate::telemetry::{Plane, Telemetry};

/// hyper refuses a smaller buffer.
const LEAST_BUFFER: usize = 8192;
/// Most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 pings find clients that vanished without a FIN.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a connection is still read from once the process stops.
const LAST_READ: Duration = Duration::from_millis(100);
/// Pause after `accept` failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How one listener is served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Its name in metrics: `ingress`, `forward_auth`, `egress`, `admin`, `health`.
    pub name: &'static str,
    /// The plane whose refused requests are counted; `None` for admin and health.
    pub plane: Option<Plane>,
    /// Timeouts and bounds.
    pub limits: config::Listener,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// Tracks each connection, so that shutdown can wait for them.
    pub tasks: TaskTracker,
    /// True once the process is about to stop: HTTP/1.1 responses then say `Connection: close`, so
    /// that no client reuses a connection that is going to be closed.
    pub leaving: Arc<AtomicBool>,
    /// Cancelled to drain: no new connections, requests in flight finish.
    pub stop: CancellationToken,
    /// Cancelled to cut off what is still open.
    pub cut: CancellationToken,
}

/// Accepts connections until `stop`, answering each request (HTTP/1.1 and HTTP/2 without TLS) with
/// `service`. Returns once the listener is closed; connections go on in `tasks`.
pub async fn serve<S, F>(listener: TcpListener, serving: Serving, service: S)
where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(
        serving
            .limits
            .max_connections
            .clamp(1, Semaphore::MAX_PERMITS),
    ));
    let serving = Arc::new(serving);
    let builder = Arc::new(builder(&serving));
    loop {
        let accepted = tokio::select! {
            biased;
            () = serving.cut.cancelled() => return,
            () = serving.stop.cancelled() => break,
            accepted = next(&listener, &slots) => accepted,
        };
        match accepted {
            Ok(accepted) => spawn(&serving, &builder, accepted, service.clone()),
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(listener = serving.name, %error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // whoever the kernel had let in by now would see a reset
    if let Ok(listener) = listener.into_std() {
        while let Some(accepted) = queued(&listener, &slots) {
            spawn(&serving, &builder, accepted, service.clone());
        }
    }
}

/// A connection with its slot.
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

fn spawn<S, F>(
    serving: &Arc<Serving>,
    builder: &Arc<auto::Builder<Tracked>>,
    (stream, peer, slot): Accepted,
    service: S,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let connection = connection(
        Arc::clone(serving),
        Arc::clone(builder),
        stream,
        peer,
        slot,
        service,
    );
    serving.tasks.spawn(connection);
}

/// Waits for a free slot first: beyond `max_connections` clients queue in the kernel.
async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<Accepted> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

/// A connection that waits in the kernel, if there is one and a free slot for it. Asks the kernel
/// itself: the runtime may not have been told yet.
fn queued(listener: &std::net::TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot = Arc::clone(slots).try_acquire_owned().ok()?;
    let (stream, peer) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some((TcpStream::from_std(stream).ok()?, peer, slot))
}

fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn builder(serving: &Serving) -> auto::Builder<Tracked> {
    let limits = &serving.limits;
    let mut builder = auto::Builder::new(Tracked(serving.tasks.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        // ours to time: see `guard`
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes.max(LEAST_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

async fn connection<S, F>(
    serving: Arc<Serving>,
    builder: Arc<auto::Builder<Tracked>>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    service: S,
) where
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let _open = Open::new(&serving, slot);
    if let Err(error) = stream.set_nodelay(true) {
        // the client is gone already
        tracing::debug!(listener = serving.name, %error, "connection lost before it began");
        return;
    }
    let activity = Arc::new(Activity::new());
    let stream = Guarded::new(stream, &serving.limits, Arc::clone(&activity));
    let telemetry = Arc::clone(&serving.telemetry);
    let leaving = Arc::clone(&serving.leaving);
    let answer = service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::new(&activity);
        let telemetry = Arc::clone(&telemetry);
        let leaving = Arc::clone(&leaving);
        let closable = request.version() <= http::Version::HTTP_11;
        // a panic before the future exists is caught too
        let answer = std::panic::catch_unwind(AssertUnwindSafe(|| service(request, peer)));
        async move {
            let response = match answer {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let mut response = response.unwrap_or_else(|_panic| {
                telemetry.metrics.panicked();
                respond::panicked()
            });
            if closable && leaving.load(Ordering::Relaxed) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, std::convert::Infallible>(response.map(|body| Counted {
                body,
                _in_flight: in_flight,
            }))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = serving.cut.cancelled() => return,
        () = serving.stop.cancelled() => tokio::select! {
            biased;
            // a request already sent may not have been read yet
            ended = connection.as_mut() => ended,
            () = serving.cut.cancelled() => return,
            () = tokio::time::sleep(LAST_READ) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    () = serving.cut.cancelled() => return,
                }
            }
        },
    };
    if let Err(error) = ended {
        let malformed = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_parse() || error.is_parse_too_large());
        if let (true, Some(plane)) = (malformed, serving.plane) {
            serving
                .telemetry
                .metrics
                .rejected(plane, "request_malformed");
        }
        tracing::debug!(listener = serving.name, %peer, error, "connection ended");
    }
}

/// An open connection: holds its slot, shows in the gauge.
struct Open {
    serving: Arc<Serving>,
    _slot: OwnedSemaphorePermit,
}

impl Open {
    fn new(serving: &Arc<Serving>, slot: OwnedSemaphorePermit) -> Self {
        serving.telemetry.metrics.connections(serving.name, 1);
        Self {
            serving: Arc::clone(serving),
            _slot: slot,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving
            .telemetry
            .metrics
            .connections(self.serving.name, -1);
    }
}

/// Runs HTTP/2 streams where shutdown can wait for them.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, fut: F) {
        self.0.spawn(fut);
    }
}

/// A response body during which its connection is not idle.
struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
