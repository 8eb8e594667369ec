//! Where requests go: upstreams and egress targets.

use std::sync::Arc;

use super::Server;

/// `[upstreams.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is and how it is connected to.
    pub server: Server,
}

/// `[[egress_targets]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTarget {
    /// Its name: the first path segment on the egress listener.
    pub name: Arc<str>,
    /// Where it is and how it is connected to.
    pub server: Server,
    /// Names of credential sources; the first that has something is used.
    pub credentials: Vec<Arc<str>>,
    /// Whether the user behind the call (known by `X-Auth-Handle`) is stated in identity headers.
    pub forward_user: bool,
}
