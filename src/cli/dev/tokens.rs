//! The dev issuer's keys, people, clients and tokens, in the shapes of a Cognito user pool.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::UnixTime;
use crate::secret::Secret;

/// The pool's id; it is also the path of its issuer.
pub(super) const POOL_ID: &str = "us-east-1_GatepostD";

/// Life of every token, in seconds: Cognito's default.
pub(super) const LIFETIME: u64 = 3600;

/// Somebody with a password.
#[derive(Debug)]
pub(super) struct User {
    /// `username`; the password is the same word.
    pub(super) name: &'static str,
    /// `sub`, the same in every run.
    pub(super) sub: &'static str,
    /// `email`, in ID tokens only.
    pub(super) email: &'static str,
    /// `cognito:groups`
    pub(super) groups: &'static [&'static str],
}

/// The people of the pool.
pub(super) const USERS: [User; 2] = [
    User {
        name: "ada",
        sub: "6f1d2c3b-4a59-4e68-8d77-9a0b1c2d3e4f",
        email: "ada@example.com",
        groups: &["admins", "readers"],
    },
    User {
        name: "bob",
        sub: "b0b5a7e1-5c1d-4f2e-9b3a-7d6c5e4f3a2b",
        email: "bob@example.com",
        groups: &["readers"],
    },
];

/// An app client.
#[derive(Debug)]
pub(super) struct Client {
    /// `client_id`
    pub(super) id: &'static str,
    /// Its secret. A client without one is public: it may only ask for users' tokens.
    pub(super) secret: Option<&'static str>,
}

/// The client whose users log in: public.
pub(super) const APP: Client = Client {
    id: "dev-app",
    secret: None,
};

/// The client that acts for itself (client credentials).
pub(super) const SERVICE: Client = Client {
    id: "dev-service",
    secret: Some("dev-service-secret"),
};

/// Custom scopes of the pool's resource server; a service that asks for none gets all.
pub(super) const SERVICE_SCOPES: [&str; 2] = ["orders/read", "orders/write"];

/// The scope of a token that a user got by password.
pub(super) const USER_SCOPE: &str = "aws.cognito.signin.user.admin";

/// Access and ID token of one user.
#[derive(Debug)]
pub(super) struct UserTokens {
    /// `token_use = "access"`
    pub(super) access: Secret,
    /// `token_use = "id"`
    pub(super) id: Secret,
}

/// The pool: two RSA keys, as Cognito has, one for access and one for ID tokens, made for this run.
pub(super) struct Pool {
    issuer: String,
    access: SigningKey,
    id: SigningKey,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes both keys. `origin` is scheme and authority of the issuer.
    pub(super) fn generate(origin: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self {
            issuer: format!("{origin}/{POOL_ID}"),
            access: SigningKey::generate()?,
            id: SigningKey::generate()?,
        })
    }

    /// `iss`
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The JWK Set.
    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": [self.access.jwk(), self.id.jwk()] })
    }

    /// Tokens of a user, as after a login with a password.
    pub(super) fn user_tokens(
        &self,
        user: &User,
        now: UnixTime,
    ) -> Result<UserTokens, aws_lc_rs::error::Unspecified> {
        let origin = Uuid::now_v7().to_string();
        let event = Uuid::now_v7().to_string();
        let access = self.access.sign(&json!({
            "sub": user.sub,
            "cognito:groups": user.groups,
            "iss": self.issuer,
            "version": 2,
            "client_id": APP.id,
            "origin_jti": origin,
            "event_id": event,
            "token_use": "access",
            "scope": USER_SCOPE,
            "auth_time": now.0,
            "exp": now.plus(LIFETIME).0,
            "iat": now.0,
            "jti": Uuid::now_v7().to_string(),
            "username": user.name,
        }))?;
        let id = self.id.sign(&json!({
            "sub": user.sub,
            "cognito:groups": user.groups,
            "email_verified": true,
            "iss": self.issuer,
            "cognito:username": user.name,
            "origin_jti": origin,
            "aud": APP.id,
            "event_id": event,
            "token_use": "id",
            "auth_time": now.0,
            "exp": now.plus(LIFETIME).0,
            "iat": now.0,
            "jti": Uuid::now_v7().to_string(),
            "email": user.email,
        }))?;
        Ok(UserTokens { access, id })
    }

    /// The access token of a client that acts for itself: no `username`, `sub` is the client.
    pub(super) fn service_token(
        &self,
        client: &Client,
        scope: &str,
        now: UnixTime,
    ) -> Result<Secret, aws_lc_rs::error::Unspecified> {
        self.access.sign(&json!({
            "sub": client.id,
            "token_use": "access",
            "scope": scope,
            "auth_time": now.0,
            "iss": self.issuer,
            "exp": now.plus(LIFETIME).0,
            "iat": now.0,
            "version": 2,
            "jti": Uuid::now_v7().to_string(),
            "client_id": client.id,
        }))
    }
}

