//! Memberships as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// One `[memberships.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Memberships {
    /// A TOML file on this machine.
    File(FileMemberships),
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct FileMemberships {
    /// The file: `[[members]]` tables. Read again when it changes.
    pub(in crate::config) file: PathBuf,
    /// Which sets come from it.
    pub(in crate::config) from: Option<MembershipsFrom>,
}

/// `from`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum MembershipsFrom {
    /// All three sets.
    All(OriginWord),
    /// Each by itself; what is left out comes from the store.
    Each(OriginOfEach),
}

/// `"claims" | "store" | "both"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OriginWord {
    Claims,
    Store,
    Both,
}

/// `{ groups, roles, permissions }`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub(in crate::config) struct OriginOfEach {
    /// Of groups.
    pub(in crate::config) groups: Option<OriginWord>,
    /// Of roles.
    pub(in crate::config) roles: Option<OriginWord>,
    /// Of permissions.
    pub(in crate::config) permissions: Option<OriginWord>,
}
