//! What is counted of the deny-lists.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Metrics;
use super::declare::Declare;

/// Metrics of `[deny_list]`. Without it there are none.
pub(super) struct DenyLists {
    entries: IntGaugeVec,
    reads: IntCounterVec,
}

impl DenyLists {
    pub(super) fn new(declare: &mut Declare) -> Self {
        Self {
            entries: declare.gauges(
                "gatepost_deny_list_entries",
                "Entries of the deny-list in force.",
                &["source"],
            ),
            reads: declare.counters(
                "gatepost_deny_list_reads_total",
                "Reads of the deny-list in Redis.",
                &["result"],
            ),
        }
    }
}

impl Metrics {
    /// The lists of the config in force: entries of the file, and whether there is one in Redis.
    pub fn deny_lists(&self, file: Option<usize>, in_redis: bool) {
        match file {
            Some(entries) => self.entries_of("file", entries),
            None => self.deny_lists.entries.reset(),
        }
        if in_redis {
            for result in ["ok", "error"] {
                self.deny_lists.reads.with_label_values(&[result]);
            }
        } else {
            // fails where there was none
            drop(self.deny_lists.entries.remove_label_values(&["redis"]));
            self.deny_lists.reads.reset();
        }
    }

    /// The list in Redis was read and has so many entries, or was not.
    pub fn deny_list_read(&self, entries: Option<usize>) {
        let result = if entries.is_some() { "ok" } else { "error" };
        self.deny_lists.reads.with_label_values(&[result]).inc();
        if let Some(entries) = entries {
            self.entries_of("redis", entries);
        }
    }

    fn entries_of(&self, source: &str, entries: usize) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.deny_lists
            .entries
            .with_label_values(&[source])
            .set(entries);
    }
}
