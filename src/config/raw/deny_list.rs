//! `[deny_list]` as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{NonEmpty, Positive, Text};
use crate::clock::UnixTime;

/// Credentials that must not be taken any more.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct DenyList {
    /// A TOML file of `[[denied]]` tables, read again when it changes.
    pub(in crate::config) file: Option<PathBuf>,
    /// A set in the store of `[redis]`, each member one such table in JSON; `[redis] prefix` stands before it.
    pub(in crate::config) redis_key: Option<Text<NonEmpty>>,
    /// How often the set is read.
    pub(in crate::config) refresh: Option<Text<Positive>>,
    /// How long what was read last holds while Redis is away; then 503.
    pub(in crate::config) max_stale: Option<Text<Positive>>,
}

/// A file of entries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct DeniedFile {
    /// The entries, each read for itself.
    #[serde(default)]
    #[schemars(with = "Vec<Denied>")]
    pub(in crate::config) denied: Vec<serde_json::Value>,
}

/// One entry: exactly one of `jti`, `sub` and `client_id`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Denied {
    /// One token.
    pub(in crate::config) jti: Option<Text<NonEmpty>>,
    /// A user or service: `sub`, or what `X-User-ID` says.
    pub(in crate::config) sub: Option<Text<NonEmpty>>,
    /// All tokens of a client.
    pub(in crate::config) client_id: Option<Text<NonEmpty>>,
    /// Only where this issuer proved it.
    pub(in crate::config) issuer: Option<Text<NonEmpty>>,
    /// Only what was issued before.
    pub(in crate::config) issued_before: Option<Text<UnixTime>>,
    /// Until then.
    pub(in crate::config) until: Option<Text<UnixTime>>,
}
