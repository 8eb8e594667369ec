//! The planes as written.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{NonEmpty, Positive, Size, Text};
use super::{List, Tls};

/// Limits every listener has.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Limits {
    /// Time for a request head, and for the first byte of a connection.
    pub(in crate::config) header_timeout: Option<Text<Positive>>,
    /// Time a keep-alive connection may be silent.
    pub(in crate::config) idle_timeout: Option<Text<Positive>>,
    /// Most bytes of one request head: 431 beyond.
    pub(in crate::config) max_header_bytes: Option<Text<Size>>,
    /// Most header fields of one request: 431 beyond.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) max_headers: Option<u16>,
    /// Most bytes of a request's path and query: 414 beyond.
    pub(in crate::config) max_uri_bytes: Option<Text<Size>>,
    /// Most bytes of a request body. Without it bodies are unlimited: they are streamed.
    pub(in crate::config) max_body_bytes: Option<Text<Size>>,
    /// Most connections at once; further ones wait.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_connections: Option<u32>,
    /// Most connections at once of one client address (IPv6: of one /64): 429 beyond. Addresses in
    /// `trusted_proxies` are not counted. Without it: unlimited.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_connections_per_peer: Option<u32>,
    /// Most requests at once on one HTTP/2 connection.
    #[schemars(range(min = 1))]
    pub(in crate::config) http2_max_streams: Option<u32>,
    /// Most requests that a client may cancel on one HTTP/2 connection within 10 s: it is closed
    /// beyond.
    #[schemars(range(min = 1))]
    pub(in crate::config) http2_max_resets: Option<u32>,
    /// Most frames without use (SETTINGS, PING, PRIORITY, empty DATA, …) on one HTTP/2 connection
    /// within 10 s: it is closed beyond.
    #[schemars(range(min = 1))]
    pub(in crate::config) http2_max_control_frames: Option<u32>,
    /// TLS. Without it the listener speaks plain HTTP.
    pub(in crate::config) tls: Option<Tls>,
}

/// `client_address`
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ClientAddress {
    #[default]
    XForwardedFor,
    Forwarded,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Ingress {
    /// Where it listens.
    pub(in crate::config) listen: Option<Text<SocketAddr>>,
    /// Whose `X-Forwarded-*` and `X-Request-ID` are believed.
    #[serde(default)]
    pub(in crate::config) trusted_proxies: Vec<Text<IpNet>>,
    /// Which of their headers names the client.
    #[serde(default)]
    pub(in crate::config) client_address: ClientAddress,
    /// Whether a connection from one of `trusted_proxies` begins with a PROXY header (v1 or v2).
    #[serde(default)]
    pub(in crate::config) proxy_protocol: bool,
    /// Whether `Forwarded` (RFC 7239) is written beside `X-Forwarded-*`.
    #[serde(default)]
    pub(in crate::config) forwarded_header: bool,
    #[serde(flatten)]
    pub(in crate::config) limits: Limits,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct ForwardAuth {
    /// Where it listens.
    pub(in crate::config) listen: Option<Text<SocketAddr>>,
    /// Who may state the original request.
    pub(in crate::config) trusted_proxies: List<Text<IpNet>>,
    /// Which of their headers names the client.
    #[serde(default)]
    pub(in crate::config) client_address: ClientAddress,
    /// Whether a connection from one of `trusted_proxies` begins with a PROXY header (v1 or v2).
    #[serde(default)]
    pub(in crate::config) proxy_protocol: bool,
    #[serde(flatten)]
    pub(in crate::config) limits: Limits,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Egress {
    /// Where it listens. Loopback only, unless `allow_non_loopback`.
    pub(in crate::config) listen: Option<Text<SocketAddr>>,
    /// Whether it may listen where others than the app can reach it.
    #[serde(default)]
    pub(in crate::config) allow_non_loopback: bool,
    /// Bodies up to this size are kept, so that a request can be replayed after a 401.
    pub(in crate::config) replay_body_bytes: Option<Text<Size>>,
    /// Hands credentials to the app itself, at `/.gatepost/…`. Without it: none.
    pub(in crate::config) token_endpoint: Option<TokenEndpoint>,
    #[serde(flatten)]
    pub(in crate::config) limits: Limits,
}

/// `token_endpoint`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct TokenEndpoint {
    /// What it holds when a request comes must be that request's `Authorization`.
    pub(in crate::config) authorization_file: PathBuf,
    /// Names of the credential sources that may be had.
    pub(in crate::config) credentials: List<Text<NonEmpty>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Admin {
    /// Where it listens. Loopback only.
    pub(in crate::config) listen: Option<Text<SocketAddr>>,
    #[serde(flatten)]
    pub(in crate::config) limits: Limits,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Health {
    /// Where it listens.
    pub(in crate::config) listen: Option<Text<SocketAddr>>,
    #[serde(flatten)]
    pub(in crate::config) limits: Limits,
}
