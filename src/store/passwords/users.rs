//! Where stored passwords are found.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "sql")]
use super::sql::SqlUsers;
use crate::authn::password::{PasswordHash, UsersFile};
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config::BasicUsers;
use crate::gate::Boxed;

/// Nobody can tell now what is stored.
#[derive(Clone, Copy, Debug)]
pub struct Unavailable {
    /// When to try again.
    pub retry_after: Duration,
}

/// Users and what is stored of their passwords.
pub trait Users: fmt::Debug + Send + Sync {
    /// What is stored for this user; `None`: there is no such user. Runs on the control runtime.
    fn find<'u>(
        &'u self,
        user: &'u str,
    ) -> Boxed<'u, Result<Option<Arc<PasswordHash>>, Unavailable>>;

    /// Whether that is, as far as this process knows, what is stored yet (`None`: no such user). Never
    /// waits; where only asking could tell, yes: it is asked again soon.
    fn is_current(&self, user: &str, stored: Option<&Arc<PasswordHash>>) -> bool;

    /// What is verified for a name that is no user's: of the cost that users' hashes have, so that the
    /// time tells nobody which names there are.
    fn nobody(&self) -> Arc<PasswordHash>;

    /// Whether this config and these roots would make the same: then what it knows is kept.
    fn is_same(&self, _config: &BasicUsers, _trust: &Trust) -> bool {
        false
    }
}

impl dyn Users {
    /// Where the config says users are: `previous`, if it is the same place. Nobody is asked yet. Must be called inside the control runtime.
    #[cfg_attr(
        not(feature = "sql"),
        expect(unused_variables, reason = "databases alone need them")
    )]
    pub fn of(
        config: &BasicUsers,
        trust: &Trust,
        background: &Background,
        previous: Option<&Arc<Self>>,
    ) -> io::Result<Arc<Self>> {
        if let Some(known) = previous.filter(|users| users.is_same(config, trust)) {
            return Ok(Arc::clone(known));
        }
        match config {
            BasicUsers::File(users) => Ok(Arc::new(FileUsers(Arc::clone(users)))),
            #[cfg(feature = "sql")]
            BasicUsers::Sql(sql) => Ok(Arc::new(SqlUsers::open(sql, trust, background)?)),
            // the config says so
            #[cfg(not(feature = "sql"))]
            BasicUsers::Sql(_) => Err(io::Error::other("built without SQL")),
        }
    }
}

/// `users_file`, as the config read it.
#[derive(Clone, Debug)]
pub struct FileUsers(pub Arc<UsersFile>);

impl Users for FileUsers {
    fn find<'u>(
        &'u self,
        user: &'u str,
    ) -> Boxed<'u, Result<Option<Arc<PasswordHash>>, Unavailable>> {
        Box::pin(std::future::ready(Ok(self.0.find(user).cloned())))
    }

    fn is_current(&self, user: &str, stored: Option<&Arc<PasswordHash>>) -> bool {
        match (self.0.find(user), stored) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then) || now == then,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn nobody(&self) -> Arc<PasswordHash> {
        Arc::clone(self.0.nobody())
    }
}
