//! Key material, ready to verify with: each algorithm's primitive, parsed once.

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use aws_lc_rs::{hmac, rsa};

use crate::authn::issuer::Algorithm;
use crate::reason::Denial;

/// What kind of key an algorithm needs (RFC 7518 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
    Hmac,
}

impl Family {
    pub(super) fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => Self::Rsa,
            Algorithm::ES256 => Self::P256,
            Algorithm::ES384 => Self::P384,
            Algorithm::ES512 => Self::P521,
            Algorithm::EdDSA => Self::Ed25519,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Self::Hmac,
        }
    }
}

/// One algorithm with one key.
pub(in crate::authn) enum Verifier {
    Signature(ParsedPublicKey),
    /// Boxed: its state is a kilobyte.
    Hmac(Box<hmac::Key>),
}

impl Verifier {
    /// A public key for one algorithm: as SPKI, EC point or 32 bytes of Ed25519. `None` if it is
    /// no key of that algorithm.
    pub(in crate::authn) fn public(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        let primitive: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
            Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED,
            Algorithm::EdDSA => &signature::ED25519,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return None,
        };
        ParsedPublicKey::new(primitive, key)
            .ok()
            .map(Self::Signature)
    }

    /// An HMAC, and the least bytes its secret must have. `None` if the algorithm is none.
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Option<(Self, usize)> {
        let primitive = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512
            | Algorithm::ES256
            | Algorithm::ES384
            | Algorithm::ES512
            | Algorithm::EdDSA => return None,
        };
        let key = hmac::Key::new(primitive, secret);
        Some((Self::Hmac(Box::new(key)), primitive.tag_len()))
    }

    pub(in crate::authn) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Denial> {
        match self {
            Self::Signature(key) => key.verify_sig(message, signature),
            Self::Hmac(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_unspecified| Denial::SignatureInvalid)
    }
}

/// The SPKI of an RSA key given by its modulus and exponent, big-endian without leading zeros.
pub(super) fn rsa_spki(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    let key = rsa::PublicKeyComponents { n, e }
        .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
        .ok()?;
    Some(key.as_ref().to_vec())
}

/// Bits of an RSA key's modulus. `None` if the SPKI is no RSA key, or one that cannot be: an even
/// modulus, an exponent that is even, 1, or over 33 bits.
pub(super) fn rsa_bits(spki: &[u8]) -> Option<u32> {
    let key = rsa::PublicKey::from_der(spki).ok()?;
    RsaParameters::public_modulus_len(key.as_ref()).ok()
}
