//! The kinds of issuer, each spelled out: accepted `iss`, where the keys are, claims, audience.

use url::Url;

use super::super::error::KeyPath;
use super::super::forms::{Form as _, Text};
use super::super::issuers::KeyLocation;
use super::super::raw::{self, ListOrAny};
use super::Resolver;
use crate::authn::issuer::{Accepted, Algorithm, ClaimMap, Preset, TokenUse};
use crate::authn::{cognito, entra};

/// What differs between the kinds.
pub(super) struct Kind {
    pub(super) accepted_iss: Vec<String>,
    pub(super) keys: KeyLocation,
    pub(super) claims: ClaimMap,
    pub(super) preset: Preset,
    pub(super) default_algorithms: &'static [Algorithm],
}

impl Resolver<'_> {
    pub(super) fn cognito(&mut self, raw: &raw::CognitoIssuer, path: &KeyPath) -> Option<Kind> {
        let Some(pool) = cognito::PoolId::parse(&raw.user_pool_id.0.0) else {
            self.mistakes.push(
                &path.key("user_pool_id"),
                format!("{:?} is not a user pool id", raw.user_pool_id.0.0),
                "write it like \"us-east-1_ABC123DEF\"",
            );
            return None;
        };
        if let Some(region) = raw
            .region
            .as_ref()
            .filter(|region| region.0.0 != pool.region())
        {
            self.mistakes.push(
                &path.key("region"),
                format!("the pool is in {}, not in {}", pool.region(), region.0.0),
                "remove region: it follows from user_pool_id",
            );
        }
        let (accepted_iss, jwks_url) = match &raw.issuer {
            Some(issuer) => (
                vec![issuer.0.0.clone()],
                format!("{}/.well-known/jwks.json", issuer.0.0.trim_end_matches('/')),
            ),
            None => (pool.issuers().to_vec(), pool.jwks_url()),
        };
        let mut token_use: Vec<TokenUse> = Vec::new();
        match &raw.token_use {
            None => token_use.push(TokenUse::Access),
            Some(list) => token_use.extend(list.0.iter().map(|kind| match kind {
                raw::TokenUse::Access => TokenUse::Access,
                raw::TokenUse::Id => TokenUse::Id,
            })),
        }
        Some(Kind {
            accepted_iss,
            keys: self.jwks_url(raw.jwks_url.as_ref(), &jwks_url, &path.key("issuer"))?,
            claims: ClaimMap::cognito(),
            preset: Preset::Cognito {
                client_ids: self.accepted(&raw.client_ids, &path.key("client_ids")),
                audiences: raw
                    .audiences
                    .as_ref()
                    .map(|list| raw::texts(&list.0))
                    .unwrap_or_default(),
                token_use,
            },
            default_algorithms: &[Algorithm::RS256],
        })
    }

    pub(super) fn entra(&mut self, raw: &raw::EntraIssuer, path: &KeyPath) -> Option<Kind> {
        let Some(tenant_id) = entra::parse_guid(&raw.tenant_id.0.0) else {
            self.mistakes.push(
                &path.key("tenant_id"),
                format!("{:?} is not a tenant's GUID", raw.tenant_id.0.0),
                "write it like \"11111111-2222-3333-4444-555555555555\"; `common` would accept every tenant",
            );
            return None;
        };
        let at = path.key("issuer");
        let (accepted_iss, keys) = match (&raw.issuer, &raw.jwks_url) {
            (Some(issuer), None) => (vec![issuer.0.0.clone()], self.discovery(&issuer.0.0, &at)?),
            (Some(issuer), Some(url)) => (
                vec![issuer.0.0.clone()],
                KeyLocation::JwksUrl(url.0.clone()),
            ),
            (None, url) => (
                entra::issuers(&tenant_id).to_vec(),
                self.jwks_url(url.as_ref(), &entra::jwks_url(&tenant_id), &at)?,
            ),
        };
        Some(Kind {
            accepted_iss,
            keys,
            claims: ClaimMap::entra(),
            preset: Preset::Entra {
                tenant_id,
                audiences: self.accepted(&raw.audiences, &path.key("audiences")),
            },
            default_algorithms: &[Algorithm::RS256],
        })
    }

    pub(super) fn oidc(&mut self, raw: &raw::OidcIssuer, path: &KeyPath) -> Option<Kind> {
        let issuer = raw.issuer.0.0.clone();
        let keys = match &raw.jwks_url {
            Some(url) => KeyLocation::JwksUrl(url.0.clone()),
            None => self.discovery(&issuer, &path.key("issuer"))?,
        };
        Some(self.generic(issuer, keys, &raw.audiences, path))
    }

    pub(super) fn jwt(&mut self, raw: &raw::JwtIssuer, path: &KeyPath) -> Option<Kind> {
        let keys = match (
            &raw.jwks_url,
            &raw.jwks_file,
            &raw.public_key_file,
            &raw.secret,
        ) {
            (Some(url), None, None, None) => KeyLocation::JwksUrl(url.0.clone()),
            (None, Some(file), None, None) => KeyLocation::JwksFile(file.clone()),
            (None, None, Some(file), None) => KeyLocation::PublicKeyFile(file.clone()),
            (None, None, None, Some(secret)) => {
                return self.hmac(raw, secret, path);
            }
            several => {
                let given = [
                    several.0.is_some(),
                    several.1.is_some(),
                    several.2.is_some(),
                    several.3.is_some(),
                ];
                let none = !given.contains(&true);
                // a key named wrongly was reported already
                if !(none && self.mistakes.within(path)) {
                    self.mistakes.push(
                        path,
                        if none {
                            "no keys are named"
                        } else {
                            "keys are named twice"
                        },
                        "write exactly one of jwks_url, jwks_file, public_key_file and secret",
                    );
                }
                return None;
            }
        };
        Some(self.generic(raw.issuer.0.0.clone(), keys, &raw.audiences, path))
    }

    fn hmac(&mut self, raw: &raw::JwtIssuer, secret: &raw::Secret, path: &KeyPath) -> Option<Kind> {
        let at = path.key("secret");
        let (source, secret) = self.secret_here(secret, &at)?;
        let algorithms: Vec<Algorithm> = match &raw.common.algorithms {
            Some(list) => list.0.iter().map(|algorithm| algorithm.0).collect(),
            None => vec![Algorithm::HS256],
        };
        let least = algorithms
            .iter()
            .map(|algorithm| hash_bytes(*algorithm))
            .max();
        let least = least.unwrap_or_default();
        if secret.expose().len() < least {
            self.mistakes.push(
                &at,
                format!("the secret is shorter than its hash ({least} bytes)"),
                format!("use {least} random bytes or more, for example: openssl rand -hex {least}"),
            );
        }
        self.warn(
            &at,
            "HMAC: whoever can verify these tokens can forge them; prefer a key pair",
        );
        let mut kind = self.generic(
            raw.issuer.0.0.clone(),
            KeyLocation::Secret(source),
            &raw.audiences,
            path,
        );
        kind.default_algorithms = &[Algorithm::HS256];
        Some(kind)
    }

    fn generic(
        &mut self,
        issuer: String,
        keys: KeyLocation,
        audiences: &ListOrAny,
        path: &KeyPath,
    ) -> Kind {
        Kind {
            accepted_iss: vec![issuer],
            keys,
            claims: ClaimMap::generic(),
            preset: Preset::Generic {
                audiences: self.accepted(audiences, &path.key("audiences")),
            },
            default_algorithms: &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        }
    }

    /// The key set at `stated`, else at `derived`.
    fn jwks_url(
        &mut self,
        stated: Option<&Text<Url>>,
        derived: &str,
        path: &KeyPath,
    ) -> Option<KeyLocation> {
        if let Some(stated) = stated {
            return Some(KeyLocation::JwksUrl(stated.0.clone()));
        }
        self.url(derived, path).map(KeyLocation::JwksUrl)
    }

    pub(super) fn discovery(&mut self, issuer: &str, path: &KeyPath) -> Option<KeyLocation> {
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let url = self.url(&url, path)?;
        Some(KeyLocation::Discovery {
            issuer: issuer.to_owned(),
            url,
        })
    }

    fn url(&mut self, text: &str, path: &KeyPath) -> Option<Url> {
        match Url::read(text) {
            Ok(url) => Some(url),
            Err(message) => {
                self.mistakes.push(
                    path,
                    message,
                    "write the issuer's https:// URL, or add jwks_url",
                );
                None
            }
        }
    }

    pub(super) fn accepted(&mut self, raw: &ListOrAny, path: &KeyPath) -> Accepted {
        match raw {
            ListOrAny::Any(raw::AnyWord::Any) => {
                self.warn(
                    path,
                    "\"any\": tokens issued for other applications are accepted",
                );
                Accepted::Any
            }
            ListOrAny::List(list) => Accepted::OneOf(raw::texts(&list.0)),
        }
    }
}

/// Bytes of an HMAC's hash: the shortest secret it deserves (RFC 7518 3.2).
fn hash_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::ES512
        | Algorithm::EdDSA => 0,
    }
}
