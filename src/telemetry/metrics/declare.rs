//! How a metric is declared: made, registered, and noted for the comparison with docs/metrics.md.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What is known of one declared metric.
#[derive(Debug)]
pub(super) struct Declared {
    #[cfg_attr(not(test), expect(dead_code, reason = "compared with docs/metrics.md"))]
    pub(super) row: [String; 3],
}

/// Declares metrics and registers them.
#[derive(Default)]
pub(super) struct Declare {
    pub(super) registry: Registry,
    pub(super) declared: Vec<Declared>,
}

impl Declare {
    pub(super) fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.note(name, "counter", labels);
        self.register(literal(IntCounterVec::new(Opts::new(name, help), labels)))
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.note(name, "gauge", labels);
        self.register(literal(IntGaugeVec::new(Opts::new(name, help), labels)))
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.note(name, "histogram", labels);
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(literal(HistogramVec::new(opts, labels)))
    }

    pub(super) fn note(&mut self, name: &str, kind: &str, labels: &[&str]) {
        self.declared.push(Declared {
            row: [name.to_owned(), kind.to_owned(), labels.join(", ")],
        });
    }

    pub(super) fn register<C: Collector + Clone + 'static>(&mut self, collector: C) -> C {
        literal(self.registry.register(Box::new(collector.clone())));
        collector
    }
}

/// The result of declaring something whose name, help and labels are literals.
#[expect(
    clippy::expect_used,
    reason = "it depends on literals in this folder only, and every test that has a Telemetry runs it"
)]
pub(super) fn literal<T>(result: prometheus::Result<T>) -> T {
    result.expect("metrics are declared once, with valid names")
}
