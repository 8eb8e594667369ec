//! A principal with what was learned of it beside its credential: kept beside the headers of that
//! credential, so that the next request finds it made.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::authn::issuer::ClaimMap;
use crate::authn::membership::{Sets, SetsFrom};
use crate::authn::principal::Principal;
use crate::authn::profile::Profile;
use crate::authz::identity::IdentityHeaders;

/// What was learned of a principal. The answers are shared with where they are kept, and compared by
/// address: who holds one keeps its address from being another's.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Where its sets come from, on a route that says so.
    pub from: Option<SetsFrom>,
    /// What the store said, if it was asked.
    pub members: Option<Arc<Sets>>,
    /// The groups that are too many for its token, if somebody was asked for them.
    pub overage: Option<Arc<Sets>>,
    /// What its issuer says of it, if it was asked.
    pub profile: Option<Arc<Profile>>,
}

impl Learned {
    /// Whether nothing was learned, and nothing is to be hidden.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self {
            from,
            members,
            overage,
            profile,
        } = self;
        from.is_none() && members.is_none() && overage.is_none() && profile.is_none()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.from == other.from
            && is_same(self.members.as_ref(), other.members.as_ref())
            && is_same(self.overage.as_ref(), other.overage.as_ref())
            && is_same(self.profile.as_ref(), other.profile.as_ref())
    }

    /// The principal with it; `claims` is where its issuer's claims have its parts. The one place where what
    /// was learned becomes part of a principal.
    #[must_use]
    pub fn enrich(&self, principal: &Principal, claims: Option<&ClaimMap>) -> Principal {
        // in place of what the token could not state, so before anything is merged with that
        let principal = match &self.overage {
            Some(overage) => Cow::Owned(Principal {
                groups: overage.groups.clone(),
                ..principal.clone()
            }),
            None => Cow::Borrowed(principal),
        };
        let mut enriched = match self.from {
            Some(from) => from.merged(&principal, self.members.as_deref()),
            None => principal.into_owned(),
        };
        if let (Some(profile), Some(claims)) = (&self.profile, claims) {
            profile.complete(&mut enriched, claims);
        }
        enriched
    }
}

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// An enriched principal, and what the upstream is told of it.
#[derive(Debug)]
pub struct Enriched {
    learned: Learned,
    /// Who.
    pub principal: Arc<Principal>,
    /// Its identity headers.
    pub headers: Arc<IdentityHeaders>,
    /// What it takes of the room for what is kept.
    _share: Share,
}

impl Enriched {
    /// What is kept of an enriched principal; `None` if there is no room.
    #[must_use]
    pub fn kept(
        learned: &Learned,
        principal: &Arc<Principal>,
        headers: &Arc<IdentityHeaders>,
        room: &Room,
    ) -> Option<Arc<Self>> {
        let share = room.take(principal.size() + headers.size())?;
        Some(Arc::new(Self {
            learned: learned.clone(),
            principal: Arc::clone(principal),
            headers: Arc::clone(headers),
            _share: share,
        }))
    }

    /// Whether it is made of exactly this.
    #[must_use]
    pub fn is_of(&self, learned: &Learned) -> bool {
        self.learned.is_same(learned)
    }
}

/// Bytes that enriched principals may take together. Beyond them they are made for each request.
#[derive(Debug)]
pub struct Room {
    most: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    fn take(&self, bytes: usize) -> Option<Share> {
        let fits = |taken: usize| {
            let taken = taken.checked_add(bytes)?;
            (taken <= self.most).then_some(taken)
        };
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()?;
        Some(Share {
            bytes,
            taken: Arc::clone(&self.taken),
        })
    }
}

/// Bytes that are given back when it is dropped.
#[derive(Debug)]
struct Share {
    bytes: usize,
    taken: Arc<AtomicUsize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = Room::new(10);
        let first = room.take(6);
        assert!(first.is_some());
        assert!(room.take(5).is_none());
        assert!(room.take(usize::MAX).is_none());
        drop(first);
        assert!(room.take(10).is_some());
        assert!(room.take(11).is_none());
    }

    #[test]
    fn an_answer_is_known_by_its_address() {
        let learned = |members: Option<&Arc<Sets>>, from| Learned {
            from,
            members: members.cloned(),
            overage: None,
            profile: None,
        };
        let from = Some(SetsFrom::default());
        let (one, equal) = (Arc::new(Sets::NONE), Arc::new(Sets::NONE));
        let first = learned(Some(&one), from);
        assert!(first.is_same(&learned(Some(&one), from)));
        assert!(!first.is_same(&learned(Some(&equal), from)));
        assert!(!first.is_same(&learned(None, from)));
        assert!(!first.is_same(&learned(Some(&one), None)));
        let with = |overage: &Arc<Sets>| Learned {
            overage: Some(Arc::clone(overage)),
            ..first.clone()
        };
        assert!(!first.is_same(&with(&one)));
        assert!(with(&one).is_same(&with(&one)));
        assert!(!with(&one).is_same(&with(&equal)));
        let profile = Some(Arc::new(Profile::default()));
        let completed = Learned {
            profile,
            ..first.clone()
        };
        assert!(!first.is_same(&completed));
        assert!(completed.is_same(&completed.clone()));
    }
}
