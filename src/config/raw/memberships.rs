//! Memberships as written.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{OneOrMany, Secret};
use crate::config::forms::{NonEmpty, Positive, Text};
use crate::config::memberships::UrlTemplate;

/// One `[memberships.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Memberships {
    /// A TOML file on this machine.
    File(FileMemberships),
    /// A service that answers with JSON.
    Http(Box<HttpMemberships>),
    /// A database: PostgreSQL, MySQL, MariaDB, SQLite.
    Sql(Box<SqlMemberships>),
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct FileMemberships {
    /// The file: `[[members]]` tables. Read again when it changes.
    pub(in crate::config) file: PathBuf,
    /// Which sets come from it.
    pub(in crate::config) from: Option<MembershipsFrom>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct HttpMemberships {
    /// `{issuer}`, `{user_id}`, `{tenant}` and `{client_id}` stand for one path segment or query value each.
    pub(in crate::config) url: Text<UrlTemplate>,
    /// Name of a `[credentials.X]` table.
    pub(in crate::config) credential: Option<Text<NonEmpty>>,
    /// Where the groups stand in the answer: a name, or a path into objects.
    pub(in crate::config) groups: Option<OneOrMany>,
    /// The same for roles.
    pub(in crate::config) roles: Option<OneOrMany>,
    /// The same for permissions.
    pub(in crate::config) permissions: Option<OneOrMany>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can put anybody in any group.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
    #[serde(flatten)]
    pub(in crate::config) common: LookUps,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct SqlMemberships {
    /// Where it is, with user and password: `postgres://`, `mysql://`, `mariadb://`, `sqlite:`.
    pub(in crate::config) url: Secret,
    /// One `select` of the names of a user's groups; `:issuer`, `:user_id`, `:tenant` and `:client_id` stand
    /// for values. With none of the three: those of the default schema (`deploy/sql`).
    pub(in crate::config) groups: Option<String>,
    /// The same for roles.
    pub(in crate::config) roles: Option<String>,
    /// The same for permissions.
    pub(in crate::config) permissions: Option<String>,
    /// Most connections of this process.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) max_connections: Option<u16>,
    #[serde(flatten)]
    pub(in crate::config) common: LookUps,
}

/// Keys of every store that is not on this machine.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LookUps {
    /// Which sets come from it.
    pub(in crate::config) from: Option<MembershipsFrom>,
    /// An answer is used that long without asking again.
    pub(in crate::config) cache: Option<Text<Positive>>,
    /// The same for an answer that names nothing.
    pub(in crate::config) negative_cache: Option<Text<Duration>>,
    /// An answer is used that long, in all, while the store cannot be asked.
    pub(in crate::config) max_stale: Option<Text<Duration>>,
    /// Deadline of one look-up.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Most subjects whose answers are kept.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_entries: Option<u32>,
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
