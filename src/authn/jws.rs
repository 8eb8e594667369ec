//! The compact JWS (RFC 7515 7.1), split and checked before any key is looked for.

use crate::authn::claims::Claims;
use crate::authn::issuer::Algorithm;
use crate::authn::jwk::VerificationKey;
use crate::reason::Denial;

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token in three well-formed parts. Nothing in it is proven yet.
#[derive(Debug)]
pub struct Jws<'t> {
    /// `alg`, by its registered name.
    pub algorithm: Algorithm,
    /// `kid`, any text.
    pub key_id: Option<String>,
    /// Header and payload as sent, joined by a dot: what is signed.
    signing_input: &'t str,
    /// The payload's JSON, decoded.
    payload: Vec<u8>,
    /// The signature, decoded.
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Splits a token and checks its header: canonical unpadded base64url, no duplicate names, a
    /// known `alg`, no `crit`, no `b64`, no `cty`, a `typ` that does not name another kind of
    /// token.
    pub fn parse(_token: &'t str) -> Result<Self, Denial> {
        todo!("strict parse")
    }

    /// `iss` as the token states it, unproven: it only chooses whose keys to try.
    pub fn unverified_issuer(&self) -> Result<String, Denial> {
        todo!("peek")
    }

    /// Verifies the signature with this key; on success the claims are the issuer's word.
    pub fn verify(&self, _key: &VerificationKey) -> Result<Claims, Denial> {
        todo!("verify")
    }
}
