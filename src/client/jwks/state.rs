//! What is known of one issuer's keys. Readers take a published snapshot and never wait; one
//! worker writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use quick_cache::unsync::Cache;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::authn::KeySet;
use crate::client::jwks::schedule::{Budget, after_failure, after_success};
use crate::client::jwks::source::{Definition, Fetch, SourceError};
use crate::clock::{Clock, UnixTime};
use crate::gate::KeysNow;

/// Unknown `kid`s that are remembered.
const MAX_SEEN: usize = 1024;
/// A longer `kid` is not remembered.
const MAX_SEEN_BYTES: usize = 256;
/// Withdrawn keys that the report still shows.
const MAX_HISTORY: usize = 200;
/// A shorter `Retry-After` helps nobody.
const SHORTEST_RETRY_AFTER: Duration = Duration::from_secs(1);
/// When a source on this machine may be right again: it takes a reload.
const LOCAL_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Keys in force.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) set: Arc<KeySet>,
    /// When the issuer (or the disk) last said so.
    pub(super) fetched_at: UnixTime,
    /// Whether they come from the snapshot on disk, and no fetch has succeeded since.
    pub(super) from_snapshot: bool,
}

/// How the latest fetch that ended was numbered; fetches count from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) number: u64,
    /// No fetch will ever end again.
    pub(super) stopped: bool,
}

/// What the worker and the searches share. Locked for a few instructions, never across a wait.
#[derive(Debug)]
pub(super) struct Book {
    /// Fetches begun.
    pub(super) begun: u64,
    /// Fetches ended: `begun`, or one less while one is in flight.
    pub(super) ended: u64,
    /// The latest fetch that succeeded, 0 if none.
    pub(super) succeeded: u64,
    pub(super) succeeded_at: Option<Instant>,
    /// A search has paid for a fetch that has not begun.
    pub(super) wanted: bool,
    pub(super) budget: Budget,
    /// Unknown `kid` → fetches begun when it was first seen. A fetch with a higher number that
    /// lacked it proves it absent.
    seen: Cache<Box<str>, u64>,
    pub(super) next_attempt: Instant,
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    /// `kid` → first and last seen in a set.
    pub(super) history: BTreeMap<Arc<str>, (UnixTime, UnixTime)>,
    pub(super) last_complaint: Option<Instant>,
}

impl Book {
    /// Fetches begun when this `kid` was first seen.
    pub(super) fn first_seen(&mut self, key_id: &str) -> u64 {
        if let Some(number) = self.seen.get(key_id) {
            return *number;
        }
        if key_id.len() <= MAX_SEEN_BYTES {
            self.seen.insert(key_id.into(), self.begun);
        }
        self.begun
    }

    /// Time until somebody will have tried again.
    pub(super) fn retry_after(&mut self, now: Instant) -> Duration {
        self.budget
            .next(now)
            .min(self.next_attempt.saturating_duration_since(now))
            .max(SHORTEST_RETRY_AFTER)
    }
}

/// The network, behind a thin pointer so that it can be swapped.
pub(super) type Network = Arc<dyn Fetch>;

/// One issuer's keys.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    pub(super) definition: Definition,
    pub(super) clock: Arc<dyn Clock>,
    /// The outgoing client of the latest config.
    pub(super) network: ArcSwap<Network>,
    pub(super) published: ArcSwapOption<Published>,
    book: Mutex<Book>,
    pub(super) ended: watch::Sender<Ended>,
    /// A search wants a fetch.
    pub(super) wake: Notify,
    /// A token of every engine that holds this issuer. Once all are cancelled the worker ends.
    pub(super) holders: watch::Sender<Vec<CancellationToken>>,
}

/// What changed with a new set.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) added: Vec<Arc<str>>,
    pub(super) removed: Vec<Arc<str>>,
}

impl Change {
    pub(super) fn between(old: Option<&KeySet>, new: Option<&KeySet>) -> Self {
        let only_in = |set: Option<&KeySet>, other| {
            set.map(|set| kids_only_in(set, other)).unwrap_or_default()
        };
        Self {
            added: only_in(new, old),
            removed: only_in(old, new),
        }
    }
}

impl IssuerKeys {
    pub(super) fn new(definition: Definition, network: Network, clock: Arc<dyn Clock>) -> Self {
        let now = Instant::now();
        let budget = Budget::new(definition.policy.unknown_kid_cooldown, now);
        Self {
            definition,
            clock,
            network: ArcSwap::from_pointee(network),
            published: ArcSwapOption::empty(),
            book: Mutex::new(Book {
                begun: 0,
                ended: 0,
                succeeded: 0,
                succeeded_at: None,
                wanted: false,
                budget,
                seen: Cache::new(MAX_SEEN),
                next_attempt: now,
                failures: 0,
                last_error: None,
                history: BTreeMap::new(),
                last_complaint: None,
            }),
            ended: watch::Sender::new(Ended::default()),
            wake: Notify::new(),
            holders: watch::Sender::new(Vec::new()),
        }
    }

