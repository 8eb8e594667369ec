//! SQLite, in this process.

use std::io;
use std::time::Duration;

use futures_util::stream::BoxStream;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _};
use tokio::time::Instant;

use super::Values;
use super::connection::{Engine, NoText, ask};
use crate::config::sql::{self, Query};
use crate::gate::Boxed;

/// Instructions of its machine between two looks at the clock: a few µs.
const LOOK_EVERY: i32 = 1000;

pub(super) struct Sqlite(SqliteConnectOptions);

impl Sqlite {
    pub(super) fn new(config: &sql::Database) -> io::Result<Self> {
        let options: SqliteConnectOptions =
            config.url.expose().parse().map_err(|_error: sqlx::Error| {
                io::Error::other("the URL of the database cannot be used")
            })?;
        Ok(Self(
            options
                .disable_statement_logging()
                .read_only(true)
                .create_if_missing(false)
                .thread_name(|number| format!("sqlite-{number}")),
        ))
    }
}

impl Engine for Sqlite {
    type Connection = SqliteConnection;
    type Row = SqliteRow;

    /// A file that was put in the place of another is seen after that long.
    const LIFETIME: Duration = Duration::from_secs(10);

    fn connect(&self) -> Boxed<'_, Result<SqliteConnection, sqlx::Error>> {
        Box::pin(self.0.connect())
    }

    /// A query runs on a thread that nobody can end from outside: it ends itself.
    fn begin(
        connection: &mut SqliteConnection,
        left: Duration,
    ) -> Boxed<'_, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let end = Instant::now() + left;
            let mut handle = connection.lock_handle().await?;
            handle.set_progress_handler(LOOK_EVERY, move || Instant::now() < end);
            drop(handle);
            connection.execute("BEGIN").await.map(drop)
        })
    }

    fn execute<'c>(
        connection: &'c mut SqliteConnection,
        statement: &'static str,
    ) -> Boxed<'c, Result<(), sqlx::Error>> {
        Box::pin(async move { connection.execute(statement).await.map(drop) })
    }

    fn rows<'c>(
        connection: &'c mut SqliteConnection,
        query: &Query,
        values: &Values,
        kept: bool,
    ) -> BoxStream<'c, Result<SqliteRow, sqlx::Error>> {
        ask::<sqlx::Sqlite>(connection, query, values, kept)
    }

    fn width(row: &SqliteRow) -> usize {
        row.len()
    }

    /// Each value has its own type, whatever the column's.
    fn text(row: &SqliteRow) -> Result<Option<String>, NoText> {
        let value = row.try_get_raw(0).map_err(|_error| NoText::Encoding)?;
        if value.is_null() {
            return Ok(None);
        }
        let kind = value.type_info().into_owned();
        if kind.name() != "TEXT" {
            return Err(NoText::Type(kind.name().to_owned()));
        }
        let text = <String as sqlx::Decode<'_, sqlx::Sqlite>>::decode(value);
        text.map(Some).map_err(|_error| NoText::Encoding)
    }
}
