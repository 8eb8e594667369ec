//! The key engine (DESIGN §7): keys of every issuer, fetched before they are needed.
//!
//! Reading never waits: [`state`] publishes a set and readers take it. One [`worker`] per issuer
//! fetches, on its [`schedule`] and when a search ([`seek`]) has paid for it; a failed fetch leaves
//! the old set in force up to `max_stale`. [`source`] is one attempt, [`snapshot`] the copy on disk.
//!
//! An issuer outlives a reload that does not change it: engines hold it together, and its worker
//! ends when each of them was stopped or dropped.

mod report;
mod schedule;
mod seek;
mod snapshot;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::source::Definition;
use self::state::{IssuerKeys, Network};
use self::worker::{Holders, Worker};
use crate::client::outgoing::Outgoing;
use crate::clock::Clock;
use crate::config;
use crate::gate::{Boxed, KeySource, KeysNow, Sought};
use crate::telemetry::Telemetry;

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
}

/// An issuer as this engine's config sees it.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    required: bool,
}

/// An issuer, held by every engine whose config defines it alike. The last to let go drops
/// `holders`, which ends the worker.
#[derive(Debug)]
struct Shared {
    keys: Arc<IssuerKeys>,
    holders: watch::Sender<Holders>,
}

impl KeyEngine {
    /// Starts fetching at once, in the background; keys in files and secrets are loaded here and
    /// now (a bad one is logged and reported, and its issuer has no keys). Issuers whose definition
    /// is the same in `previous` keep their keys, budget and task, and fetch with `outgoing` from
    /// now on. Must be called inside a runtime.
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
            previous,
        };
        start.engine(issuers, jwks)
    }

    /// Whether each required issuer has had keys once (readiness).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = |held: &Held| !held.required || held.shared.keys.had_keys();
        !self.strict || self.issuers.iter().all(ready)
    }

    /// What `/jwks` shows: per issuer kids, first and last seen, last success, next refresh, last
    /// error, skipped keys. No key material.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        self.issuers
            .iter()
            .map(|held| held.shared.keys.report(held.required))
            .collect()
    }
}

impl KeySource for KeyEngine {
    fn find(&self, issuer: usize) -> KeysNow {
        match self.issuers.get(issuer) {
            Some(held) => held.shared.keys.find(),
            None => KeysNow::Unavailable {
                retry_after: std::time::Duration::from_secs(1),
            },
        }
    }

    fn seek<'s>(&'s self, issuer: usize, key_id: &'s str) -> Boxed<'s, Sought> {
        match self.issuers.get(issuer) {
            Some(held) => Box::pin(held.shared.keys.seek(key_id)),
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
    previous: Option<&'s KeyEngine>,
}

impl Start<'_> {
    fn engine(&self, issuers: &[config::IssuerConfig], jwks: &config::Jwks) -> KeyEngine {
        let held = |config: &config::IssuerConfig| Held {
            shared: self.issuer(Definition::new(config, jwks)),
            required: config.required,
        };
        KeyEngine {
            issuers: issuers.iter().map(held).collect(),
            strict: jwks.readiness_strict,
        }
    }

    fn issuer(&self, definition: Definition) -> Arc<Shared> {
        let mut known = self
            .previous
            .into_iter()
            .flat_map(|engine| &engine.issuers)
            .map(|held| &held.shared)
            .filter(|shared| shared.keys.definition.is_same_source(&definition));
        let known = known.next();
        if let Some(shared) = known
            && shared.keys.definition == definition
            && shared.keys.is_remote()
            && !shared.keys.ended.borrow().stopped
        {
            shared
                .keys
                .network
                .store(Arc::new(Arc::clone(&self.network)));
            shared.holders.send_modify(|holders| {
                holders.retain(|holder| !holder.is_cancelled());
                holders.push(self.background.stop.clone());
            });
            return Arc::clone(shared);
        }
        let network = Arc::clone(&self.network);
        let keys = Arc::new(IssuerKeys::new(definition, network, Arc::clone(self.clock)));
        if let Some(shared) = known {
            keys.take_over(&shared.keys);
        }
        let holders = watch::Sender::new(vec![self.background.stop.clone()]);
        if keys.is_remote() {
            let worker = Worker::new(Arc::clone(&keys), Arc::clone(self.telemetry));
            let work = worker.run(holders.subscribe());
            self.background.tasks.spawn(work);
        } else {
            self.load(&keys);
        }
        Arc::new(Shared { keys, holders })
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
