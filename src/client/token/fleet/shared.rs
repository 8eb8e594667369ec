//! A source's fetch with the fleet before it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::time::{Instant, sleep, timeout};

use super::entry::{Known, entry};
use super::{Away, Label, Portable, Store, Turn, array};
use crate::client::token::{Fetch, FetchError, Granted, LifeFrom, schedule};
use crate::clock::{Clock, UnixTime};
use crate::config::Freshness;
use crate::gate::Boxed;

/// Between two looks whether the elected one has kept a token; up to twice that.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the elected one is waited for by who has no token to go on with. Long enough for a dead
/// one to be replaced.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same while there is a good token: the endpoint may be slow, and a hundred of us would not
/// make it faster.
const PATIENCE_AHEAD: Duration = Duration::from_secs(25);
/// Tokens remembered as given out before.
const REMEMBERED: usize = 8;

/// Fetches for a fleet.
#[derive(Debug)]
pub(in crate::client::token) struct Shared<C> {
    label: Label,
    freshness: Freshness,
    fetch: Arc<dyn Fetch<C>>,
    /// `None`: there is no fleet.
    store: Mutex<Option<Arc<dyn Store>>>,
    clock: Arc<dyn Clock>,
    given: Mutex<Given>,
}

/// What was given out. A fetch is asked for because the last of it is due or was refused, so none
/// of it is taken from the store again.
#[derive(Debug, Default)]
struct Given {
    tokens: VecDeque<[u8; SHA256_OUTPUT_LEN]>,
    /// When the newest was fetched, by the clock of whoever did.
    newest: UnixTime,
    /// When the last is due to be replaced.
    due: UnixTime,
    /// When it ends.
    until: UnixTime,
}

/// A token found in the store.
struct Found<C> {
    known: Known<C>,
    /// When it ends, by our clock.
    until: UnixTime,
    /// Not due to be replaced itself.
    is_fresh: bool,
}

/// What waiting for another sidecar came to.
enum Waited<C> {
    Fresh(Found<C>),
    Elected(Turn),
    /// Neither, in all our patience.
    Nothing,
}

