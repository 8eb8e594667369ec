//! The outcome: a permit that only this module can make, or a denial.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::principal::Principal;
use crate::authz::route::{Access, Route};
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::Steps;

/// A principal together with its identity headers, rendered once per token.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who.
    pub principal: Arc<Principal>,
    /// What the upstream is told ([`crate::authz::identity::render`]).
    pub headers: Arc<[(HeaderName, HeaderValue)]>,
    /// When the credential stops being good, leeway included.
    pub until: UnixTime,
}

/// Permission to carry one request to one route. Only [`permit`] makes one, and
/// `client::upstream::forward` consumes it: an unjudged request has nowhere to go.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    proven: Option<Proven>,
}

impl Permit {
    /// The route it was given for.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Who may; `None` on a public route or for an anonymous caller of an optional one.
    #[must_use]
    pub fn proven(&self) -> Option<&Proven> {
        self.proven.as_ref()
    }

    /// The same permit with other identity headers: `on_behalf_of` states a user for a service.
    #[must_use]
    pub fn with_headers(mut self, headers: Arc<[(HeaderName, HeaderValue)]>) -> Self {
        if let Some(proven) = &mut self.proven {
            proven.headers = headers;
        }
        self
    }
}

/// What the gate decided.
#[derive(Debug)]
pub enum Decision {
    /// Carry it.
    Allow(Permit),
    /// Policy said no.
    Deny(Denial),
}

/// Gives a permit if the route's access rule holds for what was proven. `proven` is `None` if no
/// credential was presented; a presented but invalid one never comes here.
pub fn permit(
    route: &Arc<Route>,
    proven: Option<Proven>,
    steps: &mut impl Steps,
) -> Result<Permit, Denial> {
    match (&route.access, &proven) {
        (Access::Public, _) => {
            steps.step("access", || "public route".to_owned());
            Ok(Permit {
                route: Arc::clone(route),
                proven: None,
            })
        }
        (Access::Protected(protected), None) if protected.optional => {
            steps.step("access", || "optional route, anonymous".to_owned());
            Ok(Permit {
                route: Arc::clone(route),
                proven: None,
            })
        }
        (Access::Protected(_), None) => Err(Denial::CredentialMissing),
        (Access::Protected(protected), Some(known)) => {
            protected.require.evaluate(&known.principal, steps)?;
            Ok(Permit {
                route: Arc::clone(route),
                proven,
            })
        }
    }
}
