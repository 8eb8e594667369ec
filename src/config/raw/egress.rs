//! Upstreams and egress targets as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::forms::{CertificateName, HostPort, NonEmpty, Positive, Text};
use super::{List, OneOrMany};

/// Where a server is and how it is connected to: an upstream or an egress target.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Server {
    /// Scheme and authority; its path is put before the request's.
    pub(in crate::config) url: Text<Url>,
    /// Where to connect instead of the URL's host. `Host` and the certificate's name stay the URL's.
    pub(in crate::config) addresses: Option<List<Text<HostPort>>>,
    /// How HTTP is spoken.
    pub(in crate::config) protocol: Option<Protocol>,
    /// Time to connect, and to wait for a free connection.
    pub(in crate::config) connect_timeout: Option<Text<Positive>>,
    /// Time to the response head.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Longest silence inside a response body. Without it: streams may be silent.
    pub(in crate::config) read_timeout: Option<Text<Positive>>,
    /// Time a pooled connection may be idle.
    pub(in crate::config) idle_timeout: Option<Text<Positive>>,
    /// Time after which names are resolved again.
    pub(in crate::config) dns_refresh: Option<Text<Positive>>,
    /// Most connections to it at once.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_connections: Option<u32>,
    /// Consecutive failures after which an address is not asked for a while.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_failures: Option<u32>,
    /// How long it is not asked, the first time.
    pub(in crate::config) eject_for: Option<Text<Positive>>,
    /// TLS to it.
    pub(in crate::config) tls: Option<ServerTls>,
}

/// `protocol`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Protocol {
    Auto,
    Http1,
    Http2,
}

/// `tls` of a server.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct ServerTls {
    /// The only trusted roots, PEM, instead of the system's.
    pub(in crate::config) ca_file: Option<PathBuf>,
    /// A certificate to show, PEM, with its chain.
    pub(in crate::config) client_certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub(in crate::config) client_key_file: Option<PathBuf>,
    /// The name its certificate is for, if not the URL's host.
    pub(in crate::config) server_name: Option<Text<CertificateName>>,
}

/// One `[upstreams.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Upstream {
    #[serde(flatten)]
    pub(in crate::config) server: Server,
}

/// One `[[egress_targets]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct EgressTarget {
    /// Its name: the first path segment on the egress listener.
    pub(in crate::config) name: Text<NonEmpty>,
    #[serde(flatten)]
    pub(in crate::config) server: Server,
    /// Names of credential sources; the first that has something is used.
    pub(in crate::config) credential: OneOrMany,
    /// Whether the user behind the call is stated in identity headers.
    #[serde(default)]
    pub(in crate::config) forward_user: bool,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can read the credential.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}
