//! The key engine (DESIGN §7).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::outgoing::Outgoing;
use crate::clock::Clock;
use crate::config;
use crate::gate::{Boxed, KeySource, KeysNow, Sought};
use crate::telemetry::Telemetry;

/// What a background task needs: where it is tracked, and when it ends.
#[derive(Clone, Debug)]
pub struct Background {
    /// Tracks every task, so that shutdown can wait for them.
    pub tasks: TaskTracker,
    /// Cancelled when the owner is replaced or the process stops.
    pub stop: CancellationToken,
}

/// Keys of every issuer, kept fresh in the background.
#[derive(Debug)]
pub struct KeyEngine {}

impl KeyEngine {
    /// Starts fetching at once, in the background. Issuers whose definition is the same in
    /// `previous` keep their keys, budget and task.
    pub fn start(
        _issuers: &[config::IssuerConfig],
        _jwks: &config::Jwks,
        _outgoing: &Outgoing,
        _clock: &Arc<dyn Clock>,
        _telemetry: &Arc<Telemetry>,
        _background: &Background,
        _previous: Option<&Self>,
    ) -> Self {
        todo!("start")
    }

    /// Whether each required issuer has had keys once (readiness).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        todo!("ready")
    }

    /// What `/jwks` shows: per issuer kids, first and last seen, last success, next refresh, last
    /// error, skipped keys. No key material.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        todo!("report")
    }
}

impl KeySource for KeyEngine {
    fn find(&self, _issuer: usize) -> KeysNow {
        todo!("find")
    }

    fn seek<'s>(&'s self, _issuer: usize, _key_id: &'s str) -> Boxed<'s, Sought> {
        todo!("seek")
    }
}
