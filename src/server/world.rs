//! Everything one request needs, built from one config and replaced whole on reload.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::client::egress::Targets;
use crate::client::introspection::Judges;
use crate::client::jwks::KeyEngine;
use crate::client::login::Login;
use crate::client::token::Credentials;
use crate::client::upstream::Upstreams;
use crate::clock::Clock;
use crate::config::Config;
use crate::gate::Gate;
use crate::request::OwnedHeaders;
use crate::server::handles::{Handles, Wanted};
use crate::server::tls::Terminations;
use crate::store::Fleet;
use crate::store::memberships::Stores;
use crate::store::passwords::PasswordStore;
use crate::telemetry::Telemetry;

/// One config, brought to life. A request keeps the world it began with.
#[derive(Debug)]
pub struct World {
    /// 1 at start, one more with each reload.
    pub generation: u64,
    /// The config it was built from.
    pub config: Arc<Config>,
    /// Decides.
    pub gate: Gate,
    /// Certificates of the listeners.
    pub tls: Terminations,
    /// Keys, for `/jwks` and readiness. The gate holds the same engine.
    pub keys: Arc<KeyEngine>,
    /// What verifies passwords, if any are taken. The gate holds the same.
    pub passwords: Option<PasswordStore>,
    /// Where logins are handed on, if they are.
    pub login: Option<Login>,
    /// Who asks the issuers that have no keys.
    pub judges: Arc<Judges>,
    /// Pools to the upstreams.
    pub upstreams: Arc<Upstreams>,
    /// Egress credentials.
    pub credentials: Arc<Credentials>,
    /// Stores of memberships. The gate asks the same ones.
    pub memberships: Arc<Stores>,
    /// Where tokens are shared.
    pub fleet: Fleet,
    /// Pools to the egress targets.
    pub targets: Arc<Targets>,
    /// Headers no client may set, for routes that do not pass overrides.
    pub owned: OwnedHeaders,
    /// The same for routes with `pass_overrides`.
    pub owned_passing_overrides: OwnedHeaders,
    /// `X-Auth-Handle` → user; outlives reloads.
    pub handles: Arc<Handles>,
    /// What egress needs to know of a request's user.
    pub wanted: Wanted,
    /// Log and metrics; outlives reloads.
    pub telemetry: Arc<Telemetry>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
}

/// The world in force. Load it once per request.
pub type Current = Arc<ArcSwap<World>>;
