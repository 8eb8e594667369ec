//! Proofs that were used (RFC 9449 11.1): each is good once.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;

use super::dpop::{MAX_AGE, MAX_AHEAD};
use crate::clock::UnixTime;

/// How long a proof must be remembered, in seconds, from when it is seen.
const REMEMBERED: u64 = MAX_AGE + MAX_AHEAD + 1;

/// Half of the proofs that are remembered at most: 18 MiB.
const MOST: usize = 900_000;

/// The proofs of the last minutes, in two halves of which the older goes whole. Bounded: when too many
/// come, the older half goes before its time, and proofs made before the younger began are refused,
/// whether they were used or not.
pub struct Replays(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    younger: HashSet<[u8; 16]>,
    older: HashSet<[u8; 16]>,
    /// When the younger began.
    turned: UnixTime,
    /// Proofs made up to then may be forgotten.
    forgotten: UnixTime,
}

impl Replays {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    /// Whether the proof of this key and `jti`, made then, comes for the first time; it is noted.
    pub(super) fn is_first(&self, key: &[u8; 32], id: &str, made: UnixTime, now: UnixTime) -> bool {
        self.note(&tag(key, id), made, now, MOST)
    }

    fn note(&self, tag: &[u8; 16], made: UnixTime, now: UnixTime, most: usize) -> bool {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(halves.turned) > REMEMBERED {
            // what the older half holds was seen before the younger began: it is too old by now
            halves.turn(now);
        } else if halves.younger.len() >= most {
            // what was seen before the younger began may still be good, and is forgotten now
            halves.forgotten = halves.turned.plus(MAX_AHEAD);
            halves.turn(now);
        }
        made > halves.forgotten && !halves.older.contains(tag) && halves.younger.insert(*tag)
    }
}

impl Halves {
    fn turn(&mut self, now: UnixTime) {
        self.older = std::mem::take(&mut self.younger);
        self.turned = now;
    }
}

impl Default for Replays {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replays").finish_non_exhaustive()
    }
}

fn tag(key: &[u8; 32], id: &str) -> [u8; 16] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(key);
    hash.update(id.as_bytes());
    hash.finish()
        .as_ref()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime(1_000_000 + seconds)
    }

    fn tag_of(number: u64) -> [u8; 16] {
        tag(&[0; 32], &number.to_string())
    }

    #[test]
    fn a_proof_is_good_once_as_long_as_it_could_be_good() {
        // its last moment to be used again is MAX_AGE after it was made, which is up to MAX_AHEAD from now
        for begins in [0, 1, REMEMBERED, 1000] {
            for ahead in [0, MAX_AHEAD] {
                let replays = Replays::new();
                assert!(replays.note(&tag_of(0), at(0), at(0), 100));
                let (seen, made) = (begins + 5, begins + 5 + ahead);
                assert!(replays.note(&tag_of(1), at(made), at(seen), 100));
                for later in seen..=made + MAX_AGE {
                    // others keep coming, and the halves turn
                    assert!(replays.note(&tag_of(later + 10), at(later), at(later), 100));
                    let again = replays.note(&tag_of(1), at(made), at(later), 100);
                    assert!(!again, "begun {begins}, ahead {ahead}, at {later}");
                }
            }
        }
    }

    proptest! {
        /// The proofs: number, made how long after it was first shown; shown how long after the one before.
        #[test]
        fn a_flood_forgets_no_proof_that_it_would_let_in_again(
            shown in proptest::collection::vec((0..12_u64, 0..=MAX_AHEAD, 0..20_u64), 1..120),
            most in 1..6_usize,
        ) {
            let replays = Replays::new();
            let (mut now, mut made_at, mut used) = (0, HashMap::new(), HashSet::new());
            for (number, ahead, pause) in shown {
                now += pause;
                let made = *made_at.entry(number).or_insert(now + ahead);
                let judged_good = made <= now + MAX_AHEAD && now <= made + MAX_AGE;
                if judged_good && replays.note(&tag_of(number), at(made), at(now), most) {
                    prop_assert!(used.insert(number), "{number} twice, at {now}");
                }
                let halves = replays.0.lock().unwrap();
                prop_assert!(halves.younger.len().max(halves.older.len()) <= most);
            }
        }
    }

    #[test]
    fn two_keys_may_use_one_id() {
        let replays = Replays::new();
        for key in [[1; 32], [2; 32]] {
            assert!(replays.is_first(&key, "a", at(0), at(0)));
            assert!(!replays.is_first(&key, "a", at(0), at(0)));
        }
    }
}
