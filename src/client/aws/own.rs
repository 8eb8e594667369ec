//! Key sets of our own: as configured, from the container's endpoint, or from STS for a token the
//! platform gave us.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::client::aws::api::AwsError;
use crate::client::aws::{AwsKeys, Issued, container, secrets_manager, sts};
use crate::client::token::Endpoint;
use crate::clock::{Clock, UnixTime};
use crate::config::{AwsKeySource, WebIdentityToken};
use crate::secret::{AwsSecret, Secret};

/// Keys that end within this time are fetched anew, seconds: a call takes a while, and clocks differ.
const FRESH: u64 = 300;

/// Asks a source once.
pub(in crate::client) async fn fetch(
    source: &AwsKeySource,
    through: &dyn Endpoint,
) -> Result<Issued, AwsError> {
    match source {
        AwsKeySource::Kept {
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let id = through.load(access_key_id).await?;
            let secret = through.load(secret_access_key).await?;
            let token = match session_token {
                Some(token) => Some(through.load(token).await?),
                None => None,
            };
            let keys = AwsKeys::new(id.expose().to_owned(), secret, token, None);
            keys.map(|keys| Issued { keys, until: None })
                .ok_or(AwsError::Unusable {
                    service: "the configuration",
                    why: "its AWS keys cannot stand in a request",
                })
        }
        AwsKeySource::Container(endpoint) => {
            let authorization = match &endpoint.authorization {
                Some(source) => Some(through.load(source).await?),
                None => None,
            };
            container::fetch(endpoint, authorization.as_ref(), through).await
        }
        AwsKeySource::WebIdentity(role) => {
            let token = through.load(&role.token).await?;
            sts::assume_role(role, &token, through).await
        }
    }
}

/// This process as AWS knows it, for the calls we make ourselves. They are rare: keys are fetched when
/// one is made, and kept while they are fresh.
#[derive(Debug)]
pub struct Process {
    source: AwsKeySource,
    through: Arc<dyn Endpoint>,
    clock: Arc<dyn Clock>,
    held: Mutex<Option<Issued>>,
}

impl Process {
    /// Whose keys come from `source`. Asks nobody yet.
    #[must_use]
    pub fn new(source: AwsKeySource, through: Arc<dyn Endpoint>, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            through,
            clock,
            held: Mutex::new(None),
        }
    }

    async fn keys(&self) -> Result<AwsKeys, AwsError> {
        let mut held = self.held.lock().await;
        let now = self.clock.now();
        let fresh = |issued: &&Issued| issued.until.is_none_or(|until| until.since(now) > FRESH);
        if let Some(issued) = held.as_ref().filter(fresh) {
            return Ok(issued.keys.clone());
        }
        match fetch(&self.source, &*self.through).await {
            Ok(issued) => Ok(held.insert(issued).keys.clone()),
            Err(error) => match held.as_ref() {
                Some(issued) if issued.until.is_some_and(|until| now < until) => {
                    tracing::warn!(%error, "AWS keys not refreshed");
                    Ok(issued.keys.clone())
                }
                Some(_) | None => Err(error),
            },
        }
    }

    /// The current version of a secret in Secrets Manager.
    pub async fn secret(&self, secret: &AwsSecret) -> Result<Secret, AwsError> {
        let keys = self.keys().await?;
        secrets_manager::fetch(secret, &keys, &*self.through, self.clock.now()).await
    }

    /// STS `GetWebIdentityToken`: a JWT of AWS's about our role, for an audience elsewhere; and until
    /// when it is valid.
    pub async fn web_identity_token(
        &self,
        wanted: &WebIdentityToken,
    ) -> Result<(Secret, UnixTime), AwsError> {
        let keys = self.keys().await?;
        sts::web_identity_token(wanted, &keys, &*self.through, self.clock.now()).await
    }
}
