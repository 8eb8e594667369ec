//! PostgreSQL.

use std::io;
use std::time::Duration;

use futures_util::stream::BoxStream;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgTypeInfo, PgTypeKind};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _,
};
use uuid::Uuid;

use super::Values;
use super::connection::{Engine, NoText, ask};
use super::mysql::authorities;
use crate::client::tls::Trust;
use crate::config::sql::{self, Query};
use crate::gate::Boxed;

pub(super) struct Postgres(PgConnectOptions);

impl Postgres {
    pub(super) fn new(config: &sql::Database, trust: &Trust) -> io::Result<Self> {
        let options: PgConnectOptions =
            config.url.expose().parse().map_err(|_error: sqlx::Error| {
                io::Error::other("the URL of the database cannot be used")
            })?;
        // PgBouncer refuses what it does not know of a start, and no float is read
        let mut options = options.disable_statement_logging().extra_float_digits(None);
        if let Some(pem) = authorities(config, trust) {
            options = options.ssl_root_cert_from_pem(pem);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("gatepost");
        }
        Ok(Self(options))
    }
}

impl Engine for Postgres {
    type Connection = PgConnection;
    type Row = PgRow;

    const LIFETIME: Duration = Duration::from_secs(30 * 60);

    fn connect(&self) -> Boxed<'_, Result<PgConnection, sqlx::Error>> {
        Box::pin(self.0.connect())
    }

    /// Settings of the transaction only: a pooler between us and the database hands its connection to
    /// others after it. Notices are nobody's here.
    fn begin(connection: &mut PgConnection, left: Duration) -> Boxed<'_, Result<(), sqlx::Error>> {
        let left = left.as_millis().max(1);
        Box::pin(async move {
            let begin = format!(
                "BEGIN READ ONLY; SET LOCAL statement_timeout = {left}; \
                 SET LOCAL client_min_messages = error"
            );
            connection.execute(AssertSqlSafe(begin)).await.map(drop)
        })
    }

    fn execute<'c>(
        connection: &'c mut PgConnection,
        statement: &'static str,
    ) -> Boxed<'c, Result<(), sqlx::Error>> {
        Box::pin(async move { connection.execute(statement).await.map(drop) })
    }

    fn rows<'c>(
        connection: &'c mut PgConnection,
        query: &Query,
        values: &Values,
        kept: bool,
    ) -> BoxStream<'c, Result<PgRow, sqlx::Error>> {
        ask::<sqlx::Postgres>(connection, query, values, kept)
    }

    fn width(row: &PgRow) -> usize {
        row.len()
    }

    fn text(row: &PgRow) -> Result<Option<String>, NoText> {
        let value = row.try_get_raw(0).map_err(|_error| NoText::Encoding)?;
        if value.is_null() {
            return Ok(None);
        }
        let kind = value.type_info().into_owned();
        let bytes = value.as_bytes().map_err(|_error| NoText::Encoding)?;
        match Kind::of(&kind) {
            Some(Kind::Text) => utf8(bytes).map(Some),
            // padded with blanks that are not part of it: its cast to text is without them
            Some(Kind::Padded) => Ok(Some(utf8(bytes)?.trim_end_matches(' ').to_owned())),
            Some(Kind::Uuid) => {
                let uuid = Uuid::from_slice(bytes).map_err(|_error| NoText::Encoding)?;
                Ok(Some(uuid.hyphenated().to_string()))
            }
            None => Err(NoText::Type(kind.name().to_owned())),
        }
    }
}

/// Types whose values are names.
enum Kind {
    Text,
    Padded,
    Uuid,
}

impl Kind {
    fn of(info: &PgTypeInfo) -> Option<Self> {
        if let PgTypeKind::Enum(_) = info.kind() {
            return Some(Self::Text);
        }
        if let PgTypeKind::Domain(of) = info.kind() {
            return Self::of(of);
        }
        match info.name() {
            "TEXT" | "VARCHAR" | "NAME" | "UNKNOWN" => Some(Self::Text),
            "CHAR" => Some(Self::Padded),
            "UUID" => Some(Self::Uuid),
            other if other.eq_ignore_ascii_case("citext") => Some(Self::Text),
            _other => None,
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, NoText> {
    String::from_utf8(bytes.to_vec()).map_err(|_error| NoText::Encoding)
}
