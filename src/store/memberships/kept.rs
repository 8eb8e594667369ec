//! What is kept of each subject, bounded by entries and bytes.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Equivalent;
use tokio::time::Instant;

use super::source::Answer;
use crate::authn::membership::Subject;

/// Most bytes of what is kept of one source.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one subject besides its answer.
const SUBJECT: usize = 256;

/// A subject of its own. Hashes as [`Subject`] does: found by one without a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    issuer: String,
    user_id: String,
    tenant: Option<String>,
    client_id: Option<String>,
}

impl From<Subject<'_>> for Key {
    fn from(subject: Subject<'_>) -> Self {
        Self {
            issuer: subject.issuer.to_owned(),
            user_id: subject.user_id.to_owned(),
            tenant: subject.tenant.map(str::to_owned),
            client_id: subject.client_id.map(str::to_owned),
        }
    }
}

impl Key {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            issuer: &self.issuer,
            user_id: &self.user_id,
            tenant: self.tenant.as_deref(),
            client_id: self.client_id.as_deref(),
        }
    }

    fn size(&self) -> usize {
        let further = [&self.tenant, &self.client_id].into_iter().flatten();
        let texts = further.chain([&self.issuer, &self.user_id]);
        SUBJECT + texts.map(String::len).sum::<usize>()
    }
}

impl Equivalent<Key> for Subject<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.subject()
    }
}

/// What is known of one subject.
#[derive(Debug)]
pub(super) struct Kept<A> {
    told: Option<Told<A>>,
    /// No look-up before this moment, after so many failures in a row.
    paused: Option<(Instant, u32)>,
}

#[derive(Debug)]
struct Told<A> {
    answer: Arc<A>,
    /// Used without asking until then.
    fresh_until: Instant,
    /// Used until then, if the source cannot be asked.
    usable_until: Instant,
}

impl<A> Clone for Told<A> {
    fn clone(&self) -> Self {
        Self {
            answer: Arc::clone(&self.answer),
            ..*self
        }
    }
}

impl<A: Answer> Kept<A> {
    /// An answer that came just now.
    pub(super) fn of(answer: Arc<A>, fresh_for: Duration, usable_for: Duration) -> Self {
        let now = Instant::now();
        Self {
            told: Some(Told {
                answer,
                fresh_until: now + fresh_for,
                usable_until: now + usable_for.max(fresh_for),
            }),
            paused: None,
        }
    }

    /// No answer: what was known before, and no look-up for a while.
    pub(super) fn failed(before: Option<&Self>, pause: Duration) -> Self {
        let failures = before.map_or(0, Self::failures);
        Self {
            told: before.and_then(|before| before.told.clone()),
            paused: Some((Instant::now() + pause, failures.saturating_add(1))),
        }
    }

    /// The answer, if nobody need be asked.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<A>> {
        let told = self.told.as_ref().filter(|told| now < told.fresh_until)?;
        Some(Arc::clone(&told.answer))
    }

    /// The answer, if it may be used while nobody can be asked.
    pub(super) fn usable(&self, now: Instant) -> Option<Arc<A>> {
        let told = self.told.as_ref().filter(|told| now < told.usable_until)?;
        Some(Arc::clone(&told.answer))
    }

    /// The answer that is kept, if it says the same.
    pub(super) fn same(&self, answer: &A) -> Option<Arc<A>> {
        let told = self.told.as_ref().filter(|told| *told.answer == *answer)?;
        Some(Arc::clone(&told.answer))
    }

    /// What is left of the pause after a failure.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let (until, _) = self.paused?;
        let rest = until.saturating_duration_since(now);
        (rest > Duration::ZERO).then_some(rest)
    }

    /// How many look-ups failed since the last answer.
    pub(super) fn failures(&self) -> u32 {
        self.paused.map_or(0, |(_, failures)| failures)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.told.as_ref().map_or(0, |told| told.answer.size())
    }
}

/// The subjects something is known of. Who was not asked about for long gives way.
pub(super) struct Shelf<A> {
    entries: quick_cache::sync::Cache<Key, Arc<Kept<A>>, ByWeight>,
}

/// An entry weighs its bytes, and at least its share of the byte bound: so one bound holds both.
#[derive(Clone, Debug)]
struct ByWeight {
    least: u64,
}

impl<A: Answer> quick_cache::Weighter<Key, Arc<Kept<A>>> for ByWeight {
    fn weight(&self, key: &Key, val: &Arc<Kept<A>>) -> u64 {
        let bytes = key.size() + val.size();
        u64::try_from(bytes).unwrap_or(u64::MAX).max(self.least)
    }
}

impl<A: Answer> Shelf<A> {
    pub(super) fn new(most: usize) -> Self {
        let least = MOST_BYTES / u64::try_from(most.max(1)).unwrap_or(u64::MAX);
        let weigher = ByWeight {
            least: least.max(1),
        };
        Self {
            entries: quick_cache::sync::Cache::with_weighter(most, MOST_BYTES, weigher),
        }
    }

    pub(super) fn find(&self, subject: &Subject<'_>) -> Option<Arc<Kept<A>>> {
        self.entries.get(subject)
    }

    pub(super) fn keep(&self, key: Key, kept: Kept<A>) {
        self.entries.insert(key, Arc::new(kept));
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
