//! Credential sources. A kind of more than a few keys has its own file.

mod aws;
mod client;
mod client_auth;
mod client_credentials;
mod entra;
mod refresh_token;
mod token_exchange;
mod web_identity_token;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::forms::{NonEmpty, Text};
use super::super::raw::{self, Part};
use super::super::{CredentialKind, CredentialSource};
use super::Resolver;

impl Resolver<'_> {
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
            let mut issuers = Vec::new();
            let kind = match raw {
                raw::Credential::ClientCredentials(raw) => self
                    .client_credentials(*raw, &path)
                    .map(|kind| CredentialKind::ClientCredentials(Box::new(kind))),
                raw::Credential::TokenExchange(raw) => {
                    issuers = self.of_users(&name, raw.issuers.as_ref(), &path);
                    self.token_exchange(*raw, &path)
                        .map(|kind| CredentialKind::TokenExchange(Box::new(kind)))
                }
                raw::Credential::RefreshToken(raw) => self
                    .refresh_token(*raw, &path)
                    .map(|kind| CredentialKind::RefreshToken(Box::new(kind))),
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
                raw::Credential::Basic(raw) => self.basic(raw, &path),
                raw::Credential::Aws(raw) => {
                    self.names.signing.push(name.clone());
                    if raw.identity_pool_id.is_some() {
                        issuers = self.of_users(&name, raw.issuers.as_ref(), &path);
                    } else if raw.issuers.is_some() {
                        self.mistakes.push(
                            &path.key("issuers"),
                            "keys of our own are made from no user's token",
                            "remove issuers, or name an identity_pool_id",
                        );
                    }
                    self.aws(&raw, &path)
                        .map(|aws| CredentialKind::Aws(Box::new(aws)))
                }
                raw::Credential::PassThrough(raw::PassThrough { issuers: stated }) => {
                    issuers = self.of_users(&name, stated.as_ref(), &path);
                    Some(CredentialKind::PassThrough)
                }
            };
            sources.extend(kind.map(|kind| CredentialSource {
                name: Arc::from(name),
                kind,
                issuers,
            }));
        }
        self.actors(&sources);
        self.state_files(&sources);
        sources
    }

    /// Whose users' tokens a source sends. It is one of those that do.
    fn of_users(
        &mut self,
        name: &str,
        stated: Option<&raw::List<Text<NonEmpty>>>,
        path: &KeyPath,
    ) -> Vec<Arc<str>> {
        self.names.of_users.push(name.to_owned());
        let at = path.key("issuers");
        let indices = match (stated, self.names.issuers.len()) {
            (Some(stated), _) => self.stated_issuers(stated, &at),
            (None, 0 | 1) => self
                .names
                .issuers
                .first()
                .map(|_only| 0)
                .into_iter()
                .collect(),
            (None, _several) => {
                let fix = self.name_issuers();
                self.mistakes.push(
                    &at,
                    "missing: with two or more issuers, a source that sends users' tokens says whose",
                    fix,
                );
                Vec::new()
            }
        };
        let named = |at: usize| {
            self.names
                .issuers
                .get(at)
                .map(|name| Arc::from(name.as_str()))
        };
        indices.into_iter().filter_map(named).collect()
    }

    fn basic(&mut self, raw: raw::Basic, path: &KeyPath) -> Option<CredentialKind> {
        let username = raw.username.0.0;
        if username.contains(|c: char| c == ':' || c.is_control()) {
            self.mistakes.push(
                &path.key("username"),
                "a user of HTTP Basic has no `:` and no control characters (RFC 7617 2)",
                "write the user alone, and the password as password = { env = \"NAME\" }",
            );
        }
        let at = path.key("password");
        let (password, text) = self.secret(&raw.password, &at)?;
        if text.is_some_and(|text| text.expose().contains(char::is_control)) {
            self.mistakes.push(
                &at,
                "a password of HTTP Basic has no control characters (RFC 7617 2)",
                "look for a line break within it",
            );
        }
        Some(CredentialKind::Basic { username, password })
    }
}
