//! Keys that are published one by one, each at the URL of its `kid`: a load balancer's.
//!
//! There is nothing to fetch before a token names a key. One that is not known is fetched once for all who
//! want it, from the issuer's budget; a known one never waits for a fetch: once due it is fetched again
//! beside the requests that use it, and used up to `max_stale` while that fails. What nobody uses ages
//! until it is dropped.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use quick_cache::unsync::Cache;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::authn::KeySet;
use crate::client::jwks::schedule::{Budget, after_failure, after_success};
use crate::client::jwks::source::{Definition, SourceError};
use crate::client::jwks::state::{Change, Network};
use crate::client::jwks::{Background, worker};
use crate::client::outgoing::FetchError;
use crate::clock::{Clock, UnixTime};
use crate::gate::{KeysNow, Sought};
use crate::telemetry::Telemetry;

/// Keys kept. A region has a few at a time.
const MOST_KEYS: usize = 16;
/// Unknown `kid`s that are remembered.
const MOST_ABSENT: usize = 1024;
/// The most bytes of a key.
const MOST_BYTES: usize = 16 * 1024;
/// When to try again, where nothing says better.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A lasting outage is logged once per this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// One issuer's keys.
#[derive(Debug)]
pub(super) struct SingleKeys {
    pub(super) definition: Definition,
    base: Url,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    background: Background,
    runtime: Handle,
    /// The outgoing client of the latest config.
    pub(super) network: ArcSwap<Network>,
    published: ArcSwapOption<Published>,
    book: Mutex<Book>,
}

/// Keys in force.
#[derive(Debug)]
struct Published {
    set: Arc<KeySet>,
    /// From then on one of them is to be fetched again, or too old.
    until: UnixTime,
}

#[derive(Clone, Debug)]
struct Kept {
    key_id: Arc<str>,
    pem: Bytes,
    first_seen: UnixTime,
    fetched_at: UnixTime,
    refresh_at: UnixTime,
}

/// Locked for a few instructions, never across a wait.
#[derive(Debug)]
struct Book {
    keys: Vec<Kept>,
    /// `kid` → when the issuer said that there is none.
    absent: Cache<Box<str>, Instant>,
    asking: HashMap<Box<str>, watch::Receiver<Option<Ended>>>,
    budget: Budget,
    failures: u32,
    last_error: Option<String>,
    last_complaint: Option<Instant>,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Found,
    Absent,
    Failed,
}

/// What a fetch brought.
enum Answer {
    Key(Bytes, Option<Duration>),
    Absent,
}

impl SingleKeys {
    pub(super) fn new(
        definition: Definition,
        base: Url,
        network: Network,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        background: Background,
    ) -> Self {
        let budget = Budget::new(definition.policy.unknown_kid_cooldown, Instant::now());
        Self {
            definition,
            base,
            clock,
            telemetry,
            background,
            runtime: Handle::current(),
            network: ArcSwap::from_pointee(network),
            published: ArcSwapOption::empty(),
            book: Mutex::new(Book {
                keys: Vec::new(),
                absent: Cache::new(MOST_ABSENT),
                asking: HashMap::new(),
                budget,
                failures: 0,
                last_error: None,
                last_complaint: None,
            }),
        }
    }

