//! What concerns the whole process: request ids, errors, the outgoing client, shutdown, log.

use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::Certificates;

/// `[request_id] trust`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestIdTrust {
    /// Only from `trusted_proxies`.
    TrustedProxies,
    /// From everyone.
    Any,
}

/// `[errors]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// Body format where `Accept` does not choose one.
    pub format: ErrorFormat,
    /// Whether the reason code goes into the body.
    pub expose_reason: bool,
    /// `realm` of the challenge.
    pub realm: HeaderValue,
}

/// How an error body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// RFC 9457 with the extension members `error_code` and `message`.
    Problem,
    /// `{"errors": [{"status": "401", …}]}`
    JsonApi,
    /// `{"error": "…"}`
    Simple,
    /// `{"detail": "…"}`
    Detail,
}

/// `[client]`: the outgoing HTTP client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Proxy for key sets and token endpoints.
    pub proxy: Option<Url>,
    /// Hosts that bypass it.
    pub no_proxy: Vec<String>,
    /// Further trusted roots, from `extra_ca_file`.
    pub extra_roots: Certificates,
}

/// `[shutdown]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Time for requests in flight after the listeners closed.
    pub grace: Duration,
    /// Time between "not ready" and closing the listeners.
    pub pre_drain: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// `json` or `text`, for events; the request line is always JSON.
    pub json: bool,
    /// Whether each request writes its line.
    pub requests: bool,
}

/// Something legal that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key, as a dotted path.
    pub key: String,
    /// What is odd.
    pub message: String,
}
