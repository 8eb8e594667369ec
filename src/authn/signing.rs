//! A private key that signs JWTs (RFC 7515, RFC 7518 3, RFC 8037 3.1).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding,
};
use rustls::pki_types::PrivateKeyDer;

use crate::authn::issuer::Algorithm;
use crate::certificate::PemError;

/// Shortest modulus, in bytes.
const SHORTEST_RSA: usize = 2048 / 8;

/// A private key: RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519. Cannot be
/// printed.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Algorithm, Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// The library could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key does not sign by {}", .0.as_str())]
pub struct NotSigned(Algorithm);

impl SigningKey {
    /// The key of [`crate::certificate::private_key`].
    pub fn new(key: &PrivateKeyDer<'_>) -> Result<Self, PemError> {
        let der = key.secret_der();
        let rsa = match key {
            PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der),
            PrivateKeyDer::Pkcs8(_) | PrivateKeyDer::Sec1(_) | _ => RsaKeyPair::from_pkcs8(der),
        };
        if let Ok(pair) = rsa {
            if pair.public_modulus_len() < SHORTEST_RSA {
                return Err(PemError::Key("RSA of less than 2048 bits".to_owned()));
            }
            return Ok(Self(Kind::Rsa(Box::new(pair))));
        }
        for (name, curve) in [
            (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Algorithm::ES512, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ] {
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
                return Ok(Self(Kind::Ecdsa(name, Box::new(pair))));
            }
        }
        match Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Ok(pair) => Ok(Self(Kind::Ed25519(Box::new(pair)))),
            Err(_neither) => Err(PemError::Key(
                "it is none of RSA, P-256, P-384, P-521, Ed25519".to_owned(),
            )),
        }
    }

    /// What it signs by, the usual one first.
    #[must_use]
    pub fn algorithms(&self) -> &'static [Algorithm] {
        use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match &self.0 {
            Kind::Rsa(_) => &[RS256, PS256, RS384, PS384, RS512, PS512],
            Kind::Ecdsa(ES384, _) => &[ES384],
            Kind::Ecdsa(ES512, _) => &[ES512],
            Kind::Ecdsa(_, _) => &[ES256],
            Kind::Ed25519(_) => &[EdDSA],
        }
    }

    /// A signature as a JWS carries it: raw bytes, `R || S` for ECDSA.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, NotSigned> {
        let random = SystemRandom::new();
        let failed = |_unspecified| NotSigned(algorithm);
        match (&self.0, rsa(algorithm)) {
            (Kind::Rsa(pair), Some(padding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            (Kind::Ecdsa(name, pair), _) if *name == algorithm => {
                let signature = pair.sign(&random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (Kind::Ed25519(pair), _) if algorithm == Algorithm::EdDSA => {
                let signature = pair.try_sign(message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (Kind::Rsa(_) | Kind::Ecdsa(..) | Kind::Ed25519(_), _) => Err(NotSigned(algorithm)),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.algorithms())
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_SHA512),
        Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::ES512
        | Algorithm::EdDSA
        | Algorithm::HS256
        | Algorithm::HS384
        | Algorithm::HS512 => None,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData as _};
    use rcgen::{
        PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
        PKCS_RSA_SHA256,
    };

    use super::*;
    use crate::authn::jwk::material::Verifier;
    use crate::certificate::private_key;

    #[test]
    fn each_kind_of_key_signs_what_its_public_half_verifies() {
        for kind in [
            &PKCS_RSA_SHA256,
            &PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
            &PKCS_ECDSA_P521_SHA512,
            &PKCS_ED25519,
        ] {
            let pair = KeyPair::generate_for(kind).unwrap();
            let pem = pair.serialize_pem();
            let key = SigningKey::new(&private_key(pem.as_bytes()).unwrap()).unwrap();
            for algorithm in Algorithm::ALL {
                let signed = key.sign(algorithm, b"message");
                if key.algorithms().contains(&algorithm) {
                    let public =
                        Verifier::public(algorithm, &pair.subject_public_key_info()).unwrap();
                    public.verify(b"message", &signed.unwrap()).unwrap();
                } else {
                    assert_eq!(signed, Err(NotSigned(algorithm)), "{key:?}");
                }
            }
            let shown = format!("{key:?}");
            assert!(shown.starts_with("SigningKey(["), "{shown}");
        }
    }
}
