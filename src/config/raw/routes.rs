//! Routes as written.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{HostHeader, NonEmpty, Origin, Positive, StripPrefix, Text};
use super::{List, OneOrMany};
use crate::authn::credential::TokenSource;
use crate::authz::route::{HostPattern, PathPattern};

/// One `[[routes]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Route {
    /// Its name in logs, metrics and errors. Generated from the path if absent.
    pub(in crate::config) name: Option<Text<NonEmpty>>,
    /// Which hosts; every host if absent.
    pub(in crate::config) hosts: Option<List<Text<HostPattern>>>,
    /// Which paths: literals, `{name}` and `*` for one segment, `**` at the end for any rest.
    pub(in crate::config) path: Text<PathPattern>,
    /// Which methods; all if absent. `GET` serves `HEAD`.
    pub(in crate::config) methods: Option<List<Text<Method>>>,
    /// `"none"` for a public route, or the accepted kinds of credential.
    pub(in crate::config) auth: Option<Auth>,
    /// Whether a request without any credential passes as anonymous.
    #[serde(default)]
    pub(in crate::config) optional: bool,
    /// Whether who may not is refused (`enforce`), or let through and noted (`shadow`).
    pub(in crate::config) mode: Option<Mode>,
    /// Whose tokens are accepted. Required once there are two issuers.
    pub(in crate::config) issuers: Option<List<Text<NonEmpty>>>,
    /// Name of a `[memberships.X]` table: where groups, roles and permissions come from.
    pub(in crate::config) memberships: Option<Text<NonEmpty>>,
    /// What the principal must also be. All parts must hold.
    pub(in crate::config) require: Option<Require>,
    /// Where the request goes. A route without one only answers forward auth.
    pub(in crate::config) upstream: Option<Text<NonEmpty>>,
    /// Path prefix to cut before the upstream sees it.
    pub(in crate::config) strip_prefix: Option<Text<StripPrefix>>,
    /// `Host` for the upstream: `upstream`, `preserve` or a literal.
    pub(in crate::config) host: Option<Text<HostHeader>>,
    /// What happens to `Authorization`.
    pub(in crate::config) authorization: Option<Authorization>,
    /// Time to the response head; the upstream's if absent.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// How long an upgraded connection (WebSocket) may live, from the upgrade; as long as the
    /// credential is good if absent, without end on a public route.
    pub(in crate::config) upgrade_lifetime: Option<Text<Positive>>,
    /// Where the token may stand.
    pub(in crate::config) token_from: Option<List<Text<TokenSource>>>,
    /// Whether `%2F` may stand in the path. Rules then match the undecoded form.
    #[serde(default)]
    pub(in crate::config) allow_encoded_slashes: bool,
    /// Whether clients may override URL and method (`X-HTTP-Method-Override` and its kin).
    #[serde(default)]
    pub(in crate::config) pass_overrides: bool,
    /// Further client headers to remove, in every spelling.
    #[serde(default)]
    pub(in crate::config) strip: Vec<Text<HeaderName>>,
    /// Which services may state the user they act for.
    pub(in crate::config) on_behalf_of: Option<OnBehalfOf>,
    /// Which pages of other sites may use this route; none if absent.
    pub(in crate::config) cors: Option<Cors>,
}

/// `cors`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Cors {
    /// `"pass"`: preflights reach the app without a credential, and it answers them.
    Word(CorsWord),
    /// Ingress answers preflights, and says who may read a response.
    Answer(Sharing),
}

/// `"pass"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum CorsWord {
    Pass,
}

/// `cors = { … }`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Sharing {
    /// Whose pages, exactly; `["*"]` for every site's.
    pub(in crate::config) origins: List<Text<Origin>>,
    /// What they may send; the route's methods if absent.
    pub(in crate::config) methods: Option<List<Text<Method>>>,
    /// With which headers; those the token stands in and `Content-Type` if absent.
    pub(in crate::config) headers: Option<List<Text<HeaderName>>>,
    /// Which headers of the response they may read besides the usual ones.
    pub(in crate::config) expose: Option<List<Text<HeaderName>>>,
    /// Whether browsers send cookies and client certificates along.
    #[serde(default)]
    pub(in crate::config) credentials: bool,
    /// How long browsers remember the answer to a preflight.
    pub(in crate::config) max_age: Option<Text<Duration>>,
}

/// `auth`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Auth {
    /// `"none"`: a public route.
    None(NoneWord),
    /// Accepted kinds: any one suffices, and the first presented is the principal.
    Kinds(List<AuthKind>),
}

/// `"none"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum NoneWord {
    None,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AuthKind {
    Alb,
    Basic,
    Bearer,
    Mtls,
}

/// `mode`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Mode {
    Enforce,
    Shadow,
}

/// `require`
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::config) struct Require {
    /// A person or a program.
    pub(in crate::config) principal: Option<Principal>,
    /// Accepted client ids.
    pub(in crate::config) clients: Option<List<Text<NonEmpty>>>,
    /// On groups.
    pub(in crate::config) groups: Option<Names>,
    /// On roles.
    pub(in crate::config) roles: Option<Names>,
    /// On permissions.
    pub(in crate::config) permissions: Option<Names>,
    /// On scopes.
    pub(in crate::config) scopes: Option<Names>,
    /// Claims that must have, or hold as an element, one of these values.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub(in crate::config) claims: BTreeMap<String, OneOrMany>,
}

/// `require.principal`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Principal {
    User,
    Service,
}

/// A condition on a set of names: a list is "any of".
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Names {
    /// Any of these.
    Any(List<Text<NonEmpty>>),
    /// Spelled out.
    Parts(NameParts),
}

/// `{ any, all, none }`
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::config) struct NameParts {
    /// At least one of these.
    pub(in crate::config) any: Option<List<Text<NonEmpty>>>,
    /// Every one of these.
    pub(in crate::config) all: Option<List<Text<NonEmpty>>>,
    /// Not one of these.
    pub(in crate::config) none: Option<List<Text<NonEmpty>>>,
}

/// `authorization`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Authorization {
    /// `"forward"` or `"strip"`
    Word(AuthorizationWord),
    /// `{ replace = "<credential source>" }`
    Replace(Replace),
}

/// `"forward" | "strip"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AuthorizationWord {
    Forward,
    Strip,
}

/// `{ replace = … }`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Replace {
    /// Name of a `[credentials.X]` table.
    pub(in crate::config) replace: Text<NonEmpty>,
}

/// `on_behalf_of`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct OnBehalfOf {
    /// Client ids of the services.
    pub(in crate::config) clients: Option<List<Text<NonEmpty>>>,
    /// Groups of the services.
    pub(in crate::config) groups: Option<Names>,
    /// Tenants that may be stated; none may if absent.
    pub(in crate::config) tenants: Option<List<Text<NonEmpty>>>,
}
