//! How long a response is awaited.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::payload::{Payload, Progress};

/// How long a response head is awaited: `timeout` after the last byte of the request's body.
pub(super) struct Patience {
    /// Since when.
    pub(super) since: Instant,
    timeout: Duration,
    deadline: Instant,
    progress: Option<Arc<Progress>>,
}

impl Patience {
    pub(super) fn new(timeout: Duration, body: &Payload) -> Self {
        let since = Instant::now();
        Self {
            since,
            timeout,
            deadline: since + timeout,
            progress: body.progress(),
        }
    }

    /// How far the request's body has come, if it is streamed.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }

    /// The deadline if nothing moves it.
    pub(super) fn first_deadline(&self) -> Instant {
        self.deadline
    }

    /// A long upload is not a late answer, nor is one that waits for its client: how long that may
    /// take is the body's own to say.
    fn deadline(&self) -> Instant {
        if self.progress().is_some_and(Progress::waiting) {
            return Instant::now() + self.timeout;
        }
        let latest = self.progress().and_then(Progress::latest);
        latest.map_or(self.deadline, |at| self.deadline.max(at + self.timeout))
    }

    /// Ready once the deadline has passed. `alarm` may ring early: it is then set again, and a
    /// request that is answered in time never touches the timers of the runtime.
    pub(super) fn poll_late(&self, alarm: &mut Pin<Box<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
        // the deadline only moves on, so that an alarm before its first place is soon enough
        if alarm.deadline() > self.deadline {
            let deadline = self.deadline();
            if alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_flows_leaves_its_alarm_alone() {
        const SECOND: Duration = Duration::from_secs(1);
        const TIMEOUT: Duration = Duration::from_secs(30);
        let progress = Arc::new(Progress::new());
        let since = Instant::now();
        let patience = Patience {
            since,
            timeout: TIMEOUT,
            deadline: since + TIMEOUT,
            progress: Some(Arc::clone(&progress)),
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut alarm = Box::pin(sleep_until(patience.first_deadline()));
        advance(29 * SECOND).await;
        progress.note();
        let moved = Instant::now() + TIMEOUT;
        advance(SECOND).await;
        assert!(patience.poll_late(&mut alarm, &mut cx).is_pending());
        assert_eq!(alarm.deadline(), moved);
        for _ in 0..20 {
            advance(SECOND).await;
            progress.note();
            assert!(patience.poll_late(&mut alarm, &mut cx).is_pending());
            assert_eq!(alarm.deadline(), moved);
        }
        advance(TIMEOUT).await;
        assert!(patience.poll_late(&mut alarm, &mut cx).is_ready());
    }
}
