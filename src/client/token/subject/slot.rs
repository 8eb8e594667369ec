//! One subject's credential: fresh → still valid → none.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Without;
use crate::client::token::schedule::FORCED_EVERY;
use crate::client::token::user::SubjectKey;
use crate::client::token::{Lent, schedule};
use crate::clock::UnixTime;

/// One subject.
pub(super) struct Slot<C> {
    key: SubjectKey,
    state: Mutex<State<C>>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

struct State<C> {
    current: Option<Held<C>>,
    fetching: bool,
    ended: u64,
    failures: u32,
    /// No fetch before this moment, and what is said meanwhile.
    paused: Option<(Instant, Without)>,
    forced_at: Option<Instant>,
}

/// A credential in use.
pub(super) struct Held<C> {
    pub(super) credential: Arc<C>,
    pub(super) refresh_at: UnixTime,
    /// Never given out from this moment on.
    pub(super) usable_until: UnixTime,
}

impl<C> Held<C> {
    fn lent(&self) -> Lent<C> {
        Lent {
            credential: Arc::clone(&self.credential),
            until: self.usable_until,
        }
    }
}

/// What a caller finds.
pub(super) enum Found<C> {
    /// One that is good now.
    Usable(Lent<C>),
    /// One that is good now and that somebody must refresh: the caller, and nobody else.
    Due(Lent<C>),
    /// None, and none to be had now.
    Without(Without),
    /// None yet: wait beyond this many ended fetches. `begin`: the caller, and nobody else, begins one.
    Wait { ended: u64, begin: bool },
}

impl<C> Slot<C> {
    pub(super) fn new(key: SubjectKey) -> Self {
        Self {
            key,
            state: Mutex::new(State {
                current: None,
                fetching: false,
                ended: 0,
                failures: 0,
                paused: None,
                forced_at: None,
            }),
            ended: watch::Sender::new(0),
        }
    }

    /// Whose it is.
    pub(super) fn key(&self) -> &SubjectKey {
        &self.key
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for a credential at `now`. Who is told to begin a fetch must, and let it
    /// [`Self::settle`].
    ///
    /// `everyone` is what is left of the whole source's pause: nobody begins a fetch during it.
    pub(super) fn find(&self, now: UnixTime, everyone: Option<Duration>) -> Found<C> {
        let mut state = self.lock();
        let pause = state.pause().or(everyone.map(Without::Later));
        if let Some(held) = state
            .current
            .as_ref()
            .filter(|held| now < held.usable_until)
        {
            let lent = held.lent();
            if now < held.refresh_at || state.fetching || pause.is_some() {
                return Found::Usable(lent);
            }
            state.fetching = true;
            return Found::Due(lent);
        }
        match pause {
            Some(without) if !state.fetching => Found::Without(without),
            Some(_) | None => state.wait(),
        }
    }

    /// Looks for another credential than the one that `is_refused`.
    pub(super) fn find_other(
        &self,
        now: UnixTime,
        everyone: Option<Duration>,
        is_refused: impl Fn(&C) -> bool,
    ) -> Found<C> {
        let mut state = self.lock();
        let usable = state.usable(now);
        if let Some(other) = usable.filter(|lent| !is_refused(&lent.credential)) {
            return Found::Usable(other);
        }
        if !state.fetching {
            if let Some(without) = state.pause().or(everyone.map(Without::Later)) {
                return Found::Without(without);
            }
            if !schedule::may_force(&mut state.forced_at) {
                return Found::Without(Without::Later(FORCED_EVERY));
            }
        }
        state.wait()
    }

    /// Waits until more fetches have ended than `seen`, at most `patience`.
    pub(super) async fn wait_beyond(&self, seen: u64, patience: Duration) {
        let mut ended = self.ended.subscribe();
        let beyond = ended.wait_for(|ended| *ended > seen);
        // whether it came or not, the caller looks next
        drop(tokio::time::timeout(patience, beyond).await);
    }

    /// The credential that is good at `now`, or what to say of its absence.
    pub(super) fn outcome(&self, now: UnixTime) -> Result<Lent<C>, Without> {
        let state = self.lock();
        let without = || state.pause().unwrap_or(Without::Later(Duration::ZERO));
        state.usable(now).ok_or_else(without)
    }

    /// A fetch has ended. `Err` holds what is said from now on; the pause is made of the number of failures
    /// in a row.
    pub(super) fn settle(
        &self,
        outcome: Result<Held<C>, Without>,
        pause: impl Fn(u32) -> Duration,
    ) -> u32 {
        let mut state = self.lock();
        match outcome {
            Ok(held) => {
                state.current = Some(held);
                state.failures = 0;
                state.paused = None;
            }
            Err(without) => {
                state.failures = state.failures.saturating_add(1);
                state.paused = Some((Instant::now() + pause(state.failures), without));
            }
        }
        state.end();
        self.ended.send_replace(state.ended);
        state.failures
    }

    /// The fetch that was to begin did not: not before this time.
    pub(super) fn put_off(&self, rest: Duration) {
        let mut state = self.lock();
        state.paused = Some((Instant::now() + rest, Without::Later(Duration::ZERO)));
        state.end();
        self.ended.send_replace(state.ended);
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.lock().fetching
    }

    /// Whether there is anything to remember.
    pub(super) fn is_needed(&self, now: UnixTime) -> bool {
        let state = self.lock();
        state.fetching || state.pause().is_some() || state.usable(now).is_some()
    }
}

impl<C> State<C> {
    fn usable(&self, now: UnixTime) -> Option<Lent<C>> {
        self.current
            .as_ref()
            .filter(|held| now < held.usable_until)
            .map(Held::lent)
    }

    /// What is said during the pause after a failed fetch.
    fn pause(&self) -> Option<Without> {
        let (until, without) = self.paused?;
        let rest = schedule::rest(until)?;
        Some(match without {
            Without::Later(_) => Without::Later(rest),
            Without::Refused(_) | Without::Token | Without::Expired => without,
        })
    }

    fn end(&mut self) {
        self.fetching = false;
        self.ended += 1;
    }

    fn wait(&mut self) -> Found<C> {
        let begin = !self.fetching;
        self.fetching = true;
        Found::Wait {
            ended: self.ended,
            begin,
        }
    }
}

impl<C> fmt::Debug for Slot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
