//! Look-ups that a request can do without.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{Engine, Known, lock};
use crate::authn::membership::Subject;
use crate::gate::Learnt;
use crate::store::memberships::source::Source;

impl<S: Source + ?Sized> Engine<S> {
    /// [`Self::ask`] for what nobody depends on: what was known before is used while the source is asked
    /// again. Only for a first answer one waits, no longer than a look-up may take, and not at all while
    /// the source is down or after it had none for this subject: the answer is there for a later request.
    pub async fn ask_in_passing(
        self: &Arc<Self>,
        subject: Subject<'_>,
        with: impl FnOnce() -> S::With + Send,
    ) -> Option<Known<S::Answer>> {
        let known = |answer, how| Known { answer, how };
        let kept = self.memory.shelf.find(&subject);
        let now = Instant::now();
        if let Some(answer) = kept.as_ref().and_then(|kept| kept.fresh(now)) {
            return Some(known(answer, Learnt::Cached));
        }
        let in_doubt = lock(&self.memory.health).is_down()
            || kept.as_ref().is_some_and(|kept| kept.failures() > 0);
        let paused = kept.as_ref().and_then(|kept| kept.pause(now)).is_some();
        let flight = if paused {
            None
        } else {
            self.join(subject, with, now).ok()
        };
        if let Some(answer) = kept.and_then(|kept| kept.usable(now)) {
            return Some(known(answer, Learnt::Stale));
        }
        let mut flight = flight.filter(|_| !in_doubt)?;
        let ended = timeout(self.policy.timeout, flight.wait_for(Option::is_some)).await;
        let answer = ended.ok()?.ok()?.clone()?.ok()?;
        Some(known(answer, Learnt::Asked))
    }
}
