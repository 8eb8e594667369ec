//! The outcome: a permit that only this module can make, or a denial.

use std::sync::Arc;

use crate::authn::alb::Verified;
use crate::authn::credential::Kind;
use crate::authn::principal::Principal;
use crate::authz::identity::IdentityHeaders;
use crate::authz::route::{Access, Cors, Mode, Protected, Route};
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::{Preflight, RequestFacts};
use crate::steps::Steps;

/// A principal together with its identity headers, rendered once per token.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who.
    pub principal: Arc<Principal>,
    /// The same as the credential alone states it, before its issuer's mapping: what is learned beside it
    /// joins that.
    pub stated: Arc<Principal>,
    /// What proved it.
    pub by: Kind,
    /// Which of a load balancer's headers were verified with it.
    pub alb: Verified,
    /// What the upstream is told ([`crate::authz::identity::render`]).
    pub headers: Arc<IdentityHeaders>,
    /// When the credential stops being good, leeway included.
    pub until: UnixTime,
}

/// Permission to carry one request to one route. Only [`decide`] and [`preflight`] make one, and
/// `client::upstream::forward` consumes it: an unjudged request has nowhere to go.
#[derive(Debug)]
pub struct Permit {
    route: Arc<Route>,
    proven: Option<Proven>,
    ground: Ground,
}

/// On what ground a permit was given.
#[derive(Debug)]
enum Ground {
    /// The route's rule holds.
    Rule,
    /// It does not, for this reason, and the route is in shadow mode.
    Shadow(Refusal),
    /// The request is a preflight.
    Preflight,
}

impl Permit {
    /// The route it was given for.
    #[must_use]
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Who may; `None` on a public route, for a preflight, for an anonymous caller of an optional one, and for a
    /// caller whom shadow mode let through without a verified credential.
    #[must_use]
    pub fn proven(&self) -> Option<&Proven> {
        self.proven.as_ref()
    }

    /// Why the request would not have passed, if only shadow mode let it through.
    #[must_use]
    pub fn shadowed(&self) -> Option<&Refusal> {
        match &self.ground {
            Ground::Shadow(refusal) => Some(refusal),
            Ground::Rule | Ground::Preflight => None,
        }
    }

