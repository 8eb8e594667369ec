//! The gate's view of memberships: what it asks about a principal beside its credential, and what it
//! makes of the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::{Boxed, Evidence, Gate};
use crate::authn::mapping::Mapping;
use crate::authn::membership::{Members, Sets, Subject};
use crate::authn::principal::{Names, Principal};
use crate::authn::{Issuer, entra};
use crate::authz::decision::Proven;
use crate::authz::enriched::{Enriched, Learned};
use crate::authz::identity;
use crate::authz::route::{Overage, Protected};
use crate::reason::Failure;
use crate::steps::Steps;

/// How an answer came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It was kept, and no older than `cache`.
    Cached,
    /// The store was asked just now.
    Asked,
    /// It is older, and the store does not answer.
    Stale,
}

impl Learnt {
    /// As the log says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Asked => "asked",
            Self::Stale => "stale",
        }
    }
}

/// A store's answer.
#[derive(Clone, Debug)]
pub struct Told {
    /// The sets. As long as nothing changes it is the same allocation.
    pub sets: Arc<Sets>,
    /// How they are known.
    pub how: Learnt,
}

/// Memberships by store and subject. Implemented by `store::memberships` and by [`FixedMemberships`].
pub trait Memberships: fmt::Debug + Send + Sync {
    /// What is known of this subject in store number `store`, without waiting.
    fn find(&self, store: usize, subject: &Subject<'_>) -> Option<Told>;

    /// The same, the store asked if need be. On error nobody can tell; when to try again.
    fn ask<'a>(&'a self, store: usize, subject: Subject<'a>) -> Boxed<'a, Result<Told, Duration>>;
}

/// Memberships that never change: one list for each store. A store without one cannot be asked:
/// `explain`, `test`, benches.
#[derive(Clone, Debug, Default)]
pub struct FixedMemberships {
    lists: Vec<Option<Arc<Members>>>,
    nothing: Arc<Nothing>,
}

/// What is said of whom no list names.
#[derive(Debug)]
struct Nothing(Arc<Sets>);

impl Default for Nothing {
    fn default() -> Self {
        Self(Arc::new(Sets::NONE))
    }
}

impl FixedMemberships {
    /// These lists, by the numbers of their stores.
    #[must_use]
    pub fn new(lists: Vec<Option<Arc<Members>>>) -> Self {
        Self {
            lists,
            nothing: Arc::default(),
        }
    }
}

impl Memberships for FixedMemberships {
    fn find(&self, store: usize, subject: &Subject<'_>) -> Option<Told> {
        let members = self.lists.get(store)?.as_ref()?;
        Some(Told {
            sets: Arc::clone(members.find(subject).unwrap_or(&self.nothing.0)),
            how: Learnt::Cached,
        })
    }

    fn ask<'a>(&'a self, store: usize, subject: Subject<'a>) -> Boxed<'a, Result<Told, Duration>> {
        let found = self.find(store, &subject).ok_or(Duration::ZERO);
        Box::pin(std::future::ready(found))
    }
}

impl Gate {
    /// Whether anything may be learned of a principal beside its credential.
    pub(super) fn completes(&self, asked: &Protected) -> bool {
        self.profiles.is_some() || asked.memberships.is_some() || !asked.overage.is_empty()
    }

    /// The proven principal as the rule sees it: with its profile, with the groups its token has no room
    /// for, and with its memberships, where the route names a store; the latter two only if the route asks for
    /// something of them. On failure it is still who it is, with what its credential alone says.
    pub(super) async fn complete(
        &self,
        headers: &HeaderMap,
        asked: &Protected,
        proven: Proven,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> (Proven, Result<(), Failure>) {
        let profile = self.profile(headers, asked, &proven, steps).await;
        let overage = self.overage(asked, &proven);
        let named = asked.memberships.as_ref();
        let mut learned = Learned {
            from: named.map(|named| named.from),
            profile,
            ..Learned::default()
        };
        let mut known = Ok(());
        if let Some((elsewhere, subject)) = overage {
            let (store, name) = (elsewhere.store, &*elsewhere.name);
            match self.learn(store, name, subject, steps, evidence).await {
                Ok(sets) => learned.overage = Some(sets),
                Err(failure) => known = Err(failure),
            }
        }
        match named {
            Some(named) if named.asked && known.is_ok() => {
                let subject = Subject::from(&*proven.principal);
                let told = self.learn(named.store, &named.name, subject, steps, evidence);
                match told.await {
                    Ok(sets) => learned.members = Some(sets),
                    Err(failure) => known = Err(failure),
                }
            }
            Some(named) if !named.asked => steps.step("memberships", || {
                format!("{}, not asked: nothing here needs them", named.name)
            }),
            Some(_) | None => {}
        }
        (self.enriched(proven, &learned), known)
    }

    /// Who is asked for the groups that this principal's token has no room for, and about whom.
    fn overage<'a>(
        &self,
        asked: &'a Protected,
        proven: &'a Proven,
    ) -> Option<(&'a Overage, Subject<'a>)> {
        let stated = &proven.stated;
        let mut elsewhere = asked.overage.iter();
        let elsewhere = elsewhere.find(|known| known.issuer == stated.issuer)?;
        Some((elsewhere, entra::overage(stated, self.issuer_of(stated)?)?))
    }

