//! Databases: PostgreSQL, MySQL/MariaDB, SQLite.
//!
//! A [`Database`] is opened without connecting. An ask runs to its end on the control runtime, whoever
//! still waits for it, inside one read-only transaction; every answer is a list of names. Values are
//! bound, never written into the statement. What goes wrong is a [`Fault`], whose text holds neither
//! URL nor password nor a bound value.

mod connection;
mod fault;
mod mysql;
mod pool;
mod postgres;
mod sqlite;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

pub use self::fault::Fault;
use self::pool::{Asked, Pool};
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config::sql::{self, Dialect, Parameter, Query};

/// Most names in one answer.
pub const MOST_NAMES: usize = 10_000;
/// Most bytes of a name.
pub const LONGEST_NAME: usize = 1024;

/// A database and its connections.
pub struct Database {
    dialect: Dialect,
    pool: Arc<dyn Asked>,
    background: Background,
    runtime: Handle,
}

/// What is bound to the names of a query; `None` is bound as `NULL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// `:issuer`
    pub issuer: Option<String>,
    /// `:user_id`
    pub user_id: Option<String>,
    /// `:tenant`
    pub tenant: Option<String>,
    /// `:client_id`
    pub client_id: Option<String>,
    /// `:name`
    pub name: Option<String>,
}

impl Values {
    fn of(&self, parameter: Parameter) -> Option<String> {
        match parameter {
            Parameter::Issuer => self.issuer.clone(),
            Parameter::UserId => self.user_id.clone(),
            Parameter::Tenant => self.tenant.clone(),
            Parameter::ClientId => self.client_id.clone(),
            Parameter::Name => self.name.clone(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let Self {
            issuer,
            user_id,
            tenant,
            client_id,
            name,
        } = self;
        let all = [issuer, user_id, tenant, client_id, name];
        all.into_iter().filter_map(Option::as_deref)
    }
}

impl Database {
    /// Nobody is asked yet, nor connected to. Must be called inside the control runtime.
    pub fn open(
        config: &sql::Database,
        trust: &Trust,
        background: &Background,
    ) -> io::Result<Arc<Self>> {
        let pool: Arc<dyn Asked> = match config.dialect {
            Dialect::Postgres => {
                Arc::new(Pool::new(postgres::Postgres::new(config, trust)?, config))
            }
            Dialect::MySql => Arc::new(Pool::new(mysql::MySql::new(config, trust)?, config)),
            Dialect::Sqlite => Arc::new(Pool::new(sqlite::Sqlite::new(config)?, config)),
        };
        Ok(Arc::new(Self {
            dialect: config.dialect,
            pool,
            background: background.clone(),
            runtime: Handle::current(),
        }))
    }

    /// The names each query answers with, in their order, all read in one transaction. `deadline` counts
    /// everything: waiting for a connection, connecting, asking.
    pub async fn ask(
        &self,
        queries: Arc<[Query]>,
        values: Values,
        deadline: Duration,
    ) -> Result<Vec<Vec<String>>, Fault> {
        let (tell, told) = oneshot::channel();
        let pool = Arc::clone(&self.pool);
        let asking = async move {
            let begun = Instant::now();
            let answer = match timeout(deadline, pool.ask(&queries, &values, deadline)).await {
                Ok(answer) => answer,
                Err(_elapsed) => {
                    pool.timed_out(begun);
                    Err(Fault::Timeout)
                }
            };
            // whoever asked may have gone
            drop(tell.send(answer));
        };
        let stop = self.background.stop.clone();
        self.background.tasks.spawn_on(
            async move {
                stop.run_until_cancelled(asking).await;
            },
            &self.runtime,
        );
        told.await.unwrap_or(Err(Fault::Stopped))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
