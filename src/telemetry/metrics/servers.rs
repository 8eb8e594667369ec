//! What is counted of the connections to one upstream or egress target.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::declare::Declare;
use crate::telemetry::Plane;

/// The metrics of all servers.
pub(super) struct Servers {
    connections: IntGaugeVec,
    ejected: IntGaugeVec,
    ejections: IntCounterVec,
    retries: IntCounterVec,
}

impl Servers {
    pub(super) fn declare(declare: &mut Declare) -> Self {
        let labels = ["plane", "upstream"];
        Self {
            connections: declare.gauges(
                "gatepost_upstream_connections",
                "Open connections to an upstream or egress target.",
                &labels,
            ),
            ejected: declare.gauges(
                "gatepost_upstream_ejected",
                "Addresses that are left out because they fail.",
                &labels,
            ),
            ejections: declare.counters(
                "gatepost_upstream_ejections_total",
                "Times an address was left out, or left out longer.",
                &labels,
            ),
            retries: declare.counters(
                "gatepost_upstream_retries_total",
                "Further attempts at a request: another address, or a fresh connection.",
                &labels,
            ),
        }
    }

    pub(super) fn of(&self, plane: Plane, name: &str) -> ServerMetrics {
        let labels = [plane.as_str(), name];
        ServerMetrics {
            connections: self.connections.with_label_values(&labels),
            ejected: self.ejected.with_label_values(&labels),
            ejections: self.ejections.with_label_values(&labels),
            retries: self.retries.with_label_values(&labels),
        }
    }
}

/// The metrics of one server. Clones count together.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    connections: IntGauge,
    ejected: IntGauge,
    ejections: IntCounter,
    retries: IntCounter,
}

impl ServerMetrics {
    /// A connection was opened (`1`) or ended (`-1`).
    pub fn connections(&self, change: i64) {
        self.connections.add(change);
    }

    /// Open connections.
    #[must_use]
    pub fn open_connections(&self) -> i64 {
        self.connections.get()
    }

    /// An address is left out, for the `first` time since it last answered or longer than before.
    pub fn ejected(&self, first: bool) {
        self.ejections.inc();
        if first {
            self.ejected.inc();
        }
    }

    /// An address that was left out answers again, or is no address any more.
    pub fn returned(&self) {
        self.ejected.dec();
    }

    /// A request is attempted once more.
    pub fn retried(&self) {
        self.retries.inc();
    }
}
