//! Where one issuer's keys are, and one attempt to get them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::authn::KeySet;
use crate::authn::issuer::Algorithm;
use crate::authn::jwk::KeySetError;
use crate::client::outgoing::{FetchError, Fetched, Outgoing};
use crate::config::{IssuerConfig, Jwks, KeyLocation, is_loopback};
use crate::gate::Boxed;

/// The most bytes of a key set or discovery document.
pub(super) const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// What decides which keys an issuer has. While it is the same, a reload keeps the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: Arc<str>,
    pub(super) keys: KeyLocation,
    pub(super) algorithms: Vec<Algorithm>,
    insecure_http: bool,
    pub(super) policy: Jwks,
}

/// The network, as the engine sees it; scripted in tests.
pub(super) trait Fetch: fmt::Debug + Send + Sync {
    /// `GET`, within a total deadline and a bound on the body.
    fn fetch<'f>(
        &'f self,
        url: &'f Url,
        deadline: Duration,
        max_bytes: usize,
    ) -> Boxed<'f, Result<Fetched, FetchError>>;
}

impl Fetch for Outgoing {
    fn fetch<'f>(
        &'f self,
        url: &'f Url,
        deadline: Duration,
        max_bytes: usize,
    ) -> Boxed<'f, Result<Fetched, FetchError>> {
        Box::pin(self.get(url, deadline, max_bytes))
    }
}

/// A key set as fetched.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) set: KeySet,
    pub(super) json: Bytes,
    pub(super) max_age: Option<Duration>,
}

/// Why keys could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SourceError {
    #[error("discovery: {0}")]
    Discovery(FetchError),
    #[error("discovery: not a discovery document")]
    DiscoveryMalformed,
    #[error("discovery: the document's issuer is {0:?}")]
    IssuerMismatch(String),
    #[error("discovery: jwks_uri {0}")]
    JwksUri(&'static str),
    #[error("{0}")]
    Fetch(FetchError),
    #[error("{0}")]
    KeySet(KeySetError),
    #[error("{0}")]
    File(String),
    #[error("internal error")]
    Panicked,
}

impl SourceError {
    /// When the issuer asked to be left alone until.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Discovery(FetchError::Status { retry_after, .. })
            | Self::Fetch(FetchError::Status { retry_after, .. }) => *retry_after,
            Self::Discovery(_)
            | Self::DiscoveryMalformed
            | Self::IssuerMismatch(_)
            | Self::JwksUri(_)
            | Self::Fetch(_)
            | Self::KeySet(_)
            | Self::File(_)
            | Self::Panicked => None,
        }
    }
}

#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    jwks_uri: String,
}

impl Definition {
    pub(super) fn new(config: &IssuerConfig, policy: &Jwks) -> Self {
        Self {
            name: Arc::clone(&config.issuer.name),
            keys: config.keys.clone(),
            algorithms: config.issuer.algorithms.clone(),
            insecure_http: config.insecure_http,
            policy: policy.clone(),
        }
    }

    /// Whether the same place gives the same keys, whatever the policy of fetching them.
    pub(super) fn is_same_source(&self, other: &Self) -> bool {
        self.name == other.name
            && self.keys == other.keys
            && self.algorithms == other.algorithms
            && self.insecure_http == other.insecure_http
    }

    /// The configured URL, for sources on the network.
    pub(super) fn url(&self) -> Option<&Url> {
        match &self.keys {
            KeyLocation::JwksUrl(url) | KeyLocation::Discovery { url, .. } => Some(url),
            KeyLocation::JwksFile(_)
            | KeyLocation::PublicKeyFile(_)
            | KeyLocation::Secret(_)
            | KeyLocation::PemByKeyId(_)
            | KeyLocation::Asked(_) => None,
        }
    }

    /// Parses a JWK Set with this issuer's algorithms.
    pub(super) fn parse(&self, json: &[u8]) -> Result<KeySet, SourceError> {
        KeySet::parse(json, &self.algorithms).map_err(SourceError::KeySet)
    }

