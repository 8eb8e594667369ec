//! One source of what ends and is fetched again: fresh → still valid → none. What it is, a token or a
//! set of keys, and how it is fetched is another's.
//!
//! A driver task does all fetching, so that a caller who gives up never breaks a fetch others wait
//! for. The hot path reads the current token without a lock.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::token::schedule::WAIT_AT_MOST;
use crate::client::token::{Fetch, FetchError, Granted, Lent, LifeFrom, schedule};
use crate::clock::{Clock, UnixTime};
use crate::config::Freshness;
use crate::telemetry::Telemetry;

/// The driver looks at the wall clock at least this often: it may be set, or the machine sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A credential in use.
#[derive(Debug)]
struct Held<C> {
    credential: Arc<C>,
    fetched_at: UnixTime,
    /// Seconds from `fetched_at` to `usable_until`.
    life: u64,
    refresh_at: UnixTime,
    /// Never sent from this moment on.
    usable_until: UnixTime,
    /// Whether anybody says when.
    ends: bool,
}

impl<C> Held<C> {
    fn lent(&self) -> Lent<C> {
        Lent {
            credential: Arc::clone(&self.credential),
            until: self.usable_until,
        }
    }
}

/// Keeps a credential fresh: one fetch for all who wait, refreshed ahead while it is used, used until
/// its end, never after.
#[derive(Debug)]
pub struct Grant<C> {
    name: Arc<str>,
    kind: &'static str,
    freshness: Freshness,
    fetch: Arc<dyn Fetch<C>>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// Whether metrics tell when it ends.
    shows_end: bool,
    current: ArcSwapOption<Held<C>>,
    /// Wall time of the last use, or attempt to.
    last_used: AtomicU64,
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    wake: Notify,
    /// Held by the one driver; the next world's waits for it.
    seat: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody waits for a fetch.
    wanted: bool,
    fetching: bool,
    ended: u64,
    failures: u32,
    /// No fetch before this moment.
    not_before: Option<Instant>,
    /// None before this one where there is nothing to use and somebody asks; never later.
    not_before_at_need: Option<Instant>,
    forced_at: Option<Instant>,
    last_error: Option<(UnixTime, String)>,
}

enum Step {
    Fetch,
    Wait(Duration),
    /// Until somebody asks.
    Rest,
}

