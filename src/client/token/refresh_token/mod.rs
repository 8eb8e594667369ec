//! `kind = "refresh_token"` (RFC 6749 6), with rotation: the endpoint gives another refresh token in
//! place of the one it took, which must not be used again (RFC 9700 4.14).

mod state_file;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::state_file::{State, StateFile};
use crate::client::outgoing::Fetched;
use crate::client::token::granting::Asks;
use crate::client::token::request::{Endpoint, Requester, blocking};
use crate::client::token::{Bearer, Fetch, FetchError, Granted, answer};
use crate::clock::UnixTime;
use crate::config::{Freshness, OAuthClient, RefreshToken};
use crate::gate::Boxed;
use crate::secret::Secret;

/// One client with a user's refresh token.
#[derive(Debug)]
pub(super) struct Refreshing {
    name: Arc<str>,
    definition: RefreshToken,
    requester: Requester,
    state_file: Option<StateFile>,
    /// The configured refresh token, as it read when this was built.
    configured: Option<Lineage>,
    /// What to ask with next; `None`: read it first.
    next: Mutex<Option<Held>>,
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

impl Refreshing {
    /// Reads the disk.
    pub(super) fn new(
        name: Arc<str>,
        definition: RefreshToken,
        endpoint: Arc<dyn Endpoint>,
    ) -> Self {
        let configured = definition.refresh_token.load().ok();
        Self {
            name,
            requester: Requester::new(definition.client.clone(), endpoint),
            state_file: definition.state_file.clone().map(StateFile::new),
            configured: configured.map(|token| lineage(&definition.client, &token)),
            definition,
            next: Mutex::default(),
        }
    }

    fn next(&self) -> MutexGuard<'_, Option<Held>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the state file or else the configuration holds, if it is not the refused one.
    async fn read(&self, refused: Option<&Held>) -> Result<Option<Held>, FetchError> {
        let endpoint = self.requester.endpoint();
        let configured = endpoint.load(&self.definition.refresh_token).await?;
        let lineage = lineage(&self.definition.client, &configured);
        let written = match self.state_file.clone() {
            Some(file) => blocking(move || file.load())
                .await
                .map_err(|ended| FetchError::Client(ended.to_string()))?
                .map_err(FetchError::Client)?,
            None => None,
        };
        let rotated = written.filter(|state| state.lineage == lineage);
        let candidates = [rotated.map(|state| state.refresh_token), Some(configured)];
        Ok(candidates
            .into_iter()
            .flatten()
            .map(|refresh_token| Held {
                refresh_token,
                lineage: lineage.clone(),
            })
            .find(|held| refused != Some(held)))
    }

    async fn ask(&self, held: &Held, now: UnixTime) -> Result<Granted<Bearer>, FetchError> {
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
                let lineage = held.lineage.clone();
                self.keep(Held {
                    refresh_token,
                    lineage,
                })
                .await;
            }
            None => *self.next() = Some(held.clone()),
        }
        answered
    }

    /// The old one is spent: this one is all there is.
    async fn keep(&self, held: Held) {
        *self.next() = Some(held.clone());
        let Some(file) = self.state_file.clone() else {
            return;
        };
        let state = State {
            lineage: held.lineage,
            refresh_token: held.refresh_token,
        };
        let saved = blocking(move || file.save(&state)).await;
        if let Err(error) = saved.and_then(|saved| saved) {
            tracing::error!(
                credential = &*self.name,
                %error,
                "refresh token not written to state_file: a restart will need a new one"
            );
        }
    }

    async fn refresh(&self, now: UnixTime) -> Result<Granted<Bearer>, FetchError> {
        let known = self.next().clone();
        let held = match known {
            Some(held) => held,
            None => self
                .read(None)
                .await?
                .ok_or_else(|| FetchError::Client("there is no refresh token".to_owned()))?,
        };
        let outcome = self.ask(&held, now).await;
        let Err(refused) = outcome else {
            return outcome;
        };
        if refused.code() != Some("invalid_grant") {
            return Err(refused);
        }
        // another process may have used it, or its owner put a new one in place
        *self.next() = None;
        match self.read(Some(&held)).await? {
            Some(again) => self.ask(&again, now).await,
            None => Err(refused),
        }
    }
}

impl Fetch<Bearer> for Refreshing {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Bearer>, FetchError>> {
        Box::pin(self.refresh(now))
    }
}

impl Asks for Refreshing {
    const KIND: &'static str = "refresh_token";

    fn freshness(&self) -> Freshness {
        self.definition.freshness
    }

    fn is_same(&self, next: &Self) -> bool {
        self.definition == next.definition
            && self.requester.is_same(&next.requester)
            && (next.configured.is_none() || self.configured == next.configured)
    }

    fn follow(&self, next: &Self) {
        self.requester.ask_through(&next.requester);
    }

    /// The refresh token a process has may be the only good one.
    fn inherit(&self, previous: &Self) {
        let theirs = previous.next().clone();
        let same = |held: &Held| self.configured.as_ref() == Some(&held.lineage);
        *self.next() = theirs.filter(same);
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
