//! Verification of a JWT, in two halves: what holds as long as the key does ([`verify`], cached)
//! and what must be judged on every request ([`VerifiedToken::judge`]).

use std::sync::Arc;

use crate::authn::issuer::{Algorithm, Issuer, TokenUse};
use crate::authn::jwk::KeySet;
use crate::authn::jws::Jws;
use crate::authn::principal::Principal;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::Steps;

/// A token whose signature was verified and whose claims are well-formed. Only [`verify`] makes
/// one. It does *not* say that the token is good now: [`VerifiedToken::judge`] does.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Who it is about.
    pub principal: Arc<Principal>,
    /// `kid` of the key that verified it.
    pub key_id: Option<Arc<str>>,
    /// `alg`
    pub algorithm: Algorithm,
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
}

/// Verifies a token's signature with the issuer's keys and reads its claims. No clock: time is
/// judged later. [`Denial::KeyUnknown`] means only that *this* key set lacks the `kid`.
pub fn verify(
    _jws: &Jws<'_>,
    _issuer: &Issuer,
    _keys: &KeySet,
    _steps: &mut impl Steps,
) -> Result<VerifiedToken, Denial> {
    todo!("verify")
}

impl VerifiedToken {
    /// Judges what may change between two requests: time, audience, client, token use, required
    /// claims. Runs on every request, cached or not.
    pub fn judge(
        &self,
        _issuer: &Issuer,
        _now: UnixTime,
        _steps: &mut impl Steps,
    ) -> Result<(), Denial> {
        todo!("judge")
    }
}
