//! This process as AWS knows it: its keys, and what it has of AWS with them. Each is kept fresh by the
//! engine of the credential sources.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::client::aws::api::AwsError;
use crate::client::aws::{AskingKeys, AwsKeys, granted, secrets_manager, sts};
use crate::client::jwks::Background;
use crate::client::token::{Endpoint, Fetch, FetchError, Grant, Granted, Refused};
use crate::clock::{Clock, UnixTime};
use crate::config::{AwsKeySource, Freshness, WebIdentityToken};
use crate::gate::Boxed;
use crate::secret::{AwsSecret, Secret};
use crate::telemetry::Telemetry;

/// The process, for the calls we make ourselves.
#[derive(Debug)]
pub struct Process {
    asking: Asking,
    /// What this world asks through, once it is in force.
    through: Arc<dyn Endpoint>,
    tokens: Vec<(WebIdentityToken, Arc<Grant<Secret>>)>,
    /// Those that were asked for.
    secrets: Mutex<Vec<(AwsSecret, Arc<Grant<Secret>>)>>,
    drivers: Drivers,
}

/// With which keys a call is signed, and what it goes through.
#[derive(Clone, Debug)]
struct Asking {
    keys: Arc<Grant<AwsKeys>>,
    source: Arc<AskingKeys>,
}

impl Asking {
    /// Other keys than these, if AWS refused them and there are others now.
    async fn other_keys(&self, used: &AwsKeys, why: Option<&AwsError>) -> Option<Arc<AwsKeys>> {
        if !why?.refuses_keys() {
            return None;
        }
        let other = self.keys.replace(|keys| keys == used).await?;
        Some(other.credential)
    }
}

/// Asks for one [`WebIdentityToken`].
#[derive(Debug)]
struct AskingToken(WebIdentityToken, Asking);

impl Fetch<Secret> for AskingToken {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Secret>, FetchError>> {
        let Self(wanted, asking) = self;
        Box::pin(async move {
            let through = &*asking.source.endpoint();
            let mut keys = held(&asking.keys).await?;
            let mut token = sts::web_identity_token(wanted, &keys, through, now).await;
            if let Some(other) = asking.other_keys(&keys, token.as_ref().err()).await {
                keys = other;
                token = sts::web_identity_token(wanted, &keys, through, now).await;
            }
            Ok(token?)
        })
    }
}

/// Asks for one [`AwsSecret`].
#[derive(Debug)]
struct AskingSecret(AwsSecret, Asking);

impl Fetch<Secret> for AskingSecret {
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<Secret>, FetchError>> {
        let Self(wanted, asking) = self;
        Box::pin(async move {
            let through = &*asking.source.endpoint();
            let mut keys = held(&asking.keys).await?;
            let mut secret = secrets_manager::fetch(wanted, &keys, through, now).await;
            if let Some(other) = asking.other_keys(&keys, secret.as_ref().err()).await {
                keys = other;
                secret = secrets_manager::fetch(wanted, &keys, through, now).await;
            }
            // until somebody refuses it
            Ok(granted(secret?, None, now)?)
        })
    }
}