    /// What this store says of this subject.
    async fn learn(
        &self,
        store: usize,
        name: &str,
        subject: Subject<'_>,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Arc<Sets>, Failure> {
        let told = match self.memberships.find(store, &subject) {
            Some(told) => Ok(told),
            // boxed: the large future of the rare case
            None => self.memberships.ask(store, subject).await,
        };
        let how = told
            .as_ref()
            .map_or("unavailable", |told| told.how.as_str());
        evidence.memberships = Some(worse(evidence.memberships, how));
        steps.step("memberships", || {
            let found = told.as_ref().map_or_else(
                |_retry_after| "the store cannot be asked now".to_owned(),
                |told| format!("{}: {}", told.how.as_str(), show(&told.sets)),
            );
            format!("{name}, {found}")
        });
        told.map(|told| told.sets)
            .map_err(|retry_after| Failure::MembershipsUnavailable { retry_after })
    }

    /// The principal with what was learned of it, made anew only if that has changed.
    fn enriched(&self, proven: Proven, learned: &Learned) -> Proven {
        if learned.is_nothing() {
            return proven;
        }
        let kept = proven.headers.enriched().load();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(learned)) {
            return Proven {
                principal: Arc::clone(&kept.principal),
                headers: Arc::clone(&kept.headers),
                ..proven
            };
        }
        let issuer = self.issuer_of(&proven.stated);
        let claims = issuer.map(|issuer| &issuer.claims);
        let principal = Arc::new(learned.enrich(&proven.stated, claims));
        let principal = match self.mapping_of(&principal) {
            Some(mapping) => mapping.apply(&principal),
            None => principal,
        };
        let headers = Arc::new(identity::render(&self.identity, self.lists, &principal));
        // what was there makes room first
        let slot = proven.headers.enriched();
        slot.store(None);
        slot.store(Enriched::kept(learned, &principal, &headers, &self.room));
        Proven {
            principal,
            headers,
            ..proven
        }
    }

    /// The issuer of this principal; `None` if it is no issuer of tokens.
    fn issuer_of(&self, principal: &Principal) -> Option<&Issuer> {
        let mut known = self.issuers.iter();
        let known = known.find(|known| known.issuer.name == principal.issuer)?;
        Some(&known.issuer)
    }

    /// How the names of this principal's issuer are read: of a load balancer's user, as those of the access
    /// tokens beside it. `None` if it is no issuer of tokens.
    pub(super) fn mapping_of(&self, principal: &Principal) -> Option<&Mapping> {
        let issuer = self.issuer_of(principal)?;
        let teller = self.teller(issuer).map(|(_, teller)| teller);
        Some(&teller.unwrap_or(issuer).mapping)
    }
}

/// Of two ways to know, the one that says less of now.
fn worse(one: Option<&'static str>, other: &'static str) -> &'static str {
    let order = ["cached", "asked", "stale", "unavailable"];
    let place = |how| order.iter().position(|known| *known == how);
    one.filter(|one| place(*one) > place(other))
        .unwrap_or(other)
}

fn show(sets: &Sets) -> String {
    let one = |what, names: &Names| match names {
        Names::Known(names) => format!("{what} {names:?}"),
        Names::Unresolved => format!("{what} not told"),
    };
    [
        one("groups", &sets.groups),
        one("roles", &sets.roles),
        one("permissions", &sets.permissions),
    ]
    .join(", ")
}
