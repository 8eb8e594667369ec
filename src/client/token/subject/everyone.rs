//! The pause of a whole source: what its endpoint said to one user and means for all of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::token::schedule;
use crate::client::token::user::SubjectKey;

/// The pause of a whole source, and what its endpoint has lately said to everybody.
#[derive(Debug, Default)]
pub(super) struct Everyone {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    paused_until: Option<Instant>,
    /// Users refused since somebody was last given a credential.
    refused: u32,
    unclear: Unclear,
}

/// Who failed, since somebody was last given a credential, for a reason that may be theirs or
/// everyone's.
#[derive(Debug, Default)]
enum Unclear {
    #[default]
    Nobody,
    /// Always this one: nobody else pays for it.
    One(SubjectKey),
    Several,
}

impl Everyone {
    /// What is left of the pause.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.lock().rest()
    }

    /// A fetch failed for a reason that concerns everyone. Those that were under way together count
    /// as one.
    pub(super) fn failed(&self, retry_after: Option<Duration>) {
        let mut state = self.lock();
        if state.rest().is_none() {
            state.failures = state.failures.saturating_add(1);
        }
        let pause = schedule::pause(state.failures, retry_after, schedule::jitter());
        let until = Instant::now() + pause;
        state.paused_until = Some(state.paused_until.map_or(until, |known| known.max(until)));
    }

    /// A fetch for this subject failed for a reason that may be its own; whether it is everyone's by
    /// what is known: others failed so too, and nobody was given a credential meanwhile.
    pub(super) fn is_met_by_all(&self, key: &SubjectKey) -> bool {
        let mut state = self.lock();
        state.unclear = match state.unclear {
            Unclear::Nobody => Unclear::One(*key),
            Unclear::One(known) if known == *key => Unclear::One(known),
            Unclear::One(_) | Unclear::Several => Unclear::Several,
        };
        matches!(state.unclear, Unclear::Several)
    }

    /// A user was refused, as the endpoint may; how many in a row by now.
    pub(super) fn refused(&self) -> u32 {
        let mut state = self.lock();
        state.answered();
        state.refused = state.refused.saturating_add(1);
        state.refused
    }

    /// A user was given a credential.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        state.answered();
        state.refused = 0;
        state.unclear = Unclear::Nobody;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rest(&self) -> Option<Duration> {
        schedule::rest(self.paused_until?)
    }

    /// The endpoint answers. During a pause that is an answer to a question from before it.
    fn answered(&mut self) {
        if self.rest().is_none() {
            self.failures = 0;
        }
    }
}
