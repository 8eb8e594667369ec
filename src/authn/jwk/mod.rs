//! Keys: a JWK Set (RFC 7517) parsed key by key, PEM public keys and HMAC secrets.

pub(super) mod material;
mod member;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::material::Verifier;
use crate::authn::claims::Json;
use crate::authn::issuer::Algorithm;
use crate::reason::Denial;
use crate::secret::Secret;

/// The most keys one set may hold.
pub const MAX_KEYS: usize = 100;

/// The longest `kid`, in a key set and in a token.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// One key that can verify signatures.
pub struct VerificationKey {
    /// `kid`, as text; `None` if the key has none.
    pub key_id: Option<Arc<str>>,
    /// The algorithms this key may verify: the issuer's, narrowed by `kty`, `crv` and `alg`.
    pub algorithms: Vec<Algorithm>,
    /// Entra's per-key `issuer`, with `{tenantid}` as published.
    pub issuer: Option<String>,
    /// One for each algorithm, in that order.
    verifiers: Vec<Verifier>,
    /// SHA-256 of the key itself.
    digest: [u8; 32],
}

impl VerificationKey {
    /// One public key as a JWK, for those of these algorithms that it can verify. The error says why it is
    /// unusable, without key material.
    pub(super) fn from_jwk(jwk: Json<'_>, algorithms: &[Algorithm]) -> Result<Self, &'static str> {
        member::usable(jwk, algorithms)
    }

    /// Verifies one signature. An algorithm this key may not verify:
    /// [`Denial::AlgorithmRefused`]; otherwise [`Denial::SignatureInvalid`].
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Denial> {
        self.algorithms
            .iter()
            .zip(&self.verifiers)
            .find_map(|(of, verifier)| (*of == algorithm).then_some(verifier))
            .ok_or(Denial::AlgorithmRefused)?
            .verify(message, signature)
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("key_id", &self.key_id)
            .field("algorithms", &self.algorithms)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
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

/// The only member of a JWK Set that is read.
#[derive(Deserialize)]
struct Members<'j> {
    #[serde(borrow)]
    keys: Vec<&'j RawValue>,
}

impl KeySet {
    /// Parses a JWK Set, key by key: one bad key never sinks the set. Two usable keys of one `kid`
    /// do: which of them verifies would be a guess.
    pub fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        // serde would read a list as the object's members in order
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(KeySetError::Malformed("not a JSON object".to_owned()));
        }
        let members: Members<'_> = serde_json::from_slice(json).map_err(|error| {
            KeySetError::Malformed(format!(
                "no JSON object with one list `keys` (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if members.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(members.keys.len()));
        }
        let mut keys: Vec<VerificationKey> = Vec::new();
        let mut skipped = Vec::new();
        for member in members.keys {
            match member::parse(member.get(), algorithms) {
                Ok(key) => keys.push(key),
                Err(left_out) => skipped.push(left_out),
            }
        }
        for (number, key) in keys.iter().enumerate() {
            if let Some(key_id) = &key.key_id
                && keys
                    .iter()
                    .skip(number + 1)
                    .any(|other| other.key_id.as_ref() == Some(key_id))
            {
                return Err(KeySetError::DuplicateKeyId(key_id.to_string()));
            }
        }
        Self::of(keys, skipped)
    }

    /// One public key in PEM (`PUBLIC KEY`, or the one in a `CERTIFICATE`, whose dates and issuer
    /// are not asked), without `kid`.
    pub fn from_pem(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        let malformed = |why: &str| KeySetError::Malformed(why.to_owned());
        let mut blocks = <(SectionKind, Vec<u8>)>::pem_slice_iter(text);
        let (kind, der) = blocks
            .next()
            .transpose()
            .map_err(|_syntax| malformed("a PEM block that is cut off or not base64"))?
            .ok_or_else(|| malformed("no PEM block"))?;
        if blocks.next().is_some() {
            return Err(malformed("more than one PEM block"));
        }
        let spki = if kind == SectionKind::PublicKey {
            der
        } else if kind == SectionKind::Certificate {
            rustls::server::ParsedCertificate::try_from(&CertificateDer::from(der))
                .map_err(|_invalid| malformed("the certificate cannot be read"))?
                .subject_public_key_info()
                .to_vec()
        } else {
            return Err(malformed(
                "a PEM block that is no public key and no certificate",
            ));
        };
        let key = member::from_spki(&spki, algorithms).map_err(malformed)?;
        Self::of(vec![key], Vec::new())
    }

    /// Public keys in PEM that are published one by one, each under its `kid`.
    pub fn from_pems<'p>(
        pems: impl Iterator<Item = (&'p Arc<str>, &'p [u8])>,
        algorithms: &[Algorithm],
    ) -> Result<Self, KeySetError> {
        let mut keys = Vec::new();
        for (key_id, pem) in pems {
            let single = Self::from_pem(pem, algorithms)?;
            keys.extend(single.keys.into_iter().map(|key| VerificationKey {
                key_id: Some(Arc::clone(key_id)),
                ..key
            }));
        }
        Self::of(keys, Vec::new())
    }

