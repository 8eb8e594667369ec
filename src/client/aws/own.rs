//! Key sets of our own: as configured, from the container's endpoint, or from STS for a token the
//! platform gave us.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client::aws::api::{AwsError, Service};
use crate::client::aws::{AwsKeys, Issued, container, sts};
use crate::client::token::{Endpoint, Fetch, FetchError, Granted};
use crate::clock::UnixTime;
use crate::config::AwsKeySource;
use crate::gate::Boxed;
use crate::secret::Secret;

/// Who gave keys that we hold ourselves.
const CONFIGURATION: Service = Service("the configuration");

/// Where the keys come from, and through what they are asked for.
#[derive(Debug)]
pub(in crate::client) struct AskingKeys {
    source: AwsKeySource,
    endpoint: Mutex<Arc<dyn Endpoint>>,
    /// Configured ones do not end: who asks again had these refused.
    given: Mutex<Option<AwsKeys>>,
}

impl AskingKeys {
    pub(in crate::client) fn new(source: AwsKeySource, endpoint: Arc<dyn Endpoint>) -> Self {
        Self {
            source,
            endpoint: Mutex::new(endpoint),
            given: Mutex::default(),
        }
    }

    pub(in crate::client) fn is_of(&self, source: &AwsKeySource) -> bool {
        self.source == *source
    }

    /// Asks through this from now on.
    pub(in crate::client) fn ask_through(&self, endpoint: Arc<dyn Endpoint>) {
        let mut current = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        *current = endpoint;
    }

    fn given(&self) -> MutexGuard<'_, Option<AwsKeys>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it asks through.
    pub(in crate::client) fn endpoint(&self) -> Arc<dyn Endpoint> {
        let endpoint = self.endpoint.lock();
        Arc::clone(&endpoint.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Fetch<AwsKeys> for AskingKeys {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<AwsKeys>, FetchError>> {
        let endpoint = self.endpoint();
        Box::pin(async move {
            let given = self.given().clone();
            let issued = fetch(&self.source, &*endpoint, given.as_ref()).await?;
            *self.given() = Some(issued.keys.clone());
            Ok(issued.granted(now)?)
        })
    }
}

async fn fetch(
    source: &AwsKeySource,
    through: &dyn Endpoint,
    refused: Option<&AwsKeys>,
) -> Result<Issued, AwsError> {
    match source {
        AwsKeySource::Kept {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let is_refused = |part: &Secret| {
                refused.is_some_and(|keys| {
                    part.expose() == keys.access_key_id
                        || *part == keys.secret_access_key
                        || Some(part) == keys.session_token.as_ref()
                })
            };
            let id = through.load(access_key_id, Some(&is_refused)).await?;
            let secret = through.load(secret_access_key, Some(&is_refused)).await?;
            let token = match session_token {
                Some(token) => Some(through.load(token, Some(&is_refused)).await?),
                None => None,
            };
            let keys = AwsKeys::new(id.expose().to_owned(), secret, token, None);
            keys.map(|keys| Issued { keys, until: None })
                .ok_or_else(|| CONFIGURATION.unusable("its AWS keys cannot stand in a request"))
        }
        AwsKeySource::Container(endpoint) => {
            let authorization = match &endpoint.authorization {
                Some(source) => Some(through.load(source, None).await?),
                None => None,
            };
            container::fetch(endpoint, authorization.as_ref(), through).await
        }
        AwsKeySource::WebIdentity(role) => {
            let token = through.load(&role.token, None).await?;
            sts::assume_role(role, &token, through).await
        }
    }
}
