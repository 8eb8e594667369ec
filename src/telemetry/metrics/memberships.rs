//! What is counted of stores of memberships.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Metrics;
use super::credentials::forget;
use super::declare::Declare;

/// Metrics of memberships, by store.
pub(super) struct Memberships {
    answers: IntCounterVec,
    look_ups: IntCounterVec,
    duration: HistogramVec,
    entries: IntGaugeVec,
    panics: IntCounter,
}

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// With names.
    Found,
    /// With none.
    Empty,
    /// Without an answer.
    Failed,
    /// It never began: too many are under way, or the store is known to be down.
    Refused,
}

/// What is counted of one store.
#[derive(Clone)]
pub struct MembershipMetrics {
    answers: [IntCounter; 4],
    look_ups: [IntCounter; 4],
    duration: Histogram,
    entries: IntGauge,
    panics: IntCounter,
}

impl std::fmt::Debug for MembershipMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MembershipMetrics")
    }
}

impl Memberships {
    pub(super) fn new(declare: &mut Declare, panics: IntCounter) -> Self {
        Self {
            answers: declare.counters(
                "gatepost_memberships_answers_total",
                "Requests that needed a store of memberships, by how its answer was known.",
                &["memberships", "how"],
            ),
            look_ups: declare.counters(
                "gatepost_memberships_lookups_total",
                "Look-ups in a store of memberships.",
                &["memberships", "result"],
            ),
            duration: declare.histograms(
                "gatepost_memberships_lookup_seconds",
                "Time of one look-up.",
                &["memberships"],
                &[
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
                ],
            ),
            entries: declare.gauges(
                "gatepost_memberships_entries",
                "Subjects whose memberships are kept.",
                &["memberships"],
            ),
            panics,
        }
    }
}

impl MembershipMetrics {
    /// A request was answered so: `cached`, `asked`, `stale` or `unavailable`.
    pub fn answered(&self, how: Option<&'static str>) {
        let [cached, asked, stale, unavailable] = &self.answers;
        match how {
            Some("cached") => cached,
            Some("asked") => asked,
            Some(_stale) => stale,
            None => unavailable,
        }
        .inc();
    }

    /// A look-up ended.
    pub fn looked_up(&self, how: LookUp) {
        let [found, empty, failed, refused] = &self.look_ups;
        match how {
            LookUp::Found => found,
            LookUp::Empty => empty,
            LookUp::Failed => failed,
            LookUp::Refused => refused,
        }
        .inc();
    }

    /// The store was asked for so long.
    pub fn took(&self, time: Duration) {
        self.duration.observe(time.as_secs_f64());
    }

    /// So many subjects are kept.
    pub fn entries(&self, count: usize) {
        self.entries.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A look-up panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }
}

impl Metrics {
    /// What is counted of the store of this name, shown from the start.
    #[must_use]
    pub fn memberships(&self, name: &str) -> MembershipMetrics {
        let Memberships {
            answers,
            look_ups,
            duration,
            entries,
            panics,
        } = &self.memberships;
        MembershipMetrics {
            answers: ["cached", "asked", "stale", "unavailable"]
                .map(|how| answers.with_label_values(&[name, how])),
            look_ups: ["found", "empty", "error", "refused"]
                .map(|result| look_ups.with_label_values(&[name, result])),
            duration: duration.with_label_values(&[name]),
            entries: entries.with_label_values(&[name]),
            panics: panics.clone(),
        }
    }

    /// These stores are in force from now on: nothing is shown of any other.
    pub fn memberships_in_force(&self, names: &BTreeSet<Arc<str>>) {
        let is_gone = |series: &super::credentials::Labels<'_>| {
            let name = series.get("memberships")?;
            Some(!names.contains(*name))
        };
        let Memberships {
            answers,
            look_ups,
            duration,
            entries,
            ..
        } = &self.memberships;
        forget(answers, is_gone);
        forget(look_ups, is_gone);
        forget(duration, is_gone);
        forget(entries, is_gone);
    }
}
