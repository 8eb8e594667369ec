//! Connections from clients, and what was refused before a plane saw it.

use prometheus::core::Collector as _;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::declare::Declare;
use crate::telemetry::Plane;

pub(super) struct Connections {
    open: IntGaugeVec,
    upgraded: IntGaugeVec,
    limit: IntGaugeVec,
    refused: IntCounterVec,
    http2_streams: IntGaugeVec,
    rejected: IntCounterVec,
}

/// Why a connection was closed for what its client did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The client has `max_connections_per_peer` already.
    PeerLimit,
    /// A trusted proxy's PROXY header is missing, late or malformed.
    ProxyHeader,
    /// More than `http2_max_resets`.
    Resets,
    /// More than `http2_max_control_frames`.
    ControlFrames,
}

impl Refused {
    fn as_str(self) -> &'static str {
        match self {
            Self::PeerLimit => "peer_limit",
            Self::ProxyHeader => "proxy_header",
            Self::Resets => "http2_resets",
            Self::ControlFrames => "http2_control_frames",
        }
    }
}

/// The HTTP/2 requests of one listener.
#[derive(Clone, Debug)]
pub struct OpenStreams(IntGauge);

impl OpenStreams {
    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn open(&self) -> OpenStream {
        self.0.inc();
        OpenStream(self.0.clone())
    }
}

/// An HTTP/2 request whose response has not ended.
#[derive(Debug)]
pub struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Connections {
    pub(super) fn declare(declare: &mut Declare) -> Self {
        Self {
            open: declare.gauges(
                "gatepost_connections",
                "Open connections from clients.",
                &["listener"],
            ),
            upgraded: declare.gauges(
                "gatepost_upgraded_connections",
                "Open connections from clients that speak another protocol since a 101.",
                &["plane"],
            ),
            limit: declare.gauges(
                "gatepost_connection_limit",
                "Most connections at once, as configured.",
                &["listener"],
            ),
            refused: declare.counters(
                "gatepost_connections_refused_total",
                "Connections closed for what their client did before, or beside, asking for something.",
                &["listener", "reason"],
            ),
            http2_streams: declare.gauges(
                "gatepost_http2_streams",
                "HTTP/2 requests whose response has not ended.",
                &["listener"],
            ),
            rejected: declare.counters(
                "gatepost_rejected_total",
                "Requests refused before a decision, by reason code.",
                &["plane", "reason"],
            ),
        }
    }
}

impl Metrics {
    /// A connection was accepted (`1`) or ended (`-1`).
    pub fn connections(&self, listener: &'static str, change: i64) {
        self.connections
            .open
            .with_label_values(&[listener])
            .add(change);
    }

    /// A connection switched protocols (`1`), or such a one ended (`-1`).
    pub fn upgraded_connections(&self, plane: Plane, change: i64) {
        self.connections
            .upgraded
            .with_label_values(&[plane.as_str()])
            .add(change);
    }

    /// How many connections a listener may have.
    pub fn connection_limit(&self, listener: &'static str, most: usize) {
        self.connections
            .limit
            .with_label_values(&[listener])
            .set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// A connection was closed.
    pub fn connection_refused(&self, listener: &'static str, refused: Refused) {
        self.connections
            .refused
            .with_label_values(&[listener, refused.as_str()])
            .inc();
    }

    /// What counts a listener's HTTP/2 requests.
    #[must_use]
    pub fn http2_streams(&self, listener: &'static str) -> OpenStreams {
        OpenStreams(
            self.connections
                .http2_streams
                .with_label_values(&[listener]),
        )
    }

    /// Open connections by listener.
    #[must_use]
    pub fn open_connections(&self) -> Vec<(String, i64)> {
        let mut open = Vec::new();
        for family in self.connections.open.collect() {
            for metric in family.get_metric() {
                for label in metric.get_label() {
                    #[expect(clippy::cast_possible_truncation, reason = "an integer gauge")]
                    let count = metric.get_gauge().get_value() as i64;
                    open.push((label.value().to_owned(), count));
                }
            }
        }
        open.sort();
        open
    }

    /// A request was refused before it had facts.
    pub fn rejected(&self, plane: Plane, reason: &'static str) {
        self.connections
            .rejected
            .with_label_values(&[plane.as_str(), reason])
            .inc();
    }
}
