//! Key sets of our own: as configured, from the container's endpoint, or from STS for a token the
//! platform gave us.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::aws::api::AwsError;
use crate::client::aws::{AwsKeys, Issued, container, secrets_manager, sts};
use crate::client::jwks::Background;
use crate::client::token::{AskingKeys, Endpoint, Fetch, FetchError, Grant, Granted};
use crate::clock::{Clock, UnixTime};
use crate::config::{AwsKeySource, Freshness, WebIdentityToken};
use crate::gate::Boxed;
use crate::secret::{AwsSecret, Secret};
use crate::telemetry::Telemetry;

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

/// This process as AWS knows it, for the calls we make ourselves.
#[derive(Debug)]
pub struct Process {
    keys: Arc<Grant<AwsKeys>>,
    /// Each is asked for with `keys`.
    tokens: Vec<(WebIdentityToken, Arc<Grant<Secret>>)>,
    through: Arc<dyn Endpoint>,
    clock: Arc<dyn Clock>,
    /// Ends the drivers.
    _stop: DropGuard,
}

/// Asks for one [`WebIdentityToken`].
#[derive(Debug)]
struct AskingToken {
    wanted: WebIdentityToken,
    keys: Arc<Grant<AwsKeys>>,
    through: Arc<dyn Endpoint>,
}

impl Fetch<Secret> for AskingToken {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Secret>, FetchError>> {
        Box::pin(async move {
            let keys = held(&self.keys).await?;
            let asked = sts::web_identity_token(&self.wanted, &keys, &*self.through, now);
            Ok(asked.await?)
        })
    }
}

impl Process {
    /// Whose keys come from `source`, and whose tokens those in `wanted` are, each with the name of who
    /// wants it. Asks nobody yet; what it will hold is kept fresh on this runtime.
    pub(in crate::client) fn start<'w>(
        source: AwsKeySource,
        wanted: impl Iterator<Item = (&'w str, &'w WebIdentityToken)>,
        through: Arc<dyn Endpoint>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
    ) -> Self {
        let stop = background.stop.child_token();
        let drivers = Drivers {
            clock,
            telemetry,
            background,
            stop: &stop,
        };
        let asking = AskingKeys::new(source, Arc::clone(&through));
        let keys = drivers.start("aws:keys".into(), Arc::new(asking));
        let mut tokens: Vec<(WebIdentityToken, _)> = Vec::new();
        for (name, wanted) in wanted {
            if tokens.iter().any(|(known, _)| known == wanted) {
                continue;
            }
            let asking = AskingToken {
                wanted: wanted.clone(),
                keys: Arc::clone(&keys),
                through: Arc::clone(&through),
            };
            let grant = drivers.start(format!("{name}:assertion").into(), Arc::new(asking));
            tokens.push((wanted.clone(), grant));
        }
        Self {
            keys,
            tokens,
            through,
            clock: Arc::clone(clock),
            _stop: stop.drop_guard(),
        }
    }

    /// The current version of a secret in Secrets Manager.
    pub async fn secret(&self, secret: &AwsSecret) -> Result<Secret, AwsError> {
        let keys = held(&self.keys).await?;
        secrets_manager::fetch(secret, &keys, &*self.through, self.clock.now()).await
    }

    /// STS `GetWebIdentityToken`: a JWT of AWS's about our role, for an audience elsewhere; another one
    /// than `refused`, if that can be had now.
    pub async fn web_identity_token(
        &self,
        wanted: &WebIdentityToken,
        refused: Option<&Secret>,
    ) -> Result<Secret, AwsError> {
        let known = self.tokens.iter().find(|(known, _)| known == wanted);
        let (_, grant) = known.ok_or(AwsError::NoKeys)?;
        if let Some(refused) = refused
            && let Some(other) = grant.replace(|token| token == refused).await
        {
            return Ok(Secret::clone(&other.credential));
        }
        Ok(Secret::clone(&*held(grant).await?))
    }
}

/// What keeps a process's grants fresh.
struct Drivers<'d> {
    clock: &'d Arc<dyn Clock>,
    telemetry: &'d Arc<Telemetry>,
    background: &'d Background,
    stop: &'d CancellationToken,
}

impl Drivers<'_> {
    /// `name` is what log and metrics call it: no name of a `[credentials.X]`.
    fn start<C: fmt::Debug + PartialEq + Send + Sync + 'static>(
        &self,
        name: Arc<str>,
        fetch: Arc<dyn Fetch<C>>,
    ) -> Arc<Grant<C>> {
        let grant = Arc::new(Grant::new(
            name,
            "aws",
            Freshness::default(),
            fetch,
            Arc::clone(self.clock),
            Arc::clone(self.telemetry),
        ));
        let drive = Arc::clone(&grant).drive(self.stop.clone());
        self.background.tasks.spawn(drive);
        grant
    }
}

async fn held<C>(grant: &Grant<C>) -> Result<Arc<C>, AwsError>
where
    C: fmt::Debug + PartialEq + Send + Sync + 'static,
{
    match grant.find().await {
        Ok(lent) => Ok(lent.credential),
        Err(_pause) => {
            let why = grant.why();
            let why = why.unwrap_or_else(|| "AWS did not answer in time".to_owned());
            Err(AwsError::NotHeld(why))
        }
    }
}
