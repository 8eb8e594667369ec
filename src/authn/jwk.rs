//! Keys: a JWK Set (RFC 7517) parsed key by key, PEM public keys and HMAC secrets.

use std::sync::Arc;

use crate::authn::issuer::Algorithm;
use crate::secret::Secret;

/// The most keys one set may hold.
pub const MAX_KEYS: usize = 100;

/// One key that can verify signatures.
#[derive(Debug)]
pub struct VerificationKey {
    /// `kid`, as text; `None` if the key has none.
    pub key_id: Option<Arc<str>>,
    /// The algorithms this key may verify: the issuer's, narrowed by `kty`, `crv` and `alg`.
    pub algorithms: Vec<Algorithm>,
    /// Entra's per-key `issuer`, with `{tenantid}` as published.
    pub issuer: Option<String>,
}

/// A key that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// `kid` if it could be read.
    pub key_id: Option<String>,
    /// Lower case, no key material.
    pub why: &'static str,
}

/// Why a whole set is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`, or not PEM.
    #[error("not a key set: {0}")]
    Malformed(String),
    /// More than [`MAX_KEYS`].
    #[error("{0} keys, at most 100 are read")]
    TooMany(usize),
    /// Two keys of one `kid`.
    #[error("two keys with kid {0:?}")]
    DuplicateKeyId(String),
    /// No key is left.
    #[error("no usable key")]
    Empty,
    /// An HMAC secret shorter than its hash.
    #[error("the secret is {0} bytes, {1} needs at least {2}")]
    ShortSecret(usize, &'static str, usize),
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    /// Keys that were left out.
    pub skipped: Vec<SkippedKey>,
    /// First eight bytes of the SHA-256 of the usable keys: changes exactly when they do.
    pub fingerprint: u64,
}

impl KeySet {
    /// Parses a JWK Set, key by key: one bad key never sinks the set.
    pub fn parse(_json: &[u8], _algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        todo!("parse")
    }

    /// One public key in PEM (SPKI or certificate), without `kid`.
    pub fn from_pem(_pem: &[u8], _algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        todo!("pem")
    }

    /// One HMAC secret, without `kid`.
    pub fn from_secret(_secret: &Secret, _algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        todo!("hmac")
    }

    /// The keys that could have signed: the one of that `kid`; without a `kid` in the token,
    /// every key of that algorithm; a single key without `kid` (PEM, secret) serves any `kid`.
    pub fn find<'s>(
        &'s self,
        _key_id: Option<&'s str>,
        _algorithm: Algorithm,
    ) -> impl Iterator<Item = &'s VerificationKey> {
        self.keys.iter()
    }

    /// Whether a key of this `kid` is in the set (or the set serves any `kid`).
    #[must_use]
    pub fn holds(&self, _key_id: &str) -> bool {
        todo!("holds")
    }

    /// All usable keys.
    #[must_use]
    pub fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}
