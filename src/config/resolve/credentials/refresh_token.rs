//! `kind = "refresh_token"`

use std::collections::HashMap;
use std::path::Path;

use super::super::super::error::KeyPath;
use super::super::super::raw;
use super::super::super::{CredentialKind, CredentialSource, RefreshToken};
use super::super::Resolver;

impl Resolver<'_> {
    pub(super) fn refresh_token(
        &mut self,
        raw: raw::RefreshToken,
        path: &KeyPath,
    ) -> Option<RefreshToken> {
        let token_url = self.token_url(&raw.client, path);
        let client = self.oauth_client(raw.client, token_url, path);
        let (refresh_token, _) = self.secret(&raw.refresh_token, &path.key("refresh_token"))?;
        Some(RefreshToken {
            client: client?,
            refresh_token,
            state_file: raw.state_file,
            scopes: raw::texts(&raw.scopes),
            resources: raw.resource.map(|one| one.list()).unwrap_or_default(),
            freshness: raw.freshness.into(),
        })
    }

    /// A state file is one source's alone, no secret is read from it, and there is a place for it.
    pub(super) fn state_files(&mut self, sources: &[CredentialSource]) {
        let mut owners: HashMap<&Path, &str> = HashMap::new();
        for source in sources {
            let CredentialKind::RefreshToken(definition) = &source.kind else {
                continue;
            };
            let Some(file) = definition.state_file.as_deref() else {
                continue;
            };
            let at = KeyPath::of(&["credentials", &source.name, "state_file"]);
            let directory = file
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            if self.watched.iter().any(|watched| watched == file) {
                self.mistakes.push(
                    &at,
                    "a secret, key or certificate is read from this file",
                    "name another file, in a directory that is this process's own",
                );
            } else if let Some(other) = owners.insert(file, &source.name) {
                self.mistakes.push(
                    &at,
                    format!("{other} keeps its refresh token in this file"),
                    "name a file for each",
                );
            } else if directory.is_some_and(|directory| !directory.is_dir()) {
                self.mistakes.push(
                    &at,
                    "its directory does not exist",
                    "create it as this process's own (mode 0700), or mount a volume there",
                );
            }
        }
    }
}
