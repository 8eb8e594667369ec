//! What is counted of issuers' keys.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::declare::Declare;
use super::{Metrics, result, signed};
use crate::clock::UnixTime;

/// Metrics of key sets, by issuer.
pub(super) struct Keys {
    refresh: IntCounterVec,
    last_success: IntGaugeVec,
    asked: IntCounterVec,
}

/// How a question about a token ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAsked {
    /// It is good.
    Active,
    /// It is not.
    Inactive,
    /// The issuer could not say.
    Failed,
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
            asked: declare.counters(
                "gatepost_token_questions_total",
                "Questions to issuers about tokens.",
                &["issuer", "result"],
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

    /// An issuer was asked about a token.
    pub fn token_asked(&self, issuer: &str, how: TokenAsked) {
        let result = match how {
            TokenAsked::Active => "active",
            TokenAsked::Inactive => "refused",
            TokenAsked::Failed => "error",
        };
        let counter = &self.keys.asked;
        counter.with_label_values(&[issuer, result]).inc();
    }

    /// When an issuer's keys were last fetched with success.
    pub fn keys_fetched(&self, issuer: &str, at: UnixTime) {
        self.keys
            .last_success
            .with_label_values(&[issuer])
            .set(signed(at.0));
    }
}
