//! Credential sources (DESIGN §9): what an egress request, or a route's
//! `authorization = { replace = … }`, carries.

mod answer;
mod grant;
mod kept;
mod request;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::json;
use tokio_util::sync::DropGuard;
use zeroize::Zeroizing;

pub use self::answer::{FetchError, Granted, LifeFrom, Peek, UNSTATED_LIFE, peek};
use self::grant::Grant;
use self::kept::Kept;
use self::request::{Endpoint, Requester};
use crate::client::jwks::Background;
use crate::client::outgoing::Outgoing;
use crate::clock::{Clock, UnixTime};
use crate::config::{self, CredentialKind};
use crate::reason::Failure;
use crate::request::headers::single;
use crate::secret::Secret;
use crate::telemetry::Telemetry;

/// What a failure suggests when no source knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// All `[credentials.X]`, with the tokens they hold.
#[derive(Debug)]
pub struct Credentials {
    sources: Vec<Source>,
    by_name: HashMap<Arc<str>, usize>,
    /// Ends this world's drivers; a source kept by the next world is driven from there.
    _stop: DropGuard,
}

#[derive(Debug)]
enum Source {
    Grant(Arc<Grant>),
    Kept(Kept),
    PassThrough(Arc<str>),
}

/// A header that authenticates one request. Its value is marked sensitive.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The header, mostly `authorization`.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
    /// Whose it is.
    source: usize,
}

impl Credentials {
    /// Builds the sources; tokens are fetched when first needed and refreshed ahead while used. A
    /// source whose definition and secret are the same in `previous` keeps its token. Reads the
    /// disk: call it at start and on reload only.
    pub fn start(
        sources: &[config::CredentialSource],
        outgoing: &Outgoing,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let endpoint: Arc<dyn Endpoint> = Arc::new(outgoing.clone());
        Self::start_with(sources, &endpoint, clock, telemetry, background, previous)
    }

    fn start_with(
        sources: &[config::CredentialSource],
        endpoint: &Arc<dyn Endpoint>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let stop = background.stop.child_token();
        let build = |source: &config::CredentialSource| {
            let name = Arc::clone(&source.name);
            match &source.kind {
                CredentialKind::ClientCredentials(definition) => {
                    // a secret that cannot be read now is read again by the first fetch
                    let secret = definition.client_secret.load().ok();
                    let kept = previous
                        .and_then(|previous| previous.grant(&name))
                        .filter(|grant| grant.requester().is_same(definition, secret.as_ref()));
                    let grant = if let Some(grant) = kept {
                        grant.requester().ask_through(endpoint);
                        Arc::clone(grant)
                    } else {
                        let endpoint = Arc::clone(endpoint);
                        let requester = Requester::new(definition.clone(), endpoint, secret);
                        let (clock, telemetry) = (Arc::clone(clock), Arc::clone(telemetry));
                        Arc::new(Grant::new(name, requester, clock, telemetry))
                    };
                    background
                        .tasks
                        .spawn(Arc::clone(&grant).drive(stop.clone()));
                    Source::Grant(grant)
                }
                CredentialKind::StaticToken { token } => Source::Kept(Kept::new(
                    name,
                    "static_token",
                    header::AUTHORIZATION,
                    Some("Bearer".to_owned()),
                    token.clone(),
                )),
                CredentialKind::ApiKey {
                    header,
                    scheme,
                    value,
                } => Source::Kept(Kept::new(
                    name,
                    "api_key",
                    header.clone(),
                    scheme.clone(),
                    value.clone(),
                )),
                CredentialKind::PassThrough => Source::PassThrough(name),
            }
        };
        let by_name = sources
            .iter()
            .enumerate()
            .map(|(at, source)| (Arc::clone(&source.name), at))
            .collect();
        Self {
            sources: sources.iter().map(build).collect(),
            by_name,
            _stop: stop.drop_guard(),
        }
    }

    fn grant(&self, name: &str) -> Option<&Arc<Grant>> {
        match self.sources.get(*self.by_name.get(name)?)? {
            Source::Grant(grant) => Some(grant),
            Source::Kept(_) | Source::PassThrough(_) => None,
        }
    }

    /// The credential of the first source in `names` that has something. `original` are the
    /// headers of the request it is for (`pass_through` reads them).
    pub async fn attach(
        &self,
        names: &[Arc<str>],
        original: &HeaderMap,
    ) -> Result<Attached, Failure> {
        let mut retry_after: Option<Duration> = None;
        for &at in names.iter().filter_map(|name| self.by_name.get(name)) {
            let Some(source) = self.sources.get(at) else {
                continue;
            };
            let (name, value) = match source {
                Source::Grant(grant) => match grant.find().await {
                    Ok(value) => (header::AUTHORIZATION, value),
                    Err(pause) => {
                        let shorter = retry_after.map_or(pause, |known| known.min(pause));
                        retry_after = Some(shorter);
                        continue;
                    }
                },
                Source::Kept(kept) => match kept.find().await {
                    Some(value) => (kept.header().clone(), value),
                    None => continue,
                },
                Source::PassThrough(_) => match single(original, &header::AUTHORIZATION) {
                    Ok(Some(value)) => {
                        let mut value = value.clone();
                        value.set_sensitive(true);
                        (header::AUTHORIZATION, value)
                    }
                    Ok(None) | Err(_) => continue,
                },
            };
            return Ok(Attached {
                name,
                value,
                source: at,
            });
        }
        Err(Failure::EgressTokenUnavailable {
            retry_after: retry_after.unwrap_or_default().max(RETRY_AFTER),
        })
    }

    /// The target refused `refused` with 401: another credential of the same source if there is
    /// one worth a replay, else `None`. A fetched token is refetched only if it is still the
    /// current one, and at most once per source in 30 s; static values are read again and count
    /// only if they changed; a caller's own token has no other.
    pub async fn replace(&self, refused: &Attached) -> Option<Attached> {
        let value = match self.sources.get(refused.source)? {
            Source::Grant(grant) => grant.replace(&refused.value).await,
            Source::Kept(kept) => kept.replace(&refused.value).await,
            Source::PassThrough(_) => None,
        }?;
        Some(Attached {
            value,
            ..refused.clone()
        })
    }

    /// What `/status` shows: per source its kind, age, time to expiry, last error. No secrets.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        self.sources
            .iter()
            .map(|source| match source {
                Source::Grant(grant) => grant.report(),
                Source::Kept(kept) => kept.report(),
                Source::PassThrough(name) => json!({ "name": &**name, "kind": "pass_through" }),
            })
            .collect()
    }
}

/// Asks for one token of a client-credentials source, outside any [`Credentials`]:
/// `gatepost token`.
pub async fn fetch_once(
    definition: &config::ClientCredentials,
    outgoing: &Outgoing,
    now: UnixTime,
) -> Result<Granted, FetchError> {
    let requester = Requester::new(definition.clone(), Arc::new(outgoing.clone()), None);
    requester.fetch(now).await
}

/// `Bearer …`, sensitive. `None` if the token holds control characters.
fn bearer(token: &Secret) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
