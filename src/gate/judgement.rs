//! What comes out of the gate: the outcome, and what came to light on the way.

use std::sync::Arc;

use crate::authn::principal::Principal;
use crate::authz::decision::Proven;
use crate::authz::{Decision, Route};
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure};

/// What came to light while deciding, for the log; whatever the outcome.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The route found.
    pub route: Option<Arc<Route>>,
    /// Who the token is about, once its signature was verified, even if it was then refused.
    pub principal: Option<Arc<Principal>>,
    /// `kid` of the key that verified it.
    pub key_id: Option<Arc<str>>,
    /// Keyed fingerprint of the presented token.
    pub token: Option<u64>,
    /// `exp` of the token, if verified.
    pub expires_at: Option<UnixTime>,
    /// Whether the token was found verified; `None` if none was looked for.
    pub cached: Option<bool>,
}

/// A decision, or why there is none, with what came to light.
#[derive(Debug)]
pub struct Judgement {
    /// Allow, deny, or failure.
    pub outcome: Result<Decision, Failure>,
    /// For the log.
    pub evidence: Evidence,
}

/// Who a token is about, with no route and no rule.
#[derive(Debug)]
pub struct Validation {
    /// Proven, denied, or failure.
    pub outcome: Result<Result<Proven, Denial>, Failure>,
    /// For the log.
    pub evidence: Evidence,
}
