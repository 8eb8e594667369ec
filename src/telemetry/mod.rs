//! What operators see: the request log line, metrics, events.

pub mod metrics;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::authn::principal::Principal;
use crate::request::id::RequestId;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// The reverse proxy.
    Ingress,
    /// Forward auth.
    ForwardAuth,
    /// The app's own calls.
    Egress,
}

/// What became of a request, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried, or answered 200.
    Allow,
    /// Policy said no; the reason code.
    Deny(&'static str),
    /// We could not tell or carry it; the reason code.
    Fail(&'static str),
}

/// One request, as the log tells it (docs/request-log.md). No token, cookie, key or query.
#[derive(Clone, Debug)]
pub struct RequestLine {
    /// `X-Request-ID`
    pub request_id: RequestId,
    /// Trace id of `traceparent`.
    pub trace_id: Option<String>,
    /// Where it came in.
    pub plane: Plane,
    /// Route or egress target.
    pub route: Option<Arc<str>>,
    /// The original method.
    pub method: Method,
    /// The original path, without query, capped.
    pub path: String,
    /// The status sent.
    pub status: StatusCode,
    /// Allowed, denied, failed.
    pub outcome: Outcome,
    /// Who, if proven.
    pub principal: Option<Arc<Principal>>,
    /// The user a service acted for.
    pub on_behalf_of: Option<String>,
    /// `kid` of the key that verified the token.
    pub key_id: Option<Arc<str>>,
    /// Keyed fingerprint of the token.
    pub token: Option<u64>,
    /// Time the decision took.
    pub decision_time: Duration,
    /// Time to the upstream's response head.
    pub upstream_time: Option<Duration>,
    /// Bytes of the response body.
    pub response_bytes: u64,
    /// Client address.
    pub client: IpAddr,
    /// `User-Agent`, capped.
    pub user_agent: Option<String>,
}

/// Log and metrics of one process.
#[derive(Debug)]
pub struct Telemetry {
    /// Metrics.
    pub metrics: metrics::Metrics,
}

impl Telemetry {
    /// Metrics without a request log, for tests and one-shot commands.
    #[must_use]
    pub fn quiet() -> Arc<Self> {
        Arc::new(Self {
            metrics: metrics::Metrics {},
        })
    }

    /// Counts a request and writes its line.
    pub fn record(&self, _line: RequestLine) {}
}
