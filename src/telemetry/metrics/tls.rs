//! What is counted of TLS on our listeners.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::declare::Declare;
use super::{Metrics, signed};
use crate::clock::UnixTime;

/// Metrics of TLS.
pub(super) struct Tls {
    handshakes_failed: IntCounterVec,
    certificate_expiry: IntGaugeVec,
}

impl Tls {
    pub(super) fn new(declare: &mut Declare) -> Self {
        Self {
            handshakes_failed: declare.counters(
                "gatepost_tls_handshakes_failed_total",
                "TLS handshakes of clients that came to nothing; those that left before they said anything are not counted.",
                &["listener"],
            ),
            certificate_expiry: declare.gauges(
                "gatepost_tls_certificate_expiry_timestamp_seconds",
                "When the certificate a listener shows expires.",
                &["listener"],
            ),
        }
    }
}

impl Metrics {
    /// A client's TLS handshake came to nothing.
    pub fn tls_handshake_failed(&self, listener: &'static str) {
        self.tls
            .handshakes_failed
            .with_label_values(&[listener])
            .inc();
    }

    /// The listeners with TLS, and when the certificate of each runs out.
    pub fn tls_certificates(&self, expiries: impl Iterator<Item = (&'static str, UnixTime)>) {
        for (listener, at) in expiries {
            self.tls
                .certificate_expiry
                .with_label_values(&[listener])
                .set(signed(at.0));
            // shown from the start, so that a rate can be had of it
            self.tls.handshakes_failed.with_label_values(&[listener]);
        }
    }
}
