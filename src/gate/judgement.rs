//! What comes out of the gate: the outcome, and what came to light on the way.

use std::sync::Arc;

use crate::authn::principal::Principal;
use crate::authz::decision::Proven;
use crate::authz::{Decision, Route};
use crate::certificate::Fingerprint;
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};

/// What came to light while deciding, for the log; whatever the outcome.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The route found.
    pub route: Option<Arc<Route>>,
    /// Who the first credential is about, once verified, even if it was then refused.
    pub principal: Option<Arc<Principal>>,
    /// `kid` of the key that verified it.
    pub key_id: Option<Arc<str>>,
    /// Keyed fingerprint of the presented token.
    pub token: Option<u64>,
    /// The client certificate, where the route accepts one.
    pub certificate: Option<Fingerprint>,
    /// When the first of the valid credentials runs out: `exp` of a token, `notAfter` of a certificate.
    pub expires_at: Option<UnixTime>,
    /// Whether the token was found verified; `None` if none was looked for.
    pub cached: Option<bool>,
    /// How the principal's memberships became known: `cached`, `asked`, `stale` or `unavailable`; `None` if
    /// no store was needed.
    pub memberships: Option<&'static str>,
    /// Why the request would not have passed, where shadow mode let it through.
    pub shadowed: Option<Refusal>,
}

impl Evidence {
    /// One of the credentials is about `principal`, until then.
    pub(super) fn proves(&mut self, principal: &Arc<Principal>, until: UnixTime) {
        self.principal.get_or_insert_with(|| Arc::clone(principal));
        self.expires_at = Some(self.expires_at.map_or(until, |first| first.min(until)));
    }
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
