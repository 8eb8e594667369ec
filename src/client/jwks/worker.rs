//! The one task per issuer that fetches: on schedule, and when a search has paid for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::disk::blocking;
use crate::client::jwks::snapshot::SnapshotFile;
use crate::client::jwks::source::{Document, SourceError};
use crate::client::jwks::state::{Change, IssuerKeys};
use crate::client::outgoing::FetchError;
use crate::telemetry::Telemetry;

/// Longest wait for the disk: keys go on being fetched without it.
const DISK_TIMEOUT: Duration = Duration::from_secs(2);
/// A lasting outage is logged once per this.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Worker {
    keys: Arc<IssuerKeys>,
    telemetry: Arc<Telemetry>,
    snapshot: Option<SnapshotFile>,
}

impl Worker {
    pub(super) fn new(keys: Arc<IssuerKeys>, telemetry: Arc<Telemetry>) -> Self {
        let snapshot = SnapshotFile::new(&keys.definition);
        Self {
            keys,
            telemetry,
            snapshot,
        }
    }

    /// Works until every engine that holds the issuer was dropped, or the process stops.
    pub(super) async fn run(self) {
        let _end = SayStopped(Arc::clone(&self.keys));
        tokio::select! {
            biased;
            () = abandoned(self.keys.holders.subscribe()) => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        let keys = &self.keys;
        let mut discovered: Option<Url> = None;
        loop {
            let due = keys.book().next_attempt;
            tokio::select! {
                () = sleep_until(due) => {}
                () = keys.wake.notified() => {}
            }
            let Some(scheduled) = keys.begin() else {
                continue;
            };
            if scheduled {
                // what discovery said last time is as old as the keys
                discovered = None;
            }
            match self.attempt(&mut discovered).await {
                Ok(document) => self.succeed(document).await,
                Err(error) => {
                    discovered = None;
                    self.fail(&error).await;
                }
            }
        }
    }

    /// One fetch. A panic in it is a failed fetch, not the end of all fetching.
    async fn attempt(&self, discovered: &mut Option<Url>) -> Result<Document, SourceError> {
        let definition = &self.keys.definition;
        let network = self.keys.network.load_full();
        let fetch = definition.fetch(&**network, discovered);
        let fetch = timeout(definition.policy.fetch_timeout, fetch);
        match AssertUnwindSafe(fetch).catch_unwind().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_elapsed)) => Err(SourceError::Fetch(FetchError::Timeout)),
            Err(_panic) => {
                self.telemetry.metrics.panicked();
                Err(SourceError::Panicked)
            }
        }
    }

    async fn succeed(&self, document: Document) {
        let name = &self.keys.definition.name;
        let failures = self.keys.book().failures;
        let fingerprint = document.set.fingerprint;
        let change = self.keys.succeed(document.set, document.max_age);
        let now = self.keys.clock.now();
        self.telemetry.metrics.key_refresh(name, true);
        self.telemetry.metrics.keys_fetched(name, now);
        if failures > 0 {
            tracing::info!(issuer = %name, failures, "keys fetched again");
        }
        if let Some(change) = change {
            log_change(name, &change);
        }
        if let Some(snapshot) = self.snapshot.clone() {
            let saved = on_disk(move || snapshot.save(&document.json, fingerprint, now)).await;
            if let Err(error) = saved {
                tracing::warn!(issuer = %name, error, "no snapshot of the keys was written");
            }
        }
    }

    async fn fail(&self, error: &SourceError) {
        let keys = &self.keys;
        if !keys.had_keys() {
            self.load_snapshot().await;
        }
        keys.fail(error);
        let name = &keys.definition.name;
        self.telemetry.metrics.key_refresh(name, false);
        let now = Instant::now();
        let mut book = keys.book();
        let failures = book.failures;
        let loud = book
            .last_complaint
            .is_none_or(|at| now.saturating_duration_since(at) >= COMPLAINT_INTERVAL);
        if loud {
            book.last_complaint = Some(now);
        }
        drop(book);
        if !loud {
            tracing::debug!(issuer = %name, %error, failures, "fetching keys failed again");
        } else if keys.usable().is_some() {
            tracing::warn!(issuer = %name, %error, failures, "fetching keys failed: old keys stay in use");
        } else {
            tracing::error!(issuer = %name, %error, failures, "no usable keys: requests are answered 503");
        }
    }

    async fn load_snapshot(&self) {
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        let name = &self.keys.definition.name;
        let now = self.keys.clock.now();
        match on_disk(move || snapshot.load(now)).await {
            Ok((set, fetched_at)) => {
                tracing::warn!(issuer = %name, %fetched_at, "keys are taken from the snapshot");
                self.telemetry.metrics.keys_fetched(name, fetched_at);
                if let Some(change) = self.keys.publish(set, fetched_at, true) {
                    log_change(name, &change);
                }
            }
            Err(error) => tracing::warn!(issuer = %name, error, "no snapshot is used"),
        }
    }
}

/// Runs blocking work on the disk, for at most [`DISK_TIMEOUT`].
async fn on_disk<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match timeout(DISK_TIMEOUT, blocking(work)).await {
        Ok(Ok(done)) => done.map_err(|error| error.to_string()),
        Ok(Err(_cut_short)) => Err("internal error".to_owned()),
        Err(_elapsed) => Err("the disk does not answer".to_owned()),
    }
}

pub(super) fn log_change(issuer: &str, change: &Change) {
    let Change { added, removed } = change;
    tracing::info!(issuer, ?added, ?removed, "the key set changed");
}

/// Resolves once all holders are cancelled.
async fn abandoned(mut holders: watch::Receiver<Vec<CancellationToken>>) {
    loop {
        let now = holders.borrow_and_update().clone();
        if now.iter().all(CancellationToken::is_cancelled) {
            return;
        }
        // either way the list is read again: a holder may have come as the last one went
        let all_cancelled = async {
            for holder in &now {
                holder.cancelled().await;
            }
        };
        tokio::select! {
            () = all_cancelled => {}
            changed = holders.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells the searches that wait, however the worker ends.
struct SayStopped(Arc<IssuerKeys>);

impl Drop for SayStopped {
    fn drop(&mut self) {
        self.0.ended.send_modify(|ended| ended.stopped = true);
    }
}
