//! Asking a token endpoint: the form, client authentication, and the one re-reading of the secret.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::client::outgoing::{self, Fetched, Outgoing};
use crate::client::token::{Bearer, FetchError, Granted, answer};
use crate::clock::UnixTime;
use crate::config::{ClientAuthentication, OAuthClient};
use crate::gate::Boxed;
use crate::secret::{Secret, SecretError, SecretSource};

/// Deadline of one token request.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Most bytes of an answer.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What carries a token request: the outgoing client, or a script in tests.
pub(super) trait Endpoint: fmt::Debug + Send + Sync {
    /// One form POST and its answer.
    fn post<'p>(
        &'p self,
        url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, outgoing::FetchError>>;
}

impl Endpoint for Outgoing {
    fn post<'p>(
        &'p self,
        url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, outgoing::FetchError>> {
        Box::pin(self.post_form(url, form, authorization, ANSWER_WITHIN, LARGEST_ANSWER))
    }
}

/// One OAuth client.
#[derive(Debug)]
pub(super) struct Requester {
    client: OAuthClient,
    means: Mutex<Means>,
}

/// What may change under a client that stays the same.
#[derive(Clone, Debug)]
struct Means {
    endpoint: Arc<dyn Endpoint>,
    /// As last loaded.
    secret: Option<Secret>,
}

impl Requester {
    /// A secret that cannot be read now is read again by the first request.
    pub(super) fn new(client: OAuthClient, endpoint: Arc<dyn Endpoint>) -> Self {
        let secret = source(&client).load().ok();
        Self {
            client,
            means: Mutex::new(Means { endpoint, secret }),
        }
    }

    /// Whether `other` would ask as the same client. A secret that cannot be read at the moment is
    /// not another one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let theirs = other.means().secret.clone();
        self.client == other.client && (theirs.is_none() || self.means().secret == theirs)
    }

    /// Asks through the outgoing client of `next` from now on: proxy and roots may have changed.
    pub(super) fn ask_through(&self, next: &Self) {
        let endpoint = Arc::clone(&next.means().endpoint);
        self.means().endpoint = endpoint;
    }

    /// Asks for a token with the parameters of a grant, as this client; a second time if the
    /// endpoint does not know the client and its secret's source holds another one by now.
    pub(super) async fn ask(
        &self,
        grant: &[(&str, &str)],
        now: UnixTime,
    ) -> Result<Granted<Bearer>, FetchError> {
        let known = self.means().secret.clone();
        let secret = match known {
            Some(secret) => secret,
            None => self.reload().await?,
        };
        match self.ask_with(&secret, grant, now).await {
            Err(refused) if refused.is_invalid_client() => {
                let again = self.reload().await?;
                if again == secret {
                    Err(refused)
                } else {
                    self.ask_with(&again, grant, now).await
                }
            }
            outcome => outcome,
        }
    }

    async fn ask_with(
        &self,
        secret: &Secret,
        grant: &[(&str, &str)],
        now: UnixTime,
    ) -> Result<Granted<Bearer>, FetchError> {
        let id = self.client.client_id.as_str();
        let mut form = grant.to_vec();
        let authorization = match &self.client.authentication {
            ClientAuthentication::SecretPost(_) => {
                form.push(("client_id", id));
                form.push(("client_secret", secret.expose()));
                None
            }
            ClientAuthentication::SecretBasic(_) => basic(id, secret),
        };
        let endpoint = Arc::clone(&self.means().endpoint);
        let answer = endpoint
            .post(&self.client.token_url, &form, authorization)
            .await?;
        answer::read(answer.status, answer.retry_after, &answer.body, now)
    }

    fn means(&self) -> MutexGuard<'_, Means> {
        self.means.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reload(&self) -> Result<Secret, SecretError> {
        let secret = load(source(&self.client)).await?;
        self.means().secret = Some(secret.clone());
        Ok(secret)
    }
}

fn source(client: &OAuthClient) -> &SecretSource {
    match &client.authentication {
        ClientAuthentication::SecretPost(secret) | ClientAuthentication::SecretBasic(secret) => {
            secret
        }
    }
}

/// RFC 6749 2.3.1: id and secret are form-encoded before they are joined.
fn basic(id: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut pair = Zeroizing::new(String::with_capacity(128));
    pair.extend(byte_serialize(id.as_bytes()));
    pair.push(':');
    pair.extend(byte_serialize(secret.expose().as_bytes()));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    // base64 is always a header value
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Loads a secret without blocking the runtime: its file may be on a slow mount.
pub(super) async fn load(source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::File(path) => {
            let file = source.clone();
            match tokio::task::spawn_blocking(move || file.load()).await {
                Ok(loaded) => loaded,
                Err(ended) => Err(SecretError::File {
                    path: path.clone(),
                    source: std::io::Error::other(ended),
                }),
            }
        }
        SecretSource::Env(_) | SecretSource::Literal(_) => source.load(),
    }
}