impl Process {
    /// Whose keys come from `source`, and whose tokens those in `wanted` are, each with the name of who
    /// wants it. Asks nobody yet; what it will hold is kept fresh on this runtime. Takes over the keys of
    /// `previous` and the tokens it got by them if they come from the same source, and leaves `previous` as
    /// it is; secrets are read anew.
    pub(in crate::client) fn start<'w>(
        source: AwsKeySource,
        wanted: impl Iterator<Item = (&'w str, &'w WebIdentityToken)>,
        through: Arc<dyn Endpoint>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let stop = background.stop.child_token();
        let drivers = Drivers {
            clock: Arc::clone(clock),
            telemetry: Arc::clone(telemetry),
            tasks: background.tasks.clone(),
            runtime: Handle::current(),
            stop: stop.clone(),
            _end: stop.drop_guard(),
        };
        let previous = previous.filter(|previous| previous.asking.source.is_of(&source));
        let asking = if let Some(previous) = previous {
            drivers.drive(&previous.asking.keys);
            previous.asking.clone()
        } else {
            let source = Arc::new(AskingKeys::new(source, Arc::clone(&through)));
            let fetch: Arc<dyn Fetch<AwsKeys>> = Arc::<AskingKeys>::clone(&source);
            let keys = drivers.start("aws:keys".into(), fetch);
            Asking { keys, source }
        };
        let known = previous.map_or(&[][..], |previous| &previous.tokens);
        let mut tokens: Vec<(WebIdentityToken, _)> = Vec::new();
        for (name, wanted) in wanted {
            if tokens.iter().any(|(known, _)| known == wanted) {
                continue;
            }
            let known = known.iter().find(|(known, _)| known == wanted);
            let grant = if let Some((_, grant)) = known {
                drivers.drive(grant);
                Arc::clone(grant)
            } else {
                let token = AskingToken(wanted.clone(), asking.clone());
                drivers.start(format!("{name}:assertion").into(), Arc::new(token))
            };
            tokens.push((wanted.clone(), grant));
        }
        Self {
            asking,
            through,
            tokens,
            secrets: Mutex::default(),
            drivers,
        }
    }

    /// Its world is in force: what it took over asks through what that one has.
    pub(in crate::client) fn go_into_force(&self) {
        self.asking.source.ask_through(Arc::clone(&self.through));
    }

    /// A secret in Secrets Manager: the known one, or its current version if that is `refused`, fetched
    /// at most once in 30 s for this.
    pub async fn secret(
        &self,
        secret: &AwsSecret,
        refused: Option<Refused<'_>>,
    ) -> Result<Secret, AwsError> {
        let grant = self.grant_of(secret);
        let Some(known) = grant.usable() else {
            return Ok(Secret::clone(&*held(&grant).await?));
        };
        let other = match refused {
            Some(refused) => grant.replace(refused).await,
            None => None,
        };
        Ok(Secret::clone(&other.unwrap_or(known).credential))
    }

    /// What log and metrics call what it holds by now.
    pub(in crate::client) fn names(&self) -> Vec<Arc<str>> {
        let tokens = self.tokens.iter().map(|(_, grant)| grant.name());
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = secrets.iter().map(|(_, grant)| grant.name());
        let keys = std::iter::once(self.asking.keys.name());
        keys.chain(tokens).chain(secrets).cloned().collect()
    }

    fn grant_of(&self, secret: &AwsSecret) -> Arc<Grant<Secret>> {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, grant)) = secrets.iter().find(|(known, _)| known == secret) {
            return Arc::clone(grant);
        }
        let asking = AskingSecret(secret.clone(), self.asking.clone());
        let name = format!("aws:{}", secret.id).into();
        let grant = self.drivers.start(name, Arc::new(asking));
        secrets.push((secret.clone(), Arc::clone(&grant)));
        grant
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

/// What keeps a process's grants fresh, until it is dropped.
#[derive(Debug)]
struct Drivers {
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    tasks: TaskTracker,
    runtime: Handle,
    stop: CancellationToken,
    _end: DropGuard,
}

impl Drivers {
    /// `name` is what log and metrics call it: no name of a `[credentials.X]`.
    fn start<C: fmt::Debug + PartialEq + Send + Sync + 'static>(
        &self,
        name: Arc<str>,
        fetch: Arc<dyn Fetch<C>>,
    ) -> Arc<Grant<C>> {
        let grant = Grant::new(
            name,
            "aws",
            Freshness::default(),
            fetch,
            Arc::clone(&self.clock),
            Arc::clone(&self.telemetry),
        );
        let grant = Arc::new(grant.ending_quietly());
        self.drive(&grant);
        grant
    }

    fn drive<C: fmt::Debug + PartialEq + Send + Sync + 'static>(&self, grant: &Arc<Grant<C>>) {
        let drive = Arc::clone(grant).drive(self.stop.clone());
        self.tasks.spawn_on(drive, &self.runtime);
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
