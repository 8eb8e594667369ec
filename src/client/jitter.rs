//! Random times, so that a fleet does nothing in step.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A random time between the two.
pub(crate) fn between(shortest: Duration, longest: Duration) -> Duration {
    // the standard library's only randomness: each RandomState has its own keys
    let random = RandomState::new().build_hasher().finish() >> 32;
    let span = longest.saturating_sub(shortest).as_nanos();
    let part = (span * u128::from(random)) >> 32;
    shortest + Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
}
