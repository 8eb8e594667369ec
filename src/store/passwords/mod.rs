//! Passwords of users (`[basic]`): who may try now ([`Guesses`]), what is stored of the user's password
//! ([`Users`]), and whether it matches ([`hashing`]).
//!
//! Whoever asks the same waits for one verification. It runs on the control runtime and ends though
//! nobody waits for it; a wrong password is remembered for a short while, so that who repeats it costs
//! nothing and loses nothing. A name that is no user's is verified against a hash of the usual cost.

mod hashing;
#[cfg(feature = "sql")]
mod sql;
mod users;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use self::hashing::Hashing;
pub use self::users::{FileUsers, Unavailable, Users};
use crate::authn::password::attempts::{Ended, Held};
use crate::authn::password::{PasswordHash, Source, UserPassword};
use crate::client::guesses::{Guess, Guesses};
use crate::client::jwks::Background;
use crate::config;
use crate::gate::{Boxed, PasswordTag, Passwords, Standing};
use crate::reason::{Denial, Failure, Refusal};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::PasswordResult;

/// How long a wrong password is remembered.
const WRONG_FOR: Duration = Duration::from_secs(10);
/// Most wrong ones remembered.
const MOST_WRONG: usize = 4096;
/// When to try again what could not be told.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What came of a verification.
type Verified = Result<Arc<PasswordHash>, Refusal>;

/// Where what came of it is told.
type Answer = watch::Receiver<Option<Verified>>;

/// Passwords of users. Clones share everything.
#[derive(Clone, Debug)]
pub struct PasswordStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    users: Arc<dyn Users>,
    kept: Kept,
    running: Mutex<HashMap<PasswordTag, Answer>>,
    telemetry: Arc<Telemetry>,
    background: Background,
    runtime: Handle,
}

/// What outlives a reload that does not concern it.
#[derive(Clone, Debug)]
struct Kept {
    guesses: Guesses,
    hashing: Arc<Hashing>,
    wrong: Arc<quick_cache::sync::Cache<PasswordTag, Wrong>>,
}

/// A password that was wrong.
#[derive(Clone, Debug)]
struct Wrong {
    user: Arc<str>,
    /// What it was compared with; `None`: there is no such user.
    stored: Option<Arc<PasswordHash>>,
    until: Instant,
}

impl PasswordStore {
    /// Starts what verifies. Counts, threads and wrong passwords of `previous` are kept where the config
    /// says the same of them. Must be called inside a runtime.
    pub fn start(
        config: &config::Basic,
        users: Arc<dyn Users>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> std::io::Result<Self> {
        let previous = previous.map(|old| &old.0.kept);
        let threads = threads(config.hash_threads);
        let hashing = previous
            .map(|old| &old.hashing)
            .filter(|hashing| hashing.threads() == threads)
            .cloned();
        let hashing = match hashing {
            Some(hashing) => hashing,
            None => Arc::new(Hashing::start(threads, telemetry)?),
        };
        let kept = Kept {
            guesses: Guesses::start(
                config.lockout,
                // no source alone fills the line for a thread
                u32::from(hashing::MOST_WAITING) / 4,
                previous.map(|old| &old.guesses),
            ),
            hashing,
            wrong: previous.map_or_else(
                || Arc::new(quick_cache::sync::Cache::new(MOST_WRONG)),
                |old| Arc::clone(&old.wrong),
            ),
        };
        Ok(Self(Arc::new(Inner {
            users,
            kept,
            running: Mutex::default(),
            telemetry: Arc::clone(telemetry),
            background: background.clone(),
            runtime: Handle::current(),
        })))
    }
}

impl PasswordStore {
    /// Where it finds users.
    #[must_use]
    pub fn users(&self) -> &Arc<dyn Users> {
        &self.0.users
    }
}

/// As many as configured, else one fewer than cores.
fn threads(configured: Option<NonZeroUsize>) -> NonZeroUsize {
    configured.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores - 1).unwrap_or(NonZeroUsize::MIN)
    })
}

impl Passwords for PasswordStore {
    fn standing(&self, user: &str, proven: &Arc<PasswordHash>, source: Option<Source>) -> Standing {
        let Inner {
            users,
            kept,
            telemetry,
            ..
        } = &*self.0;
        let locked = source.and_then(|source| kept.guesses.locked(user, source));
        if let Some(retry_after) = locked {
            telemetry.metrics.password(PasswordResult::LockedOut);
            return Standing::LockedOut { retry_after };
        }
        if users.is_current(user, Some(proven)) {
            telemetry.metrics.password(PasswordResult::Cached);
            Standing::Same
        } else {
            Standing::Changed
        }
    }