    /// Whether the request is a preflight, let through for what it is and for nobody.
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        matches!(self.ground, Ground::Preflight)
    }

    /// Whether the rule gave it: not for a preflight, nor where shadow mode let the request through.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        matches!(self.ground, Ground::Rule)
    }

    /// The same permit with other identity headers: `on_behalf_of` states a user for a service.
    #[must_use]
    pub fn with_headers(mut self, headers: Arc<IdentityHeaders>) -> Self {
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

impl Decision {
    /// What it would be if the route enforced its rule.
    pub fn enforced(self) -> Result<Self, Failure> {
        match self {
            Self::Allow(Permit {
                ground: Ground::Shadow(refusal),
                ..
            }) => Self::refused(refusal),
            decided @ (Self::Allow(_) | Self::Deny(_)) => Ok(decided),
        }
    }

    fn refused(refusal: Refusal) -> Result<Self, Failure> {
        match refusal {
            Refusal::Denied(denial) => Ok(Self::Deny(denial)),
            Refusal::Failed(failure) => Err(failure),
        }
    }
}

/// Gives a permit if the route's access rule holds for what was proven: `Ok(None)` if no credential
/// was presented, `Err` if one was that proves nothing. `known` fails if what the rule asks could not be
/// learned of whom was proven. In shadow mode the permit is given in any
/// case, and remembers why it would not have been; a principal stands in it only if its credential was
/// verified.
pub fn decide(
    route: &Arc<Route>,
    proven: Result<Option<Proven>, Refusal>,
    known: Result<(), Failure>,
    steps: &mut impl Steps,
) -> Result<Decision, Failure> {
    let (proven, refusal) = match (&route.access, proven) {
        (Access::Public, _) => {
            steps.step("access", || "public route".to_owned());
            (None, None)
        }
        (Access::Protected(asked), Ok(proven)) => {
            let refused = match known {
                Ok(()) => admit(asked, proven.as_ref(), steps)
                    .err()
                    .map(Refusal::Denied),
                Err(failure) => Some(Refusal::Failed(failure)),
            };
            (proven, refused)
        }
        (Access::Protected(_), Err(refusal)) => (None, Some(refusal)),
    };
    let ground = match (refusal, route.mode()) {
        (Some(refusal), Mode::Enforce) => return Decision::refused(refusal),
        (Some(refusal), Mode::Shadow) => {
            let reason = refusal.reason();
            steps.step("mode", || {
                format!("shadow: {reason} is noted, not enforced")
            });
            Ground::Shadow(refusal)
        }
        (None, Mode::Enforce | Mode::Shadow) => Ground::Rule,
    };
    Ok(Decision::Allow(Permit {
        route: Arc::clone(route),
        proven,
        ground,
    }))
}

/// Gives a preflight its permit where the route has `cors`: browsers send no credential with it, and
/// no principal stands in it whatever the request carries. `None`: judge it like any other.
pub fn preflight(
    route: &Arc<Route>,
    facts: &RequestFacts<'_>,
    steps: &mut impl Steps,
) -> Option<Permit> {
    let cors = route.cors.as_ref()?;
    let asked = Preflight::of(facts.method, facts.headers)?;
    steps.step("cors", || {
        let by = match cors {
            Cors::Pass => "passed to the app",
            Cors::Answer(_) => "answered by ingress, passed to the app by forward auth",
        };
        format!("preflight for {}: {by}, without a credential", asked.method)
    });
    Some(Permit {
        route: Arc::clone(route),
        proven: None,
        ground: Ground::Preflight,
    })
}

/// Whether a protected route is for this principal, or for nobody in particular.
fn admit(asked: &Protected, proven: Option<&Proven>, steps: &mut impl Steps) -> Result<(), Denial> {
    match proven {
        Some(proven) => asked.require.evaluate(&proven.principal, steps),
        None if asked.optional => {
            steps.step("access", || "optional route, anonymous".to_owned());
            Ok(())
        }
        None => Err(Denial::CredentialMissing),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::authn::PrincipalKind;

    use crate::authn::credential::TokenSource;

    use crate::authz::route::{HostPattern, PathPattern};
    use crate::authz::rule::Rule;

    fn route(access: Access) -> Arc<Route> {
        Arc::new(Route {
            name: Arc::from("r"),
            hosts: vec![HostPattern::Any],
            pattern: PathPattern::parse("/**").unwrap(),
            methods: vec![],
            access,
            allow_encoded_slashes: false,
            pass_overrides: false,
            cors: None,
            forward: None,
        })
    }

    /// A route for services.
    fn protected(mode: Mode, optional: bool) -> Arc<Route> {
        route(Access::Protected(Box::new(Protected {
            accepts: vec![Kind::Bearer],
            issuers: vec![0],
            token_from: vec![TokenSource::Authorization],
            optional,
            memberships: None,
            overage: vec![],
            require: Rule {
                principal: Some(PrincipalKind::Service),
                ..Rule::default()
            },
            mode,
            on_behalf_of: None,
        })))
    }

    fn proven(kind: PrincipalKind) -> Proven {
        let principal = Arc::new(Principal::alone(kind, "users", "ada".to_owned()));
        Proven {
            by: Kind::Bearer,
            alb: Verified::default(),
            stated: Arc::clone(&principal),
            principal,
            headers: Arc::default(),
            until: UnixTime(9),
        }
    }

    type Presented<'f> = &'f dyn Fn() -> Result<Option<Proven>, Refusal>;

    /// What was decided, for whom, and what shadow mode did not enforce.
    fn shown(decided: &Result<Decision, Failure>) -> String {
        match decided {
            Ok(Decision::Allow(permit)) => {
                let who = permit.proven().map(|proven| &*proven.principal.user_id);
                let shadowed = permit.shadowed().map(Refusal::reason);
                format!(
                    "allow {} {}",
                    who.unwrap_or("anonymous"),
                    shadowed.unwrap_or_default()
                )
                .trim_end()
                .to_owned()
            }
            Ok(Decision::Deny(denial)) => format!("deny {denial}"),
            Err(failure) => format!("fail {failure}"),
        }
    }

    #[test]
    fn shadow_mode_notes_what_enforcing_refuses_and_names_only_the_proven() {
        let service = || Ok(Some(proven(PrincipalKind::Service)));
        let user = || Ok(Some(proven(PrincipalKind::User)));
        let none = || Ok(None);
        let expired = || Err(Refusal::Denied(Denial::TokenExpired));
        let outage = || {
            Err(Refusal::Failed(Failure::KeysUnavailable {
                retry_after: Duration::from_secs(1),
            }))
        };
        let cases: [(Presented<'_>, bool, &str, &str); 6] = [
            (&service, false, "allow ada", "allow ada"),
            (
                &user,
                false,
                "deny principal_kind_refused",
                "allow ada principal_kind_refused",
            ),
            (
                &none,
                false,
                "deny credential_missing",
                "allow anonymous credential_missing",
            ),
            (&none, true, "allow anonymous", "allow anonymous"),
            (
                &expired,
                true,
                "deny token_expired",
                "allow anonymous token_expired",
            ),
            (
                &outage,
                false,
                "fail keys_unavailable",
                "allow anonymous keys_unavailable",
            ),
        ];
        for (presented, optional, enforced, shadow) in cases {
            let decide = |mode| decide(&protected(mode, optional), presented(), Ok(()), &mut ());
            assert_eq!(shown(&decide(Mode::Enforce)), enforced);
            assert_eq!(shown(&decide(Mode::Shadow)), shadow);
            for mode in [Mode::Enforce, Mode::Shadow] {
                let strict = decide(mode).and_then(Decision::enforced);
                assert_eq!(shown(&strict), enforced, "{mode:?}");
            }
        }
    }

    #[test]
    fn what_could_not_be_learned_decides_nothing_but_says_who_it_was() {
        let unavailable = || {
            Err(Failure::MembershipsUnavailable {
                retry_after: Duration::from_secs(1),
            })
        };
        for (mode, expected) in [
            (Mode::Enforce, "fail memberships_unavailable"),
            (Mode::Shadow, "allow ada memberships_unavailable"),
        ] {
            let service = Ok(Some(proven(PrincipalKind::Service)));
            let decided = decide(&protected(mode, false), service, unavailable(), &mut ());
            assert_eq!(shown(&decided), expected);
            let strict = decided.and_then(Decision::enforced);
            assert_eq!(shown(&strict), "fail memberships_unavailable");
        }
    }

    #[test]
    fn a_public_route_names_nobody() {
        let decided = decide(
            &route(Access::Public),
            Ok(Some(proven(PrincipalKind::User))),
            Ok(()),
            &mut (),
        );
        assert_eq!(shown(&decided), "allow anonymous");
    }
}
