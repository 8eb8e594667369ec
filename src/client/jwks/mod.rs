//! The key engine (DESIGN §7): keys of every issuer, fetched before they are needed.
//!
//! Reading never waits: [`state`] publishes a set and readers take it. One [`worker`] per issuer
//! fetches, on its [`schedule`] and when a search ([`seek`]) has paid for it; a failed fetch leaves
//! the old set in force up to `max_stale`. [`source`] is one attempt, [`snapshot`] the copy on disk.
//!
//! Keys that are published one by one have [`single`].
//!
//! An issuer outlives a reload that does not change it: engines hold it together, and its worker
//! ends when each of them was dropped, or the process stops.

mod report;
mod schedule;
mod seek;
mod single;
mod snapshot;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::single::SingleKeys;
use self::source::Definition;
pub(crate) use self::source::stated_url;
use self::state::{IssuerKeys, Network};
use self::worker::Worker;
use crate::client::outgoing::Outgoing;
use crate::clock::Clock;
use crate::config::{self, KeyLocation};
use crate::gate::{Boxed, KeySource, KeysNow, Sought};
use crate::telemetry::Telemetry;

/// How often a reload looks whether its issuers have keys.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// What a background task needs: where it is tracked, and when it ends.
#[derive(Clone, Debug)]
pub struct Background {
    /// Tracks every task, so that shutdown can wait for them.
    pub tasks: TaskTracker,
    /// Cancelled when the owner is replaced or the process stops.
    pub stop: CancellationToken,
}

/// Keys of every issuer, kept fresh in the background.
#[derive(Debug)]
pub struct KeyEngine {
    issuers: Vec<Held>,
    strict: bool,
    /// What this engine fetches with, once it is in force.
    network: Network,
    /// Lets go of the issuers when this engine is dropped.
    _hold: DropGuard,
}

/// An issuer as this engine's config sees it.
#[derive(Debug)]
struct Held {
    keys: Keys,
    required: bool,
}

/// How an issuer's keys are kept.
#[derive(Clone, Debug)]
enum Keys {
    /// All of them at once.
    Set(Arc<IssuerKeys>),
    /// One by one, as tokens name them.
    Single(Arc<SingleKeys>),
    /// It has none, and is asked about its tokens.
    Nowhere(Arc<Definition>),
}

impl Keys {
    /// Whether it had keys once; where tokens name them, nothing is known before one does.
    fn had_any(&self) -> bool {
        match self {
            Self::Set(keys) => keys.had_keys(),
            Self::Single(_) | Self::Nowhere(_) => true,
        }
    }

    fn find(&self) -> KeysNow {
        match self {
            Self::Set(keys) => keys.find(),
            Self::Single(keys) => keys.find(),
            Self::Nowhere(_) => KeysNow::Unavailable {
                retry_after: std::time::Duration::from_secs(1),
            },
        }
    }
}

impl KeyEngine {
    /// Starts fetching at once, in the background; keys in files and secrets are loaded here and
    /// now (a bad one is logged and reported, and its issuer has no keys). Issuers whose definition
    /// is the same in `previous` keep their keys, budget and task, and fetch with `outgoing` from
    /// [`Self::go_into_force`] on. Must be called inside a runtime.
    pub fn start(
        issuers: &[config::IssuerConfig],
        jwks: &config::Jwks,
        outgoing: &Outgoing,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let network: Network = Arc::new(outgoing.clone());
        let start = Start {
            network,
            clock,
            telemetry,
            background,
            hold: background.stop.child_token(),
            previous,
        };
        start.engine(issuers, jwks)
    }

    /// This engine is in force: issuers kept from `previous` fetch with what it was started with.
    pub fn go_into_force(&self) {
        for held in &self.issuers {
            let network = Arc::clone(&self.network);
            match &held.keys {
                Keys::Set(keys) => keys.network.store(Arc::new(network)),
                Keys::Single(keys) => keys.network.store(Arc::new(network)),
                Keys::Nowhere(_) => {}
            }
        }
    }

    /// Whether each required issuer has had keys once (readiness).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = |held: &Held| !held.required || held.keys.had_any();
        !self.strict || self.issuers.iter().all(ready)
    }

    /// Waits until [`KeyEngine::is_ready`].
    pub async fn had_keys(&self) {
        while !self.is_ready() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether each issuer whose keys can be had before a token names one has usable keys now.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.issuers.iter().all(|held| match &held.keys {
            Keys::Set(keys) => keys.usable().is_some(),
            Keys::Single(_) | Keys::Nowhere(_) => true,
        })
    }

    /// What `/jwks` shows: per issuer kids, first and last seen, last success, next refresh, last
    /// error, skipped keys. No key material.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        self.issuers
            .iter()
            .map(|held| match &held.keys {
                Keys::Set(keys) => keys.report(held.required),
                Keys::Single(keys) => keys.report(held.required),
                Keys::Nowhere(definition) => report::of_nobody(definition),
            })
            .collect()
    }
}

