//! `[basic]`: whose passwords are taken.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::sql::{Database, Query};
use crate::authn::password::UsersFile;
pub use crate::authn::password::attempts::Limits as Lockout;

/// `[basic]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basic {
    /// Where users and their stored passwords are.
    pub users: BasicUsers,
    /// What a 401 asks for (RFC 7617 2).
    pub challenge: HeaderValue,
    /// Threads that hash; `None`: one fewer than cores.
    pub hash_threads: Option<NonZeroUsize>,
    /// So long a right password is believed without a hash.
    pub cache: Duration,
    /// Most of them kept.
    pub max_entries: usize,
    /// When guessing ends.
    pub lockout: Lockout,
}

/// Where users and their stored passwords are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BasicUsers {
    /// `users_file`, read and watched.
    File(Arc<UsersFile>),
    /// `[basic.sql]`: asked for one name at a time.
    Sql(Box<SqlUsers>),
}

/// `[basic.sql]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlUsers {
    /// The database.
    pub database: Database,
    /// What is stored for `:name`: one row, or none.
    pub password: Query,
    /// Deadline of one ask.
    pub timeout: Duration,
}
