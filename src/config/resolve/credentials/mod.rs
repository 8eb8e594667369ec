//! Credential sources. A kind of more than a few keys has its own file.

mod aws;
mod client;
mod client_auth;
mod client_credentials;
mod entra;
mod refresh_token;
mod token_exchange;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::error::KeyPath;
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
            let kind = match raw {
                raw::Credential::ClientCredentials(raw) => self
                    .client_credentials(*raw, &path)
                    .map(|kind| CredentialKind::ClientCredentials(Box::new(kind))),
                raw::Credential::TokenExchange(raw) => self
                    .token_exchange(*raw, &path)
                    .map(|kind| CredentialKind::TokenExchange(Box::new(kind))),
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
                    self.aws(&raw, &path)
                        .map(|aws| CredentialKind::Aws(Box::new(aws)))
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
        self.actors(&sources);
        sources
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
