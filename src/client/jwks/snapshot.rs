//! The last good key set of an issuer on disk, for a restart during an outage. Blocking: called
//! off the async workers.
//!
//! A snapshot decides whom we believe, so it is read only where nobody else can have written it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authn::KeySet;
use crate::client::jwks::source::{Definition, MAX_DOCUMENT_BYTES};
use crate::clock::UnixTime;

const FORMAT: u32 = 1;
/// RFC 7517 4 and RFC 7518 6: what a verifier needs, and Entra's `issuer`.
const PUBLIC_MEMBERS: [&str; 11] = [
    "kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y", "issuer",
];
/// RFC 7518 6.2.2, 6.3.2, 6.4: a key that has one of these is not public.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why there is no snapshot to use, or none was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(&'static str),
}

use self::SnapshotError::Refused;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    format: u32,
    issuer: String,
    url: String,
    fetched_at: u64,
    keys: Vec<Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
struct JwkSet {
    keys: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// Where one issuer's snapshot is kept.
#[derive(Clone, Debug)]
pub(super) struct SnapshotFile {
    folder: PathBuf,
    path: PathBuf,
    definition: Definition,
    url: String,
}

impl SnapshotFile {
    /// `None` without `snapshot_dir`, and for keys that are on this machine anyway.
    pub(super) fn new(definition: &Definition) -> Option<Self> {
        let folder = definition.policy.snapshot_dir.clone()?;
        let url = definition.url()?.to_string();
        let mut named = digest::Context::new(&digest::SHA256);
        named.update(definition.name.as_bytes());
        named.update(b"\0");
        named.update(url.as_bytes());
        let name = URL_SAFE_NO_PAD.encode(named.finish());
        Some(Self {
            path: folder.join(format!("jwks-{name}.json")),
            folder,
            definition: definition.clone(),
            url,
        })
    }

    /// Writes the public members of the usable keys in `json`, which gave `fingerprint`.
    pub(super) fn save(
        &self,
        json: &[u8],
        fingerprint: u64,
        fetched_at: UnixTime,
    ) -> Result<(), SnapshotError> {
        let keys = public_keys(json)?;
        let set = self.parse(keys)?;
        if set.1.fingerprint != fingerprint {
            return Err(Refused("the public members alone are another key set"));
        }
        let snapshot = Snapshot {
            format: FORMAT,
            issuer: self.definition.name.to_string(),
            url: self.url.clone(),
            fetched_at: fetched_at.0,
            keys: set.0,
        };
        let text = serde_json::to_vec(&snapshot).map_err(io::Error::other)?;
        if !self.folder.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.folder)?;
        }
        let (temporary, mut file) = self.judge_folder()?;
        let written = file
            .write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        if written.is_err() {
            remove(&temporary);
        }
        Ok(written?)
    }

    /// Reads it back, if it is ours, whole, of this issuer and URL, and not too old.
    pub(super) fn load(&self, now: UnixTime) -> Result<(KeySet, UnixTime), SnapshotError> {
        let (temporary, probe) = self.judge_folder()?;
        remove(&temporary);
        let us = probe.metadata()?.uid();
        let file = std::fs::symlink_metadata(&self.path)?;
        if !file.is_file() {
            return Err(Refused("not a plain file"));
        }
        if file.uid() != us {
            return Err(Refused("the file is another user's"));
        }
        if file.mode() & 0o077 != 0 {
            return Err(Refused("the file is open to group or world"));
        }
        let mut text = Vec::new();
        let longest = MAX_DOCUMENT_BYTES as u64 * 2;
        File::open(&self.path)?
            .take(longest)
            .read_to_end(&mut text)?;
        let snapshot: Snapshot = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if snapshot.format != FORMAT {
            return Err(Refused("another format"));
        }
        if *snapshot.issuer != *self.definition.name || snapshot.url != self.url {
            return Err(Refused("of another issuer or URL"));
        }
        let fetched_at = UnixTime(snapshot.fetched_at);
        if fetched_at > now {
            return Err(Refused("from the future"));
        }
        if now.since(fetched_at) > self.definition.policy.max_stale.as_secs() {
            return Err(Refused("older than max_stale"));
        }
        let (_, set) = self.parse(snapshot.keys)?;
        Ok((set, fetched_at))
    }

    fn parse(
        &self,
        keys: Vec<Map<String, Value>>,
    ) -> Result<(Vec<Map<String, Value>>, KeySet), SnapshotError> {
        let document = JwkSet { keys };
        let json = serde_json::to_vec(&document).map_err(io::Error::other)?;
        let set = self
            .definition
            .parse(&json)
            .map_err(|_source_error| Refused("not a key set"))?;
        Ok((document.keys, set))
    }

    /// Refuses a folder that others could write to. Whether it is ours shows in the owner of a
    /// file made in it; that file is handed on.
    fn judge_folder(&self) -> Result<(PathBuf, File), SnapshotError> {
        let folder = std::fs::metadata(&self.folder)?;
        if !folder.is_dir() {
            return Err(Refused("snapshot_dir is not a directory"));
        }
        if folder.mode() & 0o022 != 0 {
            return Err(Refused("snapshot_dir is writable by group or world"));
        }
        let random = RandomState::new().build_hasher().finish();
        let path = self.folder.join(format!(".jwks-{random:016x}.tmp"));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        if file.metadata()?.uid() != folder.uid() {
            remove(&path);
            return Err(Refused("snapshot_dir is another user's"));
        }
        Ok((path, file))
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "a temporary file stays");
    }
}

/// Keys without private members, cut down to the public ones.
fn public_keys(json: &[u8]) -> Result<Vec<Map<String, Value>>, SnapshotError> {
    let published: Published = serde_json::from_slice(json).map_err(io::Error::other)?;
    let keys = published.keys.into_iter().filter_map(|key| match key {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    });
    Ok(keys
        .filter(|members| {
            !PRIVATE_MEMBERS
                .iter()
                .any(|name| members.contains_key(*name))
        })
        .map(|mut members| {
            members.retain(|name, _| PUBLIC_MEMBERS.contains(&name.as_str()));
            members
        })
        .collect())
}
