//! What is counted of each answered request.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};

use super::Metrics;
use super::declare::Declare;
use crate::telemetry::{Outcome, Plane, RequestLine};

/// Metrics of requests, by plane and route.
pub(super) struct Requests {
    decisions: IntCounterVec,
    shadowed: IntCounterVec,
    shadow_routes: IntGauge,
    replays: IntCounterVec,
    answered: IntCounterVec,
    upstream_seconds: HistogramVec,
    planes: [PlaneMetrics; 3],
}

impl Requests {
    pub(super) fn new(declare: &mut Declare) -> Self {
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
        let planes = Plane::ALL.map(|plane| PlaneMetrics {
            decision_seconds: decision_seconds.with_label_values(&[plane.as_str()]),
            unrouted: RouteMetrics::resolve(&requests, &decisions, &upstream_seconds, plane, ""),
            routes: ArcSwap::default(),
        });
        Self {
            decisions,
            shadowed,
            shadow_routes: shadow_routes.with_label_values::<&str>(&[]),
            replays,
            answered: requests,
            upstream_seconds,
            planes,
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
            &self.answered,
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
}

impl Metrics {
    /// Counts one answered request. On a route seen before: no lock, no allocation.
    pub(in crate::telemetry) fn request(&self, line: &RequestLine) {
        let [ingress, forward_auth, egress] = &self.requests.planes;
        let plane = match line.plane {
            Plane::Ingress => ingress,
            Plane::ForwardAuth => forward_auth,
            Plane::Egress => egress,
        };
        plane
            .decision_seconds
            .observe(line.decision_time.as_secs_f64());
        match &line.route {
            None => self.requests.count(line, &plane.unrouted),
            Some(route) => {
                let routes = plane.routes.load();
                if let Some(metrics) = routes.get(route) {
                    self.requests.count(line, metrics);
                } else {
                    self.requests
                        .count(line, &self.requests.add_route(plane, line.plane, route));
                }
            }
        }
    }

    /// How many routes of the config in force are in shadow mode.
    pub fn shadow_routes(&self, count: usize) {
        self.requests
            .shadow_routes
            .set(i64::try_from(count).unwrap_or(i64::MAX));
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
