//! Where a rotated refresh token outlives the process. Blocking: called off the async workers.
//!
//! It is as good as a password: written where nobody else can read it, and read only where nobody
//! else can have written it.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Most bytes of a state file.
const LARGEST: u64 = 64 * 1024;

/// What a state file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Which configured refresh token this one descends from.
    pub(super) lineage: String,
    pub(super) refresh_token: Secret,
}

#[derive(Serialize, Deserialize)]
struct Written<'s> {
    #[serde(borrow)]
    lineage: Cow<'s, str>,
    #[serde(borrow)]
    refresh_token: Cow<'s, str>,
}

/// `state_file`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What it holds; `None` if there is none yet. `Err` says what is wrong with it.
    pub(super) fn load(&self) -> Result<Option<State>, String> {
        let path = self.0.display();
        let refused = |why: &str| Err(format!("state_file {path}: {why}"));
        let broken = |error: io::Error| format!("state_file {path}: {error}");
        let facts = match std::fs::symlink_metadata(&self.0) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(broken(error)),
        };
        if !facts.is_file() {
            return refused("not a plain file");
        }
        if facts.uid() != rustix::process::geteuid().as_raw() {
            return refused("the file is another user's");
        }
        if facts.mode() & 0o077 != 0 {
            return refused("the file is open to group or world");
        }
        let mut text = Zeroizing::new(String::new());
        File::open(&self.0)
            .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
            .map_err(broken)?;
        match serde_json::from_str::<Written<'_>>(&text) {
            Ok(written) if !written.refresh_token.is_empty() => Ok(Some(State {
                lineage: written.lineage.into_owned(),
                refresh_token: Secret::new(written.refresh_token.into_owned()),
            })),
            Ok(_) | Err(_) => refused("not what Gatepost wrote: remove it"),
        }
    }

    /// Replaces it whole.
    pub(super) fn save(&self, state: &State) -> io::Result<()> {
        let written = Written {
            lineage: Cow::from(&state.lineage),
            refresh_token: Cow::from(state.refresh_token.expose()),
        };
        let text = Zeroizing::new(serde_json::to_string(&written)?);
        let temporary = self.temporary()?;
        let saved =
            write(&temporary, text.as_bytes()).and_then(|()| std::fs::rename(&temporary, &self.0));
        if saved.is_err() {
            // it may not even be there
            drop(std::fs::remove_file(&temporary));
        }
        saved?;
        // the new name must outlive a crash too
        File::open(self.directory())?.sync_all()
    }

    /// Keeps every other process and source from the file, until the lock is dropped, and finds out
    /// whether it can be written. `Err` says what is in the way.
    pub(super) fn lock(&self) -> Result<Lock, String> {
        let path = self.0.display();
        let unwritable = |error: io::Error| {
            let directory = self.directory().display();
            format!("state_file {path}: {error}: {directory} must be this process's to write")
        };
        let mut name = self.0.clone().into_os_string();
        name.push(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(name)
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "state_file {path}: in use by another process: each needs a refresh token and \
                     a file of its own"
                ));
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let probe = self.temporary().map_err(unwritable)?;
        write(&probe, b"")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(unwritable)?;
        Ok(Lock {
            file: self.clone(),
            _lock: lock,
        })
    }

    fn directory(&self) -> &Path {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        }
    }

    /// A name beside it that nobody else comes upon: process ids repeat between containers.
    fn temporary(&self) -> io::Result<PathBuf> {
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(io::Error::other)?;
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let random = u64::from_ne_bytes(random);
        Ok(self.0.with_file_name(format!(".{name}.{random:016x}")))
    }
}

/// A state file that is ours alone.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) file: StateFile,
    /// The operating system ends it with the process.
    _lock: File,
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state(token: &str) -> State {
        State {
            lineage: "l".to_owned(),
            refresh_token: Secret::new(token.to_owned()),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_nobody_else_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("state"));
        assert_eq!(file.load(), Ok(None));
        for token in ["one", "t\"w\\o"] {
            file.save(&state(token)).unwrap();
            assert_eq!(file.load(), Ok(Some(state(token))));
            let mode = std::fs::metadata(&file.0).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = StateFile::new(folder.path().join("none/state"));
        assert!(nowhere.save(&state("t")).is_err());
    }

    #[test]
    fn a_state_file_is_one_owners_alone_and_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::new(folder.path().join("state"));
        let lock = file.lock().unwrap();
        let error = file.clone().lock().unwrap_err();
        assert!(error.contains("in use by another process"), "{error}");
        drop(lock);
        drop(file.lock().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let nowhere = StateFile::new(folder.path().join("none/state"));
        let error = nowhere.lock().unwrap_err();
        assert!(
            error.ends_with("must be this process's to write"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_others_may_have_written_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let file = StateFile::new(path.clone());
        file.save(&state("one")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        let error = file.load().unwrap_err();
        assert!(error.ends_with("open to group or world"), "{error}");
        std::fs::rename(&path, folder.path().join("real")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("real"), &path).unwrap();
        assert!(file.load().unwrap_err().ends_with("not a plain file"));
        std::fs::remove_file(&path).unwrap();
        for broken in ["", "one", "{}", r#"{"lineage":"l","refresh_token":""}"#] {
            write(&path, broken.as_bytes()).unwrap();
            let broken_file = file.load().unwrap_err();
            std::fs::remove_file(&path).unwrap();
            assert!(broken_file.contains("remove it"), "{broken}");
        }
    }
}
