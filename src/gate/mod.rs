//! The decision engine: one function that orders the steps, the same for ingress, forward auth and
//! `explain`.
//!
//! find route → extract credential → find or verify the token → judge it by the clock → evaluate
//! the rule → permit. With a known token nothing waits, locks or parses.

mod cache;
mod judgement;
mod keys;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

use self::cache::{Entry, TokenCache, TokenDigest};
pub use self::judgement::{Evidence, Judgement, Validation};
pub use self::keys::{Boxed, FixedKeys, KeySource, KeysNow, Sought};
use crate::authn::credential::{self, TokenSource};
use crate::authn::jws::{Jws, MAX_TOKEN_BYTES};
use crate::authn::{Issuer, KeySet, VerifiedToken, jwt};
use crate::authz::decision::{self, Proven};
use crate::authz::identity::{self, ListFormat};
use crate::authz::route::Access;
use crate::authz::{Decision, Route, RouteTable};
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure};
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
    cache: Arc<TokenCache>,
    bounds: (usize, usize),
    identity: IdentityNames,
    lists: ListFormat,
}

/// An issuer and the number of its definition: tokens verified under another one are not found.
struct Known {
    issuer: Arc<Issuer>,
    generation: u32,
}

/// Why a credential proves nothing: policy, or our trouble.
enum Unproven {
    Denied(Denial),
    Failed(Failure),
}

impl From<Denial> for Unproven {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Failure> for Unproven {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
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
            identity,
            lists,
            max_entries,
            max_bytes,
            fingerprint_key,
        } = parts;
        let bounds = (max_entries, max_bytes);
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
        Self {
            routes,
            issuers,
            next_generation: next,
            keys,
            cache,
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
        steps.step("request", || {
            format!(
                "{} {}{}",
                facts.method,
                facts.host.as_str(),
                facts.path.as_str()
            )
        });
        match self.routes.find(facts) {
            Ok(route) => self.check_route(route, facts.headers, now, steps).await,
            Err(denial) => {
                steps.step("route", || "none".to_owned());
                Judgement {
                    outcome: Ok(Decision::Deny(denial)),
                    evidence: Evidence::default(),
                }
            }
        }
    }

    /// Decides on the credentials in `headers` as if `route` had been found
    /// (`/api/v1/validate?route=NAME`).
    pub async fn check_route(
        &self,
        route: &Arc<Route>,
        headers: &HeaderMap,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Judgement {
        steps.step("route", || {
            format!("{:?}, pattern {}", route.name, route.pattern.text)
        });
        let mut evidence = Evidence {
            route: Some(Arc::clone(route)),
            ..Evidence::default()
        };
        let proven = match &route.access {
            Access::Public => Ok(None),
            Access::Protected(asked) => {
                self.prove(
                    headers,
                    &asked.token_from,
                    &asked.issuers,
                    now,
                    steps,
                    &mut evidence,
                )
                .await
            }
        };
        let permit = match proven {
            Ok(proven) => decision::permit(route, proven, steps),
            Err(Unproven::Denied(denial)) => Err(denial),
            Err(Unproven::Failed(failure)) => {
                return Judgement {
                    outcome: Err(failure),
                    evidence,
                };
            }
        };
        let outcome = Ok(match permit {
            Ok(permit) => Decision::Allow(permit),
            Err(denial) => Decision::Deny(denial),
        });
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
        let all: Vec<usize> = (0..self.issuers.len()).collect();
        let proven = self
            .prove(
                headers,
                &[TokenSource::Authorization],
                &all,
                now,
                steps,
                &mut evidence,
            )
            .await;
        let outcome = match proven {
            Ok(Some(proven)) => Ok(Ok(proven)),
            Ok(None) => Ok(Err(Denial::CredentialMissing)),
            Err(Unproven::Denied(denial)) => Ok(Err(denial)),
            Err(Unproven::Failed(failure)) => Err(failure),
        };
        Validation { outcome, evidence }
    }

    /// Credential → principal. `None` if nothing was presented.
    async fn prove(
        &self,
        headers: &HeaderMap,
        sources: &[TokenSource],
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Unproven> {
        let Some(token) = credential::bearer(headers, sources)? else {
            steps.step("credential", || "none presented".to_owned());
            return Ok(None);
        };
        steps.step("credential", || {
            format!("bearer token, {} bytes", token.len())
        });
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denial::TokenTooLarge.into());
        }
        let digest = cache::digest(token);
        let found = self.find_verified(&digest, accepted);
        evidence.cached = Some(found.is_some());
        let (issuer, entry) = if let Some(found) = found {
            steps.step("signature", || "verified before, keys unchanged".to_owned());
            found
        } else {
            evidence.token = Some(self.cache.fingerprint(&digest));
            self.verify(token, digest, accepted, now, steps).await?
        };
        evidence.token = Some(entry.fingerprint);
        evidence.principal = Some(Arc::clone(&entry.token.principal));
        evidence.key_id.clone_from(&entry.token.key_id);
        evidence.expires_at = Some(entry.token.expires_at);
        entry.token.judge(issuer, now, steps)?;
        Ok(Some(Proven {
            principal: Arc::clone(&entry.token.principal),
            headers: Arc::clone(&entry.headers),
        }))
    }

