//! Tests only: keys of every algorithm, and tokens signed with them, however odd.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::authn::issuer::Algorithm;

/// The secret of every HMAC key here.
pub(crate) const SECRET: &str = "a secret that is as long as the longest hash, sixty-four bytes. ";

/// A private key and the algorithm it signs with.
pub(crate) struct SigningKey {
    pub(crate) algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Rsa(Arc<rsa::KeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Box<hmac::Key>),
}

/// Canonical unpadded base64url.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl SigningKey {
    /// A new key; RSA keys are one and the same, because making one takes long.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        static RSA: OnceLock<Arc<rsa::KeyPair>> = OnceLock::new();
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
            Pair::Ecdsa(EcdsaKeyPair::generate(curve).unwrap())
        };
        let hmac = |hash| Pair::Hmac(Box::new(hmac::Key::new(hash, SECRET.as_bytes())));
        let pair =
            match algorithm {
                Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512 => Pair::Rsa(Arc::clone(RSA.get_or_init(|| {
                    Arc::new(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap())
                }))),
                Algorithm::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
                Algorithm::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
                Algorithm::ES512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
                Algorithm::EdDSA => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
                Algorithm::HS256 => hmac(hmac::HMAC_SHA256),
                Algorithm::HS384 => hmac(hmac::HMAC_SHA384),
                Algorithm::HS512 => hmac(hmac::HMAC_SHA512),
            };
        Self { algorithm, pair }
    }

    /// The public key as JWK, without `alg` and `use`; `null` for a secret.
    pub(crate) fn jwk(&self, key_id: &str) -> Value {
        match &self.pair {
            Pair::Rsa(pair) => {
                // RFC 8017 A.1.1 with 2048 bits: n at 9, of 256 bytes, then 02 03 and e
                let der = pair.public_key().as_ref().to_vec();
                json!({"kty": "RSA", "kid": key_id, "n": encode(&der[9..265]), "e": encode(&der[267..])})
            }
            Pair::Ecdsa(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "kid": key_id, "crv": crv, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "kid": key_id, "crv": "Ed25519", "x": encode(pair.public_key())})
            }
            Pair::Hmac(_) => Value::Null,
        }
    }

    /// The public key as SPKI.
    pub(crate) fn spki(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Pair::Hmac(_) => Vec::new(),
        }
    }

    /// The private key as PKCS #8.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(&**pair)
                .unwrap()
                .as_ref()
                .to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Pair::Hmac(_) => SECRET.as_bytes().to_vec(),
        }
    }

    /// Signs with the key's algorithm.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    rsa_encoding(self.algorithm),
                    &random,
                    message,
                    &mut signature,
                )
                .unwrap();
                signature
            }
            Pair::Ecdsa(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
        }
    }

    /// A token of this header and payload, as they are.
    pub(crate) fn token_of(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = encode(self.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// A token with `alg`, `typ` and `kid`.
    pub(crate) fn token(&self, key_id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm.as_str(), "typ": "JWT", "kid": key_id});
        self.token_of(&header.to_string(), &claims.to_string())
    }
}

fn rsa_encoding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm.as_str() {
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
