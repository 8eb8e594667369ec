//! A connection that speaks HTTP/2: shared by streams, driven by tasks of its own.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, sleep_until};

use super::addresses::Address;
use super::connection::Lost;
use super::dial::Stream;
use super::limit::Slot;
use super::patience::Patience;
use super::payload::Payload;

/// Streams of one connection after which another is opened, however many the server allows: all of
/// them wait for one lost packet (RFC 9113 6.5.2 recommends no fewer).
const MOST_STREAMS: usize = 100;

/// The part of a connection that begins streams; it ends when no more may be begun.
pub(super) type Driven = http2::Connection<TokioIo<Stream>, Payload, Holding>;

/// Runs the parts of a connection. Its slot is held until the last of them has ended: a server that
/// goes away (GOAWAY) takes no more streams, but finishes those it has.
#[derive(Clone, Debug)]
pub(super) struct Holding(Arc<Slot>);

impl Holding {
    pub(super) fn new(slot: Slot) -> Self {
        Self(Arc::new(slot))
    }
}

impl<F> Executor<F> for Holding
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, fut: F) {
        let slot = Arc::clone(&self.0);
        TokioExecutor::new().execute(async move {
            fut.await;
            drop(slot);
        });
    }
}

/// A share of an HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Payload>,
    address: Arc<Address>,
    /// One is held by the lane and one by each stream.
    known: Arc<Known>,
    /// When the connection was opened.
    pub(super) opened: Instant,
    /// When a stream was last begun; known to the lane.
    pub(super) used: Instant,
}

/// What is known of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Known {
    /// Most streams its server allows, as far as it has said.
    most: AtomicUsize,
    /// Whether it has answered.
    answered: AtomicBool,
    /// Whether its latest news is that it did not answer in time: its server may have vanished.
    late: AtomicBool,
    /// Why it ended: its first stream to fail is told.
    end: Mutex<Option<hyper::Error>>,
    /// Wakes whoever drives it.
    driver: AtomicWaker,
}

impl Known {
    fn answered(&self) {
        self.late.store(false, Ordering::Relaxed);
        // what it allows it has said before its first answer (RFC 9113 3.4)
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.driver.wake();
        }
    }

    fn lost(&self, lost: TrySendError<Request<Payload>>) -> Lost {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        Lost::because(end.take(), lost)
    }
}

impl Http2 {
    pub(super) fn new(sender: http2::SendRequest<Payload>, address: Arc<Address>) -> Self {
        let now = Instant::now();
        Self {
            sender,
            address,
            known: Arc::new(Known {
                most: AtomicUsize::new(MOST_STREAMS),
                answered: AtomicBool::new(false),
                late: AtomicBool::new(false),
                end: Mutex::default(),
                driver: AtomicWaker::new(),
            }),
            opened: now,
            used: now,
        }
    }

    /// Where it leads.
    pub(super) fn address(&self) -> &Arc<Address> {
        &self.address
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether another stream will do well on it: it takes more, and answers.
    pub(super) fn has_room(&self) -> bool {
        let most = self.known.most.load(Ordering::Relaxed);
        self.streams() < most && !self.is_late()
    }

    /// Whether it has not answered in time, and nothing since.
    pub(super) fn is_late(&self) -> bool {
        self.known.late.load(Ordering::Relaxed)
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        Arc::strong_count(&self.known).saturating_sub(1)
    }

    /// Drives `connection`, which is this one's, to its end.
    pub(super) fn drive(&self, connection: Driven) -> impl Future<Output = ()> + use<> {
        let known = Arc::downgrade(&self.known);
        let mut connection = Box::pin(connection);
        poll_fn(move |cx| {
            let ended = connection.as_mut().poll(cx);
            if let Some(known) = known.upgrade() {
                let most = connection.current_max_send_streams();
                let most = most.clamp(1, MOST_STREAMS);
                known.most.store(most, Ordering::Relaxed);
                known.driver.register(cx.waker());
            }
            let Err(error) = ready!(ended) else {
                return Poll::Ready(());
            };
            tracing::debug!(%error, "HTTP/2 connection ended");
            if let Some(known) = known.upgrade() {
                *known.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            Poll::Ready(())
        })
    }

    /// Sends a request and waits for the response's head.
    pub(super) fn exchange(
        &mut self,
        request: Request<Payload>,
        patience: &Patience,
    ) -> impl Future<Output = Result<Response<Incoming>, Lost>> {
        let answer = self.sender.try_send_request(request);
        let known = &self.known;
        async move {
            let mut answer = pin!(answer);
            let mut alarm = Box::pin(sleep_until(patience.first_deadline()));
            poll_fn(|cx| {
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    if answer.is_ok() {
                        known.answered();
                    }
                    return Poll::Ready(answer.map_err(|lost| known.lost(lost)));
                }
                patience.poll_late(&mut alarm, cx).map(|()| {
                    known.late.store(true, Ordering::Relaxed);
                    Err(Lost::Late)
                })
            })
            .await
        }
    }
}
