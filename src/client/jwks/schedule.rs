//! When a fetch may begin: the budget of sought fetches, backoff, jitter.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::jitter::between;
use crate::config::Jwks;

/// Fetches for unknown `kid`s that may follow each other at once.
const BURST: u32 = 4;
/// No `max-age` makes us come back sooner.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// An issuer's `Retry-After` is heeded up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// A timer needs some end.
const LONGEST_INTERVAL: Duration = Duration::from_secs(7 * 24 * 3600);

/// A token bucket: [`BURST`] fetches, then one per `unknown_kid_cooldown`. It counts attempts,
/// whatever becomes of them.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    counted_from: Instant,
    cooldown: Duration,
}

impl Budget {
    pub(super) fn new(cooldown: Duration, now: Instant) -> Self {
        Self {
            left: BURST,
            counted_from: now,
            cooldown: cooldown.max(Duration::from_secs(1)),
        }
    }

    fn refill(&mut self, now: Instant) {
        while self.left < BURST {
            let next = self.counted_from + self.cooldown;
            if next > now {
                return;
            }
            self.left += 1;
            self.counted_from = next;
        }
        self.counted_from = now;
    }

    /// Whether a fetch could be paid for.
    pub(super) fn has_one(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left > 0
    }

    /// Pays for one fetch, if there is one left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.left -= 1;
        }
        has_one
    }

    /// Time until there is one again.
    pub(super) fn next(&mut self, now: Instant) -> Duration {
        if self.has_one(now) {
            return Duration::ZERO;
        }
        (self.counted_from + self.cooldown).saturating_duration_since(now)
    }
}

/// Time from a success to the next scheduled fetch.
pub(super) fn after_success(policy: &Jwks, max_age: Option<Duration>) -> Duration {
    let mut interval = policy
        .refresh_interval
        // keys must not grow too old between two fetches that both succeed
        .min(policy.max_stale / 2)
        .min(LONGEST_INTERVAL)
        .max(Duration::from_secs(1));
    if let Some(max_age) = max_age {
        interval = interval.min(max_age.max(SHORTEST_MAX_AGE));
    }
    between(interval.mul_f64(0.9), interval.mul_f64(1.1))
}

/// Time from the last of `failures` consecutive failures to the next attempt.
pub(super) fn after_failure(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    let backoff = FIRST_BACKOFF
        .saturating_mul(1 << doublings)
        .min(LONGEST_BACKOFF);
    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    between(backoff / 2, backoff).max(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(refresh: u64, max_stale: u64) -> Jwks {
        Jwks {
            refresh_interval: Duration::from_secs(refresh),
            max_stale: Duration::from_secs(max_stale),
            unknown_kid_cooldown: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(5),
            snapshot_dir: None,
            readiness_strict: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_a_burst_of_four_then_one_per_cooldown() {
        let cooldown = Duration::from_secs(30);
        let start = Instant::now();
        let mut budget = Budget::new(cooldown, start);
        for _ in 0..4 {
            assert!(budget.take(start));
        }
        assert!(!budget.take(start));
        assert_eq!(budget.next(start), cooldown);
        let later = start + Duration::from_secs(29);
        assert!(!budget.take(later));
        assert_eq!(budget.next(later), Duration::from_secs(1));
        assert!(budget.take(start + cooldown));
        assert!(!budget.take(start + cooldown));
        // an idle hour earns the burst, not more
        let hour = start + Duration::from_secs(3600);
        let taken = (0..10).filter(|_| budget.take(hour)).count();
        assert_eq!(taken, 4);
    }

    #[test]
    fn the_interval_is_bounded_by_max_age_and_max_stale() {
        let cases: [(u64, u64, Option<u64>, u64); 7] = [
            (1800, 86400, None, 1800),
            (1800, 86400, Some(86400), 1800),
            (1800, 86400, Some(600), 600),
            (1800, 86400, Some(0), 60),
            (30, 86400, Some(0), 30),
            (1800, 600, None, 300),
            (0, 0, None, 1),
        ];
        for (refresh, max_stale, max_age, expected) in cases {
            let policy = policy(refresh, max_stale);
            let expected = Duration::from_secs(expected);
            for _ in 0..50 {
                let interval = after_success(&policy, max_age.map(Duration::from_secs));
                assert!(
                    interval >= expected.mul_f64(0.9) && interval <= expected.mul_f64(1.1),
                    "{interval:?} of {expected:?}"
                );
            }
        }
    }

    #[test]
    fn backoff_doubles_from_one_second_to_a_minute_and_heeds_retry_after() {
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (7, 60), (4_000_000_000, 60)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..50 {
                let wait = after_failure(failures, None);
                assert!(
                    wait >= longest / 2 && wait <= longest,
                    "{failures}: {wait:?}"
                );
            }
        }
        let asked = |seconds| after_failure(1, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(120), Duration::from_secs(120));
        assert_eq!(asked(1_000_000), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn jitter_spreads() {
        let waits: std::collections::BTreeSet<_> =
            (0..50).map(|_| after_failure(7, None)).collect();
        assert!(waits.len() > 40, "{waits:?}");
    }
}
