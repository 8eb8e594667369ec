//! Keys of this machine alone. An issuer without any can prove nothing: its cases are errors.

use std::sync::Arc;
use std::time::Duration;

use crate::authn::KeySet;
use crate::cli::offline::local_keys;
use crate::config::{CaseFile, Config, ConfigErrors};
use crate::gate::{Boxed, KeySource, KeysNow, Sought};

/// For each issuer its name and its keys, or why there are none.
#[derive(Debug)]
pub(super) struct LocalKeys(Vec<(Arc<str>, Found)>);

type Found = Result<Arc<KeySet>, String>;

impl LocalKeys {
    /// Reads what the file names and what the issuers' tables name on this machine.
    pub(super) async fn read(config: &Config, file: &CaseFile) -> Result<Self, ConfigErrors> {
        let jwks = match &file.jwks {
            None => None,
            Some(path) => Some(tokio::fs::read(path).await.map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                let fix = "name a readable file, from the folder of this one";
                file.error(None, "jwks", message, fix)
            })?),
        };
        let mut sets = Vec::with_capacity(config.issuers.len());
        for known in &config.issuers {
            let keys = local_keys(known, jwks.as_deref()).await;
            sets.push((Arc::clone(&known.issuer.name), keys.map(Arc::new)));
        }
        Ok(Self(sets))
    }

    /// Each issuer without keys, and why.
    pub(super) fn missing(&self) -> String {
        let missing = self.0.iter().filter_map(|(name, keys)| {
            let why = keys.as_ref().err()?;
            Some(format!("issuer {name:?}: {why}"))
        });
        missing.collect::<Vec<_>>().join("; ")
    }
}

impl KeySource for LocalKeys {
    fn find(&self, issuer: usize) -> KeysNow {
        match self.0.get(issuer) {
            Some((_, Ok(keys))) => KeysNow::Usable(Arc::clone(keys)),
            Some((_, Err(_))) | None => KeysNow::Unavailable {
                retry_after: Duration::ZERO,
            },
        }
    }

    fn seek<'s>(&'s self, issuer: usize, _key_id: &'s str) -> Boxed<'s, Sought> {
        // where there are keys, those are all there are
        let sought = match self.find(issuer) {
            KeysNow::Usable(_) => Sought::Absent,
            KeysNow::Unavailable { retry_after } => Sought::Unknown { retry_after },
        };
        Box::pin(std::future::ready(sought))
    }
}
