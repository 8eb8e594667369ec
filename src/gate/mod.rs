//! The decision engine: one function that orders the steps, the same for ingress, forward auth and
//! `explain`.
//!
//! find route → extract credential → find or verify the token → judge it by the clock → evaluate
//! the rule → permit. With a known token nothing waits, locks or parses.

mod alb;
mod cache;
mod judgement;
mod keys;
mod memberships;
mod opaque;
mod passwords;
mod profiles;
mod prove;
mod revocations;
mod suppose;
mod turns;
mod verify;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use self::cache::TokenCache;
pub use self::cache::TokenTag;
pub use self::judgement::{Evidence, Judgement, Validation};
pub use self::keys::{Boxed, FixedKeys, KeySource, KeysNow, Sought};
pub use self::memberships::{FixedMemberships, Learnt, Memberships, Told};
pub use self::opaque::{NobodyAsked, Said, TokenJudge};
use self::passwords::PasswordChecks;
pub use self::passwords::{PasswordParts, PasswordTag, Passwords, Standing};
pub use self::profiles::{ProfileNow, Profiles, UnaskedProfiles};
use self::prove::Presented;
pub use self::revocations::Revocations;
pub use self::turns::Turns;
use crate::authn::credential::TokenSource;
use crate::authn::password::Source;
use crate::authn::proof::{About, Replays};
use crate::authn::{Issuer, Principal};
use crate::authz::decision;
use crate::authz::enriched::Room;
use crate::authz::identity::ListFormat;
use crate::authz::route::Access;
use crate::authz::{Decision, Route, RouteTable};
use crate::clock::UnixTime;
use crate::reason::{Denial, Refusal};
use crate::request::{IdentityNames, RequestFacts};
use crate::steps::Steps;

/// What [`Gate::new`] is built from.
#[derive(Debug)]
pub struct Parts {
    /// Routes; they name issuers by index.
    pub routes: RouteTable,
    /// Issuers, in the order of the key source.
    pub issuers: Vec<Arc<Issuer>>,
    /// Their keys.
    pub keys: Arc<dyn KeySource>,
    /// Who asks those of them that have none.
    pub judge: Arc<dyn TokenJudge>,
    /// Memberships; routes name their stores by index.
    pub memberships: Arc<dyn Memberships>,
    /// Names and emails that tokens do not carry, if any issuer is asked for them.
    pub profiles: Option<Arc<dyn Profiles>>,
    /// Who must not be let in any more.
    pub revocations: Vec<Arc<dyn Revocations>>,
    /// Who can tell whether a password is right; `None`: nobody.
    pub passwords: Option<PasswordParts>,
    /// When signatures are verified; `None`: at once.
    pub turns: Option<Arc<dyn Turns>>,
    /// Names of the identity headers.
    pub identity: IdentityNames,
    /// How lists stand in them.
    pub lists: ListFormat,
    /// Most verified tokens kept.
    pub max_entries: usize,
    /// Most bytes they may hold together, about.
    pub max_bytes: usize,
    /// Key of the token fingerprints: random, per process.
    pub fingerprint_key: [u8; 32],
}

/// The decision engine.
pub struct Gate {
    routes: RouteTable,
    issuers: Vec<Known>,
    /// Never given out before, however the config went.
    next_generation: u32,
    keys: Arc<dyn KeySource>,
    judge: Arc<dyn TokenJudge>,
    memberships: Arc<dyn Memberships>,
    profiles: Option<Arc<dyn Profiles>>,
    /// For enriched principals.
    room: Arc<Room>,
    revocations: Vec<Arc<dyn Revocations>>,
    cache: Arc<TokenCache>,
    /// Proofs that were used; kept through every reload.
    replays: Arc<Replays>,
    passwords: Option<PasswordChecks>,
    turns: Option<Arc<dyn Turns>>,
    bounds: (usize, usize),
    identity: IdentityNames,
    lists: ListFormat,
}

/// An issuer and the number of its definition: tokens verified under another one are not found.
struct Known {
    issuer: Arc<Issuer>,
    generation: u32,
}

impl Gate {
    /// Builds the gate. With `previous`, verified tokens of issuers whose whole definition is the
    /// same are kept.
    #[must_use]
    pub fn new(parts: Parts, previous: Option<&Self>) -> Self {
        let Parts {
            routes,
            issuers,
            keys,
            judge,
            memberships,
            profiles,
            revocations,
            passwords,
            turns,
            identity,
            lists,
            max_entries,
            max_bytes,
            fingerprint_key,
        } = parts;
        let bounds = (max_entries, max_bytes);
        let replays = previous.map_or_else(Arc::default, |old| Arc::clone(&old.replays));
        // identity headers are rendered into the entries, so their names are part of the definition
        let previous = previous
            .filter(|old| old.bounds == bounds && old.identity == identity && old.lists == lists);
        let mut next = previous.map_or(0, |old| old.next_generation);
        let issuers = issuers
            .into_iter()
            .map(|issuer| {
                let same = previous
                    .and_then(|old| old.issuers.iter().find(|known| known.issuer == issuer))
                    .map(|known| known.generation);
                let generation = same.unwrap_or_else(|| {
                    next += 1;
                    next - 1
                });
                Known { issuer, generation }
            })
            .collect();
        let cache = previous.map_or_else(
            || Arc::new(TokenCache::new(max_entries, max_bytes, &fingerprint_key)),
            |old| Arc::clone(&old.cache),
        );
        let room = previous.map_or_else(
            || Arc::new(Room::new(max_bytes)),
            |old| Arc::clone(&old.room),
        );
        let passwords = passwords.map(|parts| {
            PasswordChecks::new(parts, previous.and_then(|old| old.passwords.as_ref()))
        });
        Self {
            routes,
            issuers,
            next_generation: next,
            keys,
            judge,
            memberships,
            profiles,
            room,
            revocations,
            cache,
            replays,
            passwords,
            turns,
            bounds,
            identity,
            lists,
        }
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// How many verified tokens are kept.
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.cache.len()
    }

