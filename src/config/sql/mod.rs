//! Databases and queries: where a database is, and what is asked of it, with values bound by name.

mod query;
mod schema;
mod url;

use std::sync::Arc;

pub use self::query::Unfit;
pub use self::schema::DefaultQueries;
use crate::secret::Secret;

/// A database that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// What it speaks.
    pub dialect: Dialect,
    /// Its URL with user and password. Only parameters that are known stand in it, and what it says of TLS
    /// is stated.
    pub url: Secret,
    /// Whether the URL names a file with the authorities its certificate may be signed by.
    pub names_authorities: bool,
    /// Whether prepared statements outlive an ask (`statement-cache-capacity` is not 0).
    pub keeps_statements: bool,
    /// Whether somebody on the way could be the database, and nobody would notice.
    pub is_exposed: bool,
    /// Most connections at once.
    pub max_connections: usize,
}

/// What a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `postgres://`, `postgresql://`
    Postgres,
    /// `mysql://`, `mariadb://`
    MySql,
    /// `sqlite:`
    Sqlite,
}

/// One `select`, as the database takes it, and what is bound to its placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// With the placeholders of its dialect.
    pub text: Arc<str>,
    /// What is bound to them, in their order.
    pub parameters: Arc<[Parameter]>,
    /// Those of them without which it has no answer: it compares them, and nothing equals `NULL`.
    pub needs: Arc<[Parameter]>,
}

/// What a query may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// `:issuer`
    Issuer,
    /// `:user_id`
    UserId,
    /// `:tenant`
    Tenant,
    /// `:client_id`
    ClientId,
    /// `:name`: of somebody who presents a password
    Name,
}

/// Of whom memberships are asked.
pub const OF_A_PRINCIPAL: &[Parameter] = &[
    Parameter::Issuer,
    Parameter::UserId,
    Parameter::Tenant,
    Parameter::ClientId,
];

impl Database {
    /// A database by its URL. The error never repeats the URL.
    pub fn new(url: &Secret, max_connections: usize) -> Result<Self, Unfit> {
        url::read(url, max_connections)
    }
}

impl Query {
    /// Reads a query that may name these. An error says what is wrong and how to write it.
    pub fn new(text: &str, dialect: Dialect, known: &[Parameter]) -> Result<Self, Unfit> {
        query::read(text, dialect, known)
    }

    /// Whether the query names it.
    #[must_use]
    pub fn names(&self, parameter: Parameter) -> bool {
        self.parameters.contains(&parameter)
    }
}

impl Parameter {
    /// As it is written, without the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::UserId => "user_id",
            Self::Tenant => "tenant",
            Self::ClientId => "client_id",
            Self::Name => "name",
        }
    }
}
