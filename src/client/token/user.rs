//! Who stands behind an egress call, and the token that proved it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::authz::decision::Proven;
use crate::clock::UnixTime;

/// `Bearer` and its space.
const SCHEME: &str = "Bearer ";

/// The user behind a call: known by a live `X-Auth-Handle`, or the caller of a route that replaces
/// `Authorization`.
#[derive(Clone, Debug)]
pub struct User {
    /// Who.
    pub proven: Proven,
    /// What proved it. `None` where no credential source of the config needs it, where a client
    /// certificate proved it, and where only shadow mode let the request through.
    pub token: Option<Arc<SubjectToken>>,
}

/// A request's user, as the gate proved it, before a [`User`] is made of it.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'r> {
    /// Who.
    pub proven: &'r Proven,
    /// The token that proved it, as it was presented; `None` as in [`User::token`].
    pub token: Option<&'r [u8]>,
    /// Its `exp`.
    pub expires_at: UnixTime,
}

/// A bearer token that the gate verified, as it was presented. Never printed; its memory is wiped
/// when the last holder drops it.
pub struct SubjectToken {
    /// `Bearer …`, sensitive: copies share its memory.
    bearer: HeaderValue,
    expires_at: UnixTime,
    key: OnceLock<SubjectKey>,
}

/// What tells one subject's credentials from another's: SHA-256 of issuer, subject and token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubjectKey([u8; 32]);

impl Proof<'_> {
    /// When its token stops being used: at its `exp`, or when its issuer's table stops taking it, if
    /// that is earlier.
    #[must_use]
    pub fn ends_at(&self) -> UnixTime {
        self.expires_at.min(self.proven.until)
    }

    /// The user, with a copy of the token.
    #[must_use]
    pub fn user(&self) -> User {
        let token = self.token;
        let token = token.and_then(|token| SubjectToken::new(token, self.ends_at()));
        User {
            proven: self.proven.clone(),
            token: token.map(Arc::new),
        }
    }
}

impl User {
    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let token = self.token.as_ref().map_or(0, |token| token.size());
        token + self.proven.principal.size() + self.proven.headers.size()
    }

    /// What this user's credentials are kept under, and the token they come from.
    pub(crate) fn subject(&self) -> Option<(SubjectKey, &Arc<SubjectToken>)> {
        let token = self.token.as_ref()?;
        let principal = &self.proven.principal;
        let key = token.key.get_or_init(|| {
            let mut context = digest::Context::new(&digest::SHA256);
            for part in [
                principal.issuer.as_bytes(),
                principal.user_id.as_bytes(),
                token.bearer.as_bytes(),
            ] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            let mut key = [0; 32];
            for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
                *to = *from;
            }
            SubjectKey(key)
        });
        Some((*key, token))
    }
}

impl SubjectToken {
    /// A token that is good until `expires_at`. `None` if it cannot stand in a header.
    #[must_use]
    pub fn new(token: &[u8], expires_at: UnixTime) -> Option<Self> {
        let mut text = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        text.extend_from_slice(SCHEME.as_bytes());
        text.extend_from_slice(token);
        let mut bearer = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
        bearer.set_sensitive(true);
        bearer.to_str().ok()?;
        Some(Self {
            bearer,
            expires_at,
            key: OnceLock::new(),
        })
    }

    /// `Bearer …`, sensitive.
    #[must_use]
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    /// The token itself. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        let text = self.bearer.to_str().unwrap_or_default();
        text.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// Its `exp`, or when its issuer's table stops taking it, if that is earlier. It is never sent from then on.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bearer.len()
    }
}

impl fmt::Debug for SubjectToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubjectToken")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::authn::alb::Verified;

    use crate::authn::credential::Kind;
    use crate::authn::principal::{Names, Principal, PrincipalKind};

    /// A user of the issuer `users` with this token.
    pub(crate) fn user(id: &str, token: &str, expires_at: UnixTime) -> User {
        of("users", id, token, expires_at)
    }

    fn of(issuer: &str, id: &str, token: &str, expires_at: UnixTime) -> User {
        let principal = Arc::new(Principal {
            groups: Names::Known(vec![]),
            roles: Names::Known(vec![]),
            permissions: Names::Known(vec![]),
            ..Principal::alone(PrincipalKind::User, issuer, id.to_owned())
        });
        let proven = Proven {
            by: Kind::Bearer,
            alb: Verified::default(),
            stated: Arc::clone(&principal),
            principal,
            headers: Arc::default(),
            until: expires_at.plus(60),
        };
        proof(&proven, token, expires_at).user()
    }

    fn proof<'r>(proven: &'r Proven, token: &'r str, expires_at: UnixTime) -> Proof<'r> {
        Proof {
            proven,
            token: Some(token.as_bytes()),
            expires_at,
        }
    }

    #[test]
    fn a_subject_is_its_issuer_its_name_and_its_token() {
        let key = |user: User| user.subject().unwrap().0;
        let at = UnixTime(9);
        let ada = key(user("ada", "t", at));
        assert_eq!(ada, key(user("ada", "t", UnixTime(8))));
        for other in [
            of("staff", "ada", "t", at),
            user("adat", "", at),
            user("bob", "t", at),
            user("ada", "u", at),
        ] {
            assert_ne!(ada, key(other.clone()), "{other:?}");
        }
    }

    #[test]
    fn a_subject_token_is_good_until_its_exp_and_never_printed() {
        let token = user("ada", "s3cret", UnixTime(9)).token.unwrap();
        assert_eq!(token.expires_at(), UnixTime(9), "no leeway");
        assert_eq!(token.expose(), "s3cret");
        assert_eq!(token.bearer(), "Bearer s3cret");
        let shown = format!("{token:?} {:?}", token.bearer());
        assert!(!shown.contains("s3cret"), "{shown}");
        let mut early = user("ada", "t", UnixTime(9)).proven;
        early.until = UnixTime(5);
        let token = proof(&early, "t", UnixTime(9)).user().token.unwrap();
        assert_eq!(token.expires_at(), UnixTime(5), "max_token_age");
    }
}
