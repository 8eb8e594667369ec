//! `kind = "introspection"` and `kind = "remote"`: who is asked about tokens, and as whom.

use std::time::Duration;

use http::Method;
use url::Url;

use super::super::error::KeyPath;
use super::super::issuers::{AskedAt, AskedIssuer, HandedOver, KeyLocation, Remote, TokenProtocol};
use super::super::raw;
use super::super::{ClientAuthentication, OAuthClient, PrivateKeyJwt};
use super::Resolver;
use super::kinds::Kind;
use crate::authn::issuer::{Accepted, Answers, ClaimMap, Opaque, Preset};

/// How long an answer is used.
const CACHE: Duration = Duration::from_secs(60);
/// How long a token that is none is not asked about again.
const NEGATIVE_CACHE: Duration = Duration::from_secs(10);
/// Deadline of one question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What any answer is waited for at most.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

impl Resolver<'_> {
    pub(super) fn introspection(
        &mut self,
        raw: &raw::IntrospectionIssuer,
        path: &KeyPath,
    ) -> Option<Kind> {
        let at = match (&raw.introspection_url, &raw.issuer) {
            (Some(url), _) => AskedAt::Url(url.0.clone()),
            (None, Some(issuer)) => {
                let KeyLocation::Discovery { issuer, url } =
                    self.discovery(&issuer.0.0, &path.key("issuer"))?
                else {
                    return None;
                };
                AskedAt::Discovery { issuer, url }
            }
            (None, None) => {
                if !self.mistakes.within(path) {
                    self.mistakes.push(
                        path,
                        "nobody is named who could be asked",
                        "write issuer = \"https://…\", or introspection_url",
                    );
                }
                return None;
            }
        };
        if raw.audiences.is_none() && raw.client_ids.is_none() {
            self.mistakes.push(
                path,
                "whose tokens are meant? Those for every other application would do",
                "write audiences or client_ids; \"any\" says so in words",
            );
        }
        if raw.audiences.is_none() {
            self.warn(
                path,
                "without audiences a token that its client got for another application is taken too",
            );
        }
        if raw.issuer.is_none() {
            self.warn(
                path,
                "without issuer an answer may name any: right if the server knows the tokens of one",
            );
        }
        let issuers = match &raw.issuer {
            Some(issuer) => Accepted::OneOf(vec![issuer.0.0.clone()]),
            None => Accepted::Any,
        };
        let client = self.asking_client(raw, &at, path)?;
        let endpoint = match &at {
            AskedAt::Url(url) | AskedAt::Discovery { url, .. } => url.clone(),
        };
        let protocol = TokenProtocol::Introspection {
            client: Box::new(client),
            at,
        };
        let accepted = (raw.audiences.as_ref(), raw.client_ids.as_ref());
        let kind = self.opaque(
            protocol,
            &endpoint,
            (Answers::Introspection, ClaimMap::introspection(), issuers),
            accepted,
            &raw.asked,
            path,
        );
        self.no_keys(&raw.common, path);
        Some(Kind {
            accepted_iss: raw.issuer.iter().map(|issuer| issuer.0.0.clone()).collect(),
            ..kind
        })
    }

    pub(super) fn remote(&mut self, raw: &raw::RemoteIssuer, path: &KeyPath) -> Option<Kind> {
        let handed_over = match &raw.token {
            None | Some(raw::HandedOver::Word(raw::AuthorizationHeader::Authorization)) => {
                HandedOver::Authorization
            }
            Some(raw::HandedOver::Body(member)) => match (&member.json, &member.form) {
                (Some(name), None) => HandedOver::Json(name.0.0.clone()),
                (None, Some(name)) => HandedOver::Form(name.0.0.clone()),
                (Some(_), Some(_)) | (None, None) => {
                    if !self.mistakes.within(&path.key("token")) {
                        self.mistakes.push(
                            &path.key("token"),
                            "in one place only",
                            "write { json = \"token\" } or { form = \"token\" }",
                        );
                    }
                    return None;
                }
            },
        };
        let in_body = handed_over != HandedOver::Authorization;
        let usual = if in_body { Method::POST } else { Method::GET };
        let method = raw.method.as_ref().map_or(usual, |method| method.0.clone());
        if ![Method::GET, Method::POST].contains(&method) || (in_body && method == Method::GET) {
            self.mistakes.push(
                &path.key("method"),
                format!("{method} carries no token there"),
                "write \"POST\", or remove method",
            );
        }
        let url = raw.url.0.clone();
        let protocol = TokenProtocol::Remote(Remote {
            url: url.clone(),
            method,
            handed_over,
        });
        let issuers = match &raw.issuers {
            None => Accepted::OneOf(Vec::new()),
            Some(list) => self.accepted(list, &path.key("issuers")),
        };
        let accepted = (raw.audiences.as_ref(), raw.client_ids.as_ref());
        let kind = self.opaque(
            protocol,
            &url,
            (Answers::Remote, ClaimMap::remote(), issuers),
            accepted,
            &raw.asked,
            path,
        );
        self.no_keys(&raw.common, path);
        Some(kind)
    }

    fn opaque(
        &mut self,
        protocol: TokenProtocol,
        endpoint: &Url,
        (answers, claims, issuers): (Answers, ClaimMap, Accepted),
        (audiences, client_ids): (Option<&raw::ListOrAny>, Option<&raw::ListOrAny>),
        asked: &raw::Asked,
        path: &KeyPath,
    ) -> Kind {
        let mut accepted = |list: Option<&raw::ListOrAny>, key: &str| -> Option<Accepted> {
            list.map(|list| self.accepted(list, &path.key(key)))
        };
        let audiences = accepted(audiences, "audiences");
        let client_ids = accepted(client_ids, "client_ids");
        let cache = asked.cache.as_ref().map_or(CACHE, |cache| cache.0);
        let negative_cache = asked.negative_cache.as_ref();
        let negative_cache = negative_cache.map_or(NEGATIVE_CACHE, |time| time.0);
        for (key, time) in [("cache", cache), ("negative_cache", negative_cache)] {
            if time.subsec_nanos() != 0 {
                self.mistakes.push(
                    &path.key(key),
                    "whole seconds only",
                    "write \"1s\", or \"0s\" to keep nothing",
                );
            }
        }
        let timeout = asked.timeout.as_ref().map_or(TIMEOUT, |time| time.0.0);
        if timeout > LONGEST_TIMEOUT {
            self.mistakes.push(
                &path.key("timeout"),
                "a request cannot wait for that long",
                "write \"10s\" or less",
            );
        }
        if cache > Duration::from_secs(3600) {
            self.warn(
                &path.key("cache"),
                "a token that is revoked is used for that long",
            );
        }
        Kind {
            accepted_iss: Vec::new(),
            keys: KeyLocation::Asked(Box::new(AskedIssuer {
                protocol,
                cache,
                negative_cache,
                timeout,
            })),
            claims,
            preset: Preset::Opaque(Opaque {
                endpoint: endpoint.to_string(),
                answers,
                issuers,
                audiences,
                client_ids,
                accept_jwt: asked.accept_jwt,
                cache: cache.as_secs(),
            }),
            default_algorithms: &[],
        }
    }

    /// The client that asks, authenticated as at a token endpoint.
    fn asking_client(
        &mut self,
        raw: &raw::IntrospectionIssuer,
        at: &AskedAt,
        path: &KeyPath,
    ) -> Option<OAuthClient> {
        let url = match at {
            AskedAt::Url(url) | AskedAt::Discovery { url, .. } => url.clone(),
        };
        let client = raw::OAuthClient {
            token_url: None,
            domain: None,
            region: None,
            tenant_id: None,
            client_id: raw.client_id.clone(),
            client_secret: raw.client_secret.clone(),
            auth_method: raw.auth_method,
            client_key_file: raw.client_key_file.clone(),
            client_certificate_file: None,
            client_key_id: raw.client_key_id.clone(),
            client_assertion_algorithm: raw.client_assertion_algorithm.clone(),
            client_assertion_audience: raw.client_assertion_audience.clone(),
            client_assertion_file: None,
            client_assertion_aws: None,
            insecure_http: raw.common.insecure_http,
        };
        let authentication = match self.client_authentication(&client, Some(&url), path)? {
            ClientAuthentication::PrivateKeyJwt(key) => {
                let issuer = raw.issuer.as_ref().map(|issuer| issuer.0.0.clone());
                ClientAuthentication::PrivateKeyJwt(PrivateKeyJwt {
                    audience: key.audience.or(issuer),
                    ..key
                })
            }
            other @ (ClientAuthentication::SecretPost(_)
            | ClientAuthentication::SecretBasic(_)
            | ClientAuthentication::Federated(_)
            | ClientAuthentication::None) => other,
        };
        Some(OAuthClient {
            token_url: url,
            client_id: client.client_id.0.0,
            authentication,
            insecure_http: raw.common.insecure_http,
        })
    }

    /// What only makes sense where keys verify a JWT.
    fn no_keys(&mut self, common: &raw::IssuerCommon, path: &KeyPath) {
        for (key, stated) in [
            ("algorithms", common.algorithms.is_some()),
            ("typ", common.typ.is_some()),
            ("required", common.required.is_some()),
        ] {
            if stated {
                self.mistakes.push(
                    &path.key(key),
                    "no signature is verified here: the issuer is asked",
                    format!("remove {key}"),
                );
            }
        }
    }
}
