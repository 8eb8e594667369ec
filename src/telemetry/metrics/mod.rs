//! Every metric, declared here ([`Metrics::declare`]); docs/metrics.md lists them, and a test
//! compares. Labels are bounded enums and configured names, never user input.
//!
//! `prometheus` hashes label values one after the other with nothing between them, so that
//! `("ab", "c")` and `("a", "bc")` are one child. Here a configured name stands beside words of
//! our own none of which ends (or begins) like another, which keeps them apart.

mod connections;
mod declare;
mod dialects;
mod process;
mod redis;
mod servers;
mod tls;
mod users;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use self::connections::Connections;
pub use self::connections::{OpenStream, OpenStreams, Refused};
use self::declare::{Declare, Declared};
pub use self::dialects::Dialect;
use self::dialects::Dialects;
pub use self::servers::ServerMetrics;
use self::servers::Servers;
use crate::clock::UnixTime;
use crate::telemetry::{Outcome, Plane, RequestLine};

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    shadowed: IntCounterVec,
    shadow_routes: IntGauge,
    replays: IntCounterVec,
    requests: IntCounterVec,
    upstream_seconds: HistogramVec,
    planes: [PlaneMetrics; 3],
    keys_refresh: IntCounterVec,
    keys_last_success: IntGaugeVec,
    credential_fetch: IntCounterVec,
    credential_expiry: IntGaugeVec,
    credential_fetched: IntGaugeVec,
    token_cache: [IntCounter; 2],
    cached_tokens: IntGauge,
    config_generation: IntGauge,
    config_reloads: [IntCounter; 2],
    connections: Connections,
    dialects: Dialects,
    redis: redis::Redis,
    servers: Servers,
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
        let decisions = declare.counters(
            "gatepost_decisions_total",
            "Decisions by outcome (allow, deny, fail) and reason code; no reason on allow.",
            &["plane", "route", "outcome", "reason"],
        );
        let shadowed = declare.counters(
            "gatepost_shadow_decisions_total",
            "Requests let through by shadow mode, by what they would have got (deny, fail) and why.",
            &["plane", "route", "outcome", "reason"],
        );
        let shadow_routes = declare.gauges(
            "gatepost_shadow_routes",
            "Routes in shadow mode: they refuse nobody.",
            &[],
        );
        let replays = declare.counters(
            "gatepost_egress_replays_total",
            "Egress requests sent again with another credential, because the first was refused.",
            &["route"],
        );
        let requests = declare.counters(
            "gatepost_requests_total",
            "Answered requests by class of the status sent.",
            &["plane", "route", "status_class"],
        );
        let decision_seconds = declare.histograms(
            "gatepost_decision_seconds",
            "Time from the request head to the decision, key fetches included.",
            &["plane"],
            &[
                5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 0.025, 0.1, 0.5, 1.0, 5.0,
            ],
        );
        let upstream_seconds = declare.histograms(
            "gatepost_upstream_seconds",
            "Time to the response head of the upstream or egress target.",
            &["plane", "route"],
            &[
                1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ],
        );
        let keys_refresh = declare.counters(
            "gatepost_keys_refresh_total",
            "Fetches of an issuer's keys.",
            &["issuer", "result"],
        );
        let keys_last_success = declare.gauges(
            "gatepost_keys_last_success_timestamp_seconds",
            "When an issuer's keys were last fetched with success.",
            &["issuer"],
        );
        let credential_fetch = declare.counters(
            "gatepost_credential_fetch_total",
            "Token requests of a credential source.",
            &["credential", "result"],
        );
        let users = users::Users::new(&mut declare);
        let credential_expiry = declare.gauges(
            "gatepost_credential_expiry_timestamp_seconds",
            "When the token a credential source holds expires.",
            &["credential"],
        );
        let redis = redis::Redis::new(&mut declare);
        let credential_fetched = declare.gauges(
            "gatepost_credential_fetched_timestamp_seconds",
            "When a credential source got what it holds.",
            &["credential"],
        );
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
        let planes = Plane::ALL.map(|plane| PlaneMetrics {
            decision_seconds: decision_seconds.with_label_values(&[plane.as_str()]),
            unrouted: RouteMetrics::resolve(&requests, &decisions, &upstream_seconds, plane, ""),
            routes: ArcSwap::default(),
        });
        let metrics = Self {
            decisions,
            shadowed,
            shadow_routes: shadow_routes.with_label_values::<&str>(&[]),
            replays,
            requests,
            upstream_seconds,
            planes,
            keys_refresh,
            keys_last_success,
            credential_fetch,
            credential_expiry,
            credential_fetched,
            users,
            token_cache: ["miss", "hit"].map(|result| token_cache.with_label_values(&[result])),
            cached_tokens: cached_tokens.with_label_values::<&str>(&[]),
            config_generation,
            config_reloads: ["rejected", "accepted"]
                .map(|result| config_reloads.with_label_values(&[result])),
            connections,
            dialects,
            redis,
            servers,
            tls,
            panics: panics.with_label_values::<&str>(&[]),
            log_lines_dropped: log_lines_dropped.with_label_values::<&str>(&[]),
            registry: declare.registry,
        };
        (metrics, declare.declared)
    }

    /// Counts one answered request. On a route seen before: no lock, no allocation.
    pub(super) fn request(&self, line: &RequestLine) {
        let [ingress, forward_auth, egress] = &self.planes;
        let plane = match line.plane {
            Plane::Ingress => ingress,
            Plane::ForwardAuth => forward_auth,
            Plane::Egress => egress,
        };
        plane
            .decision_seconds
            .observe(line.decision_time.as_secs_f64());
        match &line.route {
            None => self.count(line, &plane.unrouted),
            Some(route) => {
                let routes = plane.routes.load();
                if let Some(metrics) = routes.get(route) {
                    self.count(line, metrics);
                } else {
                    self.count(line, &self.add_route(plane, line.plane, route));
                }
            }
        }
    }

    fn count(&self, line: &RequestLine, route: &RouteMetrics) {
        let class = usize::from(line.status.as_u16() / 100).saturating_sub(1);
        if let Some(requests) = route.requests.get(class) {
            requests.inc();
        }
        if let Some(time) = line.upstream_time {
            route.upstream_seconds.observe(time.as_secs_f64());
        }
        match line.outcome {
            Outcome::Allow => route.allowed.inc(),
            refused @ (Outcome::Deny(_) | Outcome::Fail(_)) => {
                count_refusal(&self.decisions, line, refused);
            }
        }
        if let Some(shadowed) = line.shadowed {
            count_refusal(&self.shadowed, line, shadowed);
        }
        if let Some(route) = line.route.as_ref().filter(|_route| line.replayed) {
            self.replays.with_label_values(&[&**route]).inc();
        }
    }

    /// The first request of a route: finds its children and keeps them for the next.
    #[cold]
    fn add_route(&self, metrics: &PlaneMetrics, plane: Plane, route: &Arc<str>) -> RouteMetrics {
        let resolved = RouteMetrics::resolve(
            &self.requests,
            &self.decisions,
            &self.upstream_seconds,
            plane,
            route,
        );
        metrics.routes.rcu(|routes| {
            let mut routes = BTreeMap::clone(routes);
            routes.insert(Arc::clone(route), resolved.clone());
            routes
        });
        resolved
    }

    /// How many routes of the config in force are in shadow mode.
    pub fn shadow_routes(&self, count: usize) {
        self.shadow_routes
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A fetch of an issuer's keys ended.
    pub fn key_refresh(&self, issuer: &str, succeeded: bool) {
        self.keys_refresh
            .with_label_values(&[issuer, result(succeeded)])
            .inc();
    }

    /// When an issuer's keys were last fetched with success.
    pub fn keys_fetched(&self, issuer: &str, at: UnixTime) {
        self.keys_last_success
            .with_label_values(&[issuer])
            .set(signed(at.0));
    }

    /// A token request of a credential source ended.
    pub fn token_fetch(&self, credential: &str, succeeded: bool) {
        self.credential_fetch
            .with_label_values(&[credential, result(succeeded)])
            .inc();
    }

    /// When a source got what it holds.
    pub fn token_fetched(&self, credential: &str, at: UnixTime) {
        self.credential_fetched
            .with_label_values(&[credential])
            .set(signed(at.0));
    }

    /// When a source's current token expires.
    pub fn token_expires(&self, credential: &str, at: UnixTime) {
        self.credential_expiry
            .with_label_values(&[credential])
            .set(signed(at.0));
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

/// What the requests of one plane need.
struct PlaneMetrics {
    decision_seconds: Histogram,
    /// Requests no route was found for.
    unrouted: RouteMetrics,
    /// By name. Routes are configured, so the map is bounded; it grows with new names at reloads.
    routes: ArcSwap<BTreeMap<Arc<str>, RouteMetrics>>,
}

/// The children of one route on one plane, found once.
#[derive(Clone)]
struct RouteMetrics {
    /// 1xx to 5xx.
    requests: [IntCounter; 5],
    allowed: IntCounter,
    upstream_seconds: Histogram,
}

impl RouteMetrics {
    fn resolve(
        requests: &IntCounterVec,
        decisions: &IntCounterVec,
        upstream_seconds: &HistogramVec,
        plane: Plane,
        route: &str,
    ) -> Self {
        let plane = plane.as_str();
        Self {
            requests: ["1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|class| requests.with_label_values(&[plane, route, class])),
            allowed: decisions.with_label_values(&[plane, route, Outcome::Allow.as_str(), ""]),
            upstream_seconds: upstream_seconds.with_label_values(&[plane, route]),
        }
    }
}

/// One more with this outcome and its reason.
fn count_refusal(counters: &IntCounterVec, line: &RequestLine, outcome: Outcome) {
    counters
        .with_label_values(&[
            line.plane.as_str(),
            line.route.as_deref().unwrap_or_default(),
            outcome.as_str(),
            outcome.reason().unwrap_or_default(),
        ])
        .inc();
}

fn result(succeeded: bool) -> &'static str {
    if succeeded { "success" } else { "error" }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