    /// A token verified before, if the keys that verified it are still the issuer's.
    fn find_verified(
        &self,
        digest: &TokenDigest,
        accepted: &[usize],
    ) -> Option<(&Issuer, Arc<Entry>)> {
        accepted.iter().find_map(|&number| {
            let known = self.issuers.get(number)?;
            let entry = self.cache.find(digest, known.generation)?;
            match self.keys.find(number) {
                KeysNow::Usable(keys) if keys.fingerprint == entry.keys => {
                    Some((&*known.issuer, entry))
                }
                KeysNow::Usable(_) | KeysNow::Unavailable { .. } => None,
            }
        })
    }

    /// Verifies a token that is not in the cache, for the issuer it names.
    async fn verify(
        &self,
        token: &str,
        digest: TokenDigest,
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<(&Issuer, Arc<Entry>), Unproven> {
        let jws = Jws::parse(token)?;
        let named = jws.unverified_issuer()?;
        // several tables may describe one issuer, for different audiences: the first whose judgement
        // holds proves the token, the last one's refusal is the reason
        // collected, since an iterator with closures held across `await` is not `Send` for every
        // lifetime (rust-lang/rust#102211)
        let candidates: Vec<(usize, &Known)> = accepted
            .iter()
            .filter_map(|&number| Some((number, self.issuers.get(number)?)))
            .filter(|(_, known)| known.issuer.accepted_iss.iter().any(|iss| *iss == *named))
            .collect();
        let mut left = candidates.len();
        let mut refused = Unproven::Denied(Denial::IssuerUnknown);
        for (number, known) in candidates {
            left -= 1;
            steps.step("issuer", || format!("{:?}", known.issuer.name));
            match self.verify_by(number, &jws, &known.issuer, steps).await {
                Ok((verified, keys))
                    if left == 0 || verified.judge(&known.issuer, now, &mut ()).is_ok() =>
                {
                    let headers = identity::render(&self.identity, self.lists, &verified.principal);
                    let fingerprint = self.cache.fingerprint(&digest);
                    let entry = Entry::new(
                        verified,
                        keys.fingerprint,
                        headers.into(),
                        fingerprint,
                        token.len(),
                    );
                    let entry = Arc::new(entry);
                    self.cache
                        .keep(digest, known.generation, Arc::clone(&entry));
                    return Ok((&known.issuer, entry));
                }
                Ok(_not_here) => {}
                Err(unproven) => refused = unproven,
            }
        }
        Err(refused)
    }

    async fn verify_by(
        &self,
        number: usize,
        jws: &Jws<'_>,
        issuer: &Issuer,
        steps: &mut (impl Steps + Send),
    ) -> Result<(VerifiedToken, Arc<KeySet>), Unproven> {
        let keys = match self.keys.find(number) {
            KeysNow::Usable(keys) => keys,
            KeysNow::Unavailable { retry_after } => {
                steps.step("keys", || {
                    "the issuer has none that can be used now".to_owned()
                });
                return Err(Failure::KeysUnavailable { retry_after }.into());
            }
        };
        match (jwt::verify(jws, issuer, &keys, steps), &jws.key_id) {
            (Ok(verified), _) => Ok((verified, keys)),
            (Err(Denial::KeyUnknown), Some(key_id)) => {
                steps.step("keys", || "unknown kid, asking the issuer".to_owned());
                match self.keys.seek(number, key_id).await {
                    Sought::Found(keys) => Ok((jwt::verify(jws, issuer, &keys, steps)?, keys)),
                    Sought::Absent => Err(Denial::KeyUnknown.into()),
                    Sought::Unknown { retry_after } => {
                        Err(Failure::KeysUnavailable { retry_after }.into())
                    }
                }
            }
            (Err(denial), _) => Err(denial.into()),
        }
    }
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
