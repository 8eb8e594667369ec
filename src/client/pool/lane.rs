//! The connections of one worker to one server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::addresses::Address;
use super::connection::{Connection, Http1};
use super::http2::Http2;
use super::limit::Limit;

/// Connections kept for reuse. Only their own worker takes them; the locks are free but for the
/// moment in which [`Lane::sweep`] or a request that finds no room looks.
#[derive(Debug)]
pub(super) struct Lane {
    /// HTTP/1.1, the latest used last.
    #[expect(clippy::vec_box, reason = "each moves from request to request")]
    idle: Mutex<Vec<Box<Http1>>>,
    /// HTTP/2, shared by all requests.
    shared: Mutex<Vec<Http2>>,
    idle_timeout: Duration,
    limit: Arc<Limit>,
    /// How many requests have begun: addresses take turns.
    turn: AtomicUsize,
    /// Requests of this worker that wait for a connection to be given back.
    wanted: AtomicUsize,
    returned: Notify,
}

impl Lane {
    pub(super) fn new(idle_timeout: Duration, limit: Arc<Limit>) -> Self {
        Self {
            idle: Mutex::default(),
            shared: Mutex::default(),
            idle_timeout,
            limit,
            turn: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            returned: Notify::new(),
        }
    }

    /// The number of the next request.
    pub(super) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// A kept connection to this address, at this moment.
    pub(super) fn kept(&self, address: &Arc<Address>, now: Instant) -> Option<Connection> {
        if let Some(http2) = self.shared(address, None, Http2::has_room) {
            return Some(Connection::Http2(http2));
        }
        self.kept_http1(address, now)
    }

    /// The same, HTTP/1.1.
    pub(super) fn kept_http1(&self, address: &Arc<Address>, now: Instant) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        while let Some(place) = idle
            .iter()
            .rposition(|http1| Arc::ptr_eq(http1.address(), address))
        {
            let http1 = idle.remove(place);
            if self.keeps(&http1, now) {
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    /// A kept HTTP/1.1 connection, wherever it leads.
    pub(super) fn any_idle(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = lock(&self.idle);
        while let Some(http1) = idle.pop() {
            if self.keeps(&http1, now) {
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    /// A shared connection to this address that `fits`, opened `after` then.
    pub(super) fn shared(
        &self,
        address: &Arc<Address>,
        after: Option<Instant>,
        fits: fn(&Http2) -> bool,
    ) -> Option<Http2> {
        let mut shared = lock(&self.shared);
        let http2 = shared.iter_mut().find(|http2| {
            Arc::ptr_eq(http2.address(), address)
                && http2.is_open()
                && after.is_none_or(|after| http2.opened > after)
                && fits(http2)
        })?;
        http2.used = Instant::now();
        Some(http2.clone())
    }

    /// Lets others share a connection.
    pub(super) fn share(&self, http2: &Http2) {
        lock(&self.shared).push(http2.clone());
    }

    /// Keeps an idle connection for the next request.
    pub(super) fn put(&self, mut http1: Box<Http1>) {
        http1.idle_since = Instant::now();
        if !self.keeps(&http1, http1.idle_since) {
            return;
        }
        lock(&self.idle).push(http1);
        if self.wanted.load(Ordering::SeqCst) > 0 {
            self.returned.notify_one();
        }
        self.give_way();
    }

    /// Where connections are wanted, closes an idle one that no request of this worker waits for.
    pub(super) fn give_way(&self) {
        if self.limit.is_wanted() {
            let wanted = self.wanted.load(Ordering::SeqCst);
            if lock(&self.idle).len() > wanted {
                self.evict_idle();
            }
        }
    }

    /// How many requests of this worker wait for a connection.
    pub(super) fn wanted(&self) -> &AtomicUsize {
        &self.wanted
    }

    /// Ready when a connection was given back while one was wanted.
    pub(super) async fn returned(&self) {
        self.returned.notified().await;
    }

    /// Closes the connection that has been idle for the longest time: whether there was one.
    pub(super) fn evict_idle(&self) -> bool {
        let mut idle = lock(&self.idle);
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        drop(idle);
        oldest.is_some()
    }

    /// Closes a shared connection that carries no stream: whether there was one.
    pub(super) fn evict_shared(&self) -> bool {
        let mut shared = lock(&self.shared);
        let unused = shared.iter().position(|http2| http2.streams() == 0);
        let evicted = unused.map(|place| shared.swap_remove(place));
        drop(shared);
        evicted.is_some()
    }

    fn keeps(&self, http1: &Http1, now: Instant) -> bool {
        now < http1.idle_since + self.idle_timeout && !http1.address().is_gone()
    }

    /// Closes what was closed by the server, has been idle for too long or leads to an address that
    /// is none any more.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        lock(&self.shared).retain(|http2| {
            let waits = now < http2.used + self.idle_timeout && !http2.is_late();
            let in_use = http2.streams() > 0 || waits;
            http2.is_open() && in_use && !http2.address().is_gone()
        });
        let mut idle = lock(&self.idle);
        idle.retain_mut(|http1| self.keeps(http1, now) && http1.is_open());
        idle.shrink_to(16);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
