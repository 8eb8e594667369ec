//! What is counted of forward auth's dialects.

use prometheus::IntCounter;

use super::Metrics;
use super::declare::Declare;

/// A family of headers that states an original request (DESIGN §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `X-Original-*`.
    Nginx,
    /// `X-Forwarded-*`: Traefik, Caddy, `HAProxy`.
    Forwarded,
    /// The request line, or the gRPC message: no headers.
    Envoy,
}

pub(super) struct Dialects {
    nginx: IntCounter,
    forwarded: IntCounter,
    envoy: IntCounter,
}

impl Dialects {
    pub(super) fn declare(declare: &mut Declare) -> Self {
        let foreign = declare.counters(
            "gatepost_foreign_headers_total",
            "Forward-auth calls with another dialect's headers, which were ignored.",
            &["dialect"],
        );
        let of = |dialect| foreign.with_label_values(&[dialect]);
        Self {
            nginx: of("nginx"),
            forwarded: of("forwarded"),
            envoy: of("envoy"),
        }
    }
}

impl Metrics {
    /// A call in this dialect had headers of another, which were ignored.
    pub fn foreign_headers(&self, dialect: Dialect) {
        let Dialects {
            nginx,
            forwarded,
            envoy,
        } = &self.dialects;
        match dialect {
            Dialect::Nginx => nginx,
            Dialect::Forwarded => forwarded,
            Dialect::Envoy => envoy,
        }
        .inc();
    }
}
