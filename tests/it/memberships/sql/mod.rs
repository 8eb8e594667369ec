//! `kind = "sql"`: PostgreSQL, MariaDB, SQLite.

mod everywhere;
mod mistakes;
mod outage;

use std::path::Path;

use crate::support::databases::{Database, Kind};

/// The default schema, in this database.
fn apply_schema(database: &Database) {
    let folder = match database.kind {
        Kind::Postgres => "postgres",
        Kind::MariaDb => "mysql",
        Kind::Sqlite => "sqlite",
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/sql")
        .join(folder)
        .join("0001_memberships.sql");
    let statements = std::fs::read(file).expect("the schema");
    database.execute(&String::from_utf8(statements).expect("a text"));
}

/// `[memberships.main]`, of the database at this URL.
fn store(url: &str, more: &str) -> String {
    format!(
        "[memberships.main]\nkind = \"sql\"\nurl = {{ insecure_literal = \"{url}\" }}\n{more}\n"
    )
}
