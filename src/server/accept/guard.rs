//! A client's stream, with deadlines: first byte and request head within `header_timeout`, next
//! request and any progress of a blocked write within `idle_timeout`. In HTTP/2 it counts frames.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::{Flood, Frames};
use crate::client::pool::gathered;
use crate::config;
use crate::config::Http2Limits;
use crate::reason::Denial;
use crate::server::respond;
use crate::telemetry::metrics::{OpenStream, OpenStreams};

/// Why a stream was ended by its guard, where that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A request head was not complete in time; it was answered.
    HeadTimeout,
    /// Too many frames.
    Flood(Flood),
}

/// What the requests of one connection tell its stream, and what that tells of its end.
#[derive(Debug)]
pub(super) struct Activity {
    since: Instant,
    /// Requests begun so far: one more means that a head was complete.
    begun: AtomicUsize,
    /// Requests whose response has not ended.
    in_flight: AtomicUsize,
    /// When the last one ended, in milliseconds after `since`.
    idle_from: AtomicU64,
    ending: OnceLock<Ending>,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            begun: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            idle_from: AtomicU64::new(0),
            ending: OnceLock::new(),
        }
    }

    /// Why the guard ended the stream, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.get().copied()
    }

    fn end(&self, ending: Ending) -> io::Error {
        // only the first counts
        self.ending.get_or_init(|| ending);
        io::Error::new(io::ErrorKind::InvalidData, "beyond a limit")
    }

    /// Since when no request was in flight; `None` while one is.
    fn idle_since(&self) -> Option<Instant> {
        (self.in_flight.load(Ordering::Acquire) == 0)
            .then(|| self.since + Duration::from_millis(self.idle_from.load(Ordering::Relaxed)))
    }
}

/// A request from its head to the end of its response.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    _stream: Option<OpenStream>,
}

impl InFlight {
    /// A request that has begun; HTTP/2's are counted in `streams`.
    pub(super) fn new(activity: &Arc<Activity>, streams: Option<&OpenStreams>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            activity: Arc::clone(activity),
            _stream: streams.map(OpenStreams::open),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let elapsed = self.activity.since.elapsed().as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.activity.idle_from.store(elapsed, Ordering::Relaxed);
        self.activity.in_flight.fetch_sub(1, Ordering::Release);
    }
}

/// What the bytes read so far are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// A request head (or nothing yet on a new connection), begun then.
    Head(Instant),
    /// No head has begun, or its request is in flight.
    Between,
    /// HTTP/2 frames: bytes between requests are not the start of a head.
    Frames,
}

