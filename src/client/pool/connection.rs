//! One connection to a server, and one exchange on it.
//!
//! An HTTP/1.1 connection has no task of its own: whoever awaits its response drives it, first
//! [`Connection::exchange`], then the response's body ([`super::Reply`]). That saves two wake-ups a
//! request, and dropping either closes it. An HTTP/2 connection is shared, so a task drives it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use super::addresses::Address;
use super::bell::Bell;
use super::dial::Stream;
use super::gathered::Gathered;
use super::http2::Http2;
use super::lane::Lane;
use super::limit::Slot;
use super::patience::Patience;
use super::payload::Payload;

/// How long an idle connection's alarm is set for before a request sets it.
const UNSET: Duration = Duration::from_secs(3600);

/// A connection, ready for a request.
pub(super) enum Connection {
    Http1(Box<Http1>),
    Http2(Http2),
}

/// Why an exchange ended without a response head.
pub(super) enum Lost {
    /// No head in time.
    Late,
    /// The connection broke.
    Broken {
        error: hyper::Error,
        /// The request, if nothing of it was sent.
        unsent: Option<Box<Request<Payload>>>,
    },
}

impl Lost {
    /// What the connection says is the reason, if it says one; else the request's own error.
    pub(super) fn because(
        reason: Option<hyper::Error>,
        mut lost: TrySendError<Request<Payload>>,
    ) -> Self {
        Self::Broken {
            unsent: lost.take_message().map(Box::new),
            error: reason.unwrap_or_else(|| lost.into_error()),
        }
    }
}

impl Connection {
    /// Where it leads.
    pub(super) fn address(&self) -> &Arc<Address> {
        match self {
            Self::Http1(http1) => http1.address(),
            Self::Http2(http2) => http2.address(),
        }
    }

    /// Leaves it to the next request, if it will carry one.
    pub(super) fn give_back(self, lane: &Lane) {
        match self {
            Self::Http1(mut http1) => {
                if http1.is_idle() {
                    lane.put(http1);
                }
            }
            // the lane has a share of it
            Self::Http2(_) => {}
        }
    }

    /// Sends a request and waits for the response's head.
    ///
    /// Not an `async fn`, here and below: its future would hold the request, which is sent at once.
    pub(super) fn exchange(
        &mut self,
        request: Request<Payload>,
        patience: &Patience,
    ) -> impl Future<Output = Result<Response<Incoming>, Lost>> {
        match self {
            Self::Http1(http1) => Either::Left(http1.exchange(request, patience)),
            Self::Http2(http2) => Either::Right(http2.exchange(request, patience)),
        }
    }
}

type Driven = http1::Connection<TokioIo<Gathered<Stream>>, Payload>;

/// An HTTP/1.1 connection: one request at a time.
pub(super) struct Http1 {
    sender: http1::SendRequest<Payload>,
    /// `None` once it has ended, unless it switched protocols.
    driven: Option<Driven>,
    /// It has ended with HTTP, by a `101`, and is no longer driven.
    switched: bool,
    /// It takes no further request.
    last: bool,
    alarm: Pin<Box<Sleep>>,
    bell: Bell,
    slot: Slot,
    /// Since when it has been idle.
    pub(super) idle_since: Instant,
}

impl Http1 {
    pub(super) fn new(sender: http1::SendRequest<Payload>, driven: Driven, slot: Slot) -> Self {
        let now = Instant::now();
        Self {
            sender,
            driven: Some(driven),
            switched: false,
            last: false,
            alarm: Box::pin(sleep_until(now + UNSET)),
            bell: Bell::new(),
            slot,
            idle_since: now,
        }
    }

    /// Where it leads.
    pub(super) fn address(&self) -> &Arc<Address> {
        self.slot.address()
    }

    /// An alarm at hand, set for some time or other.
    pub(super) fn alarm(&mut self) -> &mut Pin<Box<Sleep>> {
        &mut self.alarm
    }

