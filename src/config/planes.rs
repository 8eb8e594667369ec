//! The planes: where each listens, and its limits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::request::forwarded::TrustedProxies;

/// A listener's address and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Time for a request head, and for the first byte of a connection.
    pub header_timeout: Duration,
    /// Time a keep-alive connection may be silent.
    pub idle_timeout: Duration,
    /// Most bytes of one request head.
    pub max_header_bytes: usize,
    /// Most bytes of a request body; `None`: unlimited (bodies are streamed).
    pub max_body_bytes: Option<u64>,
    /// Most connections at once.
    pub max_connections: usize,
}

/// `[ingress]`
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Address and limits.
    pub listener: Listener,
    /// Whose `X-Forwarded-*` and `X-Request-ID` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether `Forwarded` (RFC 7239) is written too.
    pub forwarded_header: bool,
}

/// `[forward_auth]`
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// Address and limits.
    pub listener: Listener,
    /// Who may state the original request. Never empty.
    pub trusted_proxies: TrustedProxies,
}

/// `[egress]`
#[derive(Clone, Debug)]
pub struct Egress {
    /// Address and limits.
    pub listener: Listener,
    /// Bodies up to this size are kept, so that a request can be replayed after a 401.
    pub replay_body_bytes: usize,
}
