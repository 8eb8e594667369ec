//! The gate's view of profiles: name and email of a user whose token carries neither, from its issuer.
//! Nothing depends on them: who cannot be asked is not waited for long, and the request goes on without.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

use super::{Boxed, Gate, Learnt};
use crate::authn::credential::{self, Kind};
use crate::authn::principal::{Principal, PrincipalKind};
use crate::authn::profile::Profile;
use crate::authz::decision::Proven;
use crate::authz::route::Protected;
use crate::steps::Steps;

/// What is known of a subject without asking.
#[derive(Clone, Debug)]
pub enum ProfileNow {
    /// This issuer is not asked for profiles.
    NotAsked,
    /// It is, but not from here.
    NotHere,
    /// This. As long as nothing changes it is the same allocation.
    Known(Arc<Profile>),
    /// Nothing: its issuer may be asked.
    Unknown,
}

/// Profiles by issuer and subject. Implemented by `store::memberships` and by [`UnaskedProfiles`].
pub trait Profiles: fmt::Debug + Send + Sync {
    /// What is known of this `sub` of issuer number `issuer`.
    fn find(&self, issuer: usize, sub: &str) -> ProfileNow;

    /// The same, the issuer asked with this token of the subject. `None` if it does not tell, or not soon.
    fn ask<'a>(
        &'a self,
        issuer: usize,
        sub: &'a str,
        token: &'a str,
    ) -> Boxed<'a, Option<(Arc<Profile>, Learnt)>>;
}

/// Profiles where nobody is asked (`explain`, `test`, benches): which issuers, by number, would be.
#[derive(Clone, Debug, Default)]
pub struct UnaskedProfiles(pub Vec<bool>);

impl Profiles for UnaskedProfiles {
    fn find(&self, issuer: usize, _sub: &str) -> ProfileNow {
        match self.0.get(issuer) {
            Some(true) => ProfileNow::NotHere,
            Some(false) | None => ProfileNow::NotAsked,
        }
    }

    fn ask<'a>(
        &'a self,
        _issuer: usize,
        _sub: &'a str,
        _token: &'a str,
    ) -> Boxed<'a, Option<(Arc<Profile>, Learnt)>> {
        Box::pin(std::future::ready(None))
    }
}

impl Gate {
    /// Name and email of a user whose token does not carry both, as far as its issuer tells them.
    pub(super) async fn profile(
        &self,
        headers: &HeaderMap,
        asked: &Protected,
        proven: &Proven,
        steps: &mut (impl Steps + Send),
    ) -> Option<Arc<Profile>> {
        let stated = &*proven.stated;
        let may_lack = proven.by == Kind::Bearer
            && stated.kind == PrincipalKind::User
            && (stated.name.is_none() || stated.email.is_none());
        if !may_lack {
            return None;
        }
        let profiles = self.profiles.as_ref()?;
        let mut known = self.issuers.iter();
        let issuer = known.position(|known| known.issuer.name == stated.issuer)?;
        let sub = stated.claims.find("sub")?.as_str()?;
        let (profile, how) = match profiles.find(issuer, sub) {
            ProfileNow::NotAsked => return None,
            ProfileNow::NotHere => (
                None,
                "nobody is asked here, so name and email are those of the token",
            ),
            ProfileNow::Known(profile) => (Some(profile), Learnt::Cached.as_str()),
            ProfileNow::Unknown => match askable(headers, asked, stated) {
                // boxed: the large future of the rare case
                Some(token) => match profiles.ask(issuer, sub, token).await {
                    Some((profile, how)) => (Some(profile), how.as_str()),
                    None => (None, "not known: the issuer does not tell now"),
                },
                None => (None, "not asked: the token is not one to show its issuer"),
            },
        };
        steps.step("profile", || format!("{how}; no rule asks it"));
        profile
    }
}

/// The token, if it may be shown to its issuer's userinfo endpoint: a plain bearer token. One that is bound
/// to a key would be refused there without a proof, and an ID token is none for it.
fn askable<'h>(headers: &'h HeaderMap, asked: &Protected, stated: &Principal) -> Option<&'h str> {
    let is_bound = stated.claims.find("cnf").is_some();
    let use_of = stated.claims.find("token_use");
    let is_id_token = use_of.is_some_and(|used| used.as_str() == Some("id"));
    if is_bound || is_id_token {
        return None;
    }
    let token = credential::bearer(headers, &asked.token_from).ok()??;
    std::str::from_utf8(token).ok()
}
