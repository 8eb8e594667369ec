//! `kind = "client_credentials"`

use super::super::super::ClientCredentials;
use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::Resolver;

impl Resolver<'_> {
    pub(super) fn client_credentials(
        &mut self,
        raw: raw::ClientCredentials,
        path: &KeyPath,
    ) -> Option<ClientCredentials> {
        Some(ClientCredentials {
            client: self.oauth_client(raw.client, path)?,
            scopes: raw::texts(&raw.scopes),
            audience: raw.audience.map(|text| text.0.0),
            resource: raw.resource.map(|text| text.0.0),
            freshness: raw.freshness.into(),
        })
    }
}
