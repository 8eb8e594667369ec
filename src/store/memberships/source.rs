//! What the engine asks: one look-up of one subject.

use std::fmt;
use std::time::Duration;

use crate::authn::membership::{Sets, Subject};
use crate::client::health::Concerns;
use crate::gate::Boxed;

/// Most look-ups that a source carries out at once, where it does not say better.
pub const AT_ONCE: usize = 32;

/// Answers look-ups: a database, a directory over HTTP, an issuer's endpoint. The engine sees to it that one
/// subject is looked up once at a time, a bounded number at once, and nobody while the source is known to be
/// down; and that a look-up ends in time.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What it says.
    type Answer: Answer;
    /// What it needs beside the subject.
    type With: Send + Sync + 'static;

    /// Most look-ups that it carries out at once.
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    /// What is to be said of a subject that it cannot be asked about: it has not what the question needs.
    fn unasked(&self, _subject: &Subject<'_>) -> Option<Self::Answer> {
        None
    }

    /// Asks about this subject. Runs on the control runtime, in a task of its own.
    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        with: &'l Self::With,
    ) -> Boxed<'l, Result<Self::Answer, LookUpError>>;
}

/// A source of memberships.
pub type Memberships = dyn Source<Answer = Sets, With = ()>;

/// What is kept of a look-up.
pub trait Answer: fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Whether it says nothing: it is then asked for again sooner.
    fn is_empty(&self) -> bool;

    /// About how many bytes of memory it holds.
    fn size(&self) -> usize;
}

impl Answer for Sets {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn size(&self) -> usize {
        self.size()
    }
}

/// Why a look-up has no answer. The text names no URL, secret or user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct LookUpError {
    /// Whom it concerns.
    pub concerns: Concerns,
    /// What happened, for the log.
    pub why: String,
    /// When the source wants to be asked again, if it says so.
    pub retry_after: Option<Duration>,
}

impl LookUpError {
    /// It would meet whoever asks.
    #[must_use]
    pub fn everyones(why: impl fmt::Display) -> Self {
        Self::new(Concerns::Everyone, &why)
    }

    /// It meets this subject.
    #[must_use]
    pub fn of_one(why: impl fmt::Display) -> Self {
        Self::new(Concerns::One, &why)
    }

    /// It may be either.
    #[must_use]
    pub fn unclear(why: impl fmt::Display) -> Self {
        Self::new(Concerns::Unclear, &why)
    }

    fn new(concerns: Concerns, why: &dyn fmt::Display) -> Self {
        Self {
            concerns,
            why: why.to_string(),
            retry_after: None,
        }
    }

    /// The same, with the time the source asks for.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }
}
