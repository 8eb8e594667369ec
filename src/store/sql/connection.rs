//! What one connection to a database does, whichever it is.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use sqlx::database::HasStatementCache;
use sqlx::{AssertSqlSafe, Database, Encode, Executor, IntoArguments, Type};

use super::{Fault, LONGEST_NAME, MOST_NAMES, Values};
use crate::config::sql::Query;
use crate::gate::Boxed;

/// How a database is spoken to.
pub(super) trait Engine: Send + Sync + 'static {
    type Connection: Send + 'static;
    type Row: Send;

    /// How long a connection is used at most.
    const LIFETIME: Duration;

    fn connect(&self) -> Boxed<'_, Result<Self::Connection, sqlx::Error>>;

    /// Begins a transaction that cannot write. What is asked in it ends by itself after `left`, where
    /// the database knows how to.
    fn begin(
        connection: &mut Self::Connection,
        left: Duration,
    ) -> Boxed<'_, Result<(), sqlx::Error>>;

    /// A statement without values or rows.
    fn execute<'c>(
        connection: &'c mut Self::Connection,
        statement: &'static str,
    ) -> Boxed<'c, Result<(), sqlx::Error>>;

    /// Asks. The statement is prepared once if it is `kept`.
    fn rows<'c>(
        connection: &'c mut Self::Connection,
        query: &Query,
        values: &Values,
        kept: bool,
    ) -> BoxStream<'c, Result<Self::Row, sqlx::Error>>;

    /// How many columns there are.
    fn width(row: &Self::Row) -> usize;

    /// The text in the one column; `None` for `NULL`. The error is the column's type.
    fn text(row: &Self::Row) -> Result<Option<String>, NoText>;
}

/// Why a column is no text.
pub(super) enum NoText {
    /// It is of another type.
    Type(String),
    /// It is text that is not UTF-8.
    Encoding,
}

/// The names a query answers with. `NULL` is no name: outer joins answer with it where there is none.
pub(super) async fn names<E: Engine>(
    connection: &mut E::Connection,
    query: &Query,
    values: &Values,
    kept: bool,
) -> Result<Vec<String>, Fault> {
    let mut rows = E::rows(connection, query, values, kept);
    let mut names = Vec::new();
    while let Some(row) = rows
        .try_next()
        .await
        .map_err(|error| Fault::of(error, values))?
    {
        let width = E::width(&row);
        if width != 1 {
            return Err(Fault::answer(format!(
                "the query answers with {width} columns: select the name alone"
            )));
        }
        let Some(name) = E::text(&row).map_err(fault)? else {
            continue;
        };
        if names.len() == MOST_NAMES {
            return Err(Fault::answer("more than 10,000 names"));
        }
        if name.is_empty() {
            return Err(Fault::answer("a name is empty"));
        }
        if name.len() > LONGEST_NAME {
            return Err(Fault::answer("a name is longer than 1 KiB"));
        }
        if name.contains('\0') {
            return Err(Fault::answer("a name holds a NUL"));
        }
        names.push(name);
    }
    Ok(names)
}

fn fault(no_text: NoText) -> Fault {
    match no_text {
        NoText::Type(name) => Fault::answer(format!(
            "the query answers with {name}, not text: cast it to text"
        )),
        NoText::Encoding => Fault::answer("a name is not UTF-8"),
    }
}

/// Asks with what is bound to the query's placeholders. Its text is the operator's, and nothing was ever
/// put into it.
pub(super) fn ask<'c, D>(
    connection: &'c mut D::Connection,
    query: &Query,
    values: &Values,
    kept: bool,
) -> BoxStream<'c, Result<D::Row, sqlx::Error>>
where
    D: Database + HasStatementCache,
    D::Arguments: IntoArguments<D>,
    &'c mut D::Connection: Executor<'c, Database = D>,
    Option<String>: for<'v> Encode<'v, D> + Type<D>,
{
    let text = AssertSqlSafe(std::sync::Arc::clone(&query.text));
    let mut asked = sqlx::query::<D>(text).persistent(kept);
    for parameter in &*query.parameters {
        asked = asked.bind(values.of(*parameter));
    }
    asked.fetch(connection)
}
