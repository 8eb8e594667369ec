//! When a token is refreshed, and when a failed fetch is tried again.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use tokio::time::Instant;

use crate::client::token::request::ANSWER_WITHIN;
use crate::config::Freshness;

/// At most one refetch because of a target's 401 in this time, for each source or subject.
pub(super) const FORCED_EVERY: Duration = Duration::from_secs(30);
/// Longest a caller waits: two requests, since `invalid_client` may cause a second.
pub(super) const WAIT_AT_MOST: Duration = ANSWER_WITHIN.saturating_mul(2);
/// Refresh ahead of the end at most this long, unless configured.
const MOST_AHEAD: u64 = 300;
/// First pause after a failed fetch; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause of our own.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest pause while an endpoint is away and somebody waits who has no credential: when it is back,
/// calls go on at once.
const LONGEST_PAUSE_AT_NEED: Duration = Duration::from_secs(2);
/// Longest pause an endpoint may ask for: a wrong `Retry-After` must not outlive its outage.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(900);

/// Seconds before the end of a token's life at which it is refreshed: `configured`, or 5 minutes
/// or 20 % of `life`, the shorter; up to a tenth more so that a fleet does not ask in one moment;
/// never more than half of `life`. `jitter` is 0 to 1.
fn ahead(life: u64, configured: Option<Duration>, jitter: f64) -> u64 {
    let wanted = configured.map_or_else(|| MOST_AHEAD.min(life / 5), |before| before.as_secs());
    let jittered = Duration::from_secs(wanted.min(life)).mul_f64(1.0 + jitter / 10.0);
    jittered.as_secs().min(life / 2)
}

/// The pause after the `failures`-th failed fetch in a row: doubled each time, at least half of it
/// random; `Retry-After` is the least. `jitter` is 0 to 1.
pub(super) fn pause(failures: u32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
        .min(LONGEST_PAUSE);
    let ours = doubled.mul_f64(0.5 + jitter / 2.0);
    match retry_after {
        Some(asked) => asked
            .min(LONGEST_RETRY_AFTER)
            .mul_f64(1.0 + jitter / 10.0)
            .max(ours),
        None => ours,
    }
}

/// What is left of a pause if there is nothing to use meanwhile and the endpoint is away.
/// At least half of it is random too. `jitter` is 0 to 1.
pub(super) fn pause_at_need(pause: Duration, jitter: f64) -> Duration {
    pause.min(LONGEST_PAUSE_AT_NEED.mul_f64(0.5 + jitter / 2.0))
}

/// Whether a target's 401 may cause a refetch now; if so, that is noted: not before [`FORCED_EVERY`]
/// has passed may it again.
pub(super) fn may_force(forced_at: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let may = forced_at.is_none_or(|at| now.saturating_duration_since(at) >= FORCED_EVERY);
    if may {
        *forced_at = Some(now);
    }
    may
}

/// What is left until then, if anything.
pub(super) fn rest(until: Instant) -> Option<Duration> {
    let rest = until.saturating_duration_since(Instant::now());
    (!rest.is_zero()).then_some(rest)
}

/// For how many seconds a credential of this life is used, and how many before the end of that it is
/// refreshed. `jitter` is 0 to 1.
pub(super) fn uses(life: Duration, freshness: Freshness, jitter: f64) -> (u64, u64) {
    let most = freshness.max_reuse.unwrap_or(Duration::MAX);
    let life = life.min(most).as_secs();
    (life, ahead(life, freshness.refresh_before, jitter))
}

/// 0 to 1, anew with each call; 0 if the system has no random bits.
pub(super) fn jitter() -> f64 {
    let mut bytes = [0; 2];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        Err(_no_randomness) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_is_a_fifth_or_five_minutes_ahead_but_never_in_the_first_half() {
        let seconds = Duration::from_secs;
        for (life, configured, jitter, expected) in [
            (3600, None, 0.0, 300),
            (3600, None, 1.0, 330),
            (600, None, 0.0, 120),
            (10, None, 1.0, 2),
            (1, None, 1.0, 0),
            (3600, Some(seconds(60)), 0.0, 60),
            (300, Some(seconds(300)), 1.0, 150),
            (3600, Some(Duration::MAX), 1.0, 1800),
        ] {
            assert_eq!(
                ahead(life, configured, jitter),
                expected,
                "{life} {configured:?}"
            );
        }
    }

    #[test]
    fn callers_without_a_credential_do_not_come_back_all_at_once() {
        let long = Duration::from_secs(30);
        for (pause, jitter, expected) in [
            (long, 0.0, 1000),
            (long, 0.5, 1500),
            (long, 1.0, 2000),
            (Duration::from_millis(600), 0.0, 600),
        ] {
            let found = pause_at_need(pause, jitter);
            assert_eq!(found, Duration::from_millis(expected), "{pause:?} {jitter}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_respect_retry_after() {
        let about = |a: f64, b: f64| (a - b).abs() < 0.001;
        for (failures, retry_after, jitter, expected) in [
            (1, None, 0.0, 0.5),
            (1, None, 1.0, 1.0),
            (3, None, 1.0, 4.0),
            (7, None, 1.0, 60.0),
            (u32::MAX, None, 0.0, 30.0),
            (1, Some(20), 0.0, 20.0),
            (1, Some(20), 1.0, 22.0),
            (9, Some(1), 1.0, 60.0),
            (1, Some(u64::MAX), 0.0, 900.0),
        ] {
            let asked = retry_after.map(Duration::from_secs);
            let found = pause(failures, asked, jitter).as_secs_f64();
            assert!(
                about(found, expected),
                "{failures} {retry_after:?}: {found}"
            );
        }
    }
}
