//! `[basic]` as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{Positive, Realm, Text};
use super::Secret;

/// User names and passwords (RFC 7617), for routes whose `auth` names `basic`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Passwords {
    /// Users and their hashes: `name:hash`, one to a line, argon2id or bcrypt. Read again when it changes.
    pub(in crate::config) users_file: Option<PathBuf>,
    /// Users in a database, instead of a file.
    pub(in crate::config) sql: Option<SqlUsers>,
    /// `realm` of the challenge; `errors.realm` if absent.
    pub(in crate::config) realm: Option<Text<Realm>>,
    /// Threads that hash; one fewer than cores if absent.
    #[schemars(range(min = 1, max = 64))]
    pub(in crate::config) hash_threads: Option<u16>,
    /// How long a right password is believed without a hash.
    pub(in crate::config) cache: Option<Text<Positive>>,
    /// Most of them kept.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_entries: Option<u32>,
    /// When guessing ends.
    #[serde(default)]
    pub(in crate::config) lockout: Lockout,
}

/// `[basic.sql]`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct SqlUsers {
    /// Where it is, with user and password: `postgres://`, `mysql://`, `mariadb://`, `sqlite:`.
    pub(in crate::config) url: Secret,
    /// One `select` of the hash of the user `:name`.
    pub(in crate::config) password: String,
    /// Most connections of this process.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) max_connections: Option<u16>,
    /// Deadline of one ask.
    pub(in crate::config) timeout: Option<Text<Positive>>,
}

/// `[basic.lockout]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Lockout {
    /// Wrong passwords for one user from one source until that source is locked out of that user.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) attempts: Option<u32>,
    /// They are counted together for so long.
    pub(in crate::config) window: Option<Text<Positive>>,
    /// So long it is locked out.
    pub(in crate::config) duration: Option<Text<Positive>>,
}