impl KeySource for KeyEngine {
    fn find(&self, issuer: usize) -> KeysNow {
        match self.issuers.get(issuer) {
            Some(held) => held.keys.find(),
            None => KeysNow::Unavailable {
                retry_after: std::time::Duration::from_secs(1),
            },
        }
    }

    fn seek<'s>(&'s self, issuer: usize, key_id: &'s str) -> Boxed<'s, Sought> {
        match self.issuers.get(issuer) {
            Some(held) => match &held.keys {
                Keys::Set(keys) => Box::pin(keys.seek(key_id)),
                Keys::Single(keys) => Box::pin(keys.seek(key_id)),
                Keys::Nowhere(_) => Box::pin(std::future::ready(Sought::Absent)),
            },
            None => Box::pin(std::future::ready(Sought::Unknown {
                retry_after: std::time::Duration::from_secs(1),
            })),
        }
    }
}

/// What starting an engine needs.
struct Start<'s> {
    network: Network,
    clock: &'s Arc<dyn Clock>,
    telemetry: &'s Arc<Telemetry>,
    background: &'s Background,
    /// Cancelled when the engine being built is dropped, or the process stops.
    hold: CancellationToken,
    previous: Option<&'s KeyEngine>,
}

impl Start<'_> {
    fn engine(self, issuers: &[config::IssuerConfig], jwks: &config::Jwks) -> KeyEngine {
        let held = |config: &config::IssuerConfig| Held {
            keys: self.keys(Definition::new(config, jwks)),
            required: config.required,
        };
        KeyEngine {
            issuers: issuers.iter().map(held).collect(),
            strict: jwks.readiness_strict,
            network: self.network,
            _hold: self.hold.drop_guard(),
        }
    }

    fn keys(&self, definition: Definition) -> Keys {
        if matches!(definition.keys, KeyLocation::Asked(_)) {
            return Keys::Nowhere(Arc::new(definition));
        }
        let previous = self.previous.into_iter();
        let mut previous = previous.flat_map(|engine| &engine.issuers);
        let KeyLocation::PemByKeyId(base) = &definition.keys else {
            let known = previous.find_map(|held| match &held.keys {
                Keys::Set(keys) => keys.definition.is_same_source(&definition).then_some(keys),
                Keys::Single(_) | Keys::Nowhere(_) => None,
            });
            return Keys::Set(self.issuer(definition, known));
        };
        let known = previous.find_map(|held| match &held.keys {
            Keys::Single(keys) => keys.definition.is_same_source(&definition).then_some(keys),
            Keys::Set(_) | Keys::Nowhere(_) => None,
        });
        if let Some(keys) = known.filter(|keys| keys.definition == definition) {
            return Keys::Single(Arc::clone(keys));
        }
        let base = base.clone();
        let keys = SingleKeys::new(
            definition,
            base,
            Arc::clone(&self.network),
            Arc::clone(self.clock),
            Arc::clone(self.telemetry),
            self.background.clone(),
        );
        if let Some(known) = known {
            keys.take_over(known);
        }
        Keys::Single(Arc::new(keys))
    }

    fn issuer(&self, definition: Definition, known: Option<&Arc<IssuerKeys>>) -> Arc<IssuerKeys> {
        if let Some(keys) = known
            && keys.definition == definition
            && keys.is_remote()
            && keys.hold(&self.hold)
        {
            return Arc::clone(keys);
        }
        let network = Arc::clone(&self.network);
        let clock = Arc::clone(self.clock);
        let keys = Arc::new(IssuerKeys::new(definition, network, clock));
        if let Some(known) = known {
            keys.take_over(known);
        }
        if keys.is_remote() {
            keys.hold(&self.hold);
            let worker = Worker::new(Arc::clone(&keys), Arc::clone(self.telemetry));
            self.background.tasks.spawn(worker.run());
        } else {
            self.load(&keys);
        }
        keys
    }

    /// Keys on this machine. If they are bad now, those of `previous` stay in force.
    fn load(&self, keys: &IssuerKeys) {
        let name = &keys.definition.name;
        let now = self.clock.now();
        match keys.definition.load() {
            Some(Ok(set)) => {
                let change = keys.publish(set, now, false);
                self.telemetry.metrics.key_refresh(name, true);
                self.telemetry.metrics.keys_fetched(name, now);
                if let Some(change) = change {
                    worker::log_change(name, &change);
                }
            }
            Some(Err(error)) => {
                keys.fail(&error);
                self.telemetry.metrics.key_refresh(name, false);
                let in_use = keys.had_keys();
                tracing::error!(issuer = %name, %error, in_use, "the issuer's keys cannot be loaded");
            }
            None => {}
        }
    }
}
