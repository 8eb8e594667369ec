//! AWS without its SDK: signatures, where key sets come from, and the few calls we make ourselves.

mod api;
mod container;
mod identity_pool;
mod keys;
mod own;
mod process;
mod secrets_manager;
pub mod sigv4;
mod sts;
#[cfg(test)]
mod tests;

use std::time::{Duration, UNIX_EPOCH};

pub use self::api::{AwsError, Service};
pub use self::container::body as container_body;
pub(in crate::client) use self::identity_pool::AskingPool;
pub use self::keys::AwsKeys;
pub(in crate::client) use self::own::AskingKeys;
pub use self::process::Process;
use crate::client::token::{Granted, LifeFrom};
use crate::clock::UnixTime;

/// The life of keys and secrets that do not end by themselves: a hundred years.
const NO_END: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A key set as a source gave it.
#[derive(Debug, PartialEq, Eq)]
struct Issued {
    keys: AwsKeys,
    /// When AWS stops to accept it; `None`: it does not end by itself.
    until: Option<UnixTime>,
}

impl Issued {
    /// As the freshness engine has it, asked for at `now`.
    fn granted(self, now: UnixTime) -> Result<Granted<AwsKeys>, AwsError> {
        granted(self.keys, self.until, now)
    }
}

/// What AWS issued at `now`, until then.
fn granted<C>(
    credential: C,
    until: Option<UnixTime>,
    now: UnixTime,
) -> Result<Granted<C>, AwsError> {
    let (life, life_from) = match until {
        Some(until) => (Duration::from_secs(until.since(now)), LifeFrom::Expiration),
        None => (NO_END, LifeFrom::Endless),
    };
    if life.is_zero() {
        return Err(AwsError::Expired);
    }
    Ok(Granted {
        credential,
        life,
        life_from,
        scope: None,
    })
}

/// A moment of RFC 3339, in UTC.
fn instant(text: &str) -> Option<UnixTime> {
    let at = humantime::parse_rfc3339(text).ok()?;
    Some(UnixTime(at.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}
