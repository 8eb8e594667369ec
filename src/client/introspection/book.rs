//! What is remembered of one issuer's tokens: what it said of each, who is being asked about, when it and they
//! are left alone. All of it is bounded.

use std::collections::HashMap;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::client::health::{Concerns, Health};
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
    /// What questions about strangers say of the issuer; and about others.
    of_strangers: Health,
    of_known: Health,
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

/// What a question without an answer says of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// Nobody is there.
    Issuer,
    /// It does not let our client in.
    Client,
    /// It has no use for this token.
    Token,
    /// It took too long, or broke off: over this token, or in any case.
    Unclear,
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
            of_strangers: Health::default(),
            of_known: Health::default(),
        }
    }

    /// Whether the token must be asked about. What is to be asked must end by [`Self::ended`].
    pub(super) fn turn(&mut self, tag: &TokenTag, now: UnixTime, at: Instant) -> Turn {
        if self.inactive.get(tag).is_some_and(|until| now < *until) {
            return Turn::Known(Said::Inactive);
        }
        if let Some(told @ Said::Active { until, .. }) = self.active.get(tag)
            && now < *until
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
        if let Err(rest) = self.health(is_stranger).begin(at) {
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

    /// Whether the issuer is down for such a token. Those that were good before have a health and a probe of
    /// their own: nobody who makes tokens up can keep them out.
    pub(super) fn health(&mut self, is_stranger: bool) -> &mut Health {
        if is_stranger {
            &mut self.of_strangers
        } else {
            &mut self.of_known
        }
    }

    /// A question had an answer. Whether the issuer was down until now.
    pub(super) fn answered(&mut self) -> bool {
        let was_down = [self.of_strangers.succeeded(), self.of_known.succeeded()];
        was_down.contains(&true)
    }

    /// A question that began then had no answer. Whether nobody's would have.
    pub(super) fn failed(
        &mut self,
        is_stranger: bool,
        of: Failing,
        retry_after: Option<Duration>,
        whom: u64,
        began: Instant,
    ) -> bool {
        let concerns = match of {
            Failing::Unclear if !is_stranger => Concerns::Unclear,
            // where tokens were good before, it is theirs to find out
            Failing::Client if is_stranger && !self.met.is_empty() => Concerns::One,
            Failing::Client | Failing::Issuer => Concerns::Everyone,
            Failing::Token | Failing::Unclear => Concerns::One,
        };
        let own = self.health(is_stranger);
        let everyones = own.failed(concerns, retry_after, whom, began);
        if everyones {
            let others = self.health(!is_stranger);
            others.failed(Concerns::Everyone, retry_after, whom, began);
        }
        everyones
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
