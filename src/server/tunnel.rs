//! A connection after a `101`: bytes of another protocol, copied both ways until a side closes, its
//! time is over, nothing has passed for too long, or it is asked to leave.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::pool::Switched;
use crate::telemetry::{Plane, Telemetry};

/// How long both sides of a tunnel that we end are given to take the goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The upstream's side of an upgraded connection. Shows in the gauge while it exists.
pub struct Tunnel {
    upstream: Switched,
    until: Option<Instant>,
    idle_timeout: Duration,
    passed: Passed,
    plane: Plane,
    telemetry: Arc<Telemetry>,
}

/// What has passed.
#[derive(Debug)]
struct Passed {
    since: Instant,
    /// When bytes last passed, in milliseconds after `since`.
    latest: AtomicU64,
    /// Bytes the client was sent.
    sent: AtomicU64,
}

impl Passed {
    fn note(&self) {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(elapsed, Ordering::Relaxed);
    }

    fn latest(&self) -> Instant {
        self.since + Duration::from_millis(self.latest.load(Ordering::Relaxed))
    }

    fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.note();
    }
}

impl Tunnel {
    /// A tunnel to `upstream` on this plane. It ends at `until`, and when nothing has passed for
    /// `idle_timeout`.
    pub(super) fn new(
        upstream: Switched,
        until: Option<Instant>,
        idle_timeout: Duration,
        plane: Plane,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        telemetry.metrics.upgraded_connections(plane, 1);
        Self {
            upstream,
            until,
            idle_timeout,
            passed: Passed {
                since: Instant::now(),
                latest: AtomicU64::new(0),
                sent: AtomicU64::new(0),
            },
            plane,
            telemetry,
        }
    }

    /// Bytes the client was sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.passed.sent.load(Ordering::Relaxed)
    }

    /// Copies to its end between the upstream and `client`, or until `stop`.
    pub(super) async fn run(
        &mut self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        stop: impl Future<Output = ()>,
    ) {
        let Self {
            upstream: Switched { stream, early, .. },
            until,
            idle_timeout,
            passed,
            ..
        } = self;
        let passed = &*passed;
        let mut client = Watched { client, passed };
        let copy = async {
            client.write_all(early).await?;
            client.flush().await?;
            tokio::io::copy_bidirectional(&mut client, stream).await
        };
        let ended = tokio::select! {
            biased;
            copied = copy => match copied {
                Ok(_bytes) => "a side closed it".to_owned(),
                Err(error) => error.to_string(),
            },
            () = silence(passed, *idle_timeout) => "nothing passed for idle_timeout".to_owned(),
            () = over(*until) => "its time is over".to_owned(),
            // it may live for hours, which no grace is long enough for
            () = stop => "it is asked to leave".to_owned(),
        };
        tracing::debug!(plane = self.plane.as_str(), ended, "upgraded connection");
        // FIN, and close_notify over TLS, where the tunnel has not sent them yet
        let goodbye = async { tokio::join!(client.shutdown(), stream.shutdown()) };
        let _taken_or_not = timeout(GOODBYE, goodbye).await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.telemetry.metrics.upgraded_connections(self.plane, -1);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("until", &self.until)
            .field("passed", &self.passed)
            .finish_non_exhaustive()
    }
}

async fn silence(passed: &Passed, longest: Duration) {
    loop {
        let end = passed.latest() + longest;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

async fn over(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The client's stream; notes what passes.
struct Watched<'t, S> {
    client: S,
    passed: &'t Passed,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.client).poll_read(cx, buf);
        if read.is_ready() {
            this.passed.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.client).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            this.passed.sent(bytes);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().client).poll_shutdown(cx)
    }
}
