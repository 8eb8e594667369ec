//! Servers that requests are sent on to: where they are, how they are connected to, what is
//! believed of them.

use std::fmt;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use url::{Host, Url};

use super::is_loopback_host;
use crate::secret::Secret;

/// Where an upstream or egress target is and how it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Scheme and authority (`Host`, the certificate's name); its path is put before the request's.
    pub url: Url,
    /// Where to connect: `addresses`, or else the URL's host and port. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// How HTTP is spoken.
    pub protocol: Protocol,
    /// Time to connect, and to wait for a free connection.
    pub connect_timeout: Duration,
    /// Time to the response head.
    pub timeout: Duration,
    /// Longest silence inside a response body; `None`: streams may be silent.
    pub read_timeout: Option<Duration>,
    /// Time a pooled connection may be idle.
    pub idle_timeout: Duration,
    /// Time after which names are resolved again.
    pub dns_refresh: Duration,
    /// Most connections at once, over all workers.
    pub max_connections: usize,
    /// Consecutive failures after which an address is ejected.
    pub max_failures: u32,
    /// How long it is ejected the first time; longer each time after.
    pub eject_for: Duration,
    /// TLS, if the URL's scheme is `https`.
    pub tls: ServerTls,
}

/// A host and port to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name, to be resolved, or an address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// `protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1; over TLS what ALPN negotiates.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS with prior knowledge (RFC 9113 3.3).
    Http2,
}

/// TLS towards one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// The only trusted roots; `None`: the system's and `[client] extra_ca_file`.
    pub roots: Option<Certificates>,
    /// What we show if the server asks who we are.
    pub identity: Option<ClientIdentity>,
    /// The name its certificate is for; `None`: the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

/// Our certificate and its key. They belong together: that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, then its chain.
    pub chain: Certificates,
    /// The private key, PEM.
    pub key: Secret,
}

/// Certificates as loaded, so that a changed file is a changed config.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Certificates(pub Vec<CertificateDer<'static>>);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

impl Server {
    /// The server at this URL (`http` or `https`, with a host), everything else by default.
    #[must_use]
    pub fn at(url: Url) -> Self {
        let endpoint = Endpoint {
            host: url
                .host()
                .map_or_else(|| Host::Domain(String::new()), |host| Host::to_owned(&host)),
            port: url.port_or_known_default().unwrap_or_default(),
        };
        Self {
            url,
            endpoints: vec![endpoint],
            protocol: Protocol::Auto,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            read_timeout: None,
            idle_timeout: Duration::from_secs(60),
            dns_refresh: Duration::from_secs(10),
            max_connections: 1024,
            max_failures: 3,
            eject_for: Duration::from_secs(10),
            tls: ServerTls::default(),
        }
    }

    /// Whether connections to it are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether nobody on the way can read what is sent there.
    pub(crate) fn is_guarded(&self) -> bool {
        let loopback = |endpoint: &Endpoint| is_loopback_host(&endpoint.host);
        self.is_tls() || self.endpoints.iter().all(loopback)
    }
}
