//! One connection, on its worker: its stream is guarded, hyper reads its requests, and the drain
//! asks it to end.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::arrival::Arrived;
use super::frames::Flood;
use super::guard::{Activity, Ending, Guarded, InFlight};
use super::streams::{Portions, Streams};
use super::upgraded::{Next, Upgraded};
use super::{Downstream, Listening, Serving, handshake};
use crate::client::pool::ReplyError;
use crate::config;
use crate::reason::Denial;
use crate::server::body::Body;
use crate::server::respond;
use crate::server::workers::Seat;
use crate::telemetry::metrics::Refused;

/// hyper refuses a smaller buffer.
const LEAST_BUFFER: usize = 8192;
/// hyper's own limit of header fields, which costs nothing to keep.
const USUAL_HEADERS: usize = 100;
/// Most HTTP/2 requests that were cancelled before they were accepted.
const MAX_PENDING_RESETS: usize = 20;
/// Most HTTP/2 streams of one connection that are ended for a mistake of the client.
const MAX_ERROR_RESETS: usize = 1024;
/// Bytes of a response kept for one HTTP/2 stream whose client does not read (hyper: 400 KiB).
const MAX_SEND_BUFFER: usize = 64 << 10;
/// HTTP/2 pings find clients that vanished without a FIN.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a connection is still read from once the process stops.
const LAST_READ: Duration = Duration::from_millis(100);

/// What the drain tells a connection.
enum Told {
    Stop,
    Cut,
}

/// A connection the kernel gave us, with its slot among `max_connections`.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) slot: OwnedSemaphorePermit,
}

/// HTTP/1.1 and HTTP/2 as one listener speaks them.
pub(super) type Protocols = auto::Builder<Streams>;

