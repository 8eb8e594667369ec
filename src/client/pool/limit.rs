//! How many connections a pool may have, over all workers.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::addresses::Address;
use super::connection::Connection;
use super::lane::Lane;
use crate::telemetry::metrics::ServerMetrics;

/// The connections a pool may have.
#[derive(Debug)]
pub(super) struct Limit {
    free: Arc<Semaphore>,
    /// Requests that wait for one.
    waiting: AtomicUsize,
    metrics: ServerMetrics,
}

/// One connection's place among them, until it is dropped; and the address it leads to.
#[derive(Debug)]
pub(super) struct Slot {
    address: Arc<Address>,
    metrics: ServerMetrics,
    _permit: OwnedSemaphorePermit,
}

/// What a request that needs a connection gets.
pub(super) enum Room {
    /// It may open one.
    Open(Slot),
    /// One that another request gave back.
    Returned(Connection),
}

impl Limit {
    pub(super) fn new(most: usize, metrics: ServerMetrics) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Whether requests wait for a connection.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Room for a connection to `address`. Where there is none, an idle connection of another worker
    /// (or to another address) gives way; else it is awaited, or one that `fits`. `None` if the
    /// deadline passes.
    pub(super) async fn room(
        &self,
        address: &Arc<Address>,
        own: &Lane,
        lanes: &[Arc<Lane>],
        fits: impl Fn(&Arc<Address>) -> bool,
        deadline: Instant,
    ) -> Option<Room> {
        let slot = |permit| Room::Open(self.slot(address, permit));
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot(permit));
        }
        // whoever gives a connection back from here on sees that it is wanted
        let _waiting = Waiting::new(self, own);
        let evicted = lanes.iter().any(|lane| lane.evict_idle())
            || lanes.iter().any(|lane| lane.evict_shared());
        tracing::trace!(evicted, "no free connection");
        let mut permit = pin!(Arc::clone(&self.free).acquire_owned());
        let mut late = pin!(sleep_until(deadline));
        loop {
            tokio::select! {
                biased;
                permit = permit.as_mut() => return permit.ok().map(slot),
                () = own.returned() => {
                    // one that does not fit is closed, and so makes room
                    let returned = own.any_idle();
                    if let Some(connection) = returned.filter(|one| fits(one.address())) {
                        return Some(Room::Returned(connection));
                    }
                }
                () = late.as_mut() => return None,
            }
        }
    }

    fn slot(&self, address: &Arc<Address>, permit: OwnedSemaphorePermit) -> Slot {
        self.metrics.connections(1);
        Slot {
            address: Arc::clone(address),
            metrics: self.metrics.clone(),
            _permit: permit,
        }
    }
}

impl Slot {
    pub(super) fn address(&self) -> &Arc<Address> {
        &self.address
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.connections(-1);
    }
}

/// Counts one who waits, among all and in its lane.
struct Waiting<'w> {
    limit: &'w Limit,
    lane: &'w Lane,
}

impl<'w> Waiting<'w> {
    fn new(limit: &'w Limit, lane: &'w Lane) -> Self {
        limit.waiting.fetch_add(1, Ordering::SeqCst);
        lane.wanted().fetch_add(1, Ordering::SeqCst);
        Self { limit, lane }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.lane.wanted().fetch_sub(1, Ordering::SeqCst);
        self.limit.waiting.fetch_sub(1, Ordering::SeqCst);
        // it may have been kept for this one, which needs it no more
        self.lane.give_way();
    }
}
