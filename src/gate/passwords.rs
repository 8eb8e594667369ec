//! User name and password → principal. What was proven lately is found by its keyed hash, and holds as
//! long as the stored password is the same; what was not goes to [`Passwords`], which hashes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::keys::Boxed;
use super::{Evidence, Gate};
use crate::authn::alb::Verified;
use crate::authn::credential::{self, Kind};
use crate::authn::password::{self, PasswordHash, Source, UserPassword};
use crate::authn::principal::Principal;
use crate::authz::decision::Proven;
use crate::authz::identity::{self, IdentityHeaders};
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::steps::Steps;

/// How long a connection that a password upgraded may live, where its route says nothing: nobody looks at
/// the password again, and it may have been changed.
const UPGRADED: u64 = 3600;

/// What a name and password are known by: a keyed hash of both.
pub type PasswordTag = [u8; 16];

/// Whether what was proven holds yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The user's stored password is the same.
    Same,
    /// It is another, or there is none: verify again.
    Changed,
    /// This source may not try this user now, whatever it knows.
    LockedOut {
        /// When it may again.
        retry_after: Duration,
    },
}

/// Who can tell whether a password is right. Implemented by `store::passwords`.
pub trait Passwords: fmt::Debug + Send + Sync {
    /// Whether `proven`, which verified the password of `user`, is the user's yet, as far as this process
    /// knows. Never waits.
    fn standing(&self, user: &str, proven: &Arc<PasswordHash>, source: Option<Source>) -> Standing;

    /// Verifies a password; what it was compared with. One verification serves all who ask the same,
    /// and ends though nobody waits for it.
    fn verify(
        &self,
        tag: PasswordTag,
        presented: UserPassword,
        source: Option<Source>,
    ) -> Boxed<'_, Result<Arc<PasswordHash>, Refusal>>;
}

/// `[basic]`, as the gate sees it.
#[derive(Clone, Debug)]
pub struct PasswordParts {
    /// Who can tell.
    pub passwords: Arc<dyn Passwords>,
    /// So long a right password is believed without a hash.
    pub cache: Duration,
    /// Most of them kept.
    pub max_entries: usize,
}

/// A password that was right.
struct Right {
    principal: Arc<Principal>,
    headers: Arc<IdentityHeaders>,
    stored: Arc<PasswordHash>,
    verified_at: UnixTime,
    fingerprint: Option<u64>,
}

/// What the gate keeps of `[basic]`.
pub(super) struct PasswordChecks {
    parts: PasswordParts,
    right: Arc<quick_cache::sync::Cache<PasswordTag, Arc<Right>>>,
}

impl PasswordChecks {
    /// What `previous` found right is kept, as long as it has as much room.
    pub(super) fn new(parts: PasswordParts, previous: Option<&Self>) -> Self {
        let previous = previous.filter(|old| old.parts.max_entries == parts.max_entries);
        let right = previous.map_or_else(
            || Arc::new(quick_cache::sync::Cache::new(parts.max_entries)),
            |old| Arc::clone(&old.right),
        );
        Self { parts, right }
    }

    /// What was found right lately and holds yet.
    fn find(
        &self,
        tag: &PasswordTag,
        source: Option<Source>,
        now: UnixTime,
    ) -> Result<Option<Arc<Right>>, Denial> {
        let Some(right) = self.right.get(tag) else {
            return Ok(None);
        };
        if now >= right.verified_at.plus(self.parts.cache.as_secs()) || now < right.verified_at {
            return Ok(None);
        }
        let user = &right.principal.user_id;
        match self.parts.passwords.standing(user, &right.stored, source) {
            Standing::Same => Ok(Some(right)),
            Standing::Changed => Ok(None),
            Standing::LockedOut { retry_after } => Err(Denial::LockedOut { retry_after }),
        }
    }
}

impl Gate {
    /// Name and password → principal. `None` if none were presented.
    pub(super) async fn prove_password(
        &self,
        headers: &HeaderMap,
        source: Option<Source>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Refusal> {
        let Some(text) = credential::basic(headers)? else {
            steps.step("credential", || "no user name and password".to_owned());
            return Ok(None);
        };
        steps.step("credential", || "user name and password".to_owned());
        let Some(checks) = &self.passwords else {
            steps.step("password", || {
                "nobody here can tell whether it is right".to_owned()
            });
            let retry_after = Duration::from_secs(1);
            return Err(Failure::PasswordsUnavailable { retry_after }.into());
        };
        let tag = self
            .cache
            .password_tag(text)
            .ok_or(Failure::InternalError)?;
        let right = if let Some(right) = checks.find(&tag, source, now)? {
            steps.step("password", || "verified before, unchanged".to_owned());
            right
        } else {
            evidence.token = self.cache.fingerprint(&tag);
            // boxed: the large future of the rare case
            let verified = Box::pin(self.verify_password(checks, tag, text, source, now));
            verified.await.inspect_err(|refusal| {
                steps.step("password", || format!("not verified: {}", refusal.reason()));
            })?
        };
        steps.step("principal", || {
            format!("user {:?}", right.principal.user_id)
        });
        evidence.token = right.fingerprint;
        evidence
            .principal
            .get_or_insert_with(|| Arc::clone(&right.principal));
        Ok(Some(Proven {
            alb: Verified::default(),
            by: Kind::Basic,
            stated: Arc::clone(&right.principal),
            principal: Arc::clone(&right.principal),
            headers: Arc::clone(&right.headers),
            until: now.plus(UPGRADED),
        }))
    }

    async fn verify_password(
        &self,
        checks: &PasswordChecks,
        tag: PasswordTag,
        text: &[u8],
        source: Option<Source>,
        now: UnixTime,
    ) -> Result<Arc<Right>, Refusal> {
        let presented = UserPassword::read(text)?;
        let user = presented.user.clone();
        let stored = checks
            .parts
            .passwords
            .verify(tag, presented, source)
            .await?;
        let principal = Arc::new(password::principal(user));
        let right = Arc::new(Right {
            headers: Arc::new(identity::render(&self.identity, self.lists, &principal)),
            principal,
            stored,
            verified_at: now,
            fingerprint: self.cache.fingerprint(&tag),
        });
        // whoever came for the same meanwhile shares what the first one made
        let kept = checks
            .right
            .get(&tag)
            .filter(|kept| kept.stored == right.stored && kept.verified_at >= right.verified_at);
        if let Some(kept) = kept {
            return Ok(kept);
        }
        checks.right.insert(tag, Arc::clone(&right));
        Ok(right)
    }
}