impl<C: fmt::Debug + PartialEq + Send + Sync + 'static> Grant<C> {
    /// Nothing is fetched before somebody asks and [`Self::drive`] runs. `kind` is the config's word.
    pub fn new(
        name: Arc<str>,
        kind: &'static str,
        freshness: Freshness,
        fetch: Arc<dyn Fetch<C>>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            name,
            kind,
            freshness,
            fetch,
            clock,
            telemetry,
            shows_end: true,
            current: ArcSwapOption::empty(),
            last_used: AtomicU64::new(0),
            state: Mutex::default(),
            ended: watch::Sender::new(0),
            wake: Notify::new(),
            seat: Arc::default(),
        }
    }

    /// It may lie unused and end: nobody is to be alarmed by that.
    #[must_use]
    pub fn ending_quietly(self) -> Self {
        Self {
            shows_end: false,
            ..self
        }
    }

    /// What log and metrics call it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The credential, fetched first if there is none. `Err`: when to try again.
    pub async fn find(&self) -> Result<Lent<C>, Duration> {
        let now = self.clock.now();
        if self.last_used.load(Ordering::Relaxed) != now.0 {
            self.last_used.store(now.0, Ordering::Relaxed);
        }
        if let Some(token) = self.current.load().as_ref()
            && now < token.usable_until
        {
            if now >= token.refresh_at {
                // the driver rests once a token went unused
                self.wake.notify_one();
            }
            return Ok(token.lent());
        }
        let ended = {
            let mut state = self.lock();
            // a fetch may have ended since
            if let Some(lent) = self.usable() {
                return Ok(lent);
            }
            if let Some(pause) = state.pause_at_need() {
                return Err(pause);
            }
            state.wanted = true;
            state.ended
        };
        self.wake.notify_one();
        self.wait_beyond(ended).await;
        self.usable()
            .ok_or_else(|| self.lock().pause_at_need().unwrap_or_default())
    }

    /// Another credential than the one `refused` means, if there is one or a fetch brings one: at
    /// most one fetch for this in 30 s.
    pub async fn replace(&self, refused: impl Fn(&C) -> bool + Send + Sync) -> Option<Lent<C>> {
        let other = || self.usable().filter(|lent| !refused(&lent.credential));
        let ended = {
            let mut state = self.lock();
            if let Some(other) = other() {
                return Some(other);
            }
            if !state.wanted && !state.fetching {
                if state.pause().is_some() || !schedule::may_force(&mut state.forced_at) {
                    return None;
                }
                state.wanted = true;
            }
            state.ended
        };
        self.wake.notify_one();
        self.wait_beyond(ended).await;
        other()
    }

    /// Why the last fetch failed, if it did.
    pub fn why(&self) -> Option<String> {
        let state = self.lock();
        state.last_error.as_ref().map(|(_at, text)| text.clone())
    }

    /// The credential, if there is one.
    pub fn usable(&self) -> Option<Lent<C>> {
        let now = self.clock.now();
        self.current
            .load()
            .as_ref()
            .filter(|token| now < token.usable_until)
            .map(|token| token.lent())
    }

    async fn wait_beyond(&self, seen: u64) {
        let mut ended = self.ended.subscribe();
        let beyond = ended.wait_for(|ended| *ended > seen);
        // whether it came or not, the caller looks at the token next
        drop(tokio::time::timeout(WAIT_AT_MOST, beyond).await);
    }

    /// Fetches when somebody waits and refreshes ahead while the token is used, until `stop`. A fetch
    /// that spends something is never cut: its answer may hold the only successor.
    pub async fn drive(self: Arc<Self>, stop: CancellationToken) {
        let seat = Arc::clone(&self.seat).lock_owned();
        let Some(_seat) = stop.run_until_cancelled(seat).await else {
            return;
        };
        while !stop.is_cancelled() {
            match self.next() {
                Step::Fetch if self.fetch.spends() => self.fetch().await,
                Step::Fetch => {
                    stop.run_until_cancelled(self.fetch()).await;
                }
                Step::Wait(pause) => {
                    let pause = pause.min(LOOK_EVERY);
                    let woken = tokio::time::timeout(pause, self.wake.notified());
                    // either way the next step is found anew
                    let _woken_or_not = stop.run_until_cancelled(woken).await;
                }
                Step::Rest => {
                    stop.run_until_cancelled(self.wake.notified()).await;
                }
            }
        }
    }

    fn next(&self) -> Step {
        let state = self.lock();
        let now = self.clock.now();
        let current = self.current.load();
        let due = current.as_ref().and_then(|token| {
            let last_used = UnixTime(self.last_used.load(Ordering::Relaxed));
            (now.since(last_used) < token.life)
                .then(|| Duration::from_secs(token.refresh_at.since(now)))
        });
        let (due, pause) = if state.wanted {
            (Some(Duration::ZERO), state.pause_at_need())
        } else {
            (due, state.pause())
        };
        match (due, pause) {
            (None, _) => Step::Rest,
            (Some(due), Some(pause)) => Step::Wait(due.max(pause)),
            (Some(Duration::ZERO), None) => Step::Fetch,
            (Some(due), None) => Step::Wait(due),
        }
    }

    async fn fetch(&self) {
        /// A driver that is stopped mid-fetch must not leave the mark behind.
        struct Fetching<'g>(&'g Mutex<State>);
        impl Drop for Fetching<'_> {
            fn drop(&mut self) {
                lock(self.0).fetching = false;
            }
        }
        self.lock().fetching = true;
        let fetching = Fetching(&self.state);
        let asked_at = self.clock.now();
        let asked = AssertUnwindSafe(async { self.fetch.fetch(asked_at).await });
        let outcome = asked.catch_unwind().await.unwrap_or_else(|_panic| {
            // the hook has told the panic; who drives must go on
            Err(FetchError::Unusable("asking for it panicked"))
        });
        drop(fetching);
        self.settle(asked_at, outcome);
    }

    fn settle(&self, asked_at: UnixTime, outcome: Result<Granted<C>, FetchError>) {
        let outcome =
            outcome.map(|granted| (granted.is_of_the_fleet(), self.held(granted, asked_at)));
        let now = self.clock.now();
        let outcome = match outcome {
            Ok((_, held)) if held.usable_until <= now => {
                Err(FetchError::Unusable("what it gave has ended already"))
            }
            outcome => outcome,
        };
        if let Ok((true, _)) = outcome {
            self.telemetry.metrics.token_shared(&self.name);
        } else {
            let metrics = &self.telemetry.metrics;
            metrics.token_fetch(&self.name, outcome.is_ok());
        }
        let mut state = self.lock();
        match outcome {
            Ok((is_of_the_fleet, token)) => {
                let metrics = &self.telemetry.metrics;
                if self.shows_end && token.ends {
                    metrics.token_expires(&self.name, token.usable_until);
                } else {
                    metrics.token_has_no_end(&self.name);
                }
                metrics.token_fetched(&self.name, token.fetched_at);
                let what = if is_of_the_fleet {
                    "token of another sidecar taken"
                } else {
                    "token fetched"
                };
                tracing::info!(credential = &*self.name, expires = %token.usable_until, "{what}");
                self.current.store(Some(Arc::new(token)));
                state.failures = 0;
                state.not_before = None;
                state.not_before_at_need = None;
                state.last_error = None;
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let pause =
                    schedule::pause(state.failures, error.retry_after(), schedule::jitter());
                tracing::warn!(
                    credential = &*self.name,
                    %error,
                    failures = state.failures,
                    retry_in_seconds = pause.as_secs_f32(),
                    "token not fetched"
                );
                let at_need = if error.is_outage() {
                    schedule::pause_at_need(pause, schedule::jitter())
                } else {
                    pause
                };
                let now = Instant::now();
                state.not_before = Some(now + pause);
                state.not_before_at_need = Some(now + at_need);
                state.last_error = Some((self.clock.now(), error.to_string()));
            }
        }
        state.wanted = false;
        state.ended += 1;
        self.ended.send_replace(state.ended);
    }

    fn held(&self, granted: Granted<C>, asked_at: UnixTime) -> Held<C> {
        let (life, ahead) = schedule::uses(granted.life, self.freshness, schedule::jitter());
        let fetched_at = match granted.life_from {
            LifeFrom::Fleet { age } => UnixTime(asked_at.0.saturating_sub(age.as_secs())),
            LifeFrom::ExpiresIn
            | LifeFrom::Exp
            | LifeFrom::Expiration
            | LifeFrom::Unstated
            | LifeFrom::Endless => asked_at,
        };
        Held {
            credential: Arc::new(granted.credential),
            fetched_at,
            life,
            refresh_at: fetched_at.plus(life - ahead),
            usable_until: fetched_at.plus(life),
            ends: granted.life_from != LifeFrom::Endless,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What `/status` shows of it.
    pub fn report(&self) -> Value {
        let now = self.clock.now();
        let state = self.lock();
        let current = self.current.load();
        let token = current
            .as_ref()
            .filter(|token| now < token.usable_until)
            .map(|token| {
                // what nobody says the end of is null
                let at = |time: UnixTime| token.ends.then(|| time.to_string());
                json!({
                    "age_seconds": now.since(token.fetched_at),
                    "expires_at": at(token.usable_until),
                    "expires_in_seconds": token.ends.then(|| token.usable_until.since(now)),
                    "refresh_at": at(token.refresh_at),
                    "overdue": now >= token.refresh_at,
                })
            });
        json!({
            "name": &*self.name,
            "kind": self.kind,
            "available": token.is_some(),
            "token": token,
            "failures_in_a_row": state.failures,
            "retry_in_seconds": state.pause().map(|pause| pause.as_secs()),
            "last_error": state
                .last_error
                .as_ref()
                .map(|(at, text)| json!({ "at": at.to_string(), "error": text })),
        })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// The rest of the pause after a failed fetch.
    fn pause(&self) -> Option<Duration> {
        schedule::rest(self.not_before?)
    }

    /// The same where there is nothing to use.
    fn pause_at_need(&self) -> Option<Duration> {
        schedule::rest(self.not_before_at_need?)
    }
}
