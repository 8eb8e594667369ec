//! The connections to one database.
//!
//! Not sqlx's own pool, which waits out its whole deadline when a connection is refused, returns
//! connections by tasks nobody tracks, and logs errors as they are.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::connection::{Engine, names};
use super::{Fault, Values};
use crate::config::sql::{self, Query};
use crate::gate::Boxed;

/// What [`super::Database`] asks.
pub(super) trait Asked: Send + Sync {
    fn ask<'a>(
        &'a self,
        queries: &'a [Query],
        values: &'a Values,
        deadline: Duration,
    ) -> Boxed<'a, Result<Vec<Vec<String>>, Fault>>;

    /// An ask that began then had no answer in time: closes what is not in use, unless another ask had one
    /// since. Then the database is there, and the question was slow.
    fn timed_out(&self, begun: Instant);
}

pub(super) struct Pool<E: Engine> {
    engine: E,
    keeps_statements: bool,
    /// One for each connection there may be.
    permits: Semaphore,
    /// The one used last comes last.
    idle: Mutex<Vec<Known<E>>>,
    /// When an ask came to its end last.
    answered: Mutex<Option<Instant>>,
}

struct Known<E: Engine> {
    connection: E::Connection,
    opened: Instant,
}

impl<E: Engine> Pool<E> {
    pub(super) fn new(engine: E, config: &sql::Database) -> Self {
        Self {
            engine,
            keeps_statements: config.keeps_statements,
            permits: Semaphore::new(config.max_connections),
            idle: Mutex::default(),
            answered: Mutex::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Known<E>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        let forgotten = std::mem::take(&mut *self.idle());
        drop(forgotten);
    }

    fn known(&self) -> Option<Known<E>> {
        let mut idle = self.idle();
        idle.retain(|known| known.opened.elapsed() < E::LIFETIME);
        idle.pop()
    }

    /// On a connection that was used before, if there is one and it still works; on a new one else.
    async fn answer(
        &self,
        queries: &[Query],
        values: &Values,
        deadline: Duration,
    ) -> Result<Vec<Vec<String>>, Fault> {
        let begun = Instant::now();
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_closed| Fault::Stopped)?;
        let left = || deadline.saturating_sub(begun.elapsed());
        if let Some(mut known) = self.known() {
            // what was idle may have been closed, or nobody may be there any more: one that does not
            // begin in half of what is left is not waited for
            let first = timeout(left() / 2, E::begin(&mut known.connection, left())).await;
            if let Ok(Ok(())) = first {
                match self.read(known, queries, values).await {
                    Err(fault) if fault.is_about_a_kept_statement() => {}
                    answer => return answer,
                }
            }
            // those beside it are as old
            self.forget();
        }
        let fault = |error| Fault::of(error, values);
        let mut new = Known {
            connection: self.engine.connect().await.map_err(fault)?,
            opened: Instant::now(),
        };
        E::begin(&mut new.connection, left()).await.map_err(fault)?;
        self.read(new, queries, values).await
    }

    /// The answers, inside the transaction that was begun. The connection is kept if it is at the end
    /// of its transaction.
    async fn read(
        &self,
        mut known: Known<E>,
        queries: &[Query],
        values: &Values,
    ) -> Result<Vec<Vec<String>>, Fault> {
        let connection = &mut known.connection;
        let mut answers = Ok(Vec::with_capacity(queries.len()));
        for query in queries {
            match (
                names::<E>(connection, query, values, self.keeps_statements).await,
                &mut answers,
            ) {
                (Ok(names), Ok(answers)) => answers.push(names),
                (Err(fault), _) => {
                    answers = Err(fault);
                    break;
                }
                (Ok(_), Err(_)) => break,
            }
        }
        let end = match &answers {
            Ok(_) => "COMMIT",
            Err(Fault::Database { .. }) => "ROLLBACK",
            // the rest of the answer may still be on its way
            Err(Fault::Timeout | Fault::Away(_) | Fault::Answer(_) | Fault::Stopped) => {
                return answers;
            }
        };
        if E::execute(connection, end).await.is_ok() && !is_stale(&answers) {
            *self.answered() = Some(Instant::now());
            self.idle().push(known);
        }
        answers
    }
}

fn is_stale<T>(answers: &Result<T, Fault>) -> bool {
    matches!(answers, Err(fault) if fault.is_about_a_kept_statement())
}

impl<E: Engine> Asked for Pool<E> {
    fn ask<'a>(
        &'a self,
        queries: &'a [Query],
        values: &'a Values,
        deadline: Duration,
    ) -> Boxed<'a, Result<Vec<Vec<String>>, Fault>> {
        Box::pin(self.answer(queries, values, deadline))
    }

    fn timed_out(&self, begun: Instant) {
        let answered = *self.answered();
        if answered.is_none_or(|at| at < begun) {
            self.forget();
        }
    }
}
