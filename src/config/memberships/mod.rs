//! Stores of memberships: groups, roles and permissions that are kept outside the credential.

mod file;

use std::path::PathBuf;
use std::sync::Arc;

use crate::authn::membership::{Members, SetsFrom};

pub(super) use self::file::members;

/// `[memberships.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipStore {
    /// Its name.
    pub name: Arc<str>,
    /// Where each set comes from, on a route that names the store.
    pub from: SetsFrom,
    /// Which sets it keeps at all.
    pub keeps: Keeps,
    /// Where it is.
    pub kind: MembershipKind,
}

/// Which sets a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// Groups.
    pub groups: bool,
    /// Roles.
    pub roles: bool,
    /// Permissions.
    pub permissions: bool,
}

impl Keeps {
    /// All of them.
    pub const ALL: Self = Self {
        groups: true,
        roles: true,
        permissions: true,
    };
}

/// Where memberships are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipKind {
    /// In a file, read with the configuration and watched like it.
    File {
        /// The file.
        path: PathBuf,
        /// What it says.
        members: Arc<Members>,
    },
}

impl MembershipKind {
    /// As in the config.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
        }
    }
}
