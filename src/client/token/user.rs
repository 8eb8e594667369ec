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

impl User {
    /// The user whom `token` proved, which the gate verified. `expires_at` is its `exp`.
    #[must_use]
    pub fn new(proven: Proven, token: Option<&[u8]>, expires_at: UnixTime) -> Self {
        let token = token
            .and_then(|token| SubjectToken::new(token, expires_at.min(proven.until)))
            .map(Arc::new);
        Self { proven, token }
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
        self.bearer.len()
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
    use crate::authn::claims::Claims;
    use crate::authn::principal::{Names, Principal, PrincipalKind};

    /// A user of the issuer `users` with this token.
    pub(crate) fn user(id: &str, token: &str, expires_at: UnixTime) -> User {
        of("users", id, token, expires_at)
    }

    fn of(issuer: &str, id: &str, token: &str, expires_at: UnixTime) -> User {
        let proven = Proven {
            principal: Arc::new(Principal {
                kind: PrincipalKind::User,
                issuer: Arc::from(issuer),
                user_id: id.to_owned(),
                tenant_id: None,
                client_id: None,
                name: None,
                email: None,
                groups: Names::Known(vec![]),
                roles: Names::Known(vec![]),
                permissions: Names::Known(vec![]),
                scopes: vec![],
                claims: Claims::default(),
            }),
            headers: Arc::default(),
            until: expires_at.plus(60),
        };
        User::new(proven, Some(token.as_bytes()), expires_at)
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
        let token = User::new(early, Some(b"t"), UnixTime(9)).token.unwrap();
        assert_eq!(token.expires_at(), UnixTime(5), "max_token_age");
    }
}
