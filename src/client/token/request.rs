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
use crate::client::token::answer::{self, FetchError, Granted};
use crate::clock::UnixTime;
use crate::config::{ClientAuthMethod, ClientCredentials};
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
    definition: ClientCredentials,
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
    pub(super) fn new(
        definition: ClientCredentials,
        endpoint: Arc<dyn Endpoint>,
        secret: Option<Secret>,
    ) -> Self {
        Self {
            definition,
            means: Mutex::new(Means { endpoint, secret }),
        }
    }

    pub(super) fn definition(&self) -> &ClientCredentials {
        &self.definition
    }

    /// Whether `definition`, whose secret now reads `secret`, would ask for the same tokens. A
    /// secret that cannot be read at the moment is not another one.
    pub(super) fn is_same(&self, definition: &ClientCredentials, secret: Option<&Secret>) -> bool {
        self.definition == *definition
            && (secret.is_none() || self.means().secret.as_ref() == secret)
    }

    /// The next world's outgoing client: proxy and roots may have changed.
    pub(super) fn ask_through(&self, endpoint: &Arc<dyn Endpoint>) {
        self.means().endpoint = Arc::clone(endpoint);
    }

    /// Asks once; a second time if the endpoint does not know the client and its secret's source
    /// holds another one by now.
    pub(super) async fn fetch(&self, now: UnixTime) -> Result<Granted, FetchError> {
        let known = self.means().secret.clone();
        let secret = match known {
            Some(secret) => secret,
            None => self.reload().await?,
        };
        match self.ask(&secret, now).await {
            Err(refused) if refused.is_invalid_client() => {
                let again = self.reload().await?;
                if again == secret {
                    Err(refused)
                } else {
                    self.ask(&again, now).await
                }
            }
            outcome => outcome,
        }
    }

    async fn ask(&self, secret: &Secret, now: UnixTime) -> Result<Granted, FetchError> {
        let definition = &self.definition;
        let id = definition.client_id.as_str();
        let scope = definition.scopes.join(" ");
        let mut form = vec![("grant_type", "client_credentials")];
        let authorization = match definition.auth_method {
            ClientAuthMethod::ClientSecretPost => {
                form.push(("client_id", id));
                form.push(("client_secret", secret.expose()));
                None
            }
            ClientAuthMethod::ClientSecretBasic => basic(id, secret),
        };
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        for (name, value) in [
            ("audience", &definition.audience),
            ("resource", &definition.resource),
        ] {
            if let Some(value) = value {
                form.push((name, value));
            }
        }
        let endpoint = Arc::clone(&self.means().endpoint);
        let answer = endpoint
            .post(&definition.token_url, &form, authorization)
            .await?;
        answer::read(answer.status, answer.retry_after, &answer.body, now)
    }

    fn means(&self) -> MutexGuard<'_, Means> {
        self.means.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reload(&self) -> Result<Secret, SecretError> {
        let secret = load(&self.definition.client_secret).await?;
        self.means().secret = Some(secret.clone());
        Ok(secret)
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
