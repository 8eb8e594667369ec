//! Credentials that are made from users' tokens: one for each subject, bounded, each fresh by
//! itself. Nobody waits for another's fetch, and nobody's failure is another's.

mod blame;
mod everyone;
mod slot;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::blame::{Concerns, concerns, refused};
use self::everyone::Everyone;
use self::slot::{Found, Held, Slot};
use self::table::Table;
use crate::client::jwks::Background;
use crate::client::token::schedule::WAIT_AT_MOST;
use crate::client::token::{FetchError, Granted, Lent, RETRY_AFTER, SubjectToken, User, schedule};
use crate::clock::{Clock, UnixTime};
use crate::config::Freshness;
use crate::gate::Boxed;
use crate::telemetry::Telemetry;

/// Most fetches at once; others wait for their turn.
const FETCHES_AT_ONCE: usize = 32;
/// So many users refused in a row, and nobody given anything, look like a mistake of ours.
const MANY_REFUSED: u32 = 10;
/// Most bytes of the credentials of one source.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one subject besides its credential: its slot, and its places in the table.
const SUBJECT: usize = 512;
/// What is no longer good is forgotten this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Makes a credential from a user's token: a token endpoint, an identity pool.
pub trait FetchFor<C>: fmt::Debug + Send + Sync {
    /// Asks for one. [`Subjects`] sees to it that one is asked for at a time for each subject, and
    /// not again too soon.
    fn fetch_for<'f>(
        &'f self,
        subject: &'f SubjectToken,
        now: UnixTime,
    ) -> Boxed<'f, Result<Granted<C>, FetchError>>;
}

/// Why there is no credential for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// No token proved the user, or none we may use.
    Token,
    /// The user's token has expired.
    Expired,
    /// It was refused for this user: what the app is told.
    Refused(&'static str),
    /// Not now; in this time, perhaps.
    Later(Duration),
}

/// The credentials of one source, by subject.
#[derive(Debug)]
pub struct Subjects<C> {
    name: Arc<str>,
    kind: &'static str,
    most: usize,
    size: fn(&C) -> usize,
    freshness: Freshness,
    fetch: Arc<dyn FetchFor<C>>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// Fetches end with the process, not with the caller nor with the caller's worker.
    tasks: TaskTracker,
    stop: CancellationToken,
    runtime: Handle,
    known: Arc<Known<C>>,
}

/// What the same source of the next world takes over.
#[derive(Debug)]
struct Known<C> {
    table: Mutex<Table<Arc<Slot<C>>>>,
    everyone: Everyone,
    turns: Semaphore,
    last_error: Mutex<Option<(UnixTime, String)>>,
}

/// What a [`Subjects`] is made of.
#[derive(Debug)]
pub struct Setup<'s, C> {
    /// The credential source's name.
    pub name: Arc<str>,
    /// Its kind, for `/status`.
    pub kind: &'static str,
    /// Most subjects at once.
    pub most: usize,
    /// Bytes of a credential; all of them together are bounded.
    pub size: fn(&C) -> usize,
    /// When a credential is refreshed, and for how long it is used.
    pub freshness: Freshness,
    /// What makes them.
    pub fetch: Arc<dyn FetchFor<C>>,
    /// Wall time.
    pub clock: &'s Arc<dyn Clock>,
    /// Log and metrics.
    pub telemetry: &'s Arc<Telemetry>,
    /// Where fetches run.
    pub background: &'s Background,
}

