//! One token for a fleet (DESIGN §9): who asks for the next one, and where the others find it.
//!
//! [`Shared`] stands before a source's own [`Fetch`](super::Fetch): what another sidecar fetched is
//! taken if it is fresh; else one is elected to ask, keeps what it got in the [`Store`], and the
//! others take it from there. The store is an acquaintance, never a master: without it each asks
//! for itself. User-bound tokens never come here.

mod entry;
mod shared;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN};
use zeroize::Zeroizing;

pub use self::entry::Portable;
pub(super) use self::shared::Shared;
use crate::clock::UnixTime;
use crate::gate::Boxed;

/// Most bytes of what is kept of one token, before sealing.
pub const LARGEST_ENTRY: usize = 48 * 1024;

/// What a fleet's sidecars must agree on to mean the same token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The source's name.
    pub credential: Arc<str>,
    /// SHA-256 over what tokens depend on: token endpoint, client, scopes, …; not its secret.
    pub definition: [u8; SHA256_OUTPUT_LEN],
}

/// Hashes what a [`Label`] stands for: each part with its length, so that no two sets of parts read
/// the same.
pub(super) struct Definition(Context);

impl Definition {
    pub(super) fn of(kind: &str) -> Self {
        let mut definition = Self(Context::new(&SHA256));
        definition.text(kind);
        definition
    }

    pub(super) fn text(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part.as_bytes());
    }

    pub(super) fn texts(&mut self, parts: &[String]) {
        self.0.update(&(parts.len() as u64).to_be_bytes());
        for part in parts {
            self.text(part);
        }
    }

    pub(super) fn label(self, credential: &Arc<str>) -> Label {
        Label {
            credential: Arc::clone(credential),
            definition: array(&self.0.finish()),
        }
    }
}

/// SHA-256 is 32 bytes long.
fn array(digest: &Digest) -> [u8; SHA256_OUTPUT_LEN] {
    let mut array = [0; SHA256_OUTPUT_LEN];
    for (to, from) in array.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    array
}

/// What the fleet keeps of one token.
#[derive(Clone)]
pub struct Entry {
    /// The token and its life, for [`Portable`]; the store does not look inside.
    pub content: Zeroizing<Vec<u8>>,
    /// When it ends, by the clock of whoever kept it.
    pub expires_at: UnixTime,
    /// How long it is valid from now, at most: by our clock and by the store's.
    pub remaining: Duration,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("expires_at", &self.expires_at)
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}

/// Proof of having been elected: random, so that nobody ends another's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn(pub String);

/// The store cannot be asked now. It has said so itself; whoever asks goes on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

/// Where a fleet keeps its tokens and agrees on who asks for the next. Every call ends within a
/// short time of the store's own.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is kept, if one of us kept it for this label and it has not expired.
    fn find<'s>(&'s self, label: &'s Label) -> Boxed<'s, Result<Option<Entry>, Away>>;

    /// Elects us to ask for the next token, for [`Store::turn`]; `None` while another is elected.
    fn elect<'s>(&'s self, label: &'s Label) -> Boxed<'s, Result<Option<Turn>, Away>>;

    /// Prolongs our turn; `false` if it is over.
    fn prolong<'s>(&'s self, label: &'s Label, turn: &'s Turn) -> Boxed<'s, Result<bool, Away>>;

    /// Keeps a token and ends our turn; nothing is kept (`false`) if the turn is over already.
    fn keep<'s>(
        &'s self,
        label: &'s Label,
        turn: &'s Turn,
        entry: Entry,
    ) -> Boxed<'s, Result<bool, Away>>;

    /// Ends our turn with nothing to keep; if that cannot be told, it ends by itself.
    fn resign<'s>(&'s self, label: &'s Label, turn: &'s Turn) -> Boxed<'s, ()>;

    /// How long a turn lasts that is not prolonged: whoever dies is replaced after it.
    fn turn(&self) -> Duration;

    /// What `/status` shows. No secrets.
    fn report(&self) -> serde_json::Value;
}
