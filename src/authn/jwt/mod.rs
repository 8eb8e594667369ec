//! Verification of a JWT, in two halves: what holds as long as the key does ([`verify`], cached)
//! and what must be judged on every request ([`VerifiedToken::judge`]).

mod judge;
mod read;

use std::sync::Arc;

use crate::authn::claims::Claims;
use crate::authn::entra;
use crate::authn::issuer::{Algorithm, Issuer, Preset, TokenUse};
use crate::authn::jwk::{KeySet, VerificationKey};
use crate::authn::jws::Jws;
use crate::authn::principal::Principal;
use crate::authn::proof::Confirmation;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::{Steps, shown};

/// A token whose signature was verified and whose claims are well-formed. Only [`verify`] and its
/// like for other forms make one. It does *not* say that the token is good now: [`VerifiedToken::judge`] does.
#[derive(Clone, Debug)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "the attribute binds other crates only; this field binds other modules"
)]
pub struct VerifiedToken {
    /// Who it is about.
    pub principal: Arc<Principal>,
    /// `kid` of the key that verified it.
    pub key_id: Option<Arc<str>>,
    /// `alg`; `None` for a token that its issuer was asked about.
    pub algorithm: Option<Algorithm>,
    /// `exp`
    pub expires_at: UnixTime,
    /// `nbf`
    pub not_before: Option<UnixTime>,
    /// `iat`
    pub issued_at: Option<UnixTime>,
    /// `aud`, as a list.
    pub audiences: Vec<String>,
    /// `token_use`, for Cognito.
    pub token_use: Option<TokenUse>,
    /// The client it was issued to, as its issuer always states it: `client_id` for Cognito, `azp` or
    /// `appid` for Entra.
    pub client: Option<String>,
    /// What it is bound to.
    pub confirmation: Confirmation,
    /// No other module can write this field, so no other module can make a verified token.
    _proof: (),
}

/// Verifies a token's signature with the issuer's keys and reads its claims. No clock: time is
/// judged later. [`Denial::KeyUnknown`] means only that *this* key set lacks the `kid`.
///
/// A token without `exp` or with a claim of the wrong type is [`Denial::TokenMalformed`]; one whose `typ`
/// is another kind of token's, or whose binding to a key (`cnf`) the issuer's table does not take, is
/// [`Denial::TokenTypeRefused`]; a user, tenant or client id that is no string of 1 to 256
/// characters, or holds control characters, is [`Denial::SubjectInvalid`].
pub fn verify(
    jws: &Jws<'_>,
    issuer: &Issuer,
    keys: &KeySet,
    steps: &mut impl Steps,
) -> Result<VerifiedToken, Denial> {
    steps.step("alg", || {
        let allowed: Vec<&str> = issuer.algorithms.iter().map(|a| a.as_str()).collect();
        format!("{}, allowed {}", jws.algorithm.as_str(), allowed.join(" "))
    });
    if !issuer.algorithms.contains(&jws.algorithm) {
        return Err(Denial::AlgorithmRefused);
    }
    let iss = jws.unverified_issuer()?;
    steps.step("iss", || {
        format!("{iss:?}, accepted {:?}", issuer.accepted_iss)
    });
    if !issuer.accepted_iss.iter().any(|accepted| accepted == iss) {
        return Err(Denial::IssuerUnknown);
    }
    check_type(jws, issuer, steps)?;
    let (key, claims) = verify_signature(jws, keys, steps)?;
    if let Preset::Entra { tenant_id, .. } = &issuer.preset {
        steps.step("tid", || {
            format!(
                "{}, wants {tenant_id}, the key's issuer is {}",
                claims
                    .find("tid")
                    .map_or_else(|| "none".to_owned(), |tid| tid.to_string()),
                shown(key.issuer.as_deref())
            )
        });
        if !entra::is_tenants(&claims, tenant_id, iss, key.issuer.as_deref()) {
            return Err(Denial::IssuerUnknown);
        }
    }
    let vouched = Vouched {
        key_id: key.key_id.clone(),
        algorithm: Some(jws.algorithm),
        expires_at: None,
    };
    vouched.read(&claims, issuer, steps)
}

