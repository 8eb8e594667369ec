//! A client that authenticates with a key of its own (`private_key_jwt`).

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use serde_json::{Value, json};

/// One client: what the provider is told of it, and its key.
pub(crate) struct KeyClient {
    pub(crate) name: &'static str,
    pub(crate) pem: String,
    pub(crate) metadata: Value,
}

impl KeyClient {
    /// With a new key of this kind, named `key-1`, that signs by this algorithm.
    pub(crate) fn new(
        name: &'static str,
        kind: &'static rcgen::SignatureAlgorithm,
        alg: &str,
    ) -> Self {
        let pair = KeyPair::generate_for(kind).expect("a key");
        let pem = pair.serialize_pem();
        let (key, algorithm) = if alg == "ES256" {
            (EncodingKey::from_ec_pem(pem.as_bytes()), Algorithm::ES256)
        } else {
            (EncodingKey::from_rsa_pem(pem.as_bytes()), Algorithm::RS256)
        };
        let jwk = Jwk::from_encoding_key(&key.expect("a key"), algorithm).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        if let Some(members) = jwk.as_object_mut() {
            members.remove("alg");
            members.insert("kid".to_owned(), json!("key-1"));
        }
        let metadata = json!({
            "client_id": name,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": alg,
            "jwks": {"keys": [jwk]},
        });
        Self {
            name,
            pem,
            metadata,
        }
    }
}
