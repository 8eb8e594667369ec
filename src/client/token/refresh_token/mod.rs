//! `kind = "refresh_token"` (RFC 6749 6), with rotation: the endpoint gives another refresh token in
//! place of the one it took, which must not be used again (RFC 9700 4.14).

mod state_file;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::state_file::{Lock, State, StateFile};
use crate::client::disk::blocking;
use crate::client::outgoing::Fetched;
use crate::client::token::granting::Asks;
use crate::client::token::request::{Endpoint, Requester};
use crate::client::token::{Bearer, Fetch, FetchError, Granted, answer};
use crate::clock::UnixTime;
use crate::config::{Freshness, OAuthClient, RefreshToken};
use crate::gate::Boxed;
use crate::secret::Secret;

/// One client with a user's refresh token.
#[derive(Debug)]
pub(super) struct Refreshing {
    definition: RefreshToken,
    requester: Requester,
    state_file: Option<StateFile>,
    name: Arc<str>,
    /// The configured refresh token, as it was last read.
    configured: Mutex<Option<Lineage>>,
    rotation: Mutex<Arc<Rotation>>,
}

/// A configured refresh token with its client and endpoint, as a hash. What was given in place of
/// another is nothing to go on with.
type Lineage = String;

/// A refresh token, and which one it descends from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    refresh_token: Secret,
    lineage: Lineage,
}

/// How far a refresh token has come. The definition that replaces another at a reload has it too:
/// the old one's request may be under way, and no refresh token is sent twice.
#[derive(Debug, Default)]
struct Rotation {
    /// Held while the endpoint is asked.
    progress: tokio::sync::Mutex<Progress>,
    /// `state_file` does not hold the newest one.
    unsaved: AtomicBool,
}

#[derive(Debug, Default)]
struct Progress {
    /// What to ask with next; `None`: read it first.
    next: Option<Held>,
    /// This lineage goes on in `next` alone: what it began with, and what is on the disk, is spent.
    rotated: Option<Lineage>,
    lock: Option<Lock>,
}

impl Refreshing {
    /// Reads the disk.
    pub(super) fn new(
        name: Arc<str>,
        definition: RefreshToken,
        endpoint: Arc<dyn Endpoint>,
    ) -> Self {
        let configured = definition.refresh_token.load().ok();
        let configured = configured.map(|token| lineage(&definition.client, &token));
        Self {
            name,
            requester: Requester::new(definition.client.clone(), endpoint),
            state_file: definition.state_file.clone().map(StateFile::new),
            configured: Mutex::new(configured),
            definition,
            rotation: Mutex::default(),
        }
    }