    /// One HMAC secret, without `kid`. It must be as long as the hash of each HMAC that the issuer
    /// allows (RFC 7518 3.2).
    pub fn from_secret(secret: &Secret, algorithms: &[Algorithm]) -> Result<Self, KeySetError> {
        Self::from_secret_bytes(secret.expose().as_bytes(), algorithms)
    }

    pub(super) fn from_secret_bytes(
        bytes: &[u8],
        algorithms: &[Algorithm],
    ) -> Result<Self, KeySetError> {
        let mut key = VerificationKey {
            key_id: None,
            algorithms: Vec::new(),
            issuer: None,
            verifiers: Vec::new(),
            digest: sha256(&[bytes]),
        };
        for &algorithm in algorithms {
            let Some((verifier, needed)) = Verifier::hmac(algorithm, bytes) else {
                continue;
            };
            if bytes.len() < needed {
                return Err(KeySetError::ShortSecret(
                    bytes.len(),
                    algorithm.as_str(),
                    needed,
                ));
            }
            key.algorithms.push(algorithm);
            key.verifiers.push(verifier);
        }
        if key.algorithms.is_empty() {
            return Err(KeySetError::Empty);
        }
        Self::of(vec![key], Vec::new())
    }

    /// A set without keys: it verifies nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            keys: Vec::new(),
            skipped: Vec::new(),
            fingerprint: 0,
        }
    }

    fn of(keys: Vec<VerificationKey>, skipped: Vec<SkippedKey>) -> Result<Self, KeySetError> {
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        let fingerprint = fingerprint(&keys);
        Ok(Self {
            keys,
            skipped,
            fingerprint,
        })
    }

    /// The keys that could have signed: the one of that `kid`; without a `kid` in the token,
    /// every key of that algorithm; a single key without `kid` (PEM, secret) serves any `kid`.
    pub fn find<'s>(
        &'s self,
        key_id: Option<&'s str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'s VerificationKey> {
        self.keys.iter().filter(move |key| {
            key_id.is_none_or(|key_id| self.serves(key, key_id))
                && key.algorithms.contains(&algorithm)
        })
    }

    /// Whether a key of this `kid` is in the set (or the set serves any `kid`).
    #[must_use]
    pub fn holds(&self, key_id: &str) -> bool {
        self.keys.iter().any(|key| self.serves(key, key_id))
    }

    fn serves(&self, key: &VerificationKey, key_id: &str) -> bool {
        match &key.key_id {
            Some(own) => **own == *key_id,
            None => self.keys.len() == 1,
        }
    }

    /// All usable keys.
    #[must_use]
    pub fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}

/// Over `kid`, algorithms, issuer and material of every key, in any order.
fn fingerprint(keys: &[VerificationKey]) -> u64 {
    let mut each: Vec<[u8; 32]> = keys
        .iter()
        .map(|key| {
            let algorithms: Vec<&str> = key.algorithms.iter().map(|a| a.as_str()).collect();
            sha256(&[
                key.key_id.as_deref().unwrap_or_default().as_bytes(),
                &[u8::from(key.key_id.is_some())],
                algorithms.join(" ").as_bytes(),
                key.issuer.as_deref().unwrap_or_default().as_bytes(),
                &key.digest,
            ])
        })
        .collect();
    each.sort_unstable();
    sha256(&[each.as_flattened()])
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// SHA-256 of several texts, each after its length so that no two lists give one input.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&part.len().to_be_bytes());
        hash.update(part);
    }
    // the digest of SHA-256 is 32 bytes long, always
    hash.finish()
        .as_ref()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;
