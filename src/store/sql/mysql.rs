//! MySQL and MariaDB.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::BoxStream;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{ConnectOptions as _, Executor as _, Row as _, TypeInfo as _, ValueRef as _};

use super::Values;
use super::connection::{Engine, NoText, ask};
use crate::client::tls::Trust;
use crate::config::sql::{self, Query};
use crate::gate::Boxed;

pub(super) struct MySql(MySqlConnectOptions);

impl MySql {
    pub(super) fn new(config: &sql::Database, trust: &Trust) -> io::Result<Self> {
        let options: MySqlConnectOptions =
            config.url.expose().parse().map_err(|_error: sqlx::Error| {
                io::Error::other("the URL of the database cannot be used")
            })?;
        // the server's own dialect is what the queries are written in
        let mut options = options
            .disable_statement_logging()
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None);
        if let Some(pem) = authorities(config, trust) {
            options = options.ssl_ca_from_pem(pem);
        }
        Ok(Self(options))
    }
}

/// `extra_ca_file`, where the URL names no authorities of its own.
pub(super) fn authorities(config: &sql::Database, trust: &Trust) -> Option<Vec<u8>> {
    let extra = trust.extra();
    if config.names_authorities || extra.0.is_empty() {
        return None;
    }
    let mut pem = String::new();
    for certificate in &extra.0 {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Some(pem.into_bytes())
}

impl Engine for MySql {
    type Connection = MySqlConnection;
    type Row = MySqlRow;

    const LIFETIME: Duration = Duration::from_secs(30 * 60);

    fn connect(&self) -> Boxed<'_, Result<MySqlConnection, sqlx::Error>> {
        Box::pin(self.0.connect())
    }

    fn begin(
        connection: &mut MySqlConnection,
        _left: Duration,
    ) -> Boxed<'_, Result<(), sqlx::Error>> {
        Self::execute(connection, "START TRANSACTION READ ONLY")
    }

    fn execute<'c>(
        connection: &'c mut MySqlConnection,
        statement: &'static str,
    ) -> Boxed<'c, Result<(), sqlx::Error>> {
        Box::pin(async move { connection.execute(statement).await.map(drop) })
    }

    fn rows<'c>(
        connection: &'c mut MySqlConnection,
        query: &Query,
        values: &Values,
        kept: bool,
    ) -> BoxStream<'c, Result<MySqlRow, sqlx::Error>> {
        ask::<sqlx::MySql>(connection, query, values, kept)
    }

    fn width(row: &MySqlRow) -> usize {
        row.len()
    }

    fn text(row: &MySqlRow) -> Result<Option<String>, NoText> {
        let value = row.try_get_raw(0).map_err(|_error| NoText::Encoding)?;
        if value.is_null() {
            return Ok(None);
        }
        let kind = value.type_info().into_owned();
        // whatever has a character set: the server sends it as UTF-8
        if !<str as sqlx::Type<sqlx::MySql>>::compatible(&kind) {
            return Err(NoText::Type(kind.name().to_owned()));
        }
        let text = <&str as sqlx::Decode<'_, sqlx::MySql>>::decode(value);
        text.map(|text| Some(text.to_owned()))
            .map_err(|_error| NoText::Encoding)
    }
}
