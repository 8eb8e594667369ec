//! `kind = "client_credentials"`

use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::super::{ClientAuthentication, ClientCredentials};
use super::super::Resolver;

impl Resolver<'_> {
    pub(super) fn client_credentials(
        &mut self,
        raw: raw::ClientCredentials,
        path: &KeyPath,
    ) -> Option<ClientCredentials> {
        let token_url = self.token_url(&raw.client, path);
        if let Some(token_url) = &token_url {
            self.entra_scopes(&raw, token_url, path);
        }
        let client = self.oauth_client(raw.client, token_url, path)?;
        if client.authentication == ClientAuthentication::None {
            self.mistakes.push(
                &path.key("auth_method"),
                "only a client that authenticates gets a token for itself (RFC 6749 4.4)",
                "write client_secret, client_key_file, client_assertion_file or client_assertion_aws \
                 instead",
            );
        }
        Some(ClientCredentials {
            client,
            scopes: raw::texts(&raw.scopes),
            audience: raw.audience.map(|text| text.0.0),
            resources: raw.resource.map(|one| one.list()).unwrap_or_default(),
            freshness: raw.freshness.into(),
        })
    }
}
