//! Routes: what one asks, and where it leads. [`pattern`] says which requests it is for, [`table`]
//! finds the one for a request. [`Cors`] says which pages may use it.

mod cors;
mod pattern;
mod table;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

pub use self::cors::{Cors, Origins, Readers, Sharing};
pub use self::pattern::{HostPattern, PathPattern, Segment};
pub(crate) use self::table::common_method;
pub use self::table::{RouteConflict, RouteTable};
use crate::authn::credential::{Kind, TokenSource};
use crate::authn::membership::SetsFrom;
use crate::authz::rule::{Rule, SetRule};

/// One `[[routes]]` table, as meant.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, unique; generated from host and path if not given.
    pub name: Arc<str>,
    /// Which hosts.
    pub hosts: Vec<HostPattern>,
    /// Which paths.
    pub pattern: PathPattern,
    /// Which methods; empty: all. `GET` serves `HEAD`.
    pub methods: Vec<Method>,
    /// Who may.
    pub access: Access,
    /// Whether `%2F` may stand in the path.
    pub allow_encoded_slashes: bool,
    /// Whether `X-HTTP-Method-Override`, `X-Original-URL` and their kin pass.
    pub pass_overrides: bool,
    /// What pages of other sites are told; `None`: nothing, and preflights are judged like any request.
    pub cors: Option<Cors>,
    /// Where the request goes; `None` for a route that only answers forward auth.
    pub forward: Option<Forward>,
}

impl Route {
    /// Whether its rule is enforced; a public route has none that is not.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match &self.access {
            Access::Public => Mode::Enforce,
            Access::Protected(protected) => protected.mode,
        }
    }
}

/// Who may use a route.
#[derive(Clone, Debug)]
pub enum Access {
    /// `auth = "none"`: no credential is asked for or looked at.
    Public,
    /// A verified principal.
    Protected(Box<Protected>),
}

/// What a protected route asks.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Which kinds of credential are accepted: any one suffices, all that are presented must be
    /// valid, and the first of them is the principal.
    pub accepts: Vec<Kind>,
    /// Indices of the accepted issuers in the gate's list.
    pub issuers: Vec<usize>,
    /// Where the token may stand.
    pub token_from: Vec<TokenSource>,
    /// Whether a request without credentials passes as anonymous.
    pub optional: bool,
    /// Where its groups, roles and permissions come from, if not from its credential alone.
    pub memberships: Option<RouteMemberships>,
    /// Who is asked for groups that are too many for a token, where the rule needs those of the token.
    pub overage: Vec<Overage>,
    /// What the principal must also be.
    pub require: Rule,
    /// Whether who may not is refused.
    pub mode: Mode,
    /// Which services may state the user they act for (ingress only).
    pub on_behalf_of: Option<OnBehalfOf>,
}

/// `memberships = "NAME"`
#[derive(Clone, Debug)]
pub struct RouteMemberships {
    /// Number of the store in the gate's list.
    pub store: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Where each set comes from.
    pub from: SetsFrom,
    /// Whether the route asks for a set that comes from it: else it is asked nothing.
    pub asked: bool,
}

/// Where the groups are that an issuer's token has no room for.
#[derive(Clone, Debug)]
pub struct Overage {
    /// The issuer's name.
    pub issuer: Arc<str>,
    /// Number of the store in the gate's list.
    pub store: usize,
    /// Its name.
    pub name: Arc<str>,
}

/// `mode`: what becomes of a request whose credential or principal the route does not accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let through, and the refusal noted. Routing, normalisation and limits still refuse.
    Shadow,
}

impl Mode {
    /// As in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// `on_behalf_of`: the service principals that may pass on `X-User-ID`.
#[derive(Clone, Debug, Default)]
pub struct OnBehalfOf {
    /// Client ids; empty: not asked.
    pub clients: Vec<String>,
    /// Groups; `None`: not asked.
    pub groups: Option<SetRule>,
    /// Tenants that may be stated; empty: none may.
    pub tenants: Vec<String>,
}

/// How a request is carried to the upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Name of the `[upstreams.X]` table.
    pub upstream: Arc<str>,
    /// `Host` for the upstream.
    pub host: HostRewrite,
    /// What happens to `Authorization`.
    pub authorization: Authorization,
    /// Path prefix to cut, without trailing slash; the rest keeps its leading slash.
    pub strip_prefix: Option<String>,
    /// Time to the response head; `None`: the upstream's.
    pub timeout: Option<Duration>,
    /// How long an upgraded connection may live; `None`: as long as the credential is good.
    pub upgrade_lifetime: Option<Duration>,
    /// Further client headers to remove, in every spelling.
    pub strip: Arc<[HeaderName]>,
}

/// `host = "upstream" | "preserve" | "<literal>"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// The authority of the upstream's URL.
    Upstream,
    /// What the client sent.
    Preserve,
    /// This.
    Literal(HeaderValue),
}

/// `authorization = "forward" | "strip" | { replace = "<credential source>" }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// As the client sent it.
    Forward,
    /// Removed.
    Strip,
    /// Replaced by the credential of this source.
    Replace(Arc<str>),
}