    /// Loads a source on this machine: a file or a secret. `None` for one on the network.
    pub(super) fn load(&self) -> Option<Result<KeySet, SourceError>> {
        let read = |path: &std::path::Path| {
            std::fs::read(path)
                .map_err(|error| SourceError::File(format!("cannot read the key file: {error}")))
        };
        match &self.keys {
            KeyLocation::JwksUrl(_)
            | KeyLocation::Discovery { .. }
            | KeyLocation::PemByKeyId(_)
            | KeyLocation::Asked(_) => None,
            KeyLocation::JwksFile(path) => Some(read(path).and_then(|json| self.parse(&json))),
            KeyLocation::PublicKeyFile(path) => Some(read(path).and_then(|pem| {
                KeySet::from_pem(&pem, &self.algorithms).map_err(SourceError::KeySet)
            })),
            KeyLocation::Secret(source) => Some(
                source
                    .load()
                    .map_err(|error| SourceError::File(error.to_string()))
                    .and_then(|secret| {
                        KeySet::from_secret(&secret, &self.algorithms).map_err(SourceError::KeySet)
                    }),
            ),
        }
    }

    /// Fetches the key set at `url`, or, without one, finds that URL by discovery first. Discovery
    /// and key set share one `fetch_timeout`. `discovered` is set once discovery succeeded.
    pub(super) async fn fetch(
        &self,
        network: &dyn Fetch,
        discovered: &mut Option<Url>,
    ) -> Result<Document, SourceError> {
        let end = Instant::now() + self.policy.fetch_timeout;
        let left = || end.saturating_duration_since(Instant::now());
        let url = match &self.keys {
            KeyLocation::Discovery { issuer, url } => {
                let found = match discovered.take() {
                    Some(known) => known,
                    None => self.discover(network, issuer, url, left()).await?,
                };
                discovered.insert(found).clone()
            }
            KeyLocation::JwksUrl(url) => url.clone(),
            KeyLocation::JwksFile(_)
            | KeyLocation::PublicKeyFile(_)
            | KeyLocation::Secret(_)
            | KeyLocation::PemByKeyId(_)
            | KeyLocation::Asked(_) => {
                return Err(SourceError::File("not on the network".to_owned()));
            }
        };
        let fetched = network
            .fetch(&url, left(), MAX_DOCUMENT_BYTES)
            .await
            .and_then(Fetched::ok)
            .map_err(SourceError::Fetch)?;
        Ok(Document {
            set: self.parse(&fetched.body)?,
            json: fetched.body,
            max_age: fetched.max_age,
        })
    }

    /// `OpenID` Connect Discovery 1.0, 4.3: the document's `issuer` must be the configured one,
    /// byte for byte. That match is what lets `jwks_uri` stand on another host.
    async fn discover(
        &self,
        network: &dyn Fetch,
        issuer: &str,
        url: &Url,
        deadline: Duration,
    ) -> Result<Url, SourceError> {
        let fetched = network
            .fetch(url, deadline, MAX_DOCUMENT_BYTES)
            .await
            .and_then(Fetched::ok)
            .map_err(SourceError::Discovery)?;
        let document: DiscoveryDocument = serde_json::from_slice(&fetched.body)
            .map_err(|_parse_error| SourceError::DiscoveryMalformed)?;
        if document.issuer != issuer {
            let stated = document.issuer.chars().take(200).collect();
            return Err(SourceError::IssuerMismatch(stated));
        }
        self.judge_jwks_uri(url, &document.jwks_uri)
    }

    fn judge_jwks_uri(&self, discovery: &Url, text: &str) -> Result<Url, SourceError> {
        stated_url(discovery, text, self.insecure_http).map_err(SourceError::JwksUri)
    }
}

/// A URL that the discovery document at `discovery` states, if it may be asked. On error: why not.
pub(crate) fn stated_url(
    discovery: &Url,
    text: &str,
    insecure_http: bool,
) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_parse_error| "is not a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a password");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if insecure_http => Ok(url),
        // a document that came over https does not lead back to plain text, loopback or not
        "http" if discovery.scheme() == "http" && is_loopback(&url) => Ok(url),
        _ => Err("is not https"),
    }
}
