//! The gate's view of keys: what it needs, not how they are fetched.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::authn::KeySet;

/// What a key source holds for an issuer at this moment. Reading it never waits.
#[derive(Clone, Debug)]
pub enum KeysNow {
    /// Usable keys, fresh or stale within bounds.
    Usable(Arc<KeySet>),
    /// None, or too old.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// What became of the search for an unknown `kid`.
#[derive(Clone, Debug)]
pub enum Sought {
    /// A fetch brought a set that holds it.
    Found(Arc<KeySet>),
    /// A fetch begun after it was first seen lacked it.
    Absent,
    /// No fetch could tell: budget spent, or the issuer is down.
    Unknown {
        /// When to try again.
        retry_after: Duration,
    },
}

/// A future that a trait object can return.
pub type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Keys by issuer. Implemented by the key engine (`client::jwks`) and by [`FixedKeys`].
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys of issuer number `issuer` in the gate's list, without waiting.
    fn find(&self, issuer: usize) -> KeysNow;

    /// Looks for a `kid` the current set lacks: at most one fetch, from the issuer's budget.
    fn seek<'s>(&'s self, issuer: usize, key_id: &'s str) -> Boxed<'s, Sought>;
}

/// Keys that never change, one set per issuer: `explain --jwks`, benches, tests.
#[derive(Clone, Debug)]
pub struct FixedKeys(pub Vec<Arc<KeySet>>);

impl KeySource for FixedKeys {
    fn find(&self, issuer: usize) -> KeysNow {
        match self.0.get(issuer) {
            Some(keys) => KeysNow::Usable(Arc::clone(keys)),
            None => KeysNow::Unavailable {
                retry_after: Duration::ZERO,
            },
        }
    }

    fn seek<'s>(&'s self, _issuer: usize, _key_id: &'s str) -> Boxed<'s, Sought> {
        Box::pin(std::future::ready(Sought::Absent))
    }
}