    /// Keeps the worker going until `holder` is cancelled. `false` if it has ended already.
    pub(super) fn hold(&self, holder: &CancellationToken) -> bool {
        self.holders.send_modify(|holders| {
            holders.retain(|holder| !holder.is_cancelled());
            holders.push(holder.clone());
        });
        !self.ended.borrow().stopped
    }

    /// Begins with the keys another engine had from the same source.
    pub(super) fn take_over(&self, old: &Self) {
        self.published.store(old.published.load_full());
        let history = old.book().history.clone();
        self.book().history = history;
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_remote(&self) -> bool {
        self.definition.url().is_some()
    }

    /// The keys, unless they are too old. Keys from this machine do not age.
    pub(super) fn usable(&self) -> Option<Arc<KeySet>> {
        let published = self.published.load();
        let published = published.as_ref()?;
        let max_stale = self.definition.policy.max_stale.as_secs();
        let too_old = self.is_remote() && self.clock.now().since(published.fetched_at) > max_stale;
        (!too_old).then(|| Arc::clone(&published.set))
    }

    pub(super) fn find(&self) -> KeysNow {
        match self.usable() {
            Some(set) => KeysNow::Usable(set),
            None => KeysNow::Unavailable {
                retry_after: self.retry_after(),
            },
        }
    }

    fn retry_after(&self) -> Duration {
        if !self.is_remote() {
            return LOCAL_RETRY_AFTER;
        }
        let now = Instant::now();
        let next = self.book().next_attempt.saturating_duration_since(now);
        next.max(SHORTEST_RETRY_AFTER)
    }

    /// Whether it ever had keys.
    pub(super) fn had_keys(&self) -> bool {
        self.published.load().is_some()
    }

    /// Begins the next fetch if one is due or paid for. `Some(scheduled)` if so.
    pub(super) fn begin(&self) -> Option<bool> {
        let mut book = self.book();
        let scheduled = book.next_attempt <= Instant::now();
        if !scheduled && !book.wanted {
            return None;
        }
        book.begun += 1;
        book.wanted = false;
        Some(scheduled)
    }

    /// A fetch brought this set. Says what changed, if anything.
    pub(super) fn succeed(&self, set: KeySet, max_age: Option<Duration>) -> Option<Change> {
        let now = Instant::now();
        let change = self.publish(set, self.clock.now(), false);
        let mut book = self.book();
        if change.is_some() {
            book.seen.clear();
        }
        book.ended = book.begun;
        book.succeeded = book.begun;
        book.succeeded_at = Some(now);
        book.failures = 0;
        book.last_error = None;
        book.last_complaint = None;
        book.next_attempt = now + after_success(&self.definition.policy, max_age);
        let number = book.ended;
        drop(book);
        self.ended.send_modify(|ended| ended.number = number);
        change
    }

    /// A fetch failed: the old set stays.
    pub(super) fn fail(&self, error: &SourceError) {
        let now = Instant::now();
        let mut book = self.book();
        book.ended = book.begun;
        book.failures = book.failures.saturating_add(1);
        book.last_error = Some(error.to_string());
        book.next_attempt = now + after_failure(book.failures, error.retry_after());
        let number = book.ended;
        drop(book);
        self.ended.send_modify(|ended| ended.number = number);
    }

    /// Puts a set in force. An equal set keeps the old one's place, so that what was verified with
    /// it stays verified.
    pub(super) fn publish(
        &self,
        set: KeySet,
        fetched_at: UnixTime,
        from_snapshot: bool,
    ) -> Option<Change> {
        let old = self.published.load_full();
        let same = old
            .as_ref()
            .filter(|old| old.set.fingerprint == set.fingerprint && old.set.skipped == set.skipped);
        let change = match &old {
            Some(old) if old.set.fingerprint == set.fingerprint => None,
            _ => Some(Change::between(
                old.as_ref().map(|old| &*old.set),
                Some(&set),
            )),
        };
        let set = same.map_or_else(|| Arc::new(set), |old| Arc::clone(&old.set));
        self.record_history(&set, fetched_at);
        self.published.store(Some(Arc::new(Published {
            set,
            fetched_at,
            from_snapshot,
        })));
        change
    }

    fn record_history(&self, set: &KeySet, at: UnixTime) {
        let mut book = self.book();
        for key_id in set.keys().iter().filter_map(|key| key.key_id.as_ref()) {
            book.history.entry(Arc::clone(key_id)).or_insert((at, at)).1 = at;
        }
        while book.history.len() > MAX_HISTORY {
            let oldest = book.history.iter().min_by_key(|(_, (_, last))| *last);
            let Some(oldest) = oldest.map(|(key_id, _)| Arc::clone(key_id)) else {
                return;
            };
            book.history.remove(&oldest);
        }
    }
}

fn kids_only_in(set: &KeySet, other: Option<&KeySet>) -> Vec<Arc<str>> {
    set.keys()
        .iter()
        .filter_map(|key| key.key_id.as_ref())
        .filter(|key_id| {
            other.is_none_or(|other| {
                !other
                    .keys()
                    .iter()
                    .any(|key| key.key_id.as_ref() == Some(*key_id))
            })
        })
        .map(Arc::clone)
        .collect()
}
