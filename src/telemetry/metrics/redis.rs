//! What is counted of the fleet's store.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::declare::Declare;

/// Metrics of Redis. Without `[redis]` there are none.
pub(super) struct Redis {
    credential_shared: IntCounterVec,
    up: IntGaugeVec,
    entries_refused: IntCounterVec,
}

impl Redis {
    pub(super) fn new(declare: &mut Declare) -> Self {
        Self {
            credential_shared: declare.counters(
                "gatepost_credential_shared_total",
                "Tokens taken from another sidecar instead of a token request.",
                &["credential"],
            ),
            up: declare.gauges(
                "gatepost_redis_up",
                "1 if Redis answered last, else 0 and each sidecar asks for its own tokens.",
                &[],
            ),
            entries_refused: declare.counters(
                "gatepost_redis_entries_refused_total",
                "Entries in Redis that were not believed.",
                &[],
            ),
        }
    }
}

impl Redis {
    /// What is counted for each credential source.
    pub(super) fn by_source(&self) -> &IntCounterVec {
        &self.credential_shared
    }
}

impl Metrics {
    /// Whether Redis answered.
    pub fn redis_up(&self, is_up: bool) {
        self.redis
            .up
            .with_label_values::<&str>(&[])
            .set(is_up.into());
        // shown from the start, so that a rate can be had of it
        self.redis.entries_refused.with_label_values::<&str>(&[]);
    }

    /// There is no `[redis]` any more, or another.
    pub fn redis_gone(&self) {
        self.redis.up.reset();
    }

    /// An entry in Redis was not believed.
    pub fn redis_entry_refused(&self) {
        self.redis
            .entries_refused
            .with_label_values::<&str>(&[])
            .inc();
    }

    /// A source took another sidecar's token.
    pub fn token_shared(&self, credential: &str) {
        self.redis
            .credential_shared
            .with_label_values(&[credential])
            .inc();
    }
}
