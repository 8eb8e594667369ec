//! What is remembered of one issuer's tokens: what it said of each, who is being asked about, when it and they
//! are left alone. All of it is bounded.

use std::collections::HashMap;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::health::Health;
use crate::client::jitter::between;
use crate::clock::UnixTime;
use crate::gate::{Said, TokenTag};

/// Tokens that are asked about or wait for that, together; of those that were never said to be good, fewer:
/// anybody can make some up.
const MOST_WAITING: usize = 1024;
const MOST_STRANGERS: usize = 768;
/// Tokens that are known not to be good; to have been good; to have had no answer.
const MOST_KNOWN: usize = 10_000;
/// Answers that are kept for who had no time to take them, and the bytes of them all.
const MOST_ANSWERS: usize = 1024;
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// A token without an answer is not asked about again for this long, and for longer each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What an issuer asks for is heeded up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What a question was, and who waits for it.
#[derive(Debug)]
struct Asking {
    told: watch::Receiver<Option<Said>>,
    is_stranger: bool,
}

/// Locked for a few instructions, never across a wait.
#[derive(Debug)]
pub(super) struct Book {
    asking: HashMap<TokenTag, Asking>,
    strangers: usize,
    /// Until when a token is taken to be none.
    inactive: Cache<TokenTag, UnixTime>,
    active: Cache<TokenTag, Said, BySize>,
    /// What was said to be good once.
    met: Cache<TokenTag, ()>,
    /// What had no answer.
    resting: Cache<TokenTag, Rest>,
    pub(super) health: Health,
}

#[derive(Clone, Debug)]
struct Rest {
    until: Instant,
    failures: u32,
}

#[derive(Clone, Debug)]
struct BySize;

impl Weighter<TokenTag, Said> for BySize {
    fn weight(&self, _key: &TokenTag, val: &Said) -> u64 {
        let claims = match val {
            Said::Active { claims, .. } => claims.size(),
            Said::Inactive | Said::Unknown { .. } => 0,
        };
        // at least its share, so that one bound holds both
        (claims as u64).max(MOST_BYTES / MOST_ANSWERS as u64)
    }
}

/// What becomes of one who asks.
pub(super) enum Turn {
    /// The answer is known.
    Known(Said),
    /// Somebody asks already.
    Wait(watch::Receiver<Option<Said>>),
    /// Ask, and tell the others.
    Ask {
        told: watch::Sender<Option<Said>>,
        is_stranger: bool,
    },
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            asking: HashMap::new(),
            strangers: 0,
            inactive: Cache::new(MOST_KNOWN),
            active: Cache::with_weighter(MOST_ANSWERS, MOST_BYTES, BySize),
            met: Cache::new(MOST_KNOWN),
            resting: Cache::new(MOST_KNOWN),
            health: Health::default(),
        }
    }

    /// Whether the token must be asked about; answers hold for `cache` seconds. What is to be asked must end
    /// by [`Self::ended`].
    pub(super) fn turn(&mut self, tag: &TokenTag, cache: u64, now: UnixTime, at: Instant) -> Turn {
        if self.inactive.get(tag).is_some_and(|until| now < *until) {
            return Turn::Known(Said::Inactive);
        }
        if let Some(told @ Said::Active { asked_at, .. }) = self.active.get(tag)
            && now < asked_at.plus(cache)
        {
            return Turn::Known(told.clone());
        }
        if let Some(asking) = self.asking.get(tag) {
            return Turn::Wait(asking.told.clone());
        }
        let later = |rest: Duration| Turn::Known(Said::Unknown { retry_after: rest });
        let rest = self.resting.get(tag);
        let rest = rest.map_or(Duration::ZERO, |rest| {
            rest.until.saturating_duration_since(at)
        });
        if !rest.is_zero() {
            return later(rest);
        }
        let is_stranger = self.met.get(tag).is_none();
        if self.asking.len() >= MOST_WAITING || (is_stranger && self.strangers >= MOST_STRANGERS) {
            return later(FIRST_PAUSE);
        }
        if let Err(rest) = self.health.begin(at) {
            return later(rest);
        }
        let (told, waiting) = watch::channel(None);
        self.strangers += usize::from(is_stranger);
        self.asking.insert(
            *tag,
            Asking {
                told: waiting,
                is_stranger,
            },
        );
        Turn::Ask { told, is_stranger }
    }

    /// Nobody is asked about it any more.
    pub(super) fn ended(&mut self, tag: &TokenTag) {
        if let Some(asking) = self.asking.remove(tag) {
            self.strangers -= usize::from(asking.is_stranger);
        }
    }

    pub(super) fn active(&mut self, tag: TokenTag, told: Said) {
        self.resting.remove(&tag);
        self.met.insert(tag, ());
        self.active.insert(tag, told);
    }

    pub(super) fn inactive(&mut self, tag: TokenTag, until: UnixTime) {
        self.resting.remove(&tag);
        self.met.remove(&tag);
        self.active.remove(&tag);
        self.inactive.insert(tag, until);
    }

    /// There is no answer about this one. For how long it is not asked about again, and longer if the issuer
    /// says `asked`.
    pub(super) fn rests(&mut self, tag: TokenTag, asked: Option<Duration>) -> Duration {
        let failures = self.resting.get(&tag).map_or(0, |rest| rest.failures);
        let pause = FIRST_PAUSE
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_PAUSE);
        let pause = between(pause / 2, pause);
        let pause = asked.unwrap_or_default().clamp(pause, LONGEST_RETRY_AFTER);
        let rest = Rest {
            until: Instant::now() + pause,
            failures: failures.saturating_add(1),
        };
        self.resting.insert(tag, rest);
        pause
    }

    /// How many tokens anything is remembered of.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inactive.len()
            + self.active.len()
            + self.asking.len()
            + self.met.len()
            + self.resting.len()
    }
}
