//! Stores of memberships: groups, roles and permissions that are kept outside the credential.

mod file;
mod template;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::authn::membership::{Members, SetsFrom};

pub(super) use self::file::members;
pub use self::template::{Parameter, UrlTemplate};
use super::sql::{self, Database, Query};
use crate::authn::claims::ClaimPath;

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
    /// In the directory of an Entra tenant: groups its tokens have no room for. No table of its own: the issuer
    /// says it.
    Graph(Box<GraphMemberships>),
    /// At a service that answers with JSON.
    Http(Box<HttpMemberships>),
    /// In a database.
    Sql(Box<SqlMemberships>),
}

/// How a store that is somewhere else is asked, and how long what it said is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookUps {
    /// An answer is used that long without asking again.
    pub cache: Duration,
    /// The same for an answer that names nothing.
    pub negative_cache: Duration,
    /// An answer is used that long in all while the store cannot be asked.
    pub max_stale: Duration,
    /// Deadline of one look-up.
    pub timeout: Duration,
    /// Most subjects whose answers are kept.
    pub max_entries: usize,
}

/// `kind = "http"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpMemberships {
    /// Where each subject's are.
    pub url: UrlTemplate,
    /// Name of the credential source of the requests.
    pub credential: Option<Arc<str>>,
    /// Where the groups stand in the answer; `None`: it has none.
    pub groups: Option<ClaimPath>,
    /// Where the roles stand.
    pub roles: Option<ClaimPath>,
    /// Where the permissions stand.
    pub permissions: Option<ClaimPath>,
    /// How it is asked.
    pub look_ups: LookUps,
}

/// `groups_overage = "graph"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphMemberships {
    /// Name of the issuer.
    pub issuer: Arc<str>,
    /// Microsoft Graph, without version or final slash.
    pub url: Url,
    /// Name of the credential source of the requests.
    pub credential: Arc<str>,
    /// How it is asked.
    pub look_ups: LookUps,
}

/// `kind = "sql"`. At least one of the queries is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlMemberships {
    /// The database.
    pub database: Database,
    /// The query for groups; `None`: they are not kept there.
    pub groups: Option<Query>,
    /// The same for roles.
    pub roles: Option<Query>,
    /// The same for permissions.
    pub permissions: Option<Query>,
    /// How it is asked.
    pub look_ups: LookUps,
}

impl SqlMemberships {
    /// The queries that are there: for groups, roles, permissions, in this order.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        let Self {
            groups,
            roles,
            permissions,
            ..
        } = self;
        [groups, roles, permissions].into_iter().flatten()
    }
}

impl MembershipKind {
    /// As in the config.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Graph(_) => "graph",
            Self::Http(_) => "http",
            Self::Sql(_) => "sql",
        }
    }

    /// How it is asked, if it is not on this machine.
    #[must_use]
    pub fn look_ups(&self) -> Option<&LookUps> {
        match self {
            Self::File { .. } => None,
            Self::Graph(graph) => Some(&graph.look_ups),
            Self::Http(http) => Some(&http.look_ups),
            Self::Sql(sql) => Some(&sql.look_ups),
        }
    }

    /// Whether the same user id of two issuers is two users to it.
    #[must_use]
    pub fn tells_issuers_apart(&self) -> bool {
        match self {
            Self::File { .. } | Self::Graph(_) => true,
            Self::Http(http) => http.url.names(Parameter::Issuer),
            Self::Sql(sql) => sql
                .queries()
                .all(|query| query.names(sql::Parameter::Issuer)),
        }
    }
}