/// An RSA key and the `kid` under which it is published.
struct SigningKey {
    pair: RsaKeyPair,
    key_id: String,
}

impl SigningKey {
    fn generate() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        // Cognito's key ids look like this: padded base64 of 32 bytes
        let key_id = STANDARD.encode(digest(&SHA256, pair.public_key().as_ref()));
        Ok(Self { pair, key_id })
    }

    fn jwk(&self) -> Value {
        let key = self.pair.public_key();
        json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero()),
            "kid": self.key_id,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero()),
            "use": "sig",
        })
    }

    /// A compact JWS (RFC 7515 7.1) of these claims, RS256.
    fn sign(&self, claims: &Value) -> Result<Secret, aws_lc_rs::error::Unspecified> {
        let header = json!({ "kid": self.key_id, "alg": "RS256" });
        let mut token = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            token.as_bytes(),
            &mut signature,
        )?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(Secret::new(token))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    fn part(token: &str, number: usize) -> Value {
        let text = token.split('.').nth(number).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    /// Verifies with what the JWK Set publishes, without Gatepost's own verifier.
    fn verified(pool: &Pool, token: &str) -> Value {
        let key_id = part(token, 0)["kid"].clone();
        let jwks = pool.jwks();
        let keys = jwks["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == key_id).unwrap();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        RsaPublicKeyComponents {
            n: number("n"),
            e: number("e"),
        }
        .verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).unwrap(),
        )
        .unwrap();
        part(token, 1)
    }

    #[test]
    fn tokens_have_the_claims_of_cognito_and_verify_with_the_published_keys() {
        let pool = Pool::generate("http://127.0.0.1:7408").unwrap();
        let now = UnixTime(1_790_000_000);
        let [ada, _bob] = &USERS;
        let tokens = pool.user_tokens(ada, now).unwrap();

        let access = verified(&pool, tokens.access.expose());
        assert_eq!(access["iss"], "http://127.0.0.1:7408/us-east-1_GatepostD");
        assert_eq!(access["token_use"], "access");
        assert_eq!(access["cognito:groups"], json!(["admins", "readers"]));
        assert_eq!(access["exp"], 1_790_003_600);
        assert!(access.get("aud").is_none(), "an access token has no aud");

        let id = verified(&pool, tokens.id.expose());
        assert_eq!(id["aud"], "dev-app");
        assert_eq!(id["sub"], access["sub"]);
        assert!(
            id.get("client_id").is_none(),
            "an ID token has no client_id"
        );
        assert_ne!(
            part(tokens.id.expose(), 0)["kid"],
            part(tokens.access.expose(), 0)["kid"],
            "ID tokens have a key of their own"
        );

        let service = pool.service_token(&SERVICE, "orders/read", now).unwrap();
        let service = verified(&pool, service.expose());
        assert_eq!(service["sub"], service["client_id"]);
        assert!(service.get("username").is_none());
    }
}
