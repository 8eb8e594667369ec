//! Databases and queries: URLs that can be used, queries that name what there is.

use super::super::error::KeyPath;
use super::super::raw;
use super::super::sql::{Database, Parameter, Query};
use super::Resolver;

/// `max_connections` where none is stated.
const CONNECTIONS: usize = 4;

impl Resolver<'_> {
    /// The database of the table at `path`: its `url` and `max_connections`.
    pub(super) fn database(
        &mut self,
        url: &raw::Secret,
        max_connections: Option<u16>,
        path: &KeyPath,
    ) -> Option<Database> {
        if cfg!(not(feature = "sql")) {
            self.mistakes.push(
                path,
                "this gatepost was built without SQL",
                "use a build with the feature `sql`, or remove the table",
            );
            return None;
        }
        let path = path.key("url");
        let (_source, url) = self.secret_here(url, &path)?;
        let database = match Database::new(&url, max_connections.map_or(CONNECTIONS, usize::from)) {
            Ok(database) => database,
            Err(unfit) => {
                self.mistakes.push(&path, unfit.what, unfit.fix);
                return None;
            }
        };
        if database.is_exposed {
            self.warn(
                &path,
                "nobody verifies that this is the database: whoever is on the way can read the password \
                 and put anybody in any group; sslmode=verify-full (VERIFY_IDENTITY in MySQL) does",
            );
        }
        Some(database)
    }

    /// A query that may name these.
    pub(super) fn query(
        &mut self,
        text: &str,
        database: &Database,
        known: &[Parameter],
        path: &KeyPath,
    ) -> Option<Query> {
        match Query::new(text, database.dialect, known) {
            Ok(query) => Some(query),
            Err(unfit) => {
                self.mistakes.push(path, unfit.what, unfit.fix);
                None
            }
        }
    }
}