/// How `serving` speaks HTTP.
pub(super) fn protocols(serving: &Serving) -> Protocols {
    let limits = &serving.limits;
    let streams = Streams::new(serving.tasks.clone(), limits.idle_timeout);
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // ours to time: see `guard`
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes.max(LEAST_BUFFER));
    if limits.max_headers != USUAL_HEADERS {
        builder.http1().max_headers(limits.max_headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2.max_streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

/// Serves `accepted` to its end.
pub(super) async fn run<S, F>(
    listening: Arc<Listening>,
    accepted: Accepted,
    seat: Option<Seat>,
    service: S,
) where
    S: Fn(Request<Incoming>, Arc<Downstream>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Accepted { stream, peer, slot } = accepted;
    let Listening {
        serving,
        protocols,
        arrivals,
    } = &*listening;
    let open = Open::new(&listening, slot);
    let mut stream = match TcpStream::from_std(stream)
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
    {
        Ok(stream) => stream,
        Err(error) => {
            // the client is gone already
            tracing::debug!(listener = serving.name, %error, "connection lost before it began");
            return;
        }
    };
    let arrived = tokio::select! {
        biased;
        arrived = arrivals.admit(serving, &mut stream, peer) => arrived,
        () = serving.cut.cancelled() => return,
    };
    let Arrived {
        peer,
        counted: _counted,
    } = match arrived {
        Ok(arrived) => arrived,
        Err(Refused::PeerLimit) => {
            // it does not keep others out while it reads why
            drop((open, seat));
            return arrivals.turn_away(serving, stream).await;
        }
        Err(Refused::ProxyHeader | Refused::Resets | Refused::ControlFrames) => return,
    };
    let shaken = tokio::select! {
        biased;
        shaken = handshake::shake(serving, stream, peer) => shaken,
        () = serving.cut.cancelled() => return,
    };
    let Some((stream, tls)) = shaken else {
        return;
    };
    let worker = seat.as_ref().map_or(0, Seat::worker);
    let withdrawn = tls.as_ref().and_then(|tls| tls.withdrawn.clone());
    let downstream = Arc::new(Downstream::new(peer, worker, tls));
    let activity = Arc::new(Activity::new());
    let stream = Guarded::new(stream, &serving.limits, Arc::clone(&activity));
    let streams = serving.telemetry.metrics.http2_streams(serving.name);
    // one count for a request to take, on a line of memory that no other worker writes
    let local = Arc::new(Local {
        listening: Arc::clone(&listening),
        downstream,
        activity: Arc::clone(&activity),
        next: Next::default(),
    });
    let shared = Arc::clone(&local);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let local = Arc::clone(&shared);
        let serving = &local.listening.serving;
        let closable = request.version() <= http::Version::HTTP_11;
        let in_flight = InFlight::new(&local.activity, (!closable).then_some(&streams));
        let client = hyper::upgrade::on(&mut request);
        let answer = match excess(&request, &serving.limits) {
            Some(denial) => Err(denial),
            // a panic before the future exists is caught too; boxed, since hyper moves it about, and
            // the box first, so that the future is made in it
            None => Ok(std::panic::catch_unwind(AssertUnwindSafe(|| {
                let place = Box::new_uninit();
                let answer = service(request, Arc::clone(&local.downstream));
                Box::into_pin(Box::write(place, answer))
            }))),
        };
        async move {
            let serving = &local.listening.serving;
            let answered = match answer {
                Ok(Ok(answer)) => AssertUnwindSafe(answer).catch_unwind().await,
                Ok(Err(panic)) => Err(panic),
                Err(denial) => {
                    serving.rejected(&denial);
                    Ok(respond::early(&denial))
                }
            };
            let mut response = answered.unwrap_or_else(|_panic| {
                serving.telemetry.metrics.panicked();
                respond::panicked()
            });
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let body = std::mem::replace(response.body_mut(), Body::empty());
                local.next.set(Upgraded {
                    client,
                    body,
                    _in_flight: in_flight,
                });
                return Ok(response.map(Counted::uncounted));
            }
            // after a timeout nobody knows where the next request begins (RFC 9110 15.5.9)
            let late = response.status() == StatusCode::REQUEST_TIMEOUT;
            if closable && (late || serving.leaving.load(Ordering::Relaxed)) {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, std::convert::Infallible>(response.map(|body| Counted {
                body: Portions::new(body),
                _in_flight: Some(in_flight),
            }))
        }
    });
    let mut connection =
        pin!(protocols.serve_connection_with_upgrades(TokioIo::new(stream), answer));
    // polled only when they woke us: looking at a token takes a lock that all workers share
    let stop = leave(&serving.stop, withdrawn.as_ref());
    let cut = serving.cut.cancelled();
    let mut told = FuturesUnordered::from_iter([
        Either::Left(stop.map(|()| Told::Stop)),
        Either::Right(cut.map(|()| Told::Cut)),
    ]);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        told = told.next() => {
            if !matches!(told, Some(Told::Stop)) {
                return;
            }
            tokio::select! {
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
            }
        }
    };
    match activity.ending() {
        Some(Ending::HeadTimeout) => serving.rejected(&Denial::RequestTimeout),
        Some(Ending::Flood(flood)) => {
            let refused = match flood {
                Flood::Resets => Refused::Resets,
                Flood::ControlFrames => Refused::ControlFrames,
            };
            let metrics = &serving.telemetry.metrics;
            metrics.connection_refused(serving.name, refused);
        }
        None => {}
    }
    if let Err(error) = ended {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                serving.rejected(&Denial::HeadersTooLarge);
            } else if error.is_parse() {
                serving.rejected(&Denial::RequestMalformed);
            }
        }
        tracing::debug!(listener = serving.name, %peer, error, "connection ended");
    }
    tokio::select! {
        () = local.next.run(leave(&serving.stop, withdrawn.as_ref())) => {}
        () = serving.cut.cancelled() => {}
    }
}

/// Ready when a connection is to end in order: the process stops, or nobody vouches for its client
/// any more.
async fn leave(stop: &CancellationToken, withdrawn: Option<&CancellationToken>) {
    match withdrawn {
        Some(withdrawn) => {
            tokio::select! {
                () = stop.cancelled() => {}
                () = withdrawn.cancelled() => {}
            }
        }
        None => stop.cancelled().await,
    }
}

/// What the requests of one connection share.
struct Local {
    listening: Arc<Listening>,
    downstream: Arc<Downstream>,
    activity: Arc<Activity>,
    next: Next,
}

/// What is too large about a request's head. hyper has counted the fields of HTTP/1 already, and
/// both versions the bytes.
fn excess(request: &Request<Incoming>, limits: &config::Listener) -> Option<Denial> {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > limits.max_uri_bytes) {
        return Some(Denial::UriTooLong);
    }
    (request.headers().len() > limits.max_headers).then_some(Denial::HeadersTooLarge)
}

/// An open connection: holds its slot, shows in the gauge.
struct Open {
    listening: Arc<Listening>,
    _slot: OwnedSemaphorePermit,
}

impl Open {
    fn new(listening: &Arc<Listening>, slot: OwnedSemaphorePermit) -> Self {
        listening.serving.connections(1);
        Self {
            listening: Arc::clone(listening),
            _slot: slot,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listening.serving.connections(-1);
    }
}

/// A response body during which its connection is not idle.
struct Counted {
    body: Portions<Body>,
    _in_flight: Option<InFlight>,
}

impl Counted {
    fn uncounted(body: Body) -> Self {
        Self {
            body: Portions::new(body),
            _in_flight: None,
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