    fn exchange(
        &mut self,
        request: Request<Payload>,
        patience: &Patience,
    ) -> impl Future<Output = Result<Response<Incoming>, Lost>> {
        let Self {
            sender,
            driven,
            switched,
            alarm,
            bell,
            ..
        } = self;
        // nobody needs to be woken for the answer: it comes of driving the connection, right here.
        // Unconstrained, it is never told to wait for its turn, which would need a waker too
        let answer = unconstrained(sender.try_send_request(request));
        async move {
            let mut answer = pin!(answer);
            let mut broke = None;
            poll_fn(|cx| {
                let mut unwoken = Context::from_waker(Waker::noop());
                let mut ended = false;
                if let Poll::Ready(error) = poll_driven(driven, &mut bell.hush()) {
                    ended = true;
                    broke = error;
                }
                loop {
                    if let Poll::Ready(answer) = answer.as_mut().poll(&mut unwoken) {
                        *switched = ended && answer.as_ref().is_ok_and(is_switch);
                        if ended && !*switched {
                            *driven = None;
                        }
                        let because = |lost| Lost::because(broke.take(), lost);
                        return Poll::Ready(answer.map_err(because));
                    }
                    if !ended {
                        bell.call(cx);
                        return patience.poll_late(alarm, cx).map(|()| Err(Lost::Late));
                    }
                    // dropped, it tells the request that nothing will answer
                    *driven = None;
                    ended = false;
                }
            })
            .await
        }
    }

    /// What is left of it after a `101`: its stream, and what was read beyond the head. `None` if the
    /// `101` came before the request was sent to its end.
    pub(super) fn into_switched(self) -> Option<Switched> {
        let driven = self.driven.filter(|_driven| self.switched)?;
        let http1::Parts { io, read_buf, .. } = driven.into_parts();
        Some(Switched {
            stream: io.into_inner().0,
            early: read_buf,
            _slot: self.slot,
        })
    }

    /// Moves bytes. What comes of it is told to whoever awaits the response or its body; nobody is
    /// called when more can be done, but by [`Self::call`].
    pub(super) fn drive(&mut self) {
        if let Poll::Ready(error) = poll_driven(&mut self.driven, &mut self.bell.hush()) {
            // whoever still waits for it is told that it is gone, and not why
            self.driven = None;
            if let Some(error) = error {
                tracing::debug!(%error, "connection ended");
            }
        }
    }

    /// Calls this task when it can be driven on.
    pub(super) fn call(&self, task: &Context<'_>) {
        self.bell.call(task);
    }

    /// Whether it waits for its next request, after a response has been read to its end.
    pub(super) fn is_idle(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.drive();
        }
        !self.last && self.driven.is_some() && self.sender.is_ready()
    }

    /// The response it brings is its last: hyper would speak HTTP/1.0 on it from now on, which has
    /// no way to send a body of unknown length.
    pub(super) fn ends(&mut self) {
        self.last = true;
    }

    /// Whether the server has not closed it meanwhile, as far as the runtime has been told.
    pub(super) fn is_open(&mut self) -> bool {
        self.drive();
        self.driven.is_some() && self.sender.is_ready()
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1")
            .field("slot", &self.slot)
            .field("idle_since", &self.idle_since)
            .finish_non_exhaustive()
    }
}

/// Ready once it has ended, in order or not; pending if there is none.
fn poll_driven(driven: &mut Option<Driven>, cx: &mut Context<'_>) -> Poll<Option<hyper::Error>> {
    match driven {
        Some(connection) => connection.poll_without_shutdown(cx).map(Result::err),
        None => Poll::Pending,
    }
}

fn is_switch<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// A connection that speaks another protocol from now on.
#[derive(Debug)]
pub struct Switched {
    /// Its bytes.
    pub stream: Stream,
    /// The first of them, read already.
    pub early: Bytes,
    _slot: Slot,
}

/// Whether a kept connection ended without answering: the server may have closed it just as we wrote.
pub(super) fn closed_unanswered(error: &hyper::Error) -> bool {
    use std::error::Error as _;
    let reset = |io: &io::Error| {
        matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                // TLS without a goodbye
                | io::ErrorKind::UnexpectedEof
        )
    };
    // RFC 9113 6.8 and 8.7: the server has not looked at it
    let untouched = |http2: &h2::Error| {
        let refused = http2.reason() == Some(h2::Reason::REFUSED_STREAM);
        http2.is_remote() && (http2.is_go_away() || refused)
    };
    let io = error.source().and_then(|cause| cause.downcast_ref());
    let http2 = error.source().and_then(|cause| cause.downcast_ref());
    error.is_incomplete_message()
        || error.is_canceled()
        || io.is_some_and(reset)
        || http2.is_some_and(untouched)
}
