//! The accept loop of every listener: it takes connections from the kernel, within limits, and hands
//! each to a worker ([`connection`]), until the drain.
//!
//! hyper-util's version-detecting server never times out a client that stays silent, and hyper has
//! one timeout for "no next request" and "half a request head"; [`guard`] tells them apart.

mod arrival;
mod connection;
mod frames;
mod guard;
mod handshake;
mod peers;
mod proxy_header;
mod streams;
mod upgraded;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::arrival::Arrivals;
use self::connection::{Accepted, Protocols};
use crate::config;
use crate::reason::Denial;
use crate::server::body::Body;
use crate::server::tls::Secured;
use crate::server::workers::Workers;
use crate::server::world::Current;
use crate::telemetry::{Plane, Telemetry};

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
    /// The world in force, whose trusted proxies count and whose certificates are shown; `None`:
    /// nobody is one, and there are none.
    pub world: Option<Current>,
    /// Metrics.
    pub telemetry: Arc<Telemetry>,
    /// Where connections are served; `None`: where they are accepted.
    pub workers: Option<Workers>,
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

impl Serving {
    /// Whether `peer` is one of the listener's trusted proxies now.
    fn trusts(&self, peer: IpAddr) -> bool {
        let Some(world) = self.world.as_ref().map(|current| current.load()) else {
            return false;
        };
        let proxies = match self.plane {
            Some(Plane::Ingress) => {
                let ingress = world.config.ingress.as_ref();
                ingress.map(|plane| &plane.trusted_proxies)
            }
            Some(Plane::ForwardAuth) => {
                let forward_auth = world.config.forward_auth.as_ref();
                forward_auth.map(|plane| &plane.trusted_proxies)
            }
            Some(Plane::Egress) | None => None,
        };
        proxies.is_some_and(|proxies| proxies.trusts(peer))
    }

    /// Counts a request that no plane gets to see.
    fn rejected(&self, denial: &Denial) {
        if let Some(plane) = self.plane {
            self.telemetry.metrics.rejected(plane, denial.reason());
        }
    }

    /// Counts connections begun and ended.
    fn connections(&self, change: i64) {
        self.telemetry.metrics.connections(self.name, change);
    }
}

/// One listener, as its connections see it.
#[derive(Debug)]
struct Listening {
    serving: Serving,
    protocols: Protocols,
    arrivals: Arrivals,
}

/// The connection a request came by.
#[derive(Clone, Debug)]
pub struct Downstream {
    /// Who is at its other end: the address a PROXY header named, where one was believed; 0.0.0.0
    /// where that told of somebody without an address.
    pub peer: SocketAddr,
    /// The peer's address as text, for `X-Forwarded-For`: written once for all requests.
    pub address: HeaderValue,
    /// The number of the worker that serves it.
    pub worker: usize,
    /// What its TLS handshake told; `None` for plain HTTP.
    pub tls: Option<Secured>,
}

impl Downstream {
    /// A connection from `peer`.
    #[must_use]
    pub fn new(peer: SocketAddr, worker: usize, tls: Option<Secured>) -> Self {
        let address = peer.ip().to_canonical().to_string();
        Self {
            peer,
            // an address is visible ASCII
            address: HeaderValue::from_maybe_shared(Bytes::from(address))
                .unwrap_or(HeaderValue::from_static("unknown")),
            worker,
            tls,
        }
    }
}

/// Accepts connections until `stop`, answering each request (HTTP/1.1 and HTTP/2) with
/// `service`. Returns once the listener is closed; connections go on in `tasks`.
pub async fn serve<S, F>(listener: TcpListener, serving: Serving, service: S)
where
    S: Fn(Request<Incoming>, Arc<Downstream>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let most = serving.limits.max_connections;
    serving
        .telemetry
        .metrics
        .connection_limit(serving.name, most);
    let slots = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    let listening = Arc::new(Listening {
        protocols: connection::protocols(&serving),
        arrivals: Arrivals::new(&serving.limits),
        serving,
    });
    let serving = &listening.serving;
    loop {
        let accepted = tokio::select! {
            biased;
            () = serving.cut.cancelled() => return,
            () = serving.stop.cancelled() => break,
            accepted = next(&listener, &slots) => accepted,
        };
        match accepted {
            Ok(accepted) => spawn(&listening, accepted, service.clone()),
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
            spawn(&listening, accepted, service.clone());
        }
    }
}

fn spawn<S, F>(listening: &Arc<Listening>, accepted: Accepted, service: S)
where
    S: Fn(Request<Incoming>, Arc<Downstream>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Serving { workers, tasks, .. } = &listening.serving;
    let seat = workers.as_ref().and_then(Workers::seat);
    let runtime = seat.as_ref().map(|seat| seat.runtime().clone());
    let connection = connection::run(Arc::clone(listening), accepted, seat, service);
    match runtime {
        Some(runtime) => tasks.spawn_on(connection, &runtime),
        None => tasks.spawn(connection),
    };
}

/// Waits for a free slot first: beyond `max_connections` clients queue in the kernel.
async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> io::Result<Accepted> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // another runtime is going to watch it
    let stream = stream.into_std()?;
    Ok(Accepted { stream, peer, slot })
}

/// A connection that waits in the kernel, if there is one and a free slot for it. Asks the kernel
/// itself: the runtime may not have been told yet.
fn queued(listener: &std::net::TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot: OwnedSemaphorePermit = Arc::clone(slots).try_acquire_owned().ok()?;
    let (stream, peer) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(Accepted { stream, peer, slot })
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

#[cfg(test)]
mod tests;
