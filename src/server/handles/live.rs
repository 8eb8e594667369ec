//! The handles that are live, within a bound of bytes.
//!
//! Where there is no room, handles of requests that ended give way before their minute is over: the
//! oldest first, and those of whoever has more than the average before anybody else's. So one user's
//! crowd of requests does not end the work of others. Handles of running requests never give way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::client::token::{Proof, User};
use crate::clock::UnixTime;

/// What a handle is found by.
pub(super) type Key = [u8; 16];

/// Bytes of one handle besides its user: its places in the map and the queue, with their slack.
const HANDLE: usize = 256;

/// Ended handles looked at for one that is to give way.
const LOOK_AT: usize = 64;

/// Handles forgotten at once: more than one request adds.
const FORGET_AT_ONCE: usize = 64;

/// Live handles, and those that ended lately.
pub(super) struct Live {
    most_bytes: usize,
    known: HashMap<Key, Known>,
    users: HashMap<Whose, Shared>,
    /// Handles whose request ended, with the moment they stop being valid: in that order, since
    /// all of them linger equally long.
    ended: VecDeque<(Instant, Key)>,
    /// Those of them, in the same order, that were spared when others gave way. They came before all
    /// that are in `ended`.
    spared: VecDeque<(Instant, Key)>,
    bytes: usize,
}

struct Known {
    user: User,
    whose: Whose,
    /// `None` while the request runs.
    until: Option<Instant>,
    /// Its own, without what it shares.
    bytes: usize,
}

/// What tells users apart: a principal, which the gate makes once for each verified token and which
/// its handles keep alive, so that its address is nobody else's; and when its token ends, which a
/// certificate shown beside it may bring forward. `None`: without a token.
type Whose = (usize, Option<UnixTime>);

/// What all handles of one user and token share.
struct Shared {
    user: User,
    handles: usize,
    bytes: usize,
}

/// Who a new handle is to name, and what they weigh: found out before the lock is taken, where it takes
/// a copy of the token or a walk through the claims.
pub(super) struct Holder {
    user: User,
    whose: Whose,
    /// Bytes of the user.
    bytes: usize,
}

/// What became of a new handle.
#[derive(Debug)]
pub(super) struct Kept {
    /// Whether it names its user.
    pub(super) is_live: bool,
    /// How many others gave way.
    pub(super) evicted: u64,
}

impl Holder {
    /// With a copy of the token of its own.
    pub(super) fn of(proof: &Proof<'_>) -> Self {
        let user = proof.user();
        Self {
            whose: whose(proof),
            bytes: user.size(),
            user,
        }
    }
}

fn whose(proof: &Proof<'_>) -> Whose {
    let principal = Arc::as_ptr(&proof.proven.principal).addr();
    (principal, proof.token.map(|_token| proof.ends_at()))
}

impl Live {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            known: HashMap::new(),
            users: HashMap::new(),
            ended: VecDeque::new(),
            spared: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<User> {
        let known = self.known.get(key)?;
        match known.until {
            Some(until) if until <= now => None,
            Some(_) | None => Some(known.user.clone()),
        }
    }

    /// The user of this proof, if another live handle names them by the same token.
    pub(super) fn holder(&self, proof: &Proof<'_>) -> Option<Holder> {
        let whose = whose(proof);
        let shared = self.users.get(&whose)?;
        let user = User {
            proven: proof.proven.clone(),
            token: shared.user.token.clone(),
        };
        let bytes = match shared.beside(&user) {
            0 => shared.bytes,
            own => shared.bytes - shared.user.proven.headers.size() + own,
        };
        Some(Holder { user, whose, bytes })
    }

    /// Keeps a handle of a running request, if there is room or can be made.
    pub(super) fn keep(&mut self, key: Key, holder: Holder) -> Kept {
        let Holder {
            mut user,
            whose,
            bytes,
        } = holder;
        let mut beside = 0;
        if let Some(shared) = self.users.get(&whose) {
            // another of this user may have come first
            user.token.clone_from(&shared.user.token);
            beside = shared.beside(&user);
        }
        let mut evicted = 0;
        let own = loop {
            // what it shares may have given way with the last handle of it
            let (own, shared) = if self.users.contains_key(&whose) {
                (HANDLE + beside, 0)
            } else {
                (HANDLE, bytes)
            };
            if self.bytes + own + shared <= self.most_bytes {
                break own;
            }
            if !self.evict() {
                let is_live = false;
                return Kept { is_live, evicted };
            }
            evicted += 1;
        };
        self.bytes += own;
        let shared = self.users.entry(whose).or_insert_with(|| {
            self.bytes += bytes;
            let user = user.clone();
            let handles = 0;
            Shared {
                user,
                handles,
                bytes,
            }
        });
        shared.handles += 1;
        let known = Known {
            user,
            whose,
            until: None,
            bytes: own,
        };
        self.known.insert(key, known);
        let is_live = true;
        Kept { is_live, evicted }
    }

    /// Its request ended: it is valid until this moment.
    pub(super) fn end(&mut self, key: &Key, until: Instant) {
        if let Some(known) = self.known.get_mut(key) {
            known.until = Some(until);
            self.ended.push_back((until, *key));
        }
    }

    /// Forgets handles that are over, so many at most: nobody waits for a crowd of them. Whether there
    /// are more.
    pub(super) fn forget_ended(&mut self, now: Instant) -> bool {
        for _each in 0..FORGET_AT_ONCE {
            let over = |(until, _key): &(Instant, Key)| *until <= now;
            // those in `spared` came first
            let queue = if self.spared.front().is_some_and(over) {
                &mut self.spared
            } else if self.ended.front().is_some_and(over) {
                &mut self.ended
            } else {
                return false;
            };
            if let Some((_until, key)) = queue.pop_front() {
                self.forget(&key);
            }
        }
        true
    }

    /// Makes one that ended give way; whether there was one.
    fn evict(&mut self) -> bool {
        for _each in 0..LOOK_AT {
            let Some((until, key)) = self.ended.pop_front() else {
                break;
            };
            if self.has_many(&key) {
                self.forget(&key);
                return true;
            }
            self.spared.push_back((until, key));
        }
        let oldest = self.spared.pop_front();
        if let Some((_until, key)) = &oldest {
            self.forget(key);
        }
        oldest.is_some()
    }

    /// Whether its user has more handles than the average.
    fn has_many(&self, key: &Key) -> bool {
        let average = self.known.len() / self.users.len().max(1);
        let user = self.known.get(key).map(|known| &known.whose);
        let shared = user.and_then(|whose| self.users.get(whose));
        shared.is_some_and(|shared| shared.handles > average)
    }

    fn forget(&mut self, key: &Key) {
        let Some(known) = self.known.remove(key) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(known.bytes);
        if let Entry::Occupied(mut shared) = self.users.entry(known.whose) {
            shared.get_mut().handles -= 1;
            if shared.get().handles == 0 {
                self.bytes = self.bytes.saturating_sub(shared.remove().bytes);
            }
        }
    }
}

impl Shared {
    /// Bytes of what this user of the same token does not share: the headers where `on_behalf_of`
    /// states another user with each request.
    fn beside(&self, user: &User) -> usize {
        let (shared, own) = (&self.user.proven.headers, &user.proven.headers);
        if Arc::ptr_eq(shared, own) {
            0
        } else {
            own.size()
        }
    }
}
