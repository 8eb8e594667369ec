//! When a signature may be verified.

use std::fmt;

use super::{Boxed, Gate};

/// Lets those who are known, and answers, go before a crowd of strangers. Implemented by `server::turns`; a
/// gate without one verifies at once (`explain`, `test`, benches).
pub trait Turns: fmt::Debug + Send + Sync {
    /// Comes when a signature may be verified here; `None`: at once.
    fn wait(&self) -> Option<Boxed<'_, ()>>;
}

impl Gate {
    /// Until what is not in the cache may be verified.
    pub(super) async fn turn(&self) {
        if let Some(turn) = self.turns.as_ref().and_then(|turns| turns.wait()) {
            turn.await;
        }
    }
}