/// By what claims are known to be the issuer's word.
pub(super) struct Vouched {
    /// `kid` of the key that signed them.
    pub(super) key_id: Option<Arc<str>>,
    /// `alg`, if they were signed.
    pub(super) algorithm: Option<Algorithm>,
    /// When they end, if something else than `exp` says so; then `exp` may be absent, and ends them
    /// earlier.
    pub(super) expires_at: Option<UnixTime>,
}

impl Vouched {
    /// Reads claims that are the issuer's word, as [`verify`] says.
    pub(super) fn read(
        self,
        claims: &Claims,
        issuer: &Issuer,
        steps: &mut impl Steps,
    ) -> Result<VerifiedToken, Denial> {
        let confirmation = Confirmation::read(claims, issuer, steps)?;
        let stated = [claims.date("exp")?, self.expires_at];
        let expires_at = stated.into_iter().flatten().min().ok_or_else(|| {
            steps.step("exp", || "none".to_owned());
            Denial::TokenMalformed
        })?;
        let not_before = claims.date("nbf")?;
        let issued_at = claims.date("iat")?;
        let audiences = claims.audiences()?;
        let token_use = read::token_use(claims, &issuer.preset);
        let principal = read::principal(claims, issuer, token_use, &audiences)?;
        steps.step("principal", || {
            format!(
                "{} {:?}, client {}, tenant {}",
                principal.kind.as_str(),
                principal.user_id,
                shown(principal.client_id.as_deref()),
                shown(principal.tenant_id.as_deref())
            )
        });
        Ok(VerifiedToken {
            principal: Arc::new(principal),
            key_id: self.key_id,
            algorithm: self.algorithm,
            expires_at,
            not_before,
            issued_at,
            audiences,
            token_use,
            client: read::client(claims, &issuer.preset).map(str::to_owned),
            confirmation,
            _proof: (),
        })
    }
}

/// RFC 8725 3.11, RFC 9068 4: a token made for another purpose says so in `typ`.
fn check_type(jws: &Jws<'_>, issuer: &Issuer, steps: &mut impl Steps) -> Result<(), Denial> {
    let is = |typ: &str, accepted: &str| typ.eq_ignore_ascii_case(accepted);
    let holds = match (&jws.typ, issuer.typ.as_slice()) {
        (None, accepted) => accepted.is_empty(),
        (Some(typ), []) => is(typ, "JWT") || is(typ, "at+jwt"),
        (Some(typ), accepted) => accepted.iter().any(|accepted| is(typ, accepted)),
    };
    if holds {
        return Ok(());
    }
    steps.step("typ", || {
        let accepted = match issuer.typ.as_slice() {
            [] => "JWT or at+jwt".to_owned(),
            accepted => accepted.join(" "),
        };
        format!("{}, accepted {accepted}", shown(jws.typ.as_deref()))
    });
    Err(Denial::TokenTypeRefused)
}

/// The key that signed, and the claims it vouches for.
fn verify_signature<'s>(
    jws: &'s Jws<'_>,
    keys: &'s KeySet,
    steps: &mut impl Steps,
) -> Result<(&'s VerificationKey, Claims), Denial> {
    let key_id = jws.key_id.as_deref();
    // a known key that may not verify this algorithm must not send us asking for another
    let mut refused = match key_id {
        Some(key_id) if keys.holds(key_id) => Denial::AlgorithmRefused,
        Some(_) | None => Denial::KeyUnknown,
    };
    for key in keys.find(key_id, jws.algorithm) {
        match jws.verify(key) {
            Ok(claims) => {
                steps.step("signature", || {
                    format!(
                        "verified by the key with kid {}",
                        shown(key.key_id.as_deref())
                    )
                });
                return Ok((key, claims));
            }
            Err(denial) => refused = denial,
        }
    }
    steps.step("signature", || {
        let why = if refused == Denial::KeyUnknown {
            "is not in the set"
        } else if refused == Denial::AlgorithmRefused {
            "is not for this alg"
        } else {
            "did not sign this"
        };
        format!("a key with kid {key_id:?} {why}")
    });
    Err(refused)
}

#[cfg(test)]
mod claim_tests;
#[cfg(test)]
mod cognito_tests;
#[cfg(test)]
mod entra_tests;
#[cfg(test)]
mod tests;
