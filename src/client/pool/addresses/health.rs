//! One address, and whether it is worth a try: after some failures in a row it is ejected for a
//! while, then tried with one request, and back with its first answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::client::jitter;
use crate::telemetry::metrics::ServerMetrics;

/// How often an ejection that follows another doubles.
const MAX_DOUBLINGS: u32 = 3;
/// A trial that has come to nothing after this long makes room for the next.
const TRIAL: Duration = Duration::from_secs(1);

/// When an address is ejected, and where that is told.
#[derive(Debug)]
pub(super) struct Policy {
    /// The server, for the log.
    pub(super) server: String,
    /// Whether its names may lead to link-local addresses.
    pub(super) link_local: bool,
    pub(super) max_failures: u32,
    pub(super) eject_for: Duration,
    /// Where moments are counted from.
    pub(super) epoch: Instant,
    pub(super) metrics: ServerMetrics,
}

/// An address of a server, shared by all workers and its connections.
#[derive(Debug)]
pub(in crate::client::pool) struct Address {
    at: SocketAddr,
    /// Whether DNS no longer names it.
    gone: AtomicBool,
    /// Milliseconds after the epoch up to which it is ejected; 0: it is well.
    until: AtomicU64,
    /// Whether there is anything to forget at the next success.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
    /// Held while a connection that may be shared is opened.
    opening: Semaphore,
    policy: Arc<Policy>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// In a row.
    failures: u32,
    /// Without a success in between.
    ejections: u32,
    /// Whether a request tries whether it is back.
    trial: bool,
}

impl Address {
    pub(super) fn new(at: SocketAddr, policy: &Arc<Policy>) -> Self {
        Self {
            at,
            gone: AtomicBool::new(false),
            until: AtomicU64::new(0),
            troubled: AtomicBool::new(false),
            trouble: Mutex::default(),
            opening: Semaphore::new(1),
            policy: Arc::clone(policy),
        }
    }

    /// Waits for the turn to open a connection that others may share.
    pub(in crate::client::pool) async fn opening(
        &self,
        deadline: Instant,
    ) -> Option<SemaphorePermit<'_>> {
        timeout_at(deadline, self.opening.acquire())
            .await
            .ok()?
            .ok()
    }

    /// Where to connect.
    pub(in crate::client::pool) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Whether DNS no longer names it: its connections are not used again.
    pub(in crate::client::pool) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// A response head came from it.
    pub(in crate::client::pool) fn succeeded(&self) {
        if self.troubled.load(Ordering::Relaxed) && self.forget() {
            let server = &self.policy.server;
            tracing::info!(%server, address = %self.at, "the address answers again");
        }
    }

    /// It could not be connected to, broke off or did not answer in time.
    pub(in crate::client::pool) fn failed(&self) {
        let mut trouble = self.trouble();
        if self.is_gone() {
            return;
        }
        self.troubled.store(true, Ordering::Relaxed);
        trouble.failures = trouble.failures.saturating_add(1);
        let now = self.now();
        let until = self.until();
        // what began before the ejection says nothing new
        let known = until > now && !trouble.trial;
        if trouble.failures < self.policy.max_failures || known {
            return;
        }
        let doublings = trouble.ejections.min(MAX_DOUBLINGS);
        trouble.ejections = trouble.ejections.saturating_add(1);
        trouble.trial = false;
        let longest = self.policy.eject_for.saturating_mul(1 << doublings);
        let time = jitter::between(longest.mul_f64(0.9), longest);
        self.until
            .store(now.saturating_add(millis(time)).max(1), Ordering::Relaxed);
        let first = until == 0;
        self.policy.metrics.ejected(first);
        drop(trouble);
        if first {
            let Policy {
                server,
                max_failures,
                ..
            } = &*self.policy;
            tracing::warn!(%server, address = %self.at, max_failures, ?time, "the address fails: it is left out for a while");
        }
    }

    /// DNS no longer names it.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.forget();
    }

    /// Whether it was ejected.
    fn forget(&self) -> bool {
        let mut trouble = self.trouble();
        *trouble = Trouble::default();
        self.troubled.store(false, Ordering::Relaxed);
        let ejected = self.until.swap(0, Ordering::Relaxed) != 0;
        if ejected {
            self.policy.metrics.returned();
        }
        ejected
    }

    /// Whether it is not ejected.
    pub(super) fn is_well(&self) -> bool {
        self.until() == 0
    }

    /// Milliseconds after the epoch up to which it is ejected; 0: it is well.
    pub(super) fn until(&self) -> u64 {
        self.until.load(Ordering::Relaxed)
    }

    /// Whether its ejection has ended: the caller is then the one who tries.
    pub(super) fn takes_trial(&self) -> bool {
        if self.is_well() || self.until() > self.now() {
            return false;
        }
        let mut trouble = self.trouble();
        let now = self.now();
        let until = self.until();
        if until == 0 || until > now {
            return false;
        }
        trouble.trial = true;
        let next = now.saturating_add(millis(TRIAL));
        self.until.store(next, Ordering::Relaxed);
        true
    }

    /// Failures in a row, and how long it is still ejected.
    pub(super) fn report(&self) -> (u32, Duration) {
        let failures = self.trouble().failures;
        let left = self.until().saturating_sub(self.now());
        (failures, Duration::from_millis(left))
    }

    fn now(&self) -> u64 {
        millis(self.policy.epoch.elapsed())
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