    /// Begins with the keys that were had from the same place.
    pub(super) fn take_over(&self, old: &Self) {
        let keys = old.book().keys.clone();
        let mut book = self.book();
        book.keys = keys;
        self.publish(&mut book);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All keys that are known.
    pub(super) fn find(self: &Arc<Self>) -> KeysNow {
        let mut published = self.published.load_full();
        let now = self.clock.now();
        if published.as_ref().is_some_and(|known| now >= known.until) {
            self.look_again(now);
            published = self.published.load_full();
        }
        match published {
            Some(known) => KeysNow::Usable(Arc::clone(&known.set)),
            None => KeysNow::Unavailable {
                retry_after: RETRY_AFTER,
            },
        }
    }

    /// Looks for a key that is not known, waiting for one fetch at most.
    pub(super) async fn seek(self: &Arc<Self>, key_id: &str) -> Sought {
        let turn = self.turn(key_id);
        let mut waiting = match turn {
            Ok(waiting) => waiting,
            Err(sought) => return sought,
        };
        // a fetch ends by its deadline; the second on top is for one that could not say so
        let longest = self.definition.policy.fetch_timeout + Duration::from_secs(1);
        let ended = match timeout(longest, waiting.wait_for(Option::is_some)).await {
            Ok(Ok(ended)) => *ended,
            Ok(Err(_)) | Err(_) => None,
        };
        let unknown = Sought::Unknown {
            retry_after: RETRY_AFTER,
        };
        match ended {
            Some(Ended::Found) => match self.find() {
                KeysNow::Usable(set) if set.holds(key_id) => Sought::Found(set),
                KeysNow::Usable(_) | KeysNow::Unavailable { .. } => unknown,
            },
            Some(Ended::Absent) => Sought::Absent,
            Some(Ended::Failed) | None => unknown,
        }
    }

    fn turn(self: &Arc<Self>, key_id: &str) -> Result<watch::Receiver<Option<Ended>>, Sought> {
        let now = Instant::now();
        let mut book = self.book();
        if let Some(known) = self.published.load_full()
            && known.set.holds(key_id)
        {
            return Err(Sought::Found(Arc::clone(&known.set)));
        }
        // asked again only once that is a while ago, so that a key published late is found
        let recheck = self.definition.policy.unknown_kid_cooldown * 2;
        if let Some(at) = book.absent.get(key_id)
            && now.saturating_duration_since(*at) < recheck
        {
            return Err(Sought::Absent);
        }
        if let Some(asking) = book.asking.get(key_id) {
            return Ok(asking.clone());
        }
        if !book.budget.take(now) {
            let retry_after = book.budget.next(now).max(RETRY_AFTER);
            return Err(Sought::Unknown { retry_after });
        }
        Ok(self.begin(key_id, &mut book))
    }

    /// Begins a fetch, which ends whoever waits.
    fn begin(self: &Arc<Self>, key_id: &str, book: &mut Book) -> watch::Receiver<Option<Ended>> {
        let (say, ended) = watch::channel(None);
        book.asking.insert(key_id.into(), ended.clone());
        let keys = Arc::clone(self);
        let key_id: Arc<str> = Arc::from(key_id);
        let fetch = async move {
            let _done = Done(&keys, &key_id);
            let how = tokio::select! {
                biased;
                () = keys.background.stop.cancelled() => return,
                answer = keys.attempt(&key_id) => keys.settle(&key_id, answer),
            };
            say.send_replace(Some(how));
        };
        self.background.tasks.spawn_on(fetch, &self.runtime);
        ended
    }

    /// One fetch. A panic in it is a failed one.
    async fn attempt(&self, key_id: &str) -> Result<Answer, SourceError> {
        let deadline = self.definition.policy.fetch_timeout;
        let fetch = timeout(deadline, self.fetch(key_id));
        match AssertUnwindSafe(fetch).catch_unwind().await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_elapsed)) => Err(SourceError::Fetch(FetchError::Timeout)),
            Err(_panic) => {
                self.telemetry.metrics.panicked();
                Err(SourceError::Panicked)
            }
        }
    }

    async fn fetch(&self, key_id: &str) -> Result<Answer, SourceError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // encodes whatever is no part of one segment
            segments.pop_if_empty().push(key_id);
        }
        let network = self.network.load_full();
        let fetched = network
            .fetch(&url, self.definition.policy.fetch_timeout, MOST_BYTES)
            .await
            .map_err(SourceError::Fetch)?;
        if [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&fetched.status) {
            return Ok(Answer::Absent);
        }
        let fetched = fetched.ok().map_err(SourceError::Fetch)?;
        KeySet::from_pem(&fetched.body, &self.definition.algorithms)
            .map_err(SourceError::KeySet)?;
        Ok(Answer::Key(fetched.body, fetched.max_age))
    }

    fn settle(&self, key_id: &Arc<str>, answer: Result<Answer, SourceError>) -> Ended {
        let name = &self.definition.name;
        let now = self.clock.now();
        self.telemetry.metrics.key_refresh(name, answer.is_ok());
        let mut book = self.book();
        let error = match answer {
            Ok(answer) => {
                if book.failures > 0 {
                    tracing::info!(issuer = %name, failures = book.failures, "keys fetched again");
                }
                book.failures = 0;
                book.last_error = None;
                book.last_complaint = None;
                let ended = match answer {
                    Answer::Key(pem, max_age) => {
                        let next = after_success(&self.definition.policy, max_age);
                        book.keep(key_id, pem, now, now.plus(next.as_secs().max(1)));
                        self.telemetry.metrics.keys_fetched(name, now);
                        Ended::Found
                    }
                    Answer::Absent => {
                        book.keys.retain(|kept| kept.key_id != *key_id);
                        book.absent.insert((**key_id).into(), Instant::now());
                        Ended::Absent
                    }
                };
                self.publish(&mut book);
                return ended;
            }
            Err(error) => error,
        };
        book.failures = book.failures.saturating_add(1);
        book.last_error = Some(error.to_string());
        let next = after_failure(book.failures, error.retry_after());
        for kept in book.keys.iter_mut().filter(|kept| kept.key_id == *key_id) {
            kept.refresh_at = now.plus(next.as_secs().max(1));
        }
        self.publish(&mut book);
        let at = Instant::now();
        let loud = book
            .last_complaint
            .is_none_or(|last| at.saturating_duration_since(last) >= COMPLAINT_INTERVAL);
        if loud {
            book.last_complaint = Some(at);
            tracing::warn!(issuer = %name, %error, kid = %key_id, "fetching a key failed");
        } else {
            tracing::debug!(issuer = %name, %error, kid = %key_id, "fetching a key failed again");
        }
        Ended::Failed
    }

    /// Drops what is too old, and begins to fetch again what is due.
    fn look_again(self: &Arc<Self>, now: UnixTime) {
        let mut book = self.book();
        let max_stale = self.definition.policy.max_stale.as_secs();
        book.keys
            .retain(|kept| now.since(kept.fetched_at) <= max_stale);
        let due: Vec<Arc<str>> = book
            .keys
            .iter()
            .filter(|kept| now >= kept.refresh_at)
            .map(|kept| Arc::clone(&kept.key_id))
            .collect();
        for key_id in due {
            if !book.asking.contains_key(&*key_id) {
                self.begin(&key_id, &mut book);
            }
        }
        // a fetch that ends says when to look next; one that never does must not be looked at each time
        let patience = self.definition.policy.fetch_timeout.as_secs().max(1);
        for kept in &mut book.keys {
            if now >= kept.refresh_at {
                kept.refresh_at = now.plus(patience);
            }
        }
        self.publish(&mut book);
    }

    /// Puts what the book holds in force. An equal set keeps the old one's place.
    fn publish(&self, book: &mut Book) {
        let max_stale = self.definition.policy.max_stale.as_secs();
        let until = book
            .keys
            .iter()
            .map(|kept| kept.refresh_at.min(kept.fetched_at.plus(max_stale).plus(1)))
            .min();
        let pems = book.keys.iter().map(|kept| (&kept.key_id, &*kept.pem));
        let set = KeySet::from_pems(pems, &self.definition.algorithms).ok();
        let old = self.published.load_full();
        let old_set = old.as_ref().map(|old| &old.set);
        let changed = old_set.map(|set| set.fingerprint) != set.as_ref().map(|set| set.fingerprint);
        if changed {
            let change = Change::between(old_set.map(|set| &**set), set.as_ref());
            worker::log_change(&self.definition.name, &change);
        }
        let published = set.zip(until).map(|(set, until)| {
            let same = old_set.filter(|_| !changed).map(Arc::clone);
            Arc::new(Published {
                set: same.unwrap_or_else(|| Arc::new(set)),
                until,
            })
        });
        self.published.store(published);
    }

    /// What `/jwks` shows. No key material.
    pub(super) fn report(self: &Arc<Self>, required: bool) -> Value {
        let usable = matches!(self.find(), KeysNow::Usable(_));
        let book = self.book();
        let state = match (usable, book.failures > 0) {
            (true, false) => "fresh",
            (true, true) => "stale",
            (false, false) => "idle",
            (false, true) => "unavailable",
        };
        let keys: Vec<Value> = book
            .keys
            .iter()
            .map(|kept| {
                json!({
                    "kid": *kept.key_id,
                    "algorithms": self.definition.algorithms.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
                    "first_seen": kept.first_seen.to_string(),
                    "last_seen": kept.fetched_at.to_string(),
                })
            })
            .collect();
        let last_success = book.keys.iter().map(|kept| kept.fetched_at).max();
        let next_refresh = book.keys.iter().map(|kept| kept.refresh_at).min();
        let base = format!(
            "{}{}",
            self.base.origin().ascii_serialization(),
            self.base.path()
        );
        json!({
            "name": &*self.definition.name,
            "source": "keys_url",
            "url": base,
            "required": required,
            "state": state,
            "keys": keys,
            "withdrawn": [],
            "skipped": [],
            "last_success": last_success.map(|at| at.to_string()),
            "next_refresh": next_refresh.map(|at| at.to_string()),
            "last_error": book.last_error,
            "consecutive_failures": book.failures,
            "from_snapshot": false,
        })
    }
}

impl Book {
    fn keep(&mut self, key_id: &Arc<str>, pem: Bytes, now: UnixTime, refresh_at: UnixTime) {
        let known = self.keys.iter_mut().find(|kept| kept.key_id == *key_id);
        if let Some(kept) = known {
            kept.pem = pem;
            kept.fetched_at = now;
            kept.refresh_at = refresh_at;
            return;
        }
        if self.keys.len() >= MOST_KEYS {
            let oldest = self.keys.iter().enumerate();
            if let Some((at, _)) = oldest.min_by_key(|(_, kept)| kept.fetched_at) {
                self.keys.swap_remove(at);
            }
        }
        self.keys.push(Kept {
            key_id: Arc::clone(key_id),
            pem,
            first_seen: now,
            fetched_at: now,
            refresh_at,
        });
    }
}

/// Forgets a fetch however it ends.
struct Done<'k>(&'k SingleKeys, &'k str);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.book().asking.remove(self.1);
    }
}
