//! Refusals of the last minutes by reason, for the status page. Bounded: reason codes are ours.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts by minute.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Minute>>);

#[derive(Debug)]
struct Minute {
    /// Whole minutes since the epoch.
    at: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Recent {
    /// Counts one refusal.
    pub(super) fn note(&self, reason: &'static str, now: Duration) {
        let at = now.as_secs() / 60;
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // a clock set back counts on in the newest minute
        if minutes.back().is_none_or(|newest| newest.at < at) {
            minutes.push_back(Minute {
                at,
                counts: BTreeMap::new(),
            });
            while minutes.len() > MINUTES {
                minutes.pop_front();
            }
        }
        if let Some(newest) = minutes.back_mut() {
            *newest.counts.entry(reason).or_default() += 1;
        }
    }

    /// Sums over the last [`MINUTES`], the most frequent first.
    pub(super) fn counts(&self, now: Duration) -> Vec<(&'static str, u64)> {
        let since = (now.as_secs() / 60 + 1).saturating_sub(MINUTES as u64);
        let mut sums = BTreeMap::<_, u64>::new();
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for minute in minutes.iter().filter(|minute| minute.at >= since) {
            for (reason, count) in &minute.counts {
                *sums.entry(*reason).or_default() += count;
            }
        }
        drop(minutes);
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        sums
    }
}

const MINUTES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_summed_over_fifteen_minutes_and_then_forgotten() {
        let recent = Recent::default();
        let minute = |minute: u64| Duration::from_secs(minute * 60 + 59);
        recent.note("token_expired", minute(100));
        recent.note("no_route", minute(101));
        recent.note("no_route", minute(114));
        assert_eq!(
            recent.counts(minute(114)),
            [("no_route", 2), ("token_expired", 1)]
        );
        assert_eq!(recent.counts(minute(115)), [("no_route", 2)]);
        assert_eq!(recent.counts(minute(116)), [("no_route", 1)]);
        assert_eq!(recent.counts(minute(200)), []);
        for later in 200..300 {
            recent.note("no_route", minute(later));
        }
        assert_eq!(recent.0.lock().unwrap().len(), MINUTES);
    }
}
