//! An issuer of our own: keys random per run, any token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An RSA key that signs RS256.
pub(crate) struct Signer {
    /// `kid`
    pub(crate) key_id: String,
    /// The key itself, for certificates.
    pub(crate) pair: KeyPair,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn new(key_id: &str) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key");
        Self {
            key_id: key_id.to_owned(),
            pair,
            key,
        }
    }

    /// The public key as a JWK with `kty`, `n`, `e`, `use` and `kid`; no `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::RS256).expect("a public key");
        let jwk = serde_json::to_value(jwk).expect("JSON");
        json!({"kty": "RSA", "n": jwk["n"], "e": jwk["e"], "use": "sig", "kid": self.key_id})
    }

    /// A token of these claims, `typ` JWT.
    pub(crate) fn mint(&self, claims: &Value) -> String {
        self.mint_with(&json!({}), claims)
    }

    /// A token of these claims, signed RS256, with header members added or replaced.
    pub(crate) fn mint_with(&self, members: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        merge(&mut header, members);
        let input = format!("{}.{}", encode(&header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.key, Algorithm::RS256)
            .expect("signed");
        format!("{input}.{signature}")
    }

    /// The public key in PEM, as a confused verifier would use it for an HMAC.
    pub(crate) fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }
}

/// A token `alg: HS256` under this secret.
pub(crate) fn hmac_token(secret: &[u8], key_id: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).expect("signed")
}

/// Base64url of JSON.
pub(crate) fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Adds the members of `more` to `object`; `null` removes one.
pub(crate) fn merge(object: &mut Value, more: &Value) {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// Seconds since 1970 by the machine's clock, which the real binary reads too.
#[expect(
    clippy::disallowed_methods,
    reason = "tokens for a process that reads the real clock"
)]
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}
