//! Asking a token endpoint: the form, and the one re-reading of what authenticates the client.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use url::Url;

use crate::client::aws::AwsError;
use crate::client::outgoing::{self, Fetched};
use crate::client::token::client_auth::Means;
use crate::client::token::{Bearer, FetchError, Granted, answer};
use crate::clock::UnixTime;
use crate::config::{OAuthClient, WebIdentityToken};
use crate::gate::Boxed;
use crate::secret::{Secret, SecretError, SecretSource};

/// Deadline of one token request.
pub(in crate::client) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Most bytes of an answer. A secret of AWS's has up to 64 KiB, which JSON may double.
pub(in crate::client) const LARGEST_ANSWER: usize = 256 * 1024;

/// Whether this is a secret that somebody did not take.
pub type Refused<'r> = &'r (dyn Fn(&Secret) -> bool + Send + Sync);

/// What carries our own requests, and loads what they are made with: [`Through`](crate::client::through::Through),
/// or a script in tests.
pub trait Endpoint: fmt::Debug + Send + Sync {
    /// One form POST and its answer.
    fn post<'p>(
        &'p self,
        url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, outgoing::FetchError>>;

    /// Any whole request and its answer.
    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Fetched, outgoing::FetchError>>;

    /// A secret as it is now. One on this machine is read; of one elsewhere the known value is good until
    /// it is one that `refused` means: then it is another, if that can be had now.
    fn load<'l>(
        &'l self,
        source: &'l SecretSource,
        refused: Option<Refused<'l>>,
    ) -> Boxed<'l, Result<Secret, SecretError>>;

    /// A JWT of AWS's that says which role we are; another one than `refused`, if that can be had now.
    fn web_identity_token<'w>(
        &'w self,
        wanted: &'w WebIdentityToken,
        refused: Option<&'w Secret>,
    ) -> Boxed<'w, Result<Secret, AwsError>>;
}

/// One OAuth client.
#[derive(Debug)]
pub(in crate::client) struct Requester {
    client: OAuthClient,
    /// What may change under a client that stays the same.
    changing: Mutex<Changing>,
}

#[derive(Clone, Debug)]
struct Changing {
    endpoint: Arc<dyn Endpoint>,
    /// As last read, if it lasts.
    means: Option<Means>,
}

impl Requester {
    /// What cannot be read now is read again by the first request. Reads the disk.
    pub(in crate::client) fn new(client: OAuthClient, endpoint: Arc<dyn Endpoint>) -> Self {
        Self {
            changing: Mutex::new(Changing {
                endpoint,
                means: Means::read_now(&client),
            }),
            client,
        }
    }

    /// Whether `other` would ask as the same client. What cannot be read at the moment is not
    /// another.
    pub(in crate::client) fn is_same(&self, other: &Self) -> bool {
        let theirs = other.changing().means.clone();
        self.client == other.client && (theirs.is_none() || self.changing().means == theirs)
    }

    /// Asks through this one from now on: proxy and roots may have changed.
    pub(in crate::client) fn ask_through(&self, endpoint: &Arc<dyn Endpoint>) {
        self.changing().endpoint = Arc::clone(endpoint);
    }

    /// Asks for a token with the parameters of a grant, as this client; a second time if the
    /// endpoint does not know the client, and what authenticates it reads otherwise by now.
    pub(super) async fn ask(
        &self,
        grant: &[(&str, &str)],
        now: UnixTime,
    ) -> Result<Granted<Bearer>, FetchError> {
        self.ask_for(grant, now, answer::read).await
    }

    /// The same for a grant whose answer is read by `read`.
    pub(in crate::client) async fn ask_for<T>(
        &self,
        grant: &[(&str, &str)],
        now: UnixTime,
        read: impl Fn(&Fetched, UnixTime) -> Result<T, FetchError> + Send,
    ) -> Result<T, FetchError> {
        self.ask_at(&self.client.token_url, grant, now, read).await
    }

    /// The same at another endpoint that the client authenticates at.
    pub(in crate::client) async fn ask_at<T>(
        &self,
        url: &Url,
        grant: &[(&str, &str)],
        now: UnixTime,
        read: impl Fn(&Fetched, UnixTime) -> Result<T, FetchError> + Send,
    ) -> Result<T, FetchError> {
        let known = self.changing().means.clone();
        let means = match known {
            Some(means) => means,
            None => self.read(None).await?,
        };
        match read(&self.ask_by(url, &means, grant, now).await?, now) {
            Err(refused) if refused.is_invalid_client() => {
                let again = self.read(Some(&means)).await?;
                if again == means {
                    Err(refused)
                } else {
                    read(&self.ask_by(url, &again, grant, now).await?, now)
                }
            }
            outcome => outcome,
        }
    }

    async fn ask_by(
        &self,
        url: &Url,
        means: &Means,
        grant: &[(&str, &str)],
        now: UnixTime,
    ) -> Result<Fetched, FetchError> {
        let proof = means.prove(&self.client, now)?;
        let mut form = grant.to_vec();
        form.extend(
            proof
                .form
                .iter()
                .map(|(name, value)| (*name, value.expose())),
        );
        let endpoint = self.endpoint();
        let post = endpoint.post(url, &form, proof.authorization);
        Ok(post.await?)
    }

    /// What it asks through.
    pub(in crate::client) fn endpoint(&self) -> Arc<dyn Endpoint> {
        Arc::clone(&self.changing().endpoint)
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, refused: Option<&Means>) -> Result<Means, FetchError> {
        let means = Means::read(&self.client, &*self.endpoint(), refused).await?;
        self.changing().means = means.lasts().then(|| means.clone());
        Ok(means)
    }
}
