//! Users in a database.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::users::{Unavailable, Users};
use crate::authn::password::PasswordHash;
use crate::authn::password::hash::Cost;
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config::{BasicUsers, SqlUsers as Definition};
use crate::gate::Boxed;
use crate::store::sql::{Database, Values};

/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Most users of whom it is remembered what was found.
const MOST_FOUND: usize = 10_000;
/// What goes wrong is logged once per this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Users whose hashes are asked for by name.
#[derive(Debug)]
pub(super) struct SqlUsers {
    definition: Definition,
    trust: Trust,
    database: Arc<Database>,
    /// What was found lately, by name: what was verified against something else is verified again.
    found: quick_cache::sync::Cache<String, Arc<PasswordHash>>,
    /// Of the cost of the hash found last.
    nobody: Mutex<(Cost, Arc<PasswordHash>)>,
    complained: Mutex<Option<Instant>>,
}

impl SqlUsers {
    /// Nobody is asked yet, nor connected to. Must be called inside the control runtime.
    pub(super) fn open(
        definition: &Definition,
        trust: &Trust,
        background: &Background,
    ) -> io::Result<Self> {
        let cost = Cost::DEFAULT;
        Ok(Self {
            definition: definition.clone(),
            trust: trust.clone(),
            database: Database::open(&definition.database, trust, background)?,
            found: quick_cache::sync::Cache::new(MOST_FOUND),
            nobody: Mutex::new((cost, Arc::new(PasswordHash::of_nobody(cost)))),
            complained: Mutex::default(),
        })
    }

    async fn ask(&self, user: &str) -> Result<Option<Arc<PasswordHash>>, Unavailable> {
        let values = Values {
            name: Some(user.to_owned()),
            ..Values::default()
        };
        let queries = [self.definition.password.clone()].into();
        let answer = self.database.ask(queries, values, self.definition.timeout);
        let answers = answer.await.map_err(|fault| self.unavailable(fault))?;
        match answers.first().map(Vec::as_slice) {
            None | Some([]) => {
                self.found.remove(user);
                Ok(None)
            }
            Some([stored]) => {
                let hash = PasswordHash::parse(stored).map_err(|_fault| {
                    self.unavailable("what is stored for a user is no hash we know")
                })?;
                self.learn(hash.cost());
                Ok(Some(self.same(user, hash)))
            }
            Some(_several) => Err(self.unavailable("there are several rows for one name")),
        }
    }

    /// What is stored for this user, as the same allocation for as long as it is the same.
    fn same(&self, user: &str, hash: PasswordHash) -> Arc<PasswordHash> {
        if let Some(known) = self.found.get(user).filter(|known| **known == hash) {
            return known;
        }
        let hash = Arc::new(hash);
        self.found.insert(user.to_owned(), Arc::clone(&hash));
        hash
    }

    fn learn(&self, cost: Cost) {
        let mut nobody = self.nobody.lock().unwrap_or_else(PoisonError::into_inner);
        if nobody.0 != cost {
            *nobody = (cost, Arc::new(PasswordHash::of_nobody(cost)));
        }
    }

    fn unavailable(&self, why: impl std::fmt::Display) -> Unavailable {
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL) {
            *complained = Some(Instant::now());
            tracing::warn!("passwords cannot be verified: {why}");
        }
        Unavailable {
            retry_after: RETRY_AFTER,
        }
    }
}

impl Users for SqlUsers {
    fn is_same(&self, config: &BasicUsers, trust: &Trust) -> bool {
        let BasicUsers::Sql(definition) = config else {
            return false;
        };
        self.definition == **definition && self.trust == *trust
    }

    fn find<'u>(
        &'u self,
        user: &'u str,
    ) -> Boxed<'u, Result<Option<Arc<PasswordHash>>, Unavailable>> {
        Box::pin(self.ask(user))
    }

    /// Only the database could tell: a password that was changed there is believed for as long as
    /// `cache` says, or until somebody is asked for anew.
    fn is_current(&self, user: &str, stored: Option<&Arc<PasswordHash>>) -> bool {
        match (self.found.get(user), stored) {
            (Some(now), Some(then)) => Arc::ptr_eq(&now, then) || now == *then,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn nobody(&self) -> Arc<PasswordHash> {
        let nobody = self.nobody.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&nobody.1)
    }
}
