//! How often one may guess: counted for each user and source together, which locks; for each user, and
//! for each source, which only slows. Else anybody could lock anybody out. Time is a parameter, since any
//! moment.
//!
//! What runs may fail yet: no more run at once than may fail before they lock or slow. Whoever comes then
//! waits until one has ended, and is not refused for what may turn out right.
//!
//! Names are kept as keyed hashes. Where there is no room, whoever failed once gives way before whoever
//! failed more often, so that nobody gets rid of his own count cheaply.

mod table;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::table::Table;

/// Most users, sources, and pairs of them that are counted, each; and most pairs that are known to be good.
const MOST: usize = 1 << 16;
/// A source may fail this many times as often as a user before it is slowed.
const OF_SOURCE: u32 = 5;
/// The time between two attempts where there were too many; doubled with each as many again.
const SPACING: Duration = Duration::from_millis(125);
const DOUBLED: u32 = 4;
/// The longest anybody waits for his turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Until one of those that run may have ended.
const RUNNING: Duration = Duration::from_secs(1);

/// `[basic.lockout]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures until the pair is locked.
    pub attempts: u32,
    /// They are counted together for so long.
    pub window: Duration,
    /// So long it is locked.
    pub duration: Duration,
}

/// Where attempts come from: an IPv4 address, or the /64 of an IPv6 one, which one customer has whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(u128);

impl Source {
    /// The source that an address belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

/// Why an attempt may not be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// This source failed too often with this user.
    LockedOut {
        /// When it may again.
        retry_after: Duration,
    },
    /// This source failed too often with users of all kinds: its line is full.
    SourceBusy {
        /// When there may be room.
        retry_after: Duration,
    },
    /// Others failed too often with this user: the line is full.
    UserBusy {
        /// When there may be room.
        retry_after: Duration,
    },
    /// So many of this source were answered by nobody that its line is full: whoever makes others' attempts
    /// wait for nothing would have all room.
    Unanswered {
        /// When there may be room.
        retry_after: Duration,
    },
    /// As many of this source run as may at once: to be tried again when one of them has ended.
    Running {
        /// When one of them may have.
        retry_after: Duration,
    },
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With the right password.
    Right,
    /// With a wrong one.
    Wrong,
    /// Nobody could tell, and it took somebody's time: slows the source, until one of its attempts is right.
    Unanswered,
    /// It was not made.
    Unmade,
}

/// The counts. Clones share them.
#[derive(Clone)]
pub struct Attempts(Arc<Inner>);

struct Inner {
    limits: Limits,
    at_once: u32,
    names: RandomState,
    state: Mutex<State>,
    /// When the last lock ends, in milliseconds: what is found right without an attempt looks here first.
    locked_until: AtomicU64,
}

struct State {
    pairs: Table<Pair>,
    users: Table<u64>,
    sources: Table<Source>,
    /// Pairs that were right: the trouble others make does not slow them.
    good: quick_cache::unsync::Cache<Pair, ()>,
}

/// A user's name, hashed, and a source.
type Pair = (u64, Source);

/// An attempt that runs. Dropped before it is told how it ended, it was not made.
pub struct Attempt {
    attempts: Attempts,
    pair: Pair,
    /// To be waited for before it is made.
    pub wait: Duration,
    is_running: bool,
}

impl Attempts {
    /// Nothing counted yet. Of one source `at_once` attempts run at once, and as many again with users who
    /// were right from there before.
    #[must_use]
    pub fn new(limits: Limits, at_once: u32) -> Self {
        Self(Arc::new(Inner {
            limits,
            at_once,
            names: RandomState::new(),
            state: Mutex::new(State {
                pairs: Table::new(MOST),
                users: Table::new(MOST),
                sources: Table::new(MOST),
                good: quick_cache::unsync::Cache::new(MOST),
            }),
            locked_until: AtomicU64::new(0),
        }))
    }

