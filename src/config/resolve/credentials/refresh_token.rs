//! `kind = "refresh_token"`

use super::super::super::RefreshToken;
use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::Resolver;
use crate::secret::SecretSource;

impl Resolver<'_> {
    pub(super) fn refresh_token(
        &mut self,
        raw: raw::RefreshToken,
        path: &KeyPath,
    ) -> Option<RefreshToken> {
        let token_url = self.token_url(&raw.client, path);
        let client = self.oauth_client(raw.client, token_url, path);
        let (refresh_token, _) = self.secret(&raw.refresh_token, &path.key("refresh_token"))?;
        if let (Some(state), SecretSource::File(source)) = (&raw.state_file, &refresh_token)
            && state == source
        {
            self.mistakes.push(
                &path.key("state_file"),
                "this file holds the refresh token to begin with",
                "name another file, in a directory that is this process's own",
            );
        }
        Some(RefreshToken {
            client: client?,
            refresh_token,
            state_file: raw.state_file,
            scopes: raw::texts(&raw.scopes),
            resources: raw.resource.map(|one| one.list()).unwrap_or_default(),
            freshness: raw.freshness.into(),
        })
    }
}
