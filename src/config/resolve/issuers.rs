//! Issuers: presets spelled out, keys and algorithms that fit together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use url::Url;

use super::super::error::KeyPath;
use super::super::forms::{Form as _, NonEmpty, Text};
use super::super::raw::{self, ClaimNames, IssuerCommon, List, ListOrAny, OneOrMany, Part};
use super::super::{IssuerConfig, KeyLocation};
use super::Resolver;
use crate::authn::claims::ClaimPath;
use crate::authn::issuer::{Accepted, Algorithm, ClaimMap, Issuer, Preset, TokenUse};
use crate::authn::jwk::KeySetError;
use crate::authn::{KeySet, cognito, entra};

/// Allowed clock difference, in seconds.
const LEEWAY: u64 = 60;

/// What differs between the kinds.
struct Kind {
    accepted_iss: Vec<String>,
    keys: KeyLocation,
    claims: ClaimMap,
    preset: Preset,
    default_algorithms: &'static [Algorithm],
}

impl Resolver<'_> {
    pub(super) fn issuers(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Issuer>>,
    ) -> Vec<IssuerConfig> {
        let names = self.names.issuers.clone();
        let mut resolved = Vec::with_capacity(names.len());
        for name in &names {
            let path = KeyPath::of(&["issuers", name]);
            let Some(part) = raw.remove(name) else {
                continue;
            };
            let Some(raw) = self.part(part, &path) else {
                continue;
            };
            let issuer = match raw {
                raw::Issuer::Cognito(raw) => self
                    .cognito(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, &path)),
                raw::Issuer::Entra(raw) => self
                    .entra(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, &path)),
                raw::Issuer::Oidc(raw) => self
                    .oidc(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, &path)),
                raw::Issuer::Jwt(raw) => self
                    .jwt(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, &path)),
            };
            resolved.extend(issuer);
        }
        resolved
    }

    fn issuer(
        &mut self,
        name: &str,
        kind: Kind,
        common: IssuerCommon,
        path: &KeyPath,
    ) -> Option<IssuerConfig> {
        let algorithms = self.algorithms(&kind, common.algorithms, path)?;
        match &kind.keys {
            KeyLocation::JwksUrl(url) => {
                self.guarded(url, common.insecure_http, &path.key("jwks_url"));
            }
            KeyLocation::Discovery { url, .. } => {
                self.guarded(url, common.insecure_http, &path.key("issuer"));
            }
            KeyLocation::JwksFile(file) => {
                self.key_file(file, &algorithms, KeySet::parse, &path.key("jwks_file"));
            }
            KeyLocation::PublicKeyFile(file) => {
                let at = path.key("public_key_file");
                self.key_file(file, &algorithms, KeySet::from_pem, &at);
            }
            KeyLocation::Secret(_) => {}
        }
        let claims = self.claims(kind.claims, common.claims, path);
        let required_claims = common
            .required_claims
            .iter()
            .map(|(name, values)| (ClaimPath::name(name), values.list()))
            .collect();
        let leeway = common.leeway.map_or(LEEWAY, |leeway| leeway.0.as_secs());
        if leeway > 600 {
            self.warn(
                &path.key("leeway"),
                "tokens live on for long after they expired",
            );
        }
        Some(IssuerConfig {
            issuer: Arc::new(Issuer {
                name: Arc::from(name),
                accepted_iss: kind.accepted_iss,
                algorithms,
                leeway,
                max_token_age: common.max_token_age.map(|age| age.0.0.as_secs()),
                required_claims,
                claims,
                preset: kind.preset,
            }),
            keys: kind.keys,
            required: common.required.unwrap_or(true),
            insecure_http: common.insecure_http,
        })
    }

    fn cognito(&mut self, raw: &raw::CognitoIssuer, path: &KeyPath) -> Option<Kind> {
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

    fn entra(&mut self, raw: &raw::EntraIssuer, path: &KeyPath) -> Option<Kind> {
        let Some(tenant_id) = entra::parse_tenant_id(&raw.tenant_id.0.0) else {
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

    fn oidc(&mut self, raw: &raw::OidcIssuer, path: &KeyPath) -> Option<Kind> {
        let issuer = raw.issuer.0.0.clone();
        let keys = match &raw.jwks_url {
            Some(url) => KeyLocation::JwksUrl(url.0.clone()),
            None => self.discovery(&issuer, &path.key("issuer"))?,
        };
        Some(self.generic(issuer, keys, &raw.audiences, path))
    }

    fn jwt(&mut self, raw: &raw::JwtIssuer, path: &KeyPath) -> Option<Kind> {
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
        let (source, secret) = self.secret(secret, &at)?;
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

    /// Reads a key file once, so that a bad one is found now.
    fn key_file(
        &mut self,
        file: &Path,
        algorithms: &[Algorithm],
        parse: fn(&[u8], &[Algorithm]) -> Result<KeySet, KeySetError>,
        path: &KeyPath,
    ) {
        let Some(content) = self.file(file, path) else {
            return;
        };
        if let Err(error) = parse(&content, algorithms) {
            self.mistakes.push(
                path,
                format!("{}: {error}", file.display()),
                "put keys in it that the issuer's algorithms can use",
            );
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

    fn discovery(&mut self, issuer: &str, path: &KeyPath) -> Option<KeyLocation> {
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

    fn accepted(&mut self, raw: &ListOrAny, path: &KeyPath) -> Accepted {
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

    fn algorithms(
        &mut self,
        kind: &Kind,
        stated: Option<List<Text<Algorithm>>>,
        path: &KeyPath,
    ) -> Option<Vec<Algorithm>> {
        let Some(stated) = stated else {
            return Some(kind.default_algorithms.to_vec());
        };
        let wants_hmac = matches!(kind.keys, KeyLocation::Secret(_));
        let mut algorithms = Vec::new();
        for (index, algorithm) in stated.0.iter().enumerate() {
            if algorithm.0.is_hmac() != wants_hmac {
                let message = if wants_hmac {
                    format!("a secret does not verify {}", algorithm.0.as_str())
                } else {
                    format!(
                        "{} is only for kind = \"jwt\" with a secret",
                        algorithm.0.as_str()
                    )
                };
                self.mistakes.push(
                    &path.key("algorithms").index(index),
                    message,
                    if wants_hmac {
                        "write HS256, HS384 or HS512"
                    } else {
                        "write RS256, ES256, EdDSA or their kin"
                    },
                );
                return None;
            }
            if !algorithms.contains(&algorithm.0) {
                algorithms.push(algorithm.0);
            }
        }
        Some(algorithms)
    }

    fn claims(&mut self, mut map: ClaimMap, names: ClaimNames, path: &KeyPath) -> ClaimMap {
        let path = path.key("claims");
        if let Some(user_id) = &names.user_id {
            let text = user_id.list().join(".");
            let changes = ["email", "upn", "preferred_username", "unique_name"];
            if changes.contains(&text.as_str()) {
                self.warn(
                    &path.key("user_id"),
                    format!("{text} can change hands: it identifies nobody for good"),
                );
            }
        }
        let ClaimNames {
            user_id,
            tenant,
            client_id,
            name,
            email,
            groups,
            roles,
            permissions,
            scopes,
        } = names;
        for (place, stated) in [
            (&mut map.user_id, user_id),
            (&mut map.tenant, tenant),
            (&mut map.client_id, client_id),
            (&mut map.name, name),
            (&mut map.email, email),
            (&mut map.groups, groups),
            (&mut map.roles, roles),
            (&mut map.permissions, permissions),
            (&mut map.scopes, scopes),
        ] {
            let claim = match stated {
                None => continue,
                Some(OneOrMany::One(Text(NonEmpty(name)))) => Some(ClaimPath::name(&name)),
                Some(OneOrMany::Many(path)) => ClaimPath::nested(raw::texts(&path.0)),
            };
            *place = claim.into_iter().collect();
        }
        map
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