/// The stream. Its timer is armed lazily: a request that arrives whole never touches it.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    reading: Reading,
    /// `Activity::begun` when a head last began.
    begun: usize,
    /// Bytes of the HTTP/2 preface still to be seen; `None` once the version is known.
    preface: Option<&'static [u8]>,
    http2: Http2Limits,
    /// The frames of HTTP/2.
    frames: Option<Box<Frames>>,
    read_timer: Pin<Box<Sleep>>,
    /// Set while a write is blocked.
    write_timer: Option<Pin<Box<Sleep>>>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, limits: &config::Listener, activity: Arc<Activity>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            reading: Reading::Head(now),
            begun: 0,
            preface: Some(PREFACE),
            http2: limits.http2,
            frames: None,
            read_timer: Box::pin(sleep_until(
                now + limits.header_timeout.min(limits.idle_timeout),
            )),
            write_timer: None,
        }
    }

    /// A head whose request has begun is complete.
    fn settle(&mut self) {
        let begun = self.activity.begun.load(Ordering::Relaxed);
        if matches!(self.reading, Reading::Head(_)) && begun != self.begun {
            self.reading = Reading::Between;
        }
    }

    /// Notes what newly read bytes are part of.
    fn note(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        if let Some(rest) = self.preface {
            let seen = bytes.len().min(rest.len());
            let (expected, rest) = rest.split_at(seen);
            self.preface = if let Some(after) = bytes.strip_prefix(expected) {
                if rest.is_empty() {
                    self.reading = Reading::Frames;
                    self.frames = Some(Box::new(Frames::new(self.http2, Instant::now())));
                    bytes = after;
                    None
                } else {
                    Some(rest)
                }
            } else {
                None
            };
        }
        if let Some(frames) = &mut self.frames {
            return frames.read(bytes, Instant::now);
        }
        self.settle();
        if self.reading == Reading::Between && self.activity.idle_since().is_some() {
            self.begun = self.activity.begun.load(Ordering::Relaxed);
            self.reading = Reading::Head(Instant::now());
        }
        Ok(())
    }

    /// The deadline of the read that is pending; `None` while a request is in flight.
    fn deadline(&mut self) -> Option<Instant> {
        self.settle();
        match self.reading {
            Reading::Head(begun) => Some(begun + self.header_timeout),
            Reading::Between | Reading::Frames => {
                self.activity.idle_since().map(|at| at + self.idle_timeout)
            }
        }
    }

    /// Ready once the pending read has missed its deadline.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.deadline();
            // an earlier alarm is left alone: it looks again, and costs nothing until then
            if let Some(deadline) = deadline
                && self.read_timer.deadline() > deadline
            {
                self.read_timer.as_mut().reset(deadline);
            }
            std::task::ready!(self.read_timer.as_mut().poll(cx));
            let now = Instant::now();
            let again = match deadline {
                Some(deadline) if deadline <= now => return Poll::Ready(()),
                Some(deadline) => deadline,
                // nothing wakes us when a request ends, so look now and then
                None => now + self.header_timeout.min(self.idle_timeout),
            };
            self.read_timer.as_mut().reset(again);
        }
    }

    /// Turns a write blocked for too long into an error.
    fn watch_write<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_timer = None;
            return written;
        }
        let idle_timeout = self.idle_timeout;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle_timeout)));
        timer.as_mut().poll(cx).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read",
            ))
        })
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    /// What becomes of a read that is late: an HTTP/1 head that has begun is answered.
    fn late(&mut self, cx: &mut Context<'_>) -> io::Error {
        let head_begun = self.preface.is_none() && matches!(self.reading, Reading::Head(_));
        // with a write blocked nothing more can be said
        if head_begun && self.write_timer.is_none() {
            let answer = respond::early_bytes(&Denial::RequestTimeout);
            let written = Pin::new(&mut self.stream).poll_write(cx, &answer);
            if matches!(written, Poll::Ready(Ok(_)))
                && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx)
            {
                return error;
            }
            return self.activity.end(Ending::HeadTimeout);
        }
        io::Error::new(io::ErrorKind::TimedOut, "the client is silent")
    }

    /// Counts what a write has sent.
    fn sent(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, written) {
            frames.wrote(*bytes);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                let noted = match buf.filled().get(before..) {
                    Some(bytes) if !bytes.is_empty() => this.note(bytes),
                    Some(_) | None => Ok(()),
                };
                Poll::Ready(noted.map_err(|flood| this.activity.end(Ending::Flood(flood))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_late(cx).map(|()| Err(this.late(cx))),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.sent(&written);
        this.watch_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = gathered::poll_write_vectored(Pin::new(&mut this.stream), cx, bufs);
        this.sent(&written);
        this.watch_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // over TLS what was written may still be ours to send
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch_write(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch_write(closed, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Takes what is written and never gets it off, as TLS does before a client that does not read.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_got_off_ends_at_the_idle_timeout() {
        let limits = config::Listener::at((Ipv4Addr::LOCALHOST, 0).into());
        let begun = Instant::now();
        let mut stream = Guarded::new(Stuck, &limits, Arc::new(Activity::new()));
        stream.write_all(b"goodbye").await.unwrap();
        assert!(stream.flush().await.is_err());
        assert_eq!(begun.elapsed(), limits.idle_timeout);
        let mut stream = Guarded::new(Stuck, &limits, Arc::new(Activity::new()));
        assert!(stream.shutdown().await.is_err());
        assert_eq!(begun.elapsed(), 2 * limits.idle_timeout);
    }
}
