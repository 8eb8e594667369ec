//! What is counted of issuers' keys.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::declare::Declare;
use super::{Metrics, result, signed};
use crate::clock::UnixTime;

/// Metrics of key sets, by issuer.
pub(super) struct Keys {
    refresh: IntCounterVec,
    last_success: IntGaugeVec,
}

impl Keys {
    pub(super) fn new(declare: &mut Declare) -> Self {
        Self {
            refresh: declare.counters(
                "gatepost_keys_refresh_total",
                "Fetches of an issuer's keys.",
                &["issuer", "result"],
            ),
            last_success: declare.gauges(
                "gatepost_keys_last_success_timestamp_seconds",
                "When an issuer's keys were last fetched with success.",
                &["issuer"],
            ),
        }
    }
}

impl Metrics {
    /// A fetch of an issuer's keys ended.
    pub fn key_refresh(&self, issuer: &str, succeeded: bool) {
        self.keys
            .refresh
            .with_label_values(&[issuer, result(succeeded)])
            .inc();
    }

    /// When an issuer's keys were last fetched with success.
    pub fn keys_fetched(&self, issuer: &str, at: UnixTime) {
        self.keys
            .last_success
            .with_label_values(&[issuer])
            .set(signed(at.0));
    }
}
