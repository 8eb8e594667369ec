//! The body of a response, which drives its connection and gives it back at its end.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::{Connection, Http1, Switched};
use super::http2::Http2;
use super::lane::Lane;

/// Why a response's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The server broke off, or sent what is no body.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// `read_timeout` passed without a byte.
    #[error("silent for longer than read_timeout")]
    Silent,
}

/// A response's body. Dropped before its end, it closes its HTTP/1.1 connection, or resets its
/// HTTP/2 stream.
pub struct Reply {
    incoming: Incoming,
    by: By,
    silence: Option<Silence>,
}

/// What the body comes by.
enum By {
    Http1(Box<Http1>, Arc<Lane>),
    /// Driven by a task of its own. The share, and the alarm of the stream.
    Http2(Http2, Option<Pin<Box<Sleep>>>),
    /// Nothing more is needed.
    Done,
    /// It speaks another protocol from now on.
    Switched(Box<Switched>),
}

/// The longest silence allowed, and since when we hear nothing. A reader that is slow to ask is none.
struct Silence {
    longest: Duration,
    since: Option<Instant>,
}

impl Reply {
    /// A body that comes by a connection of `lane`, silent for `longest` at most.
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        lane: &Arc<Lane>,
        longest: Option<Duration>,
    ) -> Self {
        let mut reply = Self {
            incoming,
            by: match connection {
                Connection::Http1(http1) => By::Http1(http1, Arc::clone(lane)),
                Connection::Http2(http2) => By::Http2(http2, None),
            },
            silence: longest.map(|longest| Silence {
                longest,
                since: None,
            }),
        };
        if reply.incoming.is_end_stream() {
            reply.release();
        }
        reply
    }

    /// No body: a `101`.
    pub(super) fn switched(incoming: Incoming, switched: Switched) -> Self {
        Self {
            incoming,
            by: By::Switched(Box::new(switched)),
            silence: None,
        }
    }

    /// The connection that a `101` switched to another protocol; `None` after any other status.
    #[must_use]
    pub fn into_switched(self) -> Option<Switched> {
        match self.by {
            By::Switched(switched) => Some(*switched),
            By::Http1(..) | By::Http2(..) | By::Done => None,
        }
    }

    fn release(&mut self) {
        match std::mem::replace(&mut self.by, By::Done) {
            By::Http1(http1, lane) => Connection::Http1(http1).give_back(&lane),
            By::Http2(..) | By::Done | By::Switched(_) => {}
        }
    }

    /// Ready once the server has been silent for too long. The alarm may ring early: it is then set
    /// again, and a body that flows leaves the timers of the runtime alone.
    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Silence { longest, since }) = &mut self.silence else {
            return Poll::Pending;
        };
        let due = *since.get_or_insert_with(Instant::now) + *longest;
        let alarm = match &mut self.by {
            By::Http1(http1, _lane) => http1.alarm(),
            By::Http2(_share, alarm) => alarm.get_or_insert_with(|| Box::pin(sleep_until(due))),
            By::Done | By::Switched(_) => return Poll::Pending,
        };
        if alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let this = self.get_mut();
        let mut incoming = Pin::new(&mut this.incoming);
        let polled = if let By::Http1(http1, _lane) = &mut this.by {
            // it has something new only after the connection was driven
            let mut unwoken = Context::from_waker(Waker::noop());
            let polled = incoming.as_mut().poll_frame(&mut unwoken);
            if polled.is_pending() {
                http1.drive();
                let polled = incoming.poll_frame(&mut unwoken);
                if polled.is_pending() {
                    http1.call(cx);
                }
                polled
            } else {
                polled
            }
        } else {
            incoming.poll_frame(cx)
        };
        match &polled {
            // nobody asks again after trailers
            Poll::Ready(Some(Ok(frame)))
                if !frame.is_trailers() && !this.incoming.is_end_stream() =>
            {
                if let Some(silence) = &mut this.silence {
                    silence.since = None;
                }
            }
            Poll::Ready(Some(Err(_broken))) => this.by = By::Done,
            Poll::Ready(Some(Ok(_)) | None) => this.release(),
            Poll::Pending => {
                if this.poll_silent(cx).is_ready() {
                    this.by = By::Done;
                    return Poll::Ready(Some(Err(ReplyError::Silent)));
                }
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(ReplyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