impl<C: Send + Sync + 'static> Subjects<C> {
    /// No credentials yet. Fetches will run on the runtime that this is called on.
    pub fn new(setup: Setup<'_, C>) -> Self {
        Self {
            name: setup.name,
            kind: setup.kind,
            most: setup.most,
            size: setup.size,
            freshness: setup.freshness,
            fetch: setup.fetch,
            clock: Arc::clone(setup.clock),
            telemetry: Arc::clone(setup.telemetry),
            tasks: setup.background.tasks.clone(),
            stop: setup.background.stop.clone(),
            runtime: Handle::current(),
            known: Arc::new(Known {
                table: Mutex::new(Table::new(setup.most, MOST_BYTES)),
                everyone: Everyone::default(),
                turns: Semaphore::new(FETCHES_AT_ONCE),
                last_error: Mutex::default(),
            }),
        }
    }

    /// The same with the credentials of `previous`, which asks for the same in the same name.
    pub(super) fn succeeding(self, previous: &Self) -> Self {
        Self {
            known: Arc::clone(&previous.known),
            ..self
        }
    }

    /// This user's credential, made first if there is none. It is good now, and the user's token is
    /// too.
    pub async fn find(self: &Arc<Self>, user: &User) -> Result<Lent<C>, Without> {
        let (slot, token) = self.slot(user)?;
        match slot.find(self.clock.now(), self.known.everyone.rest()) {
            Found::Usable(lent) => Ok(lent),
            Found::Due(lent) => {
                self.begin(&slot, token);
                Ok(lent)
            }
            Found::Without(without) => Err(without),
            Found::Wait { ended, begin } => {
                if begin {
                    self.begin(&slot, token);
                }
                slot.wait_beyond(ended, WAIT_AT_MOST).await;
                slot.outcome(self.clock.now())
            }
        }
    }

    /// The target refused the credential that `is_refused`: this user's other one, if there is one
    /// or a fetch brings one.
    pub async fn replace(
        self: &Arc<Self>,
        user: &User,
        is_refused: impl Fn(&C) -> bool + Send,
    ) -> Option<Lent<C>> {
        let (slot, token) = self.slot(user).ok()?;
        let other = match slot.find_other(self.clock.now(), self.known.everyone.rest(), &is_refused)
        {
            Found::Usable(lent) | Found::Due(lent) => lent,
            Found::Without(_) => return None,
            Found::Wait { ended, begin } => {
                if begin {
                    self.begin(&slot, token);
                }
                slot.wait_beyond(ended, WAIT_AT_MOST).await;
                slot.outcome(self.clock.now()).ok()?
            }
        };
        (!is_refused(&other.credential)).then_some(other)
    }

    fn slot<'u>(&self, user: &'u User) -> Result<(Arc<Slot<C>>, &'u Arc<SubjectToken>), Without> {
        let (key, token) = user.subject().ok_or(Without::Token)?;
        if token.expires_at() <= self.clock.now() {
            return Err(Without::Expired);
        }
        let mut table = self.table();
        let before = table.len();
        let slot = table
            .find_or_insert(key, || Arc::new(Slot::new(key)), SUBJECT, may_go)
            .ok_or(Without::Later(RETRY_AFTER))?;
        if table.len() != before {
            self.count(&table);
        }
        Ok((slot, token))
    }

    /// Fetches in a task of its own: a caller who gives up takes nothing from those who wait.
    fn begin(self: &Arc<Self>, slot: &Arc<Slot<C>>, token: &Arc<SubjectToken>) {
        let fetching = Fetching {
            subjects: Arc::clone(self),
            slot: Arc::clone(slot),
            outcome: None,
        };
        let token = Arc::clone(token);
        let stop = self.stop.clone();
        let fetch = async move {
            let mut fetching = fetching;
            let subjects = Arc::clone(&fetching.subjects);
            let fetched = stop.run_until_cancelled(subjects.fetch_in_turn(&token));
            fetching.outcome = fetched.await;
        };
        self.tasks.spawn_on(fetch, &self.runtime);
    }

    async fn fetch_in_turn(&self, token: &SubjectToken) -> Ended<C> {
        // never closed
        let _turn = self.known.turns.acquire().await;
        if let Some(rest) = self.known.everyone.rest() {
            return Ended::PutOff(rest);
        }
        let asked_at = self.clock.now();
        let fetched = self.fetch.fetch_for(token, asked_at).await;
        Ended::Asked(fetched.and_then(|granted| self.held(granted, token, asked_at)))
    }

    fn held(
        &self,
        granted: Granted<C>,
        token: &SubjectToken,
        asked_at: UnixTime,
    ) -> Result<Held<C>, FetchError> {
        let (life, ahead) = schedule::uses(granted.life, self.freshness, schedule::jitter());
        let end = token.expires_at();
        let (refresh_at, usable_until) = if asked_at.plus(life) < end {
            (asked_at.plus(life - ahead), asked_at.plus(life))
        } else {
            // it ends with the user's token: another one would live no longer
            (end, end)
        };
        // the answer may have taken longer than it lives
        if usable_until <= self.clock.now() {
            return Err(FetchError::Unusable("what it gave has ended already"));
        }
        Ok(Held {
            credential: Arc::new(granted.credential),
            refresh_at,
            usable_until,
        })
    }

    fn settle(&self, slot: &Slot<C>, outcome: Result<Held<C>, FetchError>) {
        self.telemetry
            .metrics
            .token_fetch(&self.name, outcome.is_ok());
        let error = match outcome {
            Ok(held) => {
                self.known.everyone.succeeded();
                let bytes = SUBJECT + (self.size)(&held.credential);
                slot.settle(Ok(held), |_failures| Duration::ZERO);
                let mut table = self.table();
                table.weigh(slot.key(), bytes, may_go);
                self.count(&table);
                return;
            }
            Err(error) => error,
        };
        let retry_after = error.retry_after();
        let pause = |failures| schedule::pause(failures, retry_after, schedule::jitter());
        *self.error() = Some((self.clock.now(), error.to_string()));
        let name = &*self.name;
        if let Some(why) = refused(&error) {
            let refused = self.known.everyone.refused();
            let failures = slot.settle(Err(Without::Refused(why)), pause);
            tracing::info!(credential = name, %error, failures, "refused for a user");
            if refused == MANY_REFUSED {
                tracing::warn!(
                    credential = name,
                    %error,
                    refused,
                    "every user is refused: is the source's definition right?"
                );
            }
        } else {
            let everyone = &self.known.everyone;
            let is_everyones = match concerns(&error) {
                Concerns::Everyone => true,
                Concerns::OneUser => false,
                Concerns::Unclear => everyone.is_met_by_all(slot.key()),
            };
            if is_everyones {
                everyone.failed(retry_after);
            }
            let failures = slot.settle(Err(Without::Later(Duration::ZERO)), pause);
            tracing::warn!(credential = name, %error, failures, "not fetched for a user");
        }
    }

    /// Forgets what is no longer good, until `stop`.
    pub async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        stop.run_until_cancelled(async {
            loop {
                every.tick().await;
                let now = self.clock.now();
                let mut table = self.table();
                table.retain(|slot| slot.is_needed(now));
                self.count(&table);
            }
        })
        .await;
    }

    fn table(&self) -> MutexGuard<'_, Table<Arc<Slot<C>>>> {
        self.known
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self) -> MutexGuard<'_, Option<(UnixTime, String)>> {
        self.known
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, table: &Table<Arc<Slot<C>>>) {
        self.telemetry
            .metrics
            .credential_subjects(&self.name, table.len(), table.bytes());
    }

    /// What `/status` shows. Names nobody.
    #[must_use]
    pub fn report(&self) -> Value {
        let now = self.clock.now();
        let table = self.table();
        let usable = table.values().filter(|slot| slot.outcome(now).is_ok());
        json!({
            "name": &*self.name,
            "kind": self.kind,
            "subjects": table.len(),
            "max_subjects": self.most,
            "available_for": usable.count(),
            "last_error": self
                .error()
                .as_ref()
                .map(|(at, text)| json!({ "at": at.to_string(), "error": text })),
        })
    }
}

/// Whether a subject may give way to another: not while somebody waits for its credential.
fn may_go<C>(slot: &Arc<Slot<C>>) -> bool {
    !slot.is_fetching()
}

/// A fetch that is under way. However it ends, those who wait learn of it.
struct Fetching<C: Send + Sync + 'static> {
    subjects: Arc<Subjects<C>>,
    slot: Arc<Slot<C>>,
    /// `None` if it came to no end: the process stops, or a panic.
    outcome: Option<Ended<C>>,
}

/// How a fetch ended.
enum Ended<C> {
    /// The endpoint was asked.
    Asked(Result<Held<C>, FetchError>),
    /// It was not: the source began a pause meanwhile, of which this is left.
    PutOff(Duration),
}

impl<C: Send + Sync + 'static> Drop for Fetching<C> {
    fn drop(&mut self) {
        let outcome = match self.outcome.take() {
            Some(Ended::PutOff(rest)) => return self.slot.put_off(rest),
            Some(Ended::Asked(outcome)) => outcome,
            None => Err(FetchError::Unusable("it was not waited for")),
        };
        self.subjects.settle(&self.slot, outcome);
    }
}