    fn verify(
        &self,
        tag: PasswordTag,
        presented: UserPassword,
        source: Option<Source>,
    ) -> Boxed<'_, Verified> {
        Box::pin(async move {
            let verified = self.verified(tag, presented, source).await;
            self.0.telemetry.metrics.password(result_of(&verified));
            verified
        })
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<PasswordTag, Answer>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PasswordStore {
    async fn verified(
        &self,
        tag: PasswordTag,
        presented: UserPassword,
        source: Option<Source>,
    ) -> Verified {
        let kept = &self.0.kept;
        // before anything that is quick for a right password only
        let locked = |source| kept.guesses.locked(&presented.user, source);
        if let Some(retry_after) = source.and_then(locked) {
            return Err(Denial::LockedOut { retry_after }.into());
        }
        if self.was_wrong(&tag) {
            return Err(Denial::PasswordRefused.into());
        }
        let mut answer = self.join(tag, presented, source)?;
        let unavailable = || Failure::PasswordsUnavailable {
            retry_after: RETRY_AFTER,
        };
        let answer = answer.wait_for(Option::is_some).await;
        let answer = answer.map_err(|_dropped| unavailable())?;
        answer.clone().unwrap_or_else(|| Err(unavailable().into()))
    }

    /// Whether this very password was wrong a moment ago, and is yet.
    fn was_wrong(&self, tag: &PasswordTag) -> bool {
        let wrong = self.0.kept.wrong.get(tag);
        wrong.is_some_and(|wrong| {
            Instant::now() < wrong.until
                && self.0.users.is_current(&wrong.user, wrong.stored.as_ref())
        })
    }

    /// The verification that runs for the same, or a new one.
    fn join(
        &self,
        tag: PasswordTag,
        presented: UserPassword,
        source: Option<Source>,
    ) -> Result<Answer, Refusal> {
        let Inner {
            kept,
            background,
            runtime,
            ..
        } = &*self.0;
        let mut running = self.0.running();
        if let Some(answer) = running.get(&tag) {
            return Ok(answer.clone());
        }
        let begun = match source {
            Some(source) => match kept.guesses.try_begin(&presented.user, source) {
                Ok(guess) => Begun::Now(Some(guess)),
                Err(Held::Running { .. }) => Begun::Later(source),
                Err(other) => return Err(held(other)),
            },
            None => Begun::Now(None),
        };
        let (tell, answer) = watch::channel(None);
        running.insert(tag, answer.clone());
        drop(running);
        let task = Verification {
            store: self.clone(),
            tag,
            tell,
        };
        background
            .tasks
            .spawn_on(task.run(presented, begun), runtime);
        Ok(answer)
    }
}

/// Whether a verification may look at the password yet.
enum Begun {
    /// It may; what is counted, if anything.
    Now(Option<Guess>),
    /// As many of this source run as may.
    Later(Source),
}

/// One that runs. Dropped, it has ended.
struct Verification {
    store: PasswordStore,
    tag: PasswordTag,
    tell: watch::Sender<Option<Verified>>,
}

impl Drop for Verification {
    fn drop(&mut self) {
        self.store.0.running().remove(&self.tag);
    }
}

impl Verification {
    async fn run(self, presented: UserPassword, begun: Begun) {
        let Inner { users, kept, .. } = &*self.store.0;
        let guess = match begun {
            Begun::Now(guess) => guess,
            Begun::Later(source) => match kept.guesses.begin(&presented.user, source).await {
                Ok(guess) => Some(guess),
                Err(other) => return self.tell(Err(held(other))),
            },
        };
        if let Some(guess) = &guess {
            guess.turn().await;
        }
        let UserPassword { user, password } = presented;
        let stored = match users.find(&user).await {
            Ok(stored) => stored,
            Err(Unavailable { retry_after }) => {
                return self.tell(Err(Failure::PasswordsUnavailable { retry_after }.into()));
            }
        };
        let against = stored.clone().unwrap_or_else(|| users.nobody());
        let Some(matches) = kept.hashing.verify(against, password).await else {
            let retry_after = RETRY_AFTER;
            return self.tell(Err(Failure::PasswordsUnavailable { retry_after }.into()));
        };
        let right = stored.clone().filter(|_stored| matches);
        let ended = if right.is_some() {
            Ended::Right
        } else {
            Ended::Wrong
        };
        if let Some(guess) = guess {
            guess.end(ended);
        }
        let Some(right) = right else {
            let wrong = Wrong {
                user: Arc::from(user),
                stored,
                until: Instant::now() + WRONG_FOR,
            };
            kept.wrong.insert(self.tag, wrong);
            return self.tell(Err(Denial::PasswordRefused.into()));
        };
        self.tell(Ok(right));
    }

    fn tell(&self, verified: Verified) {
        self.tell.send_replace(Some(verified));
    }
}

fn held(held: Held) -> Refusal {
    match held {
        Held::LockedOut { retry_after } => Denial::LockedOut { retry_after }.into(),
        Held::SourceBusy { retry_after } => Denial::RateLimited { retry_after }.into(),
        // whoever comes with the right password is not to blame
        Held::UserBusy { retry_after }
        | Held::Unanswered { retry_after }
        | Held::Running { retry_after } => Failure::PasswordsUnavailable { retry_after }.into(),
    }
}

fn result_of(verified: &Verified) -> PasswordResult {
    match verified {
        Ok(_) => PasswordResult::Verified,
        Err(Refusal::Denied(Denial::LockedOut { .. })) => PasswordResult::LockedOut,
        Err(Refusal::Denied(Denial::RateLimited { .. })) => PasswordResult::RateLimited,
        Err(Refusal::Denied(_)) => PasswordResult::Refused,
        Err(Refusal::Failed(_)) => PasswordResult::Unavailable,
    }
}

#[cfg(test)]
mod tests;
