//! What is counted of passwords.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Metrics;
use super::declare::Declare;

/// Metrics of `[basic]`.
pub(super) struct Passwords {
    checks: [IntCounter; PasswordResult::ALL.len()],
    waiting: IntGauge,
    hashes: Histogram,
    logins: [IntCounter; LoginResult::ALL.len()],
}

/// What came of a user name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordResult {
    /// Right, as it was a moment ago: no hash.
    Cached,
    /// Right.
    Verified,
    /// Wrong.
    Refused,
    /// This source may not try this user now.
    LockedOut,
    /// This source tries too often.
    RateLimited,
    /// Nobody could tell.
    Unavailable,
}

impl PasswordResult {
    const ALL: [Self; 6] = [
        Self::Cached,
        Self::Verified,
        Self::Refused,
        Self::LockedOut,
        Self::RateLimited,
        Self::Unavailable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Verified => "verified",
            Self::Refused => "refused",
            Self::LockedOut => "locked_out",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginResult {
    /// Tokens.
    Granted,
    /// A wrong password.
    Refused,
    /// The right one, and more is asked for.
    Challenged,
    /// This source may not try this user now.
    LockedOut,
    /// This source, or all for this user, try too often.
    RateLimited,
    /// Nobody could tell.
    Unavailable,
    /// An answer that nobody can use.
    Unusable,
}

impl LoginResult {
    const ALL: [Self; 7] = [
        Self::Granted,
        Self::Refused,
        Self::Challenged,
        Self::LockedOut,
        Self::RateLimited,
        Self::Unavailable,
        Self::Unusable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Challenged => "challenged",
            Self::LockedOut => "locked_out",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unusable => "unusable",
        }
    }
}

impl Passwords {
    pub(super) fn new(declare: &mut Declare) -> Self {
        let checks = declare.counters(
            "gatepost_passwords_total",
            "User names and passwords presented, by what came of them.",
            &["result"],
        );
        let waiting = declare.gauges(
            "gatepost_password_hashes_waiting",
            "Passwords that wait for a thread that hashes.",
            &[],
        );
        let hashes = declare.histograms(
            "gatepost_password_hash_seconds",
            "Time one hash took.",
            &[],
            &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
        );
        let logins = declare.counters(
            "gatepost_logins_total",
            "Logins handed on, or refused before.",
            &["result"],
        );
        Self {
            logins: LoginResult::ALL.map(|result| logins.with_label_values(&[result.as_str()])),
            checks: PasswordResult::ALL.map(|result| checks.with_label_values(&[result.as_str()])),
            waiting: waiting.with_label_values::<&str>(&[]),
            hashes: hashes.with_label_values::<&str>(&[]),
        }
    }
}

impl Metrics {
    /// A user name and password were presented, and this came of them.
    pub fn password(&self, result: PasswordResult) {
        let all = PasswordResult::ALL.into_iter().zip(&self.passwords.checks);
        for (_result, counter) in all.filter(|(known, _)| *known == result) {
            counter.inc();
        }
    }

    /// A login came, and this came of it.
    pub fn login(&self, result: LoginResult) {
        let all = LoginResult::ALL.into_iter().zip(&self.passwords.logins);
        for (_result, counter) in all.filter(|(known, _)| *known == result) {
            counter.inc();
        }
    }

    /// So many more (or fewer) wait for a thread.
    pub fn password_waits(&self, more: i64) {
        self.passwords.waiting.add(more);
    }

    /// One hash took this long.
    pub fn password_hashed(&self, took: Duration) {
        self.passwords.hashes.observe(took.as_secs_f64());
    }
}
