//! The only reader of wall time. Everything else takes a [`UnixTime`] as a parameter.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970-01-01T00:00:00Z: `NumericDate` of RFC 7519 without its fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// This moment plus a whole number of seconds; saturates.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this moment, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl FromStr for UnixTime {
    type Err = &'static str;

    /// RFC 3339 in UTC, or seconds since 1970.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self(seconds));
        }
        let time = humantime::parse_rfc3339(text)
            .map_err(|_invalid| "write it as 2026-11-22T03:00:00Z or as seconds since 1970")?;
        let since = time
            .duration_since(UNIX_EPOCH)
            .map_err(|_before| "a time before 1970")?;
        Ok(Self(since.as_secs()))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(self.0));
        // 253402300799 is 9999-12-31T23:59:59Z, the last moment RFC 3339 can write
        match at.filter(|_| self.0 <= 253_402_300_799) {
            Some(at) => humantime::format_rfc3339_seconds(at).fmt(f),
            None => write!(f, "@{}", self.0),
        }
    }
}

/// Wall time, injected so that tests and `explain --now` can choose it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall time since the Unix epoch.
    fn since_epoch(&self) -> Duration;

    /// The present moment in whole seconds.
    fn now(&self) -> UnixTime {
        UnixTime(self.since_epoch().as_secs())
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one legal reader of wall time"
    )]
    fn since_epoch(&self) -> Duration {
        // before 1970 is a broken clock: time zero makes every token "not yet valid", which is safe
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: UnixTime) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn since_epoch(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Tests only: wall time that runs with tokio's paused time.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct PausedClock {
    begun: tokio::time::Instant,
    at: Duration,
}

#[cfg(test)]
impl PausedClock {
    /// When it begins.
    pub(crate) const BEGIN: UnixTime = UnixTime(1_700_000_000);

    pub(crate) fn new() -> Self {
        Self {
            begun: tokio::time::Instant::now(),
            at: Duration::from_secs(Self::BEGIN.0),
        }
    }

    /// One that runs with this and is so many seconds wrong.
    pub(crate) fn wrong_by(&self, seconds: i64) -> Self {
        Self {
            begun: self.begun,
            at: Duration::from_secs(Self::BEGIN.0.saturating_add_signed(seconds)),
        }
    }
}

#[cfg(test)]
impl Clock for PausedClock {
    fn since_epoch(&self) -> Duration {
        self.at + self.begun.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_two_ways() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("1790000000", Some(1_790_000_000)),
            ("1970-01-01T00:01:00Z", Some(60)),
            ("2026-11-22", None),
            ("1969-12-31T23:59:59Z", None),
            ("tomorrow", None),
        ] {
            assert_eq!(text.parse().ok(), seconds.map(UnixTime), "{text}");
        }
    }
}
