//! What is counted of users on whose behalf egress calls.

use prometheus::{IntCounter, IntGauge, IntGaugeVec};

use super::Metrics;
use super::declare::Declare;

/// Metrics of handles, and of credentials made from users' tokens.
pub(super) struct Users {
    handles: IntGauge,
    handle_bytes: IntGauge,
    /// Of those that ended, of new ones.
    evicted: [IntCounter; 2],
    subjects: IntGaugeVec,
    subject_bytes: IntGaugeVec,
}

impl Users {
    pub(super) fn new(declare: &mut Declare) -> Self {
        let handles = declare.gauges(
            "gatepost_handles",
            "Handles (`X-Auth-Handle`) held, read at each scrape.",
            &[],
        );
        let handle_bytes = declare.gauges(
            "gatepost_handle_bytes",
            "About the memory they take, tokens included, read at each scrape.",
            &[],
        );
        let evicted = declare.counters(
            "gatepost_handles_evicted_total",
            "Handles lost for want of room.",
            &["handle"],
        );
        Self {
            handles: handles.with_label_values::<&str>(&[]),
            handle_bytes: handle_bytes.with_label_values::<&str>(&[]),
            evicted: ["ended", "new"].map(|handle| evicted.with_label_values(&[handle])),
            subjects: declare.gauges(
                "gatepost_credential_subjects",
                "Users for whom a credential source keeps credentials of their own.",
                &["credential"],
            ),
            subject_bytes: declare.gauges(
                "gatepost_credential_subject_bytes",
                "About the memory those credentials take.",
                &["credential"],
            ),
        }
    }
}

impl Users {
    /// What is shown for each credential source.
    pub(super) fn by_source(&self) -> [&IntGaugeVec; 2] {
        [&self.subjects, &self.subject_bytes]
    }
}

impl Metrics {
    /// How many handles are held, and their bytes; told before a scrape is rendered.
    pub fn handles(&self, count: usize, bytes: usize) {
        self.users.handles.set(signed(count));
        self.users.handle_bytes.set(signed(bytes));
    }

    /// So many handles of ended requests made room for a new one.
    pub fn handles_evicted(&self, count: u64) {
        let [ended, _new] = &self.users.evicted;
        ended.inc_by(count);
    }

    /// There was no room for a new handle.
    pub fn handle_unkept(&self) {
        let [_ended, new] = &self.users.evicted;
        new.inc();
    }

    /// For how many subjects a source holds credentials made from their tokens, and their bytes.
    pub fn credential_subjects(&self, credential: &str, count: usize, bytes: usize) {
        let name = [credential];
        self.users
            .subjects
            .with_label_values(&name)
            .set(signed(count));
        self.users
            .subject_bytes
            .with_label_values(&name)
            .set(signed(bytes));
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
