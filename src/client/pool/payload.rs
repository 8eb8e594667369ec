//! The body of a request we send: nothing, bytes we hold, or the client's own as it comes.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::request::RequestTrailers;
use crate::request::trailers::scrub;

/// What a client's body may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes; `None`: unlimited.
    pub max_bytes: Option<u64>,
    /// Longest wait for the next part before the response begins.
    pub stall: Duration,
    /// Which of its trailer fields pass.
    pub trailers: RequestTrailers,
}

/// Why a client's body could not be sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than [`Limits::max_bytes`].
    #[error("larger than allowed")]
    TooLarge,
    /// No next part within [`Limits::stall`].
    #[error("stalled")]
    Stalled,
    /// Malformed, or the client went away.
    #[error("broken off")]
    Broken,
}

/// The body of a request we send.
#[derive(Debug)]
pub enum Payload {
    /// No bytes.
    Empty,
    /// Bytes we hold, so that they can be sent again.
    Full(Bytes),
    /// The client's body, as it comes. Boxed: most requests have none, and are moved about.
    Streamed(Box<Streamed>),
}

/// A client's body on its way.
#[derive(Debug)]
pub struct Streamed {
    incoming: Incoming,
    limits: Limits,
    left: u64,
    progress: Arc<Progress>,
    /// Set while the client is awaited.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How far a streamed body has come; shared with whoever awaits the response.
#[derive(Debug)]
pub(super) struct Progress {
    since: Instant,
    /// Milliseconds after `since` of the latest part.
    latest: AtomicU64,
    broken: AtomicU8,
    /// The client is awaited.
    waiting: AtomicBool,
    /// The response has begun.
    answered: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            latest: AtomicU64::new(0),
            broken: AtomicU8::new(0),
            waiting: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
    }

    /// The response has begun: from now on the client may be as silent as it likes, since with both
    /// halves under way (gRPC) it may only be listening.
    pub(super) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the client's next part is awaited: then the server is not to blame for silence.
    pub(super) fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// When the latest part was sent on; `None` before the first.
    pub(super) fn latest(&self) -> Option<Instant> {
        match self.latest.load(Ordering::Relaxed) {
            0 => None,
            latest => Some(self.since + Duration::from_millis(latest)),
        }
    }

    /// Why the body ended early, if it did.
    pub(super) fn broken(&self) -> Option<BodyError> {
        match self.broken.load(Ordering::Relaxed) {
            1 => Some(BodyError::TooLarge),
            2 => Some(BodyError::Stalled),
            3 => Some(BodyError::Broken),
            _whole => None,
        }
    }

    pub(super) fn note(&self) {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(elapsed.max(1), Ordering::Relaxed);
    }

    fn breaks(&self, error: BodyError) -> BodyError {
        let code = match error {
            BodyError::TooLarge => 1,
            BodyError::Stalled => 2,
            BodyError::Broken => 3,
        };
        self.broken.store(code, Ordering::Relaxed);
        error
    }
}

impl Payload {
    /// Passes on a client's body, within `limits`. An empty one is [`Payload::Empty`].
    #[must_use]
    pub fn streamed(incoming: Incoming, limits: impl FnOnce() -> Limits) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let limits = limits();
        Self::Streamed(Box::new(Streamed {
            left: limits.max_bytes.unwrap_or(u64::MAX),
            incoming,
            limits,
            progress: Arc::new(Progress::new()),
            timer: None,
        }))
    }

    /// The same body once more; `None` if it is the client's.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Full(bytes) => Some(Self::Full(bytes.clone())),
            Self::Streamed(_) => None,
        }
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Streamed(streamed) => Some(Arc::clone(&streamed.progress)),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Streamed(streamed) => streamed.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Streamed(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(streamed) => streamed.incoming.size_hint(),
        }
    }
}

impl Streamed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let stall = self.limits.stall;
            self.progress.waiting.store(true, Ordering::Relaxed);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall)));
            while timer.as_mut().poll(cx).is_ready() {
                if !self.progress.answered.load(Ordering::Relaxed) {
                    let stalled = self.progress.breaks(BodyError::Stalled);
                    return Poll::Ready(Some(Err(stalled)));
                }
                timer.as_mut().reset(Instant::now() + stall);
            }
            return Poll::Pending;
        };
        self.timer = None;
        self.progress.waiting.store(false, Ordering::Relaxed);
        self.progress.note();
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                tracing::debug!(%error, "request body");
                return Poll::Ready(Some(Err(self.progress.breaks(BodyError::Broken))));
            }
        };
        let frame = match frame.into_trailers() {
            Ok(trailers) => {
                Frame::trailers(scrub(trailers, |name| self.limits.trailers.passes(name)))
            }
            Err(data) => data,
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = self.left.checked_sub(bytes) else {
            return Poll::Ready(Some(Err(self.progress.breaks(BodyError::TooLarge))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }
}
