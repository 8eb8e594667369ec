//! Issuers: presets spelled out, keys and algorithms that fit together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::forms::{NonEmpty, Text};
use super::super::raw::{self, ClaimNames, IssuerCommon, List, OneOrMany, Part};
use super::super::{AskedAt, IssuerConfig, KeyLocation, TokenProtocol, is_guarded};
use super::Resolver;
use super::kinds::Kind;
use super::mappings::Mappings;
use crate::authn::KeySet;
use crate::authn::claims::ClaimPath;
use crate::authn::issuer::{Algorithm, ClaimMap, Issuer};
use crate::authn::jwk::KeySetError;
use crate::authn::jws::without_application;
use crate::authn::proof::Bound;

/// Allowed clock difference, in seconds.
const LEEWAY: u64 = 60;

impl Resolver<'_> {
    pub(super) fn issuers(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Issuer>>,
        mappings: &Mappings,
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
                raw::Issuer::Alb(raw) => self
                    .alb(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, mappings, &path)),
                raw::Issuer::Cognito(raw) => self.cognito(&raw, &path).and_then(|kind| {
                    let userinfo = self.userinfo(&raw.userinfo, &kind, &raw.common, &path);
                    let issuer = self.issuer(name, kind, raw.common, mappings, &path)?;
                    Some(IssuerConfig { userinfo, ..issuer })
                }),
                raw::Issuer::Introspection(raw) => self
                    .introspection(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, mappings, &path)),
                raw::Issuer::Remote(raw) => self
                    .remote(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, mappings, &path)),
                raw::Issuer::Entra(raw) => {
                    self.graph(name, &raw, &path);
                    self.entra(&raw, &path)
                        .and_then(|kind| self.issuer(name, kind, raw.common, mappings, &path))
                }
                raw::Issuer::Oidc(raw) => self.oidc(&raw, &path).and_then(|kind| {
                    let userinfo = self.userinfo(&raw.userinfo, &kind, &raw.common, &path);
                    let issuer = self.issuer(name, kind, raw.common, mappings, &path)?;
                    Some(IssuerConfig { userinfo, ..issuer })
                }),
                raw::Issuer::Jwt(raw) => self
                    .jwt(&raw, &path)
                    .and_then(|kind| self.issuer(name, kind, raw.common, mappings, &path)),
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
        mappings: &Mappings,
        path: &KeyPath,
    ) -> Option<IssuerConfig> {
        let algorithms = self.algorithms(&kind, common.algorithms, path)?;
        match &kind.keys {
            KeyLocation::JwksUrl(url) => {
                self.guarded(is_guarded(url), common.insecure_http, &path.key("jwks_url"));
            }
            KeyLocation::PemByKeyId(url) => {
                self.guarded(is_guarded(url), common.insecure_http, &path.key("keys_url"));
            }
            KeyLocation::Discovery { url, .. } => {
                self.guarded(is_guarded(url), common.insecure_http, &path.key("issuer"));
            }
            KeyLocation::JwksFile(file) => {
                self.key_file(file, &algorithms, KeySet::parse, &path.key("jwks_file"));
            }
            KeyLocation::PublicKeyFile(file) => {
                let at = path.key("public_key_file");
                self.key_file(file, &algorithms, KeySet::from_pem, &at);
            }
            KeyLocation::Asked(endpoint) => {
                let at = match &endpoint.protocol {
                    TokenProtocol::Remote(_) => "url",
                    TokenProtocol::Introspection {
                        at: AskedAt::Url(_),
                        ..
                    } => "introspection_url",
                    TokenProtocol::Introspection { .. } => "issuer",
                };
                self.guarded(
                    is_guarded(endpoint.url()),
                    common.insecure_http,
                    &path.key(at),
                );
            }
            KeyLocation::Secret(_) => {}
        }
        let claims = self.claims(kind.claims, common.claims, path);
        let required_claims = common
            .required_claims
            .iter()
            .map(|(name, values)| (ClaimPath::name(name), values.list()))
            .collect();
        let mapping = self.named_mapping(mappings, common.mapping.as_ref(), path);
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
                typ: common.typ.as_ref().map_or_else(Vec::new, |list| {
                    let typ = list.0.iter().map(|typ| without_application(&typ.0.0));
                    typ.map(str::to_owned).collect()
                }),
                dpop: bound(common.dpop),
                certificate_bound: bound(common.certificate_bound),
                max_token_age: common.max_token_age.map(|age| age.0.0.as_secs()),
                required_claims,
                claims,
                mapping,
                preset: kind.preset,
            }),
            keys: kind.keys,
            required: common.required.unwrap_or(true),
            insecure_http: common.insecure_http,
            userinfo: None,
        })
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

fn bound(raw: Option<raw::Bound>) -> Bound {
    match raw {
        None | Some(raw::Bound::Refused) => Bound::Refused,
        Some(raw::Bound::Accepted) => Bound::Accepted,
        Some(raw::Bound::Required) => Bound::Required,
    }
}
