//! HTTP/2 streams: each runs in a task of its own, where shutdown can wait for it, and ends when its
//! client takes nothing of the response for `idle_timeout`.
//!
//! A client that grants no window does not block the connection, so that [`super::guard`] sees no
//! write that waits; its streams would hold what they have of an upstream as long as it likes.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::task::TaskTracker;

/// Most bytes of a response that a stream hands on at once: what a client must take within
/// `idle_timeout`, however slow it is. One DATA frame.
const PORTION: usize = 16 << 10;

thread_local! {
    /// What became of the body of the stream that is being polled; `None`: no stream is.
    static BODY: Cell<Option<Asked>> = const { Cell::new(None) };
}

/// What a stream that is polled does with the body of its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It does not ask for more: there is no body yet, or its client takes none of what it has.
    No,
    /// It waits for more: the server is silent, and not its client.
    Awaited,
    /// It was given more.
    Given,
}

/// Runs HTTP/2 streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    tasks: TaskTracker,
    idle_timeout: Duration,
}

impl Streams {
    /// Streams that run in `tasks` and end once their client has taken nothing for `idle_timeout`.
    pub(super) fn new(tasks: TaskTracker, idle_timeout: Duration) -> Self {
        Self {
            tasks,
            idle_timeout,
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, fut: F) {
        self.tasks.spawn(taken(fut, self.idle_timeout));
    }
}

/// Runs a stream to its end, or until its client has taken nothing of its response for `longest`.
/// Dropped before its end, it is reset.
async fn taken<F: Future>(stream: F, longest: Duration) {
    let mut stream = pin!(stream);
    // since when it has had something that its client does not take
    let mut since = None;
    let mut alarm = None;
    poll_fn(|cx| {
        BODY.set(Some(Asked::No));
        let polled = stream.as_mut().poll(cx);
        match BODY.take() {
            Some(Asked::No) | None => {}
            Some(Asked::Awaited) => since = None,
            Some(Asked::Given) => since = Some(Instant::now()),
        }
        match since {
            Some(since) if polled.is_pending() => {
                let late = poll_late(&mut alarm, since + longest, cx);
                if late.is_ready() {
                    tracing::debug!("an HTTP/2 stream of which the client takes nothing");
                }
                late
            }
            Some(_) | None => polled.map(drop),
        }
    })
    .await;
}

/// Ready once it is later than `due`. The alarm may ring early: it is then set again, and a stream
/// that flows leaves the timers of the runtime alone.
fn poll_late(alarm: &mut Option<Pin<Box<Sleep>>>, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
    while alarm.as_mut().poll(cx).is_ready() {
        if due <= Instant::now() {
            return Poll::Ready(());
        }
        alarm.as_mut().reset(due);
    }
    Poll::Pending
}

/// A response's body, which tells the stream that it is part of what it did. To a stream it is given
/// in portions; HTTP/1 takes it as it comes.
pub(super) struct Portions<B> {
    body: B,
    /// What has come and was not handed on yet.
    rest: Bytes,
}

impl<B> Portions<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            rest: Bytes::new(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Portions<B> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.len() > PORTION => self.rest = data,
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let portion = self.rest.split_to(PORTION.min(self.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(portion))))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Portions<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if BODY.get().is_none() {
            return Pin::new(&mut this.body).poll_frame(cx);
        }
        let part = this.poll_part(cx);
        BODY.set(Some(if part.is_pending() {
            Asked::Awaited
        } else {
            Asked::Given
        }));
        part
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http::{Request, Response};
    use http_body_util::StreamBody;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    /// Parts of this many bytes, each of which comes after `pause`.
    fn parts(
        sizes: &'static [usize],
        pause: Duration,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let parts = stream::iter(sizes);
        let parts = futures_util::StreamExt::then(parts, move |size| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; *size])))
        });
        StreamBody::new(Box::pin(parts))
    }

    /// Asks for a response of these parts, whose head comes after `pause` too, with this window.
    async fn ask(sizes: &'static [usize], pause: Duration, window: u32) -> h2::RecvStream {
        let (client, server) = tokio::io::duplex(1 << 20);
        let tasks = TaskTracker::new();
        let streams = Streams::new(tasks.clone(), IDLE);
        let answer = service_fn(move |_request| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Response::new(Portions::new(parts(sizes, pause))))
        });
        let server = http2::Builder::new(streams).serve_connection(TokioIo::new(server), answer);
        tasks.spawn(server);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (mut client, connection) = builder.handshake::<_, Bytes>(client).await.unwrap();
        tasks.spawn(connection);
        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _sent) = client.send_request(request, true).unwrap();
        response.await.unwrap().into_body()
    }

    /// Takes the response, each part of it `pause` after it came.
    async fn take(mut body: h2::RecvStream, pause: Duration) -> Result<usize, h2::Error> {
        let mut taken = 0;
        while let Some(part) = body.data().await {
            let part = part?.len();
            taken += part;
            sleep(pause).await;
            body.flow_control().release_capacity(part)?;
        }
        Ok(taken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_which_its_client_takes_nothing_is_reset_after_the_idle_timeout() {
        for (window, sent) in [(0, 0), (PORTION, PORTION), (100, 100)] {
            let body = ask(&[1 << 20], Duration::ZERO, u32::try_from(window).unwrap()).await;
            let begun = Instant::now();
            let mut body = body;
            let mut taken = 0;
            let error = loop {
                match body.data().await.expect("not the end") {
                    Ok(part) => taken += part.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
            assert_eq!(taken, sent);
            assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_take_its_time_for_each_portion() {
        let body = ask(&[5 * PORTION + 1, 1], Duration::ZERO, 16 << 10).await;
        let begun = Instant::now();
        let taken = take(body, IDLE * 9 / 10).await;
        assert_eq!(taken.unwrap(), 5 * PORTION + 2);
        assert!(begun.elapsed() > 3 * IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_of_the_server_is_not_its_clients() {
        let body = ask(&[10, 10, 10], 10 * IDLE, 10).await;
        assert_eq!(take(body, Duration::ZERO).await.unwrap(), 30);
    }
}