    /// Decides on one request.
    pub async fn check(
        &self,
        facts: &RequestFacts<'_>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        tell_request(facts, steps);
        self.decide(self.routes.find(facts), facts, None, now, steps)
            .await
    }

    /// Decides on one request as if it presented a valid credential of this principal (`gatepost test`).
    /// Nothing proves the principal: nothing that serves may ask this.
    pub async fn check_stated(
        &self,
        facts: &RequestFacts<'_>,
        principal: &Arc<Principal>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        tell_request(facts, steps);
        self.decide(self.routes.find(facts), facts, Some(principal), now, steps)
            .await
    }

    /// Decides on one request that a proxy has routed to the route of this name.
    pub async fn check_named(
        &self,
        name: &str,
        facts: &RequestFacts<'_>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        let found = self.routes.find_named(name, facts);
        self.decide(found, facts, None, now, steps).await
    }

    async fn decide(
        &self,
        found: Result<&Arc<Route>, Denial>,
        facts: &RequestFacts<'_>,
        stated: Option<&Arc<Principal>>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        match found {
            Ok(route) => {
                tell_route(route, steps);
                if let Some(permit) = decision::preflight(route, facts, steps) {
                    return Judgement {
                        outcome: Ok(Decision::Allow(permit)),
                        evidence: Evidence {
                            route: Some(Arc::clone(route)),
                            ..Evidence::default()
                        },
                    };
                }
                let presented = Presented {
                    headers: facts.headers,
                    certificate: facts.certificate,
                    about: Some(About {
                        method: facts.method.as_str(),
                        host: &facts.host,
                        path: &facts.path,
                    }),
                    source: facts.client.map(Source::of),
                    stated,
                };
                let mut judgement = self.judge(route, presented, now, steps).await;
                if let Ok(Decision::Allow(permit)) = &judgement.outcome {
                    judgement.evidence.shadowed = permit.shadowed().cloned();
                }
                judgement
            }
            Err(denial) => {
                steps.step("route", || "none".to_owned());
                Judgement {
                    outcome: Ok(Decision::Deny(denial)),
                    evidence: Evidence::default(),
                }
            }
        }
    }

    /// Decides on the credentials in `headers`, which this client sent, as if `route` had been found, and as if it enforced its
    /// rule: nothing is let through here (`/api/v1/validate?route=NAME`).
    pub async fn check_route(
        &self,
        route: &Arc<Route>,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        let presented = Presented {
            headers,
            certificate: None,
            about: None,
            source: client.map(Source::of),
            stated: None,
        };
        tell_route(route, steps);
        let Judgement { outcome, evidence } = self.judge(route, presented, now, steps).await;
        Judgement {
            outcome: outcome.and_then(Decision::enforced),
            evidence,
        }
    }

    /// Decides on what was presented for a route.
    async fn judge(
        &self,
        route: &Arc<Route>,
        presented: Presented<'_>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        let mut evidence = Evidence {
            route: Some(Arc::clone(route)),
            ..Evidence::default()
        };
        let mut known = Ok(());
        let proven = match &route.access {
            Access::Public => Ok(None),
            Access::Protected(asked) => {
                let proven = self.prove(presented, asked, now, steps, &mut evidence);
                match proven.await {
                    // who is supposed is supposed with every set
                    Ok(Some(proven)) if presented.stated.is_none() && self.completes(asked) => {
                        let completed =
                            self.complete(presented.headers, asked, proven, steps, &mut evidence);
                        let (proven, told) = completed.await;
                        known = told;
                        Ok(Some(proven))
                    }
                    proven => proven,
                }
            }
        };
        let outcome = decision::decide(route, proven, known, steps);
        Judgement { outcome, evidence }
    }

    /// Verifies the bearer token in `Authorization` against every issuer, with no route and no rule
    /// (`/api/v1/validate`).
    pub async fn validate(
        &self,
        headers: &HeaderMap,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Validation {
        let mut evidence = Evidence::default();
        let presented = Presented {
            headers,
            certificate: None,
            about: None,
            source: None,
            stated: None,
        };
        let all: Vec<usize> = (0..self.issuers.len()).collect();
        let proven = self
            .prove_bearer(
                presented,
                &[TokenSource::Authorization],
                &all,
                now,
                steps,
                &mut evidence,
            )
            .await;
        let proven = proven.and_then(|proven| {
            if let Some(proven) = &proven {
                self.judge_revoked(&proven.principal, now, steps)?;
            }
            Ok(proven)
        });
        let outcome = match proven {
            Ok(Some(proven)) => Ok(Ok(proven)),
            Ok(None) => Ok(Err(Denial::CredentialMissing)),
            Err(Refusal::Denied(denial)) => Ok(Err(denial)),
            Err(Refusal::Failed(failure)) => Err(failure),
        };
        Validation { outcome, evidence }
    }
}

fn tell_request(facts: &RequestFacts<'_>, steps: &mut impl Steps) {
    steps.step("request", || {
        format!(
            "{} {}{}",
            facts.method,
            facts.host.as_str(),
            facts.path.as_str()
        )
    });
}

fn tell_route(route: &Route, steps: &mut impl Steps) {
    steps.step("route", || {
        format!("{:?}, pattern {}", route.name, route.pattern.text)
    });
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("routes", &self.routes.routes().len())
            .field("issuers", &self.issuers.len())
            .field("cached_tokens", &self.cache.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
