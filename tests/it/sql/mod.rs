//! Databases asked as `[memberships.X]` and Basic ask them: real ones, of every kind.

mod answers;
mod faults;
mod pooler;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use gatepost::client::jwks::Background;
use gatepost::client::tls::Trust;
use gatepost::config;
use gatepost::config::sql::{Dialect, OF_A_PRINCIPAL, Query};
use gatepost::secret::Secret;
use gatepost::store::sql::{Database, Fault, Values};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::DEADLINE;
use crate::support::databases::{self, Kind};

/// A database as Gatepost has it open.
struct Open {
    dialect: Dialect,
    database: Arc<Database>,
    _background: Background,
}

impl Open {
    fn of(server: &databases::Database) -> Self {
        Self::at(&server.url(), &config::Client::default())
    }

    fn at(url: &str, client: &config::Client) -> Self {
        let config = config::sql::Database::new(&Secret::new(url.to_owned()), 2).expect(url);
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let trust = Trust::new(client).expect("roots");
        Self {
            dialect: config.dialect,
            database: Database::open(&config, &trust, &background).expect("a database"),
            _background: background,
        }
    }

    async fn ask(&self, query: &str) -> Result<Vec<String>, Fault> {
        self.ask_of(query, "u").await
    }

    async fn ask_of(&self, query: &str, user: &str) -> Result<Vec<String>, Fault> {
        self.ask_within(query, user, DEADLINE).await
    }

    async fn ask_within(
        &self,
        query: &str,
        user: &str,
        deadline: Duration,
    ) -> Result<Vec<String>, Fault> {
        let query = Query::new(query, self.dialect, OF_A_PRINCIPAL).expect(query);
        let values = Values {
            issuer: Some("users".to_owned()),
            user_id: Some(user.to_owned()),
            ..Values::default()
        };
        let answers = self.database.ask([query].into(), values, deadline).await?;
        Ok(answers.into_iter().next().expect("one answer"))
    }
}

const OF_USER: &str = "select name from members where user_id = :user_id order by name";

/// `u` is in `a` and `b`, `v` in `c`.
fn fill(server: &databases::Database) {
    let text = match server.kind {
        Kind::Postgres | Kind::Sqlite => "text",
        Kind::MariaDb => "varchar(500) character set utf8mb4 collate utf8mb4_bin",
    };
    server.execute(&format!(
        "create table members (user_id {text}, name {text}); \
         insert into members values ('u', 'a'), ('u', 'b'), ('v', 'c');"
    ));
}
