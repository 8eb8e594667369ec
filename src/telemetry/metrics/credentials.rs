//! What is counted of credential sources.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector as _, MetricVec, MetricVecBuilder};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::declare::Declare;
use super::{Metrics, result, signed};
use crate::clock::UnixTime;

/// Metrics of credentials, by source.
pub(super) struct Credentials {
    fetch: IntCounterVec,
    calls: IntCounterVec,
    expiry: IntGaugeVec,
    fetched: IntGaugeVec,
    /// What is in force, and its kind.
    in_force: Mutex<BTreeMap<Arc<str>, &'static str>>,
}

/// What became of a call that asked a source for its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was given one.
    Attached,
    /// The target refused it, and it was given another.
    Replaced,
    /// The source had none at the moment.
    Unavailable,
    /// Nobody stands behind the call, and the source makes its credential from a user's.
    NoUser,
    /// The source has none for this user.
    Refused,
}

/// What is counted of one source's calls.
#[derive(Clone, Debug)]
pub struct CredentialCalls {
    attached: IntCounter,
    replaced: IntCounter,
    unavailable: IntCounter,
    no_user: IntCounter,
    refused: IntCounter,
}

impl Credentials {
    pub(super) fn new(declare: &mut Declare) -> Self {
        Self {
            fetch: declare.counters(
                "gatepost_credential_fetch_total",
                "Token requests of a credential source, or readings of the value it is given.",
                &["credential", "result"],
            ),
            calls: declare.counters(
                "gatepost_credential_calls_total",
                "Calls that asked a credential source, by what they were given.",
                &["credential", "kind", "outcome"],
            ),
            expiry: declare.gauges(
                "gatepost_credential_expiry_timestamp_seconds",
                "When what a credential source holds expires.",
                &["credential"],
            ),
            fetched: declare.gauges(
                "gatepost_credential_fetched_timestamp_seconds",
                "When a credential source got what it holds.",
                &["credential"],
            ),
            in_force: Mutex::default(),
        }
    }
}

impl CredentialCalls {
    /// One more that ended so.
    pub fn count(&self, asked: Asked) {
        match asked {
            Asked::Attached => &self.attached,
            Asked::Replaced => &self.replaced,
            Asked::Unavailable => &self.unavailable,
            Asked::NoUser => &self.no_user,
            Asked::Refused => &self.refused,
        }
        .inc();
    }
}

/// What tells one series of a metric from another.
pub(super) type Labels<'l> = HashMap<&'l str, &'l str>;

/// Shows no series any more of which this is so.
pub(super) fn forget<M: MetricVecBuilder>(
    metric: &MetricVec<M>,
    is_so: impl Fn(&Labels<'_>) -> Option<bool>,
) {
    for family in metric.collect() {
        for series in family.get_metric() {
            let labels = series.get_label().iter();
            let labels: Labels<'_> = labels.map(|label| (label.name(), label.value())).collect();
            if is_so(&labels) == Some(true) {
                // nobody else removes one
                drop(metric.remove(&labels));
            }
        }
    }
}

impl Metrics {
    /// What is counted of the calls that ask this source, of this `kind` in the configuration. Shown
    /// from the start, so that a rate can be had of it.
    #[must_use]
    pub fn credential_calls(&self, credential: &str, kind: &str) -> CredentialCalls {
        let of = |outcome| {
            let labels = [credential, kind, outcome];
            self.credentials.calls.with_label_values(&labels)
        };
        CredentialCalls {
            attached: of("attached"),
            replaced: of("replaced"),
            unavailable: of("unavailable"),
            no_user: of("no_user"),
            refused: of("refused"),
        }
    }

    /// These are in force from now on, each with its kind, with what the process has for itself: nothing
    /// is shown of any other, nor what a source was before its kind changed.
    pub fn credentials_in_force(&self, sources: BTreeMap<Arc<str>, &'static str>) {
        let mut in_force = self
            .credentials
            .in_force
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_gone = |series: &Labels<'_>| {
            series
                .get("credential")
                .map(|name| !sources.contains_key(*name))
        };
        let has_ended = |series: &Labels<'_>| {
            let name = *series.get("credential")?;
            let was = in_force.get(name);
            Some(
                !sources.contains_key(name)
                    || was.is_some_and(|was| sources.get(name) != Some(was)),
            )
        };
        let is_another = |series: &Labels<'_>| {
            let kind = sources.get(*series.get("credential")?);
            Some(kind != Some(series.get("kind")?))
        };
        let Credentials {
            fetch,
            calls,
            expiry,
            fetched,
            ..
        } = &self.credentials;
        for counter in [fetch, self.redis.by_source()] {
            forget(counter, is_gone);
        }
        forget(fetched, is_gone);
        for gauge in [expiry].into_iter().chain(self.users.by_source()) {
            forget(gauge, has_ended);
        }
        forget(calls, is_another);
        *in_force = sources;
    }

    /// A token request of a credential source ended, or it read its value.
    pub fn token_fetch(&self, credential: &str, succeeded: bool) {
        self.credentials
            .fetch
            .with_label_values(&[credential, result(succeeded)])
            .inc();
    }

    /// When a source got what it holds.
    pub fn token_fetched(&self, credential: &str, at: UnixTime) {
        self.credentials
            .fetched
            .with_label_values(&[credential])
            .set(signed(at.0));
    }

    /// What a source has now does not expire, or is not missed when it does.
    pub fn token_has_no_end(&self, credential: &str) {
        // it mostly never had one
        drop(self.credentials.expiry.remove_label_values(&[credential]));
    }

    /// When a source's current token expires.
    pub fn token_expires(&self, credential: &str, at: UnixTime) {
        self.credentials
            .expiry
            .with_label_values(&[credential])
            .set(signed(at.0));
    }
}