impl<C: Portable + fmt::Debug + Send + Sync + 'static> Shared<C> {
    pub(in crate::client::token) fn new(
        label: Label,
        freshness: Freshness,
        fetch: Arc<dyn Fetch<C>>,
        store: Option<&Arc<dyn Store>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            label,
            freshness,
            fetch,
            store: Mutex::new(store.cloned()),
            clock,
            given: Mutex::default(),
        }
    }

    /// The next world's store.
    pub(in crate::client::token) fn share_through(&self, store: Option<&Arc<dyn Store>>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = store.cloned();
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        self.store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::client::token) fn is_shared(&self) -> bool {
        self.store().is_some()
    }

    async fn with_the_fleet(&self, asked_at: UnixTime) -> Result<Granted<C>, FetchError> {
        let Some(store) = self.store() else {
            return self.alone().await;
        };
        match self.wait(&*store).await {
            Ok(Waited::Fresh(found)) => Ok(self.take(found, asked_at)),
            Ok(Waited::Elected(turn)) => self.elected(&*store, &turn, asked_at).await,
            Ok(Waited::Nothing) => {
                tracing::warn!(
                    credential = &*self.label.credential,
                    "no sidecar kept a token in time: asking for one without the fleet"
                );
                self.alone().await
            }
            Err(Away) => self.alone().await,
        }
    }

    /// Until there is a fresh token, or nobody else is asking for one.
    async fn wait(&self, store: &dyn Store) -> Result<Waited<C>, Away> {
        let begun = Instant::now();
        let patience = self.patience();
        loop {
            if let Some(found) = self.look(store).await?.filter(|found| found.is_fresh) {
                return Ok(Waited::Fresh(found));
            }
            if let Some(turn) = store.elect(&self.label).await? {
                return Ok(Waited::Elected(turn));
            }
            if begun.elapsed() >= patience {
                return Ok(Waited::Nothing);
            }
            sleep(LOOK_EVERY.mul_f64(1.0 + schedule::jitter())).await;
        }
    }

    fn patience(&self) -> Duration {
        let now = self.clock.now();
        let given = self.given();
        let left = Duration::from_secs(given.until.since(now)).saturating_sub(PATIENCE);
        // asked for before it was due: it was refused, and somebody waits for another
        if now < given.due || left < PATIENCE {
            PATIENCE
        } else {
            left.min(PATIENCE_AHEAD)
        }
    }

    /// Asks for a token, for all.
    async fn elected(
        &self,
        store: &dyn Store,
        turn: &Turn,
        asked_at: UnixTime,
    ) -> Result<Granted<C>, FetchError> {
        // the one before us may have kept one since we looked
        let known = match self.look(store).await {
            Ok(Some(found)) if found.is_fresh => {
                store.resign(&self.label, turn).await;
                return Ok(self.take(found, asked_at));
            }
            Ok(known) => known,
            Err(Away) => return self.alone().await,
        };
        let began = self.clock.now();
        match self.ask_prolonging(store, turn, began).await {
            Ok(granted) => {
                let (credential, now) = (&granted.credential, self.clock.now());
                match entry(credential, began, granted.life, now) {
                    // kept or not, it is ours to use
                    Some(entry) => drop(store.keep(&self.label, turn, entry).await),
                    None => store.resign(&self.label, turn).await,
                }
                self.remember(credential, began, began, granted.life);
                Ok(granted)
            }
            Err(error) => {
                store.resign(&self.label, turn).await;
                let nothing_left = self.clock.now() >= self.given().until;
                match known.filter(|_still_good| nothing_left) {
                    // soon due, but all there is
                    Some(found) => Ok(self.take(found, asked_at)),
                    None => Err(error),
                }
            }
        }
    }

    /// Asks the source, and stays elected meanwhile.
    async fn ask_prolonging(
        &self,
        store: &dyn Store,
        turn: &Turn,
        began: UnixTime,
    ) -> Result<Granted<C>, FetchError> {
        let mut asking = self.fetch.fetch(began);
        let often = store.turn() / 3;
        loop {
            match timeout(often, asking.as_mut()).await {
                Ok(outcome) => return outcome,
                Err(_elapsed) => match store.prolong(&self.label, turn).await {
                    Ok(true) => {}
                    // over: what comes is used here and not kept
                    Ok(false) | Err(Away) => return asking.await,
                },
            }
        }
    }

    /// Asks the source as if there were no fleet.
    async fn alone(&self) -> Result<Granted<C>, FetchError> {
        let began = self.clock.now();
        let granted = self.fetch.fetch(began).await?;
        self.remember(&granted.credential, began, began, granted.life);
        Ok(granted)
    }

    /// What the store holds, unless we had it before, or something newer.
    async fn look(&self, store: &dyn Store) -> Result<Option<Found<C>>, Away> {
        let entry = store.find(&self.label).await?;
        Ok(entry.and_then(|entry| self.judge(Known::of(&entry)?, entry.remaining)))
    }

    fn judge(&self, known: Known<C>, remaining: Duration) -> Option<Found<C>> {
        let life = known.life.as_secs();
        let remaining = remaining.as_secs().min(life);
        let until = self.clock.now().plus(remaining);
        let given = self.given();
        // one clock may be wrong, so that a new one seems older, but not both ways
        let is_older = known.fetched_at < given.newest && until < given.until;
        if is_older || given.tokens.contains(&mark(&known.credential)) {
            return None;
        }
        // whatever the jitter, not due at once
        let (usable, ahead) = schedule::uses(known.life, self.freshness, 1.0);
        let left = usable.saturating_sub(life - remaining);
        let is_fresh = left > ahead;
        (left > 0).then_some(Found {
            known,
            until,
            is_fresh,
        })
    }

    /// A token of another sidecar, for our use.
    fn take(&self, found: Found<C>, asked_at: UnixTime) -> Granted<C> {
        let Known {
            credential,
            fetched_at,
            life,
        } = found.known;
        let began = UnixTime(found.until.0.saturating_sub(life.as_secs()));
        self.remember(&credential, fetched_at, began, life);
        Granted {
            credential,
            life,
            life_from: LifeFrom::Fleet {
                age: Duration::from_secs(asked_at.since(began)),
            },
            scope: None,
        }
    }

    /// `fetched_at` by the clock of whoever fetched it, `began` by ours.
    fn remember(&self, credential: &C, fetched_at: UnixTime, began: UnixTime, life: Duration) {
        let (usable, ahead) = schedule::uses(life, self.freshness, 1.0);
        let mut given = self.given();
        given.tokens.truncate(REMEMBERED - 1);
        given.tokens.push_front(mark(credential));
        given.newest = given.newest.max(fetched_at);
        given.due = began.plus(usable - ahead);
        given.until = began.plus(life.as_secs());
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Portable + fmt::Debug + Send + Sync + 'static> Fetch<C> for Shared<C> {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<C>, FetchError>> {
        Box::pin(self.with_the_fleet(now))
    }
}

fn mark<C: Portable>(credential: &C) -> [u8; SHA256_OUTPUT_LEN] {
    array(&digest(&SHA256, credential.text().as_bytes()))
}
