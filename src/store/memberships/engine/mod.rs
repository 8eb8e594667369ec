//! Look-ups: kept, asked for once for all who wait, bounded, and used on while the source is down.

mod passing;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::kept::{Kept, Key, Shelf};
use super::source::{Answer, LookUpError, Source};
use crate::authn::membership::Subject;
use crate::client::health::{Concerns, Health};
use crate::client::jitter;
use crate::client::jwks::Background;
use crate::config::LookUps;
use crate::gate::Learnt;
use crate::telemetry::metrics::{LookUp, MembershipMetrics};

/// Most look-ups that are under way, those that wait for their turn included.
const UNDER_WAY: usize = 1024;
/// When to try again, where nothing says better.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much longer than it may take a look-up is waited for.
const GRACE: Duration = Duration::from_secs(1);
/// A subject whose look-up failed is not looked up again for this long, and for longer each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A lasting outage is logged once per this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// An answer, and how it is known.
#[derive(Debug)]
pub struct Known<A> {
    /// What it is.
    pub answer: Arc<A>,
    /// How it is known.
    pub how: Learnt,
}

/// The look-ups of one source.
pub struct Engine<S: Source + ?Sized> {
    name: Arc<str>,
    policy: LookUps,
    metrics: MembershipMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Look-ups run here, not with the caller.
    runtime: Handle,
    source: Arc<S>,
    memory: Arc<Memory<S::Answer>>,
}

/// What the same source of the next world takes over.
struct Memory<A> {
    shelf: Shelf<A>,
    flights: Mutex<HashMap<Key, watch::Receiver<Flight<A>>>>,
    health: Mutex<Health>,
    turns: Semaphore,
    complained: Mutex<Option<Instant>>,
    hasher: RandomState,
}

/// How a look-up ended; `None` while it runs. On error: when to try again.
type Flight<A> = Option<Result<Arc<A>, Duration>>;

impl<S: Source + ?Sized> Engine<S> {
    /// Nothing is known yet. Look-ups will run on the runtime that this is called on.
    pub fn new(
        name: &Arc<str>,
        policy: LookUps,
        source: Arc<S>,
        metrics: MembershipMetrics,
        background: &Background,
    ) -> Self {
        let turns = Semaphore::new(source.at_once());
        Self {
            name: Arc::clone(name),
            policy,
            metrics,
            tasks: background.tasks.clone(),
            stop: background.stop.clone(),
            runtime: Handle::current(),
            source,
            memory: Arc::new(Memory {
                shelf: Shelf::new(policy.max_entries),
                flights: Mutex::default(),
                health: Mutex::default(),
                turns,
                complained: Mutex::default(),
                hasher: RandomState::new(),
            }),
        }
    }

    /// The same with what `previous`, of the same definition, knows.
    #[must_use]
    pub fn succeeding(self, previous: &Self) -> Self {
        Self {
            memory: Arc::clone(&previous.memory),
            ..self
        }
    }

    /// What it asks.
    #[must_use]
    pub fn source(&self) -> &Arc<S> {
        &self.source
    }

