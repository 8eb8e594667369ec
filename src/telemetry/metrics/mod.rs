//! Every metric, declared here ([`Metrics::declare`]); docs/metrics.md lists them, and a test
//! compares. Labels are bounded enums and configured names, never user input.
//!
//! `prometheus` hashes label values one after the other with nothing between them, so that
//! `("ab", "c")` and `("a", "bc")` are one child. Here a configured name stands beside words of
//! our own none of which ends (or begins) like another, which keeps them apart.

mod connections;
mod credentials;
mod declare;
mod deny_list;
mod dialects;
mod keys;
mod memberships;
mod passwords;
mod process;
mod redis;
mod requests;
mod servers;
mod tls;
mod users;

use std::fmt;

use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};

use self::connections::Connections;
pub use self::connections::{OpenStream, OpenStreams, Refused};
pub use self::credentials::{Asked, CredentialCalls};
use self::declare::{Declare, Declared};
pub use self::dialects::Dialect;
use self::dialects::Dialects;
pub use self::keys::TokenAsked;
pub use self::memberships::{LookUp, MembershipMetrics};
pub use self::passwords::{LoginResult, PasswordResult};
pub use self::servers::ServerMetrics;
use self::servers::Servers;
use crate::telemetry::Plane;

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    requests: requests::Requests,
    keys: keys::Keys,
    credentials: credentials::Credentials,
    token_cache: [IntCounter; 2],
    cached_tokens: IntGauge,
    config_generation: IntGauge,
    config_reloads: [IntCounter; 2],
    connections: Connections,
    deny_lists: deny_list::DenyLists,
    dialects: Dialects,
    memberships: memberships::Memberships,
    redis: redis::Redis,
    servers: Servers,
    passwords: passwords::Passwords,
    users: users::Users,
    tls: tls::Tls,
    panics: IntCounter,
    log_lines_dropped: IntCounter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self::declare().0
    }

    /// All metrics, and what was declared.
    fn declare() -> (Self, Vec<Declared>) {
        let mut declare = Declare::default();
        let requests = requests::Requests::new(&mut declare);
        let keys = keys::Keys::new(&mut declare);
        let credentials = credentials::Credentials::new(&mut declare);
        let passwords = passwords::Passwords::new(&mut declare);
        let users = users::Users::new(&mut declare);
        let redis = redis::Redis::new(&mut declare);
        let deny_lists = deny_list::DenyLists::new(&mut declare);
        let token_cache = declare.counters(
            "gatepost_token_cache_total",
            "Look-ups in the verified-token cache; a miss is a signature verified.",
            &["result"],
        );
        let cached_tokens = declare.gauges(
            "gatepost_token_cache_entries",
            "Verified tokens kept, read at each scrape.",
            &[],
        );
        let config_generation = declare.gauges(
            "gatepost_config_generation",
            "1 at start, one more with each accepted reload.",
            &[],
        );
        let config_reloads = declare.counters(
            "gatepost_config_reloads_total",
            "Reloads of the configuration.",
            &["result"],
        );
        let tls = tls::Tls::new(&mut declare);
        let connections = Connections::declare(&mut declare);
        let dialects = Dialects::declare(&mut declare);
        let servers = Servers::declare(&mut declare);
        let panics = declare.counters(
            "gatepost_panics_total",
            "Panics that ended a request or a background task.",
            &[],
        );
        let panics = panics.with_label_values::<&str>(&[]);
        let memberships = memberships::Memberships::new(&mut declare, panics.clone());
        let log_lines_dropped = declare.counters(
            "gatepost_log_lines_dropped_total",
            "Request log lines lost: queue full, or stdout broken.",
            &[],
        );
        let build_info = declare.gauges(
            "gatepost_build_info",
            "1; the version is the label.",
            &["version"],
        );
        build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let process = process::Process::new(&mut declare);
        declare.register(process);

        let config_generation = config_generation.with_label_values::<&str>(&[]);
        config_generation.set(1);
        let metrics = Self {
            requests,
            keys,
            credentials,
            passwords,
            users,
            token_cache: ["miss", "hit"].map(|result| token_cache.with_label_values(&[result])),
            cached_tokens: cached_tokens.with_label_values::<&str>(&[]),
            config_generation,
            config_reloads: ["rejected", "accepted"]
                .map(|result| config_reloads.with_label_values(&[result])),
            connections,
            deny_lists,
            dialects,
            memberships,
            redis,
            servers,
            tls,
            panics,
            log_lines_dropped: log_lines_dropped.with_label_values::<&str>(&[]),
            registry: declare.registry,
        };
        (metrics, declare.declared)
    }

    /// The verified-token cache was asked.
    pub fn token_cache(&self, hit: bool) {
        let [misses, hits] = &self.token_cache;
        if hit { hits } else { misses }.inc();
    }

    /// How many verified tokens are kept; told before a scrape is rendered.
    pub fn cached_tokens(&self, count: usize) {
        self.cached_tokens
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A reload ended.
    pub fn config_reload(&self, accepted: bool, generation: u64) {
        let [rejections, acceptances] = &self.config_reloads;
        if accepted { acceptances } else { rejections }.inc();
        self.config_generation.set(signed(generation));
    }

    /// What is counted of one upstream (ingress) or target (egress).
    #[must_use]
    pub fn server(&self, plane: Plane, name: &str) -> ServerMetrics {
        self.servers.of(plane, name)
    }

    /// A panic was caught.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// The counter of lines the log lost.
    pub(super) fn log_lines_dropped(&self) -> IntCounter {
        self.log_lines_dropped.clone()
    }

    /// Everything, in the text format of Prometheus (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn result(succeeded: bool) -> &'static str {
    if succeeded { "success" } else { "error" }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
