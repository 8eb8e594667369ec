//! Counts by key, within a bound.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::{DOUBLED, LONGEST_WAIT, SPACING};

/// Counts looked at for one that is to give way.
const LOOK_AT: usize = 64;

/// Counts by key.
pub(super) struct Table<K> {
    most: usize,
    counts: HashMap<K, Count>,
    /// Keys in the order they came, but whoever was spared came last.
    order: BTreeMap<u64, K>,
    next: u64,
}

/// What is counted of one key.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Failures since `since`.
    pub(super) failures: u32,
    /// Those nobody answered since then, or since one was right.
    pub(super) unanswered: u32,
    /// Attempts that run.
    pub(super) running: u32,
    pub(super) locked_until: Option<Duration>,
    since: Duration,
    /// When the next of those in line may begin.
    next: Duration,
    place: u64,
}

impl Count {
    /// For how long it is locked yet.
    pub(super) fn locked(&self, now: Duration) -> Option<Duration> {
        let left = self.locked_until?.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// What ended other than right.
    fn ended(&self) -> u32 {
        self.failures.saturating_add(self.unanswered)
    }

    /// The same, and what may yet.
    pub(super) fn tried(&self) -> u32 {
        self.ended().saturating_add(self.running)
    }

    /// Whether `free` failures are spent: what comes now waits in line.
    pub(super) fn is_spent(&self, free: u32) -> bool {
        self.ended() >= free
    }

    /// Whether they are once all that runs has failed.
    pub(super) fn is_full(&self, free: u32) -> bool {
        !self.is_spent(free) && self.tried() >= free
    }

    /// How long the next attempt waits, where `free` failures are free.
    pub(super) fn turn(&self, free: u32, now: Duration) -> Duration {
        if self.tried() < free {
            return Duration::ZERO;
        }
        self.next.saturating_sub(now)
    }

    /// The next attempt takes its turn.
    pub(super) fn take_turn(&mut self, free: u32, now: Duration) {
        if self.tried() >= free {
            self.next = self
                .next
                .max(now)
                .saturating_add(spacing(self.tried(), free));
        }
    }

    fn is_over(&self, window: Duration, now: Duration) -> bool {
        self.running == 0
            && now >= self.since.saturating_add(window)
            && self.locked_until.is_none_or(|until| until <= now)
    }
}

fn spacing(tried: u32, free: u32) -> Duration {
    let times = (tried / free.max(1)).saturating_sub(1).min(DOUBLED);
    SPACING.saturating_mul(1 << times)
}

impl<K: Copy + Eq + Hash> Table<K> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            counts: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// The count of a key, if there is one. After its window, or its lock, it begins anew.
    pub(super) fn find(&mut self, key: &K, window: Duration, now: Duration) -> Option<&mut Count> {
        let count = self.counts.get_mut(key)?;
        let unlocked = count.locked_until.is_some_and(|until| until <= now);
        let outlived = count.locked_until.is_none() && now >= count.since.saturating_add(window);
        if unlocked || outlived {
            count.failures = 0;
            count.unanswered = 0;
            count.locked_until = None;
            count.since = now;
        }
        Some(count)
    }

    /// The count of a key, made where there is none.
    pub(super) fn count(&mut self, key: K, window: Duration, now: Duration) -> &mut Count {
        if !self.counts.contains_key(&key) {
            self.forget_over(window, now);
            if self.counts.len() >= self.most {
                self.evict();
            }
            let place = self.place(key);
            let since = now;
            let count = Count {
                since,
                place,
                ..Count::default()
            };
            self.counts.insert(key, count);
        }
        self.counts.entry(key).or_default()
    }

    /// One that ran has ended; `told` notes how, and its answer is passed on. A count of nothing is
    /// forgotten.
    pub(super) fn end(
        &mut self,
        key: &K,
        told: impl FnOnce(&mut Count) -> Option<Duration>,
    ) -> Option<Duration> {
        let count = self.counts.get_mut(key)?;
        count.running = count.running.saturating_sub(1);
        let answer = told(count);
        if count.tried() == 0 && count.locked_until.is_none() {
            self.forget(key);
        }
        answer
    }

    fn place(&mut self, key: K) -> u64 {
        self.next += 1;
        self.order.insert(self.next, key);
        self.next
    }

    fn forget(&mut self, key: &K) {
        if let Some(count) = self.counts.remove(key) {
            self.order.remove(&count.place);
        }
    }

    /// The oldest two, where they are over: more than one is added.
    fn forget_over(&mut self, window: Duration, now: Duration) {
        for _each in 0..2 {
            let Some((_place, &key)) = self.order.first_key_value() else {
                return;
            };
            let count = self.counts.get(&key);
            if !count.is_none_or(|count| count.is_over(window, now)) {
                return;
            }
            self.forget(&key);
        }
    }

    /// The oldest that failed once gives way; if none of the oldest did, the oldest that does not run.
    fn evict(&mut self) {
        let mut oldest = None;
        for _each in 0..LOOK_AT.min(self.order.len()) {
            let Some((_place, key)) = self.order.pop_first() else {
                break;
            };
            let spared = self.next + 1;
            let Some(count) = self.counts.get_mut(&key) else {
                continue;
            };
            if count.running == 0 && count.failures <= 1 && count.locked_until.is_none() {
                self.counts.remove(&key);
                return;
            }
            if count.running == 0 {
                oldest.get_or_insert(key);
            }
            count.place = spared;
            self.next = spared;
            self.order.insert(spared, key);
        }
        if let Some(key) = oldest {
            self.forget(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.counts.len(), self.order.len());
        self.counts.len()
    }
}

/// A line is never longer than those who wait in it.
const _: () = assert!(LONGEST_WAIT.as_millis() > SPACING.as_millis() << DOUBLED);

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(100);

    fn fail(table: &mut Table<u64>, key: u64, now: Duration) {
        table.count(key, WINDOW, now).running += 1;
        table.end(&key, |count| {
            count.failures += 1;
            None
        });
    }

    #[test]
    fn who_failed_once_gives_way_before_who_failed_more_often() {
        let mut table = Table::new(100);
        let now = Duration::from_secs(1);
        fail(&mut table, 0, now);
        fail(&mut table, 0, now);
        for key in 1..10_000 {
            fail(&mut table, key, now);
        }
        assert_eq!(table.len(), 100);
        assert_eq!(
            table.find(&0, WINDOW, now).map(|count| count.failures),
            Some(2)
        );
        // where all failed more often, one of them does
        for key in 1..10_000 {
            fail(&mut table, key, now);
            fail(&mut table, key, now);
        }
        assert_eq!(table.len(), 100);
    }

    #[test]
    fn what_runs_is_never_forgotten() {
        let mut table = Table::new(4);
        for key in 0..8 {
            table.count(key, WINDOW, Duration::ZERO).running += 1;
        }
        assert_eq!(table.len(), 8);
        for key in 0..8 {
            table.end(&key, |_count| None);
        }
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_count_is_forgotten_some_time_after_its_window() {
        let mut table = Table::new(1000);
        for key in 0..100 {
            fail(&mut table, key, Duration::ZERO);
        }
        for key in 100..200 {
            fail(&mut table, key, WINDOW);
        }
        assert_eq!(table.len(), 100);
    }
}
