//! The planes: where each listens, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
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
    /// Most header fields of one request.
    pub max_headers: usize,
    /// Most bytes of a request's path and query.
    pub max_uri_bytes: usize,
    /// Most bytes of a request body; `None`: unlimited (bodies are streamed).
    pub max_body_bytes: Option<u64>,
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once of one client address (IPv6: of one /64); `None`: unlimited.
    pub max_connections_per_peer: Option<u32>,
    /// What one HTTP/2 connection may do.
    pub http2: Http2Limits,
    /// Whether a connection from a trusted proxy begins with a PROXY header.
    pub proxy_protocol: bool,
    /// TLS; `None`: plain HTTP.
    pub tls: Option<Tls>,
}

/// What one HTTP/2 connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Limits {
    /// Most requests at once.
    pub max_streams: u32,
    /// Most requests the client may cancel within [`Http2Limits::WINDOW`].
    pub max_resets: u32,
    /// Most frames without use within [`Http2Limits::WINDOW`].
    pub max_control_frames: u32,
}

impl Http2Limits {
    /// What resets and control frames are counted in.
    pub const WINDOW: Duration = Duration::from_secs(10);
}

impl Listener {
    /// A listener here, with the defaults `config/default.toml` shows.
    #[must_use]
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 64 << 10,
            max_headers: 100,
            max_uri_bytes: 16 << 10,
            max_body_bytes: None,
            max_connections: 10_000,
            max_connections_per_peer: None,
            http2: Http2Limits {
                max_streams: 256,
                max_resets: 1000,
                max_control_frames: 2000,
            },
            proxy_protocol: false,
            tls: None,
        }
    }
}

/// `tls` of a listener: names of files, which hold what they hold when they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The listener's certificate and those between it and its root, PEM.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Whose client certificates are accepted; `None`: clients are asked for none.
    pub client_ca: Option<ClientCa>,
    /// The oldest TLS that is spoken.
    pub min_version: TlsVersion,
}

/// Client certificates of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// The roots they must lead to, PEM.
    pub file: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// `min_version`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246) and 1.3.
    V1_2,
    /// TLS 1.3 (RFC 8446) only.
    V1_3,
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
    /// `/.gatepost/…`; `None`: nothing is handed out.
    pub token_endpoint: Option<TokenEndpoint>,
}

/// `[egress.token_endpoint]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// What it holds when a request comes must be that request's `Authorization`.
    pub authorization_file: PathBuf,
    /// Names of the credential sources that may be had.
    pub credentials: Vec<Arc<str>>,
}