    fn configured(&self) -> MutexGuard<'_, Option<Lineage>> {
        let configured = self.configured.lock();
        configured.unwrap_or_else(PoisonError::into_inner)
    }

    fn rotation(&self) -> Arc<Rotation> {
        let rotation = self.rotation.lock();
        Arc::clone(&rotation.unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes sure that nobody else writes `state_file`, before anything is spent.
    async fn own(&self, rotation: &Rotation, progress: &mut Progress) -> Result<(), FetchError> {
        if progress.lock.as_ref().map(|lock| &lock.file) == self.state_file.as_ref() {
            return Ok(());
        }
        progress.lock = match self.state_file.clone() {
            Some(file) => {
                let locked = blocking(move || file.lock()).await;
                let locked = locked.map_err(|ended| FetchError::Client(ended.to_string()))?;
                Some(locked.map_err(FetchError::Client)?)
            }
            None => None,
        };
        // another file than before: what went on in memory is not in it
        let unsaved = progress.lock.is_some() && progress.rotated.is_some();
        rotation.unsaved.store(unsaved, Ordering::Relaxed);
        Ok(())
    }

    /// What the state file or else the configuration holds, if it is neither the refused one nor
    /// spent.
    async fn read(
        &self,
        progress: &Progress,
        refused: Option<&Held>,
    ) -> Result<Option<Held>, FetchError> {
        let endpoint = self.requester.endpoint();
        let client = &self.definition.client;
        let is_refused =
            |token: &Secret| refused.is_some_and(|held| held.lineage == lineage(client, token));
        let source = &self.definition.refresh_token;
        let configured = endpoint.load(source, Some(&is_refused)).await?;
        let lineage = lineage(client, &configured);
        *self.configured() = Some(lineage.clone());
        if progress.rotated.as_ref() == Some(&lineage) {
            return Ok(None);
        }
        let written = match self.state_file.clone() {
            Some(file) => blocking(move || file.load())
                .await
                .map_err(|ended| FetchError::Client(ended.to_string()))?
                .map_err(FetchError::Client)?,
            None => None,
        };
        let rotated = written.filter(|state| state.lineage == lineage);
        let held = Held {
            refresh_token: rotated.map_or(configured, |state| state.refresh_token),
            lineage,
        };
        Ok(Some(held).filter(|held| refused != Some(held)))
    }

    async fn ask(
        &self,
        held: &Held,
        now: UnixTime,
        rotation: &Rotation,
        progress: &mut Progress,
    ) -> Result<Granted<Bearer>, FetchError> {
        let definition = &self.definition;
        let scope = definition.scopes.join(" ");
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", held.refresh_token.expose()),
        ];
        if !scope.is_empty() {
            form.push(("scope", scope.as_str()));
        }
        for resource in &definition.resources {
            form.push(("resource", resource));
        }
        let read = |fetched: &Fetched, now| {
            let outcome = answer::read(fetched, now);
            match outcome {
                Err(refused @ FetchError::Refused { .. }) => Err(refused),
                answered => Ok((answered, answer::refresh_token(fetched))),
            }
        };
        let (answered, rotated) = self.requester.ask_for(&form, now, read).await?;
        match rotated.filter(|rotated| *rotated != held.refresh_token) {
            Some(refresh_token) => {
                // the old one is spent: this one is all there is
                progress.rotated = Some(held.lineage.clone());
                progress.next = Some(Held {
                    refresh_token,
                    lineage: held.lineage.clone(),
                });
                self.save(rotation, progress).await;
            }
            None => progress.next = Some(held.clone()),
        }
        answered
    }

    async fn save(&self, rotation: &Rotation, progress: &Progress) {
        let (Some(file), Some(held)) = (self.state_file.clone(), progress.next.clone()) else {
            return;
        };
        rotation.unsaved.store(true, Ordering::Relaxed);
        let state = State {
            lineage: held.lineage,
            refresh_token: held.refresh_token,
        };
        let saved = blocking(move || file.save(&state)).await;
        match saved.and_then(|saved| saved) {
            Ok(()) => rotation.unsaved.store(false, Ordering::Relaxed),
            Err(error) => tracing::error!(
                credential = &*self.name,
                %error,
                "refresh token not written to state_file: a restart before it is will need a new one"
            ),
        }
    }

    async fn refresh(&self, now: UnixTime) -> Result<Granted<Bearer>, FetchError> {
        let rotation = self.rotation();
        let mut progress = rotation.progress.lock().await;
        let progress = &mut *progress;
        self.own(&rotation, progress).await?;
        if rotation.unsaved.load(Ordering::Relaxed) {
            self.save(&rotation, progress).await;
        }
        let configured = self.configured().clone();
        let is_ours = |held: &Held| configured.as_ref() == Some(&held.lineage);
        let known = progress.next.clone().filter(is_ours);
        let held = match known {
            Some(held) => held,
            None => match self.read(progress, None).await? {
                Some(held) => held,
                // what was configured could not be read before
                None => progress
                    .next
                    .clone()
                    .filter(|held| self.configured().as_ref() == Some(&held.lineage))
                    .ok_or_else(|| FetchError::Client("there is no refresh token".to_owned()))?,
            },
        };
        let outcome = self.ask(&held, now, &rotation, progress).await;
        let Err(refused) = outcome else {
            return outcome;
        };
        if refused.code() != Some("invalid_grant") {
            return Err(refused);
        }
        // its owner may have put a new one in place
        match self.read(progress, Some(&held)).await? {
            Some(again) => self.ask(&again, now, &rotation, progress).await,
            None => Err(refused),
        }
    }
}

impl Fetch<Bearer> for Refreshing {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Bearer>, FetchError>> {
        Box::pin(self.refresh(now))
    }

    fn spends(&self) -> bool {
        true
    }
}

impl Asks for Refreshing {
    const KIND: &'static str = "refresh_token";

    fn freshness(&self) -> Freshness {
        self.definition.freshness
    }

    fn is_same(&self, next: &Self) -> bool {
        self.definition == next.definition && self.requester.is_same(&next.requester) && {
            let theirs = next.configured().clone();
            theirs.is_none() || *self.configured() == theirs
        }
    }

    fn ask_through(&self, endpoint: &Arc<dyn Endpoint>) {
        self.requester.ask_through(endpoint);
    }

    /// The refresh token a process has may be the only good one.
    fn inherit(&self, previous: &Self) {
        let theirs = previous.rotation();
        *self.rotation.lock().unwrap_or_else(PoisonError::into_inner) = theirs;
    }

    fn is_unsaved(&self) -> bool {
        self.rotation().unsaved.load(Ordering::Relaxed)
    }
}

fn lineage(client: &OAuthClient, configured: &Secret) -> Lineage {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [
        client.token_url.as_str(),
        &client.client_id,
        configured.expose(),
    ] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    URL_SAFE_NO_PAD.encode(hash.finish())
}