    /// How many subjects something is known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.shelf.len()
    }

    /// Whether nothing is known of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of this subject and fresh. Waits for nothing.
    #[must_use]
    pub fn find(&self, subject: &Subject<'_>) -> Option<Known<S::Answer>> {
        let kept = self.memory.shelf.find(subject)?;
        let answer = kept.fresh(Instant::now())?;
        Some(Known {
            answer,
            how: Learnt::Cached,
        })
    }

    /// What is known of this subject, or what the source says now; if it says nothing, what it said before,
    /// for as long as that may be used. On error: when to try again.
    pub async fn ask(
        self: &Arc<Self>,
        subject: Subject<'_>,
        with: impl FnOnce() -> S::With + Send,
    ) -> Result<Known<S::Answer>, Duration> {
        let kept = self.memory.shelf.find(&subject);
        let now = Instant::now();
        let known = |answer, how| Known { answer, how };
        if let Some(answer) = kept.as_ref().and_then(|kept| kept.fresh(now)) {
            return Ok(known(answer, Learnt::Cached));
        }
        if let Some(answer) = self.source.unasked(&subject) {
            let answer = Arc::new(answer);
            let kept = Kept::of(Arc::clone(&answer), self.policy.cache, self.policy.cache);
            self.memory.shelf.keep(Key::from(subject), kept);
            return Ok(known(answer, Learnt::Cached));
        }
        let joined = match kept.as_ref().and_then(|kept| kept.pause(now)) {
            Some(rest) => Err(rest),
            None => self.join(subject, with, now),
        };
        let retry_after = match joined {
            Ok(flight) => match self.wait(flight).await {
                Ok(answer) => return Ok(known(answer, Learnt::Asked)),
                Err(rest) => rest,
            },
            Err(rest) => rest,
        };
        let stale = kept.and_then(|kept| kept.usable(Instant::now()));
        let stale = stale.map(|answer| known(answer, Learnt::Stale));
        stale.ok_or(retry_after)
    }

    async fn wait(
        &self,
        mut flight: watch::Receiver<Flight<S::Answer>>,
    ) -> Result<Arc<S::Answer>, Duration> {
        // waiting for its turn, then for its answer
        let patience = self.policy.timeout.saturating_mul(2).saturating_add(GRACE);
        let ended = timeout(patience, flight.wait_for(Option::is_some)).await;
        match ended {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(RETRY_AFTER)),
            Ok(Err(_gone)) => Err(RETRY_AFTER),
            Err(_elapsed) => Err(RETRY_AFTER),
        }
    }

    /// The look-up of this subject that is under way, or one that begins now.
    fn join(
        self: &Arc<Self>,
        subject: Subject<'_>,
        with: impl FnOnce() -> S::With,
        now: Instant,
    ) -> Result<watch::Receiver<Flight<S::Answer>>, Duration> {
        let key = Key::from(subject);
        let mut flights = lock(&self.memory.flights);
        if let Some(flight) = flights.get(&key) {
            return Ok(flight.clone());
        }
        if flights.len() >= UNDER_WAY {
            self.metrics.looked_up(LookUp::Refused);
            return Err(RETRY_AFTER);
        }
        lock(&self.memory.health).begin(now)?;
        let (tell, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let under_way = UnderWay {
            engine: Arc::clone(self),
            key,
            began: now,
            tell,
            ended: None,
        };
        let with = with();
        let stop = self.stop.clone();
        let look_up = async move {
            let mut under_way = under_way;
            let engine = Arc::clone(&under_way.engine);
            let key = under_way.key.clone();
            let work = engine.look_up(key.subject(), &with, under_way.began);
            under_way.ended = stop.run_until_cancelled(work).await;
        };
        self.tasks.spawn_on(look_up, &self.runtime);
        Ok(flight)
    }

    async fn look_up(
        &self,
        subject: Subject<'_>,
        with: &S::With,
        began: Instant,
    ) -> Ended<S::Answer> {
        let turn = timeout(self.policy.timeout, self.memory.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Ended::Unasked(RETRY_AFTER);
        };
        if let Some(rest) = lock(&self.memory.health).rest(began, Instant::now()) {
            return Ended::Unasked(rest);
        }
        let asked = Instant::now();
        let look_up = self.source.look_up(subject, with);
        let look_up = timeout(
            self.policy.timeout,
            AssertUnwindSafe(look_up).catch_unwind(),
        );
        let answer = match look_up.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => {
                self.metrics.panicked();
                Err(LookUpError::of_one("internal error"))
            }
            Err(_elapsed) => Err(LookUpError::unclear("timeout")),
        };
        self.metrics.took(asked.elapsed());
        Ended::Asked(answer)
    }

    /// Keeps what a look-up brought, and says what its waiters are told.
    fn settle(
        &self,
        key: &Key,
        began: Instant,
        ended: Ended<S::Answer>,
    ) -> Result<Arc<S::Answer>, Duration> {
        let memory = &self.memory;
        let before = memory.shelf.find(&key.subject());
        let outcome = match ended {
            Ended::Unasked(rest) => {
                self.metrics.looked_up(LookUp::Refused);
                lock(&memory.health).unasked(began);
                return Err(rest);
            }
            Ended::Asked(outcome) => outcome,
        };
        match outcome {
            Ok(answer) => {
                let is_empty = answer.is_empty();
                self.metrics.looked_up(if is_empty {
                    LookUp::Empty
                } else {
                    LookUp::Found
                });
                if lock(&memory.health).succeeded() {
                    *lock(&memory.complained) = None;
                    tracing::info!(memberships = &*self.name, "look-ups succeed again");
                }
                // an answer that says the same is the same: what was made of it stays
                let same = before.and_then(|kept| kept.same(&answer));
                let answer = same.unwrap_or_else(|| Arc::new(answer));
                let fresh_for = if is_empty {
                    self.policy.negative_cache
                } else {
                    self.policy.cache
                };
                let kept = Kept::of(Arc::clone(&answer), fresh_for, self.policy.max_stale);
                memory.shelf.keep(key.clone(), kept);
                self.metrics.entries(memory.shelf.len());
                Ok(answer)
            }
            Err(error) => {
                self.metrics.looked_up(LookUp::Failed);
                let whom = memory.hasher.hash_one(key);
                let failures = before.as_ref().map_or(0, |kept| kept.failures());
                // whose look-ups fail again and again shows nothing of others
                let concerns = if error.concerns == Concerns::Unclear && failures > 0 {
                    Concerns::One
                } else {
                    error.concerns
                };
                let everyones =
                    lock(&memory.health).failed(concerns, error.retry_after, whom, began);
                self.complain(&error);
                // when the source answers everybody again, it answers this one
                let pause = if everyones {
                    Duration::ZERO
                } else {
                    let pause = FIRST_PAUSE
                        .saturating_mul(1 << failures.min(10))
                        .min(LONGEST_PAUSE);
                    jitter::between(pause / 2, pause)
                };
                if error.concerns != Concerns::Everyone {
                    let kept = Kept::failed(before.as_deref(), pause);
                    memory.shelf.keep(key.clone(), kept);
                }
                let pause = if everyones { RETRY_AFTER } else { pause };
                Err(error
                    .retry_after
                    .unwrap_or_default()
                    .clamp(pause, LONGEST_PAUSE))
            }
        }
    }

    fn complain(&self, error: &LookUpError) {
        let now = Instant::now();
        let mut complained = lock(&self.memory.complained);
        let loud =
            complained.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAINT_INTERVAL);
        if loud {
            *complained = Some(now);
            tracing::warn!(memberships = &*self.name, %error, "a look-up failed");
        } else {
            tracing::debug!(memberships = &*self.name, %error, "a look-up failed");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a look-up ended.
enum Ended<A> {
    /// The source was asked.
    Asked(Result<A, LookUpError>),
    /// It was not; in this time, perhaps.
    Unasked(Duration),
}

/// A look-up that is under way. However it ends, those who wait learn of it.
struct UnderWay<S: Source + ?Sized> {
    engine: Arc<Engine<S>>,
    key: Key,
    began: Instant,
    tell: watch::Sender<Flight<S::Answer>>,
    /// `None` if it came to no end: the process stops, or a panic.
    ended: Option<Ended<S::Answer>>,
}

impl<S: Source + ?Sized> Drop for UnderWay<S> {
    fn drop(&mut self) {
        let ended = self.ended.take().unwrap_or(Ended::Unasked(RETRY_AFTER));
        let told = self.engine.settle(&self.key, self.began, ended);
        // who comes later finds what was kept
        lock(&self.engine.memory.flights).remove(&self.key);
        self.tell.send_replace(Some(told));
    }
}

impl<S: Source + ?Sized> fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &self.name)
            .field("source", &self.source)
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
