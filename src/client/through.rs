//! What our own calls for credentials go through: the outgoing client, and the one way to load a
//! secret, from the environment, files or AWS Secrets Manager.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request};
use url::Url;

use crate::client::aws::{AwsError, Process};
use crate::client::disk;
use crate::client::jwks::Background;
use crate::client::outgoing::{self, Fetched, Outgoing};
use crate::client::token::{ANSWER_WITHIN, Endpoint, LARGEST_ANSWER, Refused};
use crate::clock::Clock;
use crate::config::{
    ClientAuthentication, Config, FederatedAssertion, LoginKind, WebIdentityToken,
};
use crate::gate::Boxed;
use crate::secret::{Secret, SecretError, SecretSource};
use crate::telemetry::Telemetry;

/// The outgoing client, and what this process is to AWS, if anything. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Through {
    outgoing: Outgoing,
    process: Option<Arc<Process>>,
}

impl Through {
    /// With the AWS keys that the config found. Asks nobody yet; what it will have from AWS is kept fresh
    /// on this runtime, until the last copy is gone, with what `previous` has of the same.
    #[must_use]
    pub fn new(
        config: &Config,
        outgoing: Outgoing,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Process>,
    ) -> Self {
        let alone = Self {
            outgoing,
            process: None,
        };
        let process = config.aws.clone().map(|keys| {
            // the process's own keys are never behind keys of the process
            let through = Arc::new(alone.clone());
            let wanted = wanted(config);
            let process = Process::start(
                keys, wanted, through, clock, telemetry, background, previous,
            );
            Arc::new(process)
        });
        Self { process, ..alone }
    }

    /// What this process is to AWS, if anything.
    #[must_use]
    pub fn process(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    /// The secret as [`Endpoint::load`] has it, without blocking the runtime.
    pub async fn load(
        &self,
        source: &SecretSource,
        refused: Option<Refused<'_>>,
    ) -> Result<Secret, SecretError> {
        let secret = match source {
            SecretSource::Aws(secret) => secret,
            SecretSource::File(_) | SecretSource::Env(_) | SecretSource::Literal(_) => {
                return disk::load(source).await;
            }
        };
        let fetched = match &self.process {
            Some(process) => process.secret(secret, refused).await,
            None => Err(AwsError::NoKeys),
        };
        fetched.map_err(|error| SecretError::Aws {
            id: secret.id.clone(),
            why: error.to_string(),
            is_outage: error.is_outage(),
        })
    }
}

/// The tokens that clients of the config authenticate with, each with the name of the source.
fn wanted(config: &Config) -> impl Iterator<Item = (&str, &WebIdentityToken)> {
    let login = config.login.iter().filter_map(|login| match &login.kind {
        LoginKind::PasswordGrant { client, .. } => Some(("login", client)),
        LoginKind::Cognito { .. } | LoginKind::Http { .. } => None,
    });
    let sources = config.credentials.iter();
    sources
        .filter_map(|source| Some((&*source.name, source.kind.client()?)))
        .chain(login)
        .filter_map(|(name, client)| match client.authentication {
            ClientAuthentication::Federated(FederatedAssertion::AwsSts(ref wanted)) => {
                Some((name, wanted))
            }
            ClientAuthentication::Federated(FederatedAssertion::File(_))
            | ClientAuthentication::SecretPost(_)
            | ClientAuthentication::SecretBasic(_)
            | ClientAuthentication::PrivateKeyJwt(_)
            | ClientAuthentication::None => None,
        })
}

impl Endpoint for Through {
    fn post<'p>(
        &'p self,
        url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, outgoing::FetchError>> {
        let post = self
            .outgoing
            .post_form(url, form, authorization, ANSWER_WITHIN, LARGEST_ANSWER);
        Box::pin(post)
    }

    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Fetched, outgoing::FetchError>> {
        let sent = self.outgoing.send(request, ANSWER_WITHIN, LARGEST_ANSWER);
        Box::pin(sent)
    }

    fn load<'l>(
        &'l self,
        source: &'l SecretSource,
        refused: Option<Refused<'l>>,
    ) -> Boxed<'l, Result<Secret, SecretError>> {
        Box::pin(self.load(source, refused))
    }

    fn web_identity_token<'w>(
        &'w self,
        wanted: &'w WebIdentityToken,
        refused: Option<&'w Secret>,
    ) -> Boxed<'w, Result<Secret, AwsError>> {
        Box::pin(async move {
            let process = self.process.as_ref().ok_or(AwsError::NoKeys)?;
            process.web_identity_token(wanted, refused).await
        })
    }
}
