//! The one async function that orders the steps of a decision, and the trait it needs.
//!
//! find route → extract credential → find or verify the token → judge it → evaluate the rule.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::authn::KeySet;

/// What a key source holds for an issuer at this moment. Reading it never waits.
#[derive(Clone, Debug)]
pub enum KeysNow {
    /// Usable keys, fresh or stale within bounds.
    Usable(Arc<KeySet>),
    /// None, or too old.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// What became of the search for an unknown `kid`.
#[derive(Clone, Debug)]
pub enum Sought {
    /// A fetch brought a set that holds it.
    Found(Arc<KeySet>),
    /// A fetch begun after it was first seen lacked it.
    Absent,
    /// No fetch could tell: budget spent, or the issuer is down.
    Unknown {
        /// When to try again.
        retry_after: Duration,
    },
}

/// A future that a trait object can return.
pub type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Keys by issuer. Implemented by the key engine (`client::jwks`), and by a fixed set for
/// `explain --jwks`.
pub trait KeySource: Send + Sync {
    /// The keys of issuer number `issuer` in the gate's list, without waiting.
    fn find(&self, issuer: usize) -> KeysNow;

    /// Looks for a `kid` the current set lacks: at most one fetch, from the issuer's budget.
    fn seek<'s>(&'s self, issuer: usize, key_id: &'s str) -> Boxed<'s, Sought>;
}

use crate::authn::principal::Principal;
use crate::authn::{Issuer, VerifiedToken};
use crate::authz::identity::ListFormat;
use crate::authz::{Decision, Route, RouteTable};
use crate::clock::UnixTime;
use crate::reason::Failure;
use crate::request::{IdentityNames, RequestFacts};
use crate::steps::Steps;

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
}

/// A decision, or why there is none, with what came to light.
#[derive(Debug)]
pub struct Judgement {
    /// Allow, deny, or failure.
    pub outcome: Result<Decision, Failure>,
    /// For the log.
    pub evidence: Evidence,
}

/// The decision engine: the same for ingress, forward auth and `explain`.
#[derive(Debug)]
pub struct Gate {
    routes: RouteTable,
}

impl Gate {
    /// Decides on one request.
    pub async fn check(
        &self,
        _facts: &RequestFacts<'_>,
        _now: UnixTime,
        _steps: &mut (impl Steps + Send),
    ) -> Judgement {
        todo!("check")
    }

    /// Decides on one request as if `route` had been found (`/api/v1/validate?route=NAME`,
    /// `context_extensions`).
    pub async fn check_route(
        &self,
        _route: &Arc<Route>,
        _facts: &RequestFacts<'_>,
        _now: UnixTime,
        _steps: &mut (impl Steps + Send),
    ) -> Judgement {
        todo!("check")
    }

    /// Verifies the bearer token in `headers` against every issuer, with no route and no rule
    /// (`/api/v1/validate`).
    pub async fn validate(
        &self,
        _headers: &http::HeaderMap,
        _now: UnixTime,
        _steps: &mut (impl Steps + Send),
    ) -> Judgement {
        todo!("validate")
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }
}
