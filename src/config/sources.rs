//! What the configuration is read from: one file and the environment, read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors};
use crate::clock::{Clock as _, SystemClock, UnixTime};

/// Where a file is looked for when none is named.
const DEFAULT_FILES: [&str; 2] = ["./gatepost.toml", "/etc/gatepost/gatepost.toml"];

/// A file, if any, and the environment.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; `None` for environment only.
    pub file: Option<SourceFile>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// When they were read: certificates are judged by it.
    pub now: UnixTime,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the environment holds secrets
        f.debug_struct("Sources")
            .field("file", &self.file.as_ref().map(|file| &file.name))
            .finish_non_exhaustive()
    }
}

/// A configuration file.
#[derive(Clone)]
pub struct SourceFile {
    /// What it is called in errors.
    pub name: String,
    /// Where it is; `None` for one compiled in.
    pub path: Option<PathBuf>,
    /// Its TOML.
    pub text: String,
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// Reads the named file, else `./gatepost.toml`, else `/etc/gatepost/gatepost.toml`, else none;
    /// and the process's environment. A file that is there and cannot be read is an error.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let found = path.or_else(|| {
            DEFAULT_FILES
                .iter()
                .map(Path::new)
                // a broken link or a folder we may not enter is an error, not "no file"
                .find(|path| path.symlink_metadata().is_ok())
        });
        let fix = "name a readable file: gatepost … --config FILE";
        let file = found.map(|path| SourceFile::read(path, fix)).transpose()?;
        Ok(Self {
            file,
            environment,
            now: SystemClock.now(),
        })
    }
}

impl SourceFile {
    /// Reads a file. One that cannot be read is an error, with this fix.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of configuration and case files"
    )]
    pub fn read(path: &Path, fix: &str) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self {
                name,
                path: Some(path.to_owned()),
                text,
            }),
            Err(error) => Err(ConfigErrors(vec![ConfigError {
                file: Some(name),
                variable: None,
                line: None,
                column: None,
                key: String::new(),
                message: format!("cannot read it: {error}"),
                fix: fix.to_owned(),
            }])),
        }
    }
}