    /// What they are counted by.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// How many of one source run at once.
    #[must_use]
    pub fn at_once(&self) -> u32 {
        self.0.at_once
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In any case a name is the same: some take it for the same user's, who is not to be guessed at under each.
    fn pair(&self, user: &str, source: Source) -> Pair {
        let mut hasher = self.0.names.build_hasher();
        for character in user.trim().chars().flat_map(char::to_lowercase) {
            hasher.write_u32(character.into());
        }
        (hasher.finish(), source)
    }

    /// For how long this source is locked out of this user yet, if at all. While nobody is, it costs
    /// nothing.
    #[must_use]
    pub fn locked(&self, user: &str, source: Source, now: Duration) -> Option<Duration> {
        if millis(now) >= self.0.locked_until.load(Ordering::Relaxed) {
            return None;
        }
        let pair = self.pair(user, source);
        let mut state = self.state();
        let count = state.pairs.find(&pair, self.0.limits.window, now)?;
        count.locked(now)
    }

    /// Begins an attempt.
    pub fn begin(&self, user: &str, source: Source, now: Duration) -> Result<Attempt, Held> {
        let limits = self.0.limits;
        let pair = self.pair(user, source);
        let retry_after = RUNNING;
        let running = Held::Running { retry_after };
        let mut state = self.state();
        let state = &mut *state;
        if let Some(count) = state.pairs.find(&pair, limits.window, now) {
            if let Some(retry_after) = count.locked(now) {
                return Err(Held::LockedOut { retry_after });
            }
            if count.tried() >= limits.attempts {
                return Err(running);
            }
        }
        let is_good = state.good.get(&pair).is_some();
        let of_source = limits.attempts.saturating_mul(OF_SOURCE);
        let at_once = self.0.at_once.saturating_mul(1 + u32::from(is_good));
        let mut wait = Duration::ZERO;
        if let Some(count) = state.sources.find(&source, limits.window, now) {
            let is_full = count.running >= at_once;
            let in_line = !is_good && count.is_spent(of_source);
            if in_line {
                wait = count.turn(of_source, now);
            }
            if in_line && (is_full || wait > LONGEST_WAIT) {
                let retry_after = wait.max(RUNNING);
                return Err(if count.failures < of_source {
                    Held::Unanswered { retry_after }
                } else {
                    Held::SourceBusy { retry_after }
                });
            }
            if is_full || !is_good && count.is_full(of_source) {
                return Err(running);
            }
        }
        if !is_good {
            let user = state.users.find(&pair.0, limits.window, now);
            let user = user.map_or(Duration::ZERO, |count| count.turn(limits.attempts, now));
            if user > LONGEST_WAIT {
                let retry_after = user;
                return Err(Held::UserBusy { retry_after });
            }
            wait = wait.max(user);
            // from now on there is one more in each line
            if let Some(count) = state.sources.find(&pair.1, limits.window, now) {
                count.take_turn(of_source, now);
            }
            if let Some(count) = state.users.find(&pair.0, limits.window, now) {
                count.take_turn(limits.attempts, now);
            }
        }
        state.pairs.count(pair, limits.window, now).running += 1;
        state.users.count(pair.0, limits.window, now).running += 1;
        state.sources.count(pair.1, limits.window, now).running += 1;
        Ok(Attempt {
            attempts: self.clone(),
            pair,
            wait,
            is_running: true,
        })
    }

    fn end(&self, pair: Pair, ended: Ended, now: Duration) {
        let limits = self.0.limits;
        let mut state = self.state();
        if ended == Ended::Right {
            state.good.insert(pair, ());
        }
        let locked_until = state.pairs.end(&pair, |count| {
            match ended {
                Ended::Wrong => count.failures = count.failures.saturating_add(1),
                Ended::Right => count.failures = 0,
                Ended::Unanswered | Ended::Unmade => {}
            }
            if count.failures >= limits.attempts && count.locked(now).is_none() {
                count.locked_until = Some(now.saturating_add(limits.duration));
            }
            count.locked_until
        });
        if let Some(until) = locked_until {
            let until = millis(until).saturating_add(1);
            self.0.locked_until.fetch_max(until, Ordering::Relaxed);
        }
        let wrong = u32::from(ended == Ended::Wrong);
        state.users.end(&pair.0, |count| {
            count.failures = count.failures.saturating_add(wrong);
            None
        });
        state.sources.end(&pair.1, |count| {
            count.failures = count.failures.saturating_add(wrong);
            match ended {
                Ended::Unanswered => count.unanswered = count.unanswered.saturating_add(1),
                Ended::Right => count.unanswered = 0,
                Ended::Wrong | Ended::Unmade => {}
            }
            None
        });
    }
}

fn millis(moment: Duration) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

impl Attempt {
    /// Tells how it ended.
    pub fn end(mut self, ended: Ended, now: Duration) {
        self.is_running = false;
        self.attempts.end(self.pair, ended, now);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_running {
            self.attempts.end(self.pair, Ended::Unmade, Duration::ZERO);
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
