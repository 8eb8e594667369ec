//! When a signature is verified, and when its request goes on.

use std::fmt;

use super::{Boxed, Gate};

/// Lets those who are known, and answers, go before a crowd of strangers. Implemented by `server::turns`; a
/// gate without one verifies at once (`explain`, `test`, benches).
pub trait Turns: fmt::Debug + Send + Sync {
    /// Comes when a signature may be verified here; `None`: at once.
    fn wait(&self) -> Option<Boxed<'_, ()>>;

    /// Comes when the signatures of this turn are verified: their requests go on together. `None`: at once.
    fn end(&self) -> Option<Boxed<'_, ()>>;
}

impl Gate {
    /// Verifies what is not in the cache when its turn comes.
    pub(super) async fn in_turn<V: Future>(&self, verification: impl FnOnce() -> V) -> V::Output {
        let Some(turns) = &self.turns else {
            return verification().await;
        };
        if let Some(turn) = turns.wait() {
            turn.await;
        }
        let verified = verification().await;
        if let Some(end) = turns.end() {
            end.await;
        }
        verified
    }
}
