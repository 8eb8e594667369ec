//! Upstreams, credential sources and egress targets.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use url::Url;

use super::super::error::KeyPath;
use super::super::forms::Form as _;
use super::super::raw::{self, Part};
use super::super::{
    ClientAuthMethod, ClientCredentials, CredentialKind, CredentialSource, EgressTarget, Upstream,
    is_guarded,
};
use super::{Known, Resolver};

impl Resolver<'_> {
    pub(super) fn upstreams(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Upstream>>,
    ) -> Vec<Upstream> {
        let mut upstreams = Vec::with_capacity(raw.len());
        for name in self.names.upstreams.clone() {
            let path = KeyPath::of(&["upstreams", &name]);
            let Some(raw) = raw.remove(&name).and_then(|part| self.part(part, &path)) else {
                continue;
            };
            let server = self.server(raw.server, &path);
            if !server.is_guarded() {
                self.warn(
                    &path.key("url"),
                    "plain http:// to another host: whoever is on the way can read and change requests",
                );
            }
            upstreams.push(Upstream {
                name: Arc::from(name),
                server,
            });
        }
        upstreams
    }

    pub(super) fn credentials(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Credential>>,
    ) -> Vec<CredentialSource> {
        let mut sources = Vec::with_capacity(raw.len());
        for name in self.names.credentials.clone() {
            let path = KeyPath::of(&["credentials", &name]);
            let Some(raw) = raw.remove(&name).and_then(|part| self.part(part, &path)) else {
                continue;
            };
            let kind = match raw {
                raw::Credential::ClientCredentials(raw) => self
                    .client_credentials(*raw, &path)
                    .map(CredentialKind::ClientCredentials),
                raw::Credential::StaticToken(raw) => self
                    .secret(&raw.token, &path.key("token"))
                    .map(|(token, _)| CredentialKind::StaticToken { token }),
                raw::Credential::ApiKey(raw) => {
                    self.framing(&raw.header.0, &path.key("header"));
                    let value = self.secret(&raw.value, &path.key("value"));
                    value.map(|(value, _)| CredentialKind::ApiKey {
                        header: raw.header.0,
                        scheme: raw.scheme.map(|scheme| scheme.0.0),
                        value,
                    })
                }
                raw::Credential::PassThrough(raw::PassThrough {}) => {
                    Some(CredentialKind::PassThrough)
                }
            };
            sources.extend(kind.map(|kind| CredentialSource {
                name: Arc::from(name),
                kind,
            }));
        }
        sources
    }

    fn client_credentials(
        &mut self,
        raw: raw::ClientCredentials,
        path: &KeyPath,
    ) -> Option<ClientCredentials> {
        let secret = self.secret(&raw.client_secret, &path.key("client_secret"));
        let token_url = self.token_url(&raw, path)?;
        self.guarded(
            is_guarded(&token_url),
            raw.insecure_http,
            &path.key("token_url"),
        );
        let auth_method = match raw.auth_method {
            Some(raw::AuthMethod::ClientSecretPost) => ClientAuthMethod::ClientSecretPost,
            None if raw.domain.is_some() || wants_post(&token_url) => {
                ClientAuthMethod::ClientSecretPost
            }
            Some(raw::AuthMethod::ClientSecretBasic) | None => ClientAuthMethod::ClientSecretBasic,
        };
        Some(ClientCredentials {
            token_url,
            client_id: raw.client_id.0.0,
            client_secret: secret?.0,
            auth_method,
            scopes: raw::texts(&raw.scopes),
            audience: raw.audience.map(|text| text.0.0),
            resource: raw.resource.map(|text| text.0.0),
            refresh_before: raw.refresh_before.map(|time| time.0.0),
            max_reuse: raw.max_reuse.map(|time| time.0.0),
            insecure_http: raw.insecure_http,
        })
    }

    fn token_url(&mut self, raw: &raw::ClientCredentials, path: &KeyPath) -> Option<Url> {
        let (url, at) = match (&raw.token_url, &raw.domain) {
            (Some(url), None) => {
                if raw.region.is_some() {
                    self.mistakes.push(
                        &path.key("region"),
                        "a region belongs to a Cognito domain prefix",
                        "remove region",
                    );
                }
                return Some(url.0.clone());
            }
            (None, Some(domain)) => {
                let domain = &domain.0.0;
                let host = match (&raw.region, domain.contains('.')) {
                    (Some(region), false) => {
                        format!("{domain}.auth.{}.amazoncognito.com", region.0.0)
                    }
                    (None, true) => domain.clone(),
                    (Some(region), true) => {
                        if domain.ends_with(".amazoncognito.com")
                            && !domain.contains(&format!(".auth.{}.", region.0.0))
                        {
                            self.mistakes.push(
                                &path.key("region"),
                                format!("{domain} is not in {}", region.0.0),
                                "remove region: it follows from domain",
                            );
                        }
                        domain.clone()
                    }
                    (None, false) => {
                        self.mistakes.push(
                            &path.key("region"),
                            "missing: a Cognito domain prefix needs its region",
                            "write region = \"us-east-1\", or the whole host as domain",
                        );
                        return None;
                    }
                };
                (format!("https://{host}/oauth2/token"), path.key("domain"))
            }
            (None, None) => {
                if !self.mistakes.settled.contains(&path.key("token_url")) {
                    self.mistakes.push(
                        path,
                        "there is no token endpoint",
                        "write token_url = \"https://…\", or domain (and region) for Cognito",
                    );
                }
                return None;
            }
            (Some(_), Some(_)) => {
                self.mistakes.push(
                    &path.key("domain"),
                    "token_url and domain name two token endpoints",
                    "keep one of them",
                );
                return None;
            }
        };
        match Url::read(&url) {
            Ok(url) => Some(url),
            Err(message) => {
                self.mistakes.push(&at, message, "write token_url instead");
                None
            }
        }
    }

    pub(super) fn egress_targets(
        &mut self,
        raw: Vec<Part<raw::EgressTarget>>,
    ) -> Vec<EgressTarget> {
        let mut names = HashSet::new();
        let mut targets = Vec::with_capacity(raw.len());
        for (index, part) in raw.into_iter().enumerate() {
            let path = KeyPath::of(&["egress_targets"]).index(index);
            let Some(raw) = self.part(part, &path) else {
                continue;
            };
            let name = raw.name.0.0;
            let label = name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !label || name.len() > 63 || name.starts_with('-') || name.ends_with('-') {
                self.mistakes.push(
                    &path.key("name"),
                    format!("{name:?} cannot stand in a path and a host name"),
                    "use lower-case letters, digits and `-`",
                );
            }
            if !names.insert(name.clone()) {
                self.mistakes.push(
                    &path.key("name"),
                    format!("another target is named {name:?} too"),
                    "give each target its own name",
                );
            }
            let server = self.server(raw.server, &path);
            self.guarded(server.is_guarded(), raw.insecure_http, &path.key("url"));
            let at = path.key("credential");
            let credentials = raw.credential.list();
            for (number, credential) in credentials.iter().enumerate() {
                let at = match &raw.credential {
                    raw::OneOrMany::One(_) => at.clone(),
                    raw::OneOrMany::Many(_) => at.index(number),
                };
                self.declared("credentials", Known::Credential, credential, &at);
            }
            targets.push(EgressTarget {
                name: Arc::from(name),
                server,
                credentials: credentials.into_iter().map(Arc::from).collect(),
                forward_user: raw.forward_user,
            });
        }
        targets
    }
}

/// Cognito and Entra take the secret in the body; RFC 6749 2.3.1 prefers Basic for the others.
fn wants_post(token_url: &Url) -> bool {
    token_url.host_str().is_some_and(|host| {
        host.ends_with(".amazoncognito.com")
            || matches!(
                host,
                "login.microsoftonline.com"
                    | "login.microsoftonline.us"
                    | "login.partner.microsoftonline.cn"
                    | "login.windows.net"
            )
    })
}
