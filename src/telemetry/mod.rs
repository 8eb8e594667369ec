//! What operators see: the request log line, metrics, events.
//!
//! | file | idea |
//! |---|---|
//! | `line` | one request as one line of JSON (docs/request-log.md) |
//! | `log` | lines → bounded queue → one writer thread; never blocks a request |
//! | [`metrics`] | every metric, declared in one file (docs/metrics.md) |
//! | `recent` | refusals of the last minutes by reason, for `/status` |
//! | `events` | what is not a request: `tracing` to stderr |

pub mod events;
mod line;
mod log;
pub mod metrics;
mod recent;

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};

use crate::authn::principal::Principal;
use crate::certificate::Fingerprint;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::reason::Refusal;
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

impl Plane {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingress, Self::ForwardAuth, Self::Egress];

    /// As in the log and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::ForwardAuth => "forward_auth",
            Self::Egress => "egress",
        }
    }
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

impl Outcome {
    /// `allow`, `deny` or `fail`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny(_) => "deny",
            Self::Fail(_) => "fail",
        }
    }

    /// The reason code of a refusal.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Allow => None,
            Self::Deny(reason) | Self::Fail(reason) => Some(reason),
        }
    }
}

impl From<&Refusal> for Outcome {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Denied(denial) => Self::Deny(denial.reason()),
            Refusal::Failed(failure) => Self::Fail(failure.reason()),
        }
    }
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
    /// What the decision would have been, where shadow mode let the request through.
    pub shadowed: Option<Outcome>,
    /// Who, if proven.
    pub principal: Option<Arc<Principal>>,
    /// The user a service acted for.
    pub on_behalf_of: Option<String>,
    /// The credential source that our own request was given its credential by.
    pub credential: Option<Arc<str>>,
    /// Whether it was sent again with another, because the first was refused.
    pub replayed: bool,
    /// `kid` of the key that verified the token.
    pub key_id: Option<Arc<str>>,
    /// Keyed fingerprint of the token.
    pub token: Option<u64>,
    /// The client certificate that was judged.
    pub certificate: Option<Fingerprint>,
    /// How the principal's memberships became known.
    pub memberships: Option<&'static str>,
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
pub struct Telemetry {
    /// Metrics.
    pub metrics: metrics::Metrics,
    log: Option<log::Log>,
    /// Whether lines of allowed requests are written.
    allowed: AtomicBool,
    /// Whether lines of requests that were denied, or would have been but for shadow mode, are
    /// written; failures always are.
    denied: AtomicBool,
    recent: recent::Recent,
    /// The same, of what shadow mode let through.
    shadowed: recent::Recent,
    started: Duration,
    clock: Arc<dyn Clock>,
}

impl Telemetry {
    /// Metrics, and the request log on stdout.
    #[must_use]
    pub fn new(log: &config::Log, clock: Arc<dyn Clock>) -> Arc<Self> {
        let telemetry = Self::to_writer(Box::new(std::io::stdout()), clock);
        telemetry.apply(log);
        telemetry
    }

    /// Metrics, and the request log on `out`, which one thread of its own writes to.
    #[must_use]
    pub fn to_writer(out: Box<dyn Write + Send>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let metrics = metrics::Metrics::new();
        let log = log::Log::start(out, metrics.log_lines_dropped());
        Arc::new(Self {
            metrics,
            log: Some(log),
            allowed: AtomicBool::new(true),
            denied: AtomicBool::new(true),
            recent: recent::Recent::default(),
            shadowed: recent::Recent::default(),
            started: clock.since_epoch(),
            clock,
        })
    }

    /// Metrics without a request log, for tests and one-shot commands.
    #[must_use]
    pub fn quiet() -> Arc<Self> {
        Arc::new(Self {
            metrics: metrics::Metrics::new(),
            log: None,
            allowed: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            recent: recent::Recent::default(),
            shadowed: recent::Recent::default(),
            started: SystemClock.since_epoch(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Takes over `[log]` of a reloaded config: `requests` and `level`; `format` stays until a
    /// restart.
    pub fn apply(&self, log: &config::Log) {
        let info = events::admits_info(&log.level);
        self.allowed.store(info && log.requests, Ordering::Relaxed);
        self.denied.store(info, Ordering::Relaxed);
        events::apply_level(log);
    }

    /// Counts a request and writes its line. Never blocks: a line that finds the queue full is
    /// dropped and counted.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a line is recorded once: it is spent here"
    )]
    pub fn record(&self, line: RequestLine) {
        self.metrics.request(&line);
        let now = self.clock.since_epoch();
        if let Some(reason) = line.outcome.reason() {
            self.recent.note(reason, now);
        }
        if let Some(reason) = line.shadowed.and_then(Outcome::reason) {
            self.shadowed.note(reason, now);
        }
        let Some(log) = &self.log else { return };
        let left_out = match line.outcome {
            Outcome::Allow if line.shadowed.is_none() => !self.allowed.load(Ordering::Relaxed),
            Outcome::Allow | Outcome::Deny(_) => !self.denied.load(Ordering::Relaxed),
            Outcome::Fail(_) => false,
        };
        if left_out {
            return;
        }
        let written = SCRATCH.try_with(|scratch| {
            let mut scratch = scratch.try_borrow_mut().ok()?;
            scratch.write(&line, now);
            log.push(scratch.bytes());
            Some(())
        });
        if !matches!(written, Ok(Some(()))) {
            log.dropped();
        }
    }

    /// Refusals of the last 15 minutes by reason code, the most frequent first.
    #[must_use]
    pub fn recent_refusals(&self) -> Vec<(&'static str, u64)> {
        self.recent.counts(self.clock.since_epoch())
    }

    /// The same of requests that shadow mode let through, by why they would not have passed.
    #[must_use]
    pub fn recent_shadowed(&self) -> Vec<(&'static str, u64)> {
        self.shadowed.counts(self.clock.since_epoch())
    }

    /// Wall time since this was made.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.clock.since_epoch().saturating_sub(self.started)
    }

    /// Waits until every line recorded so far is written, two seconds at most. Blocks the thread:
    /// for shutdown. `false` if the log's reader did not take them in time.
    pub fn flush(&self) -> bool {
        self.log.as_ref().is_none_or(log::Log::flush)
    }

    /// [`Self::flush`], then ends the writer thread; later lines are dropped and counted.
    pub fn close(&self) -> bool {
        self.log.as_ref().is_none_or(log::Log::close)
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

thread_local! {
    /// Lines are written here first, so that the queue is locked for a copy only.
    static SCRATCH: RefCell<line::Scratch> = RefCell::default();
}

#[cfg(test)]
mod tests;
