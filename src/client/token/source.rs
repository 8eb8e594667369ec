//! One `[credentials.X]`: a variant for each way to come by a credential. Each answers `attach`,
//! `replace` and `report`.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::jwks::Background;
use crate::client::token::attached::Attachment;
use crate::client::token::client_credentials::Asking;
use crate::client::token::kept::Kept;
use crate::client::token::pass_through::PassThrough;
use crate::client::token::request::{Endpoint, Requester};
use crate::client::token::subject::Without;
use crate::client::token::token_exchange::{Actor, Exchanging};
use crate::client::token::{Bearer, Fetch, For, Grant, RETRY_AFTER};
use crate::clock::Clock;
use crate::config::{ClientCredentials, CredentialKind, CredentialSource};
use crate::reason::{Denial, Failure, Refusal};
use crate::telemetry::Telemetry;

/// What a source is built with.
pub(super) struct Means<'m> {
    pub(super) endpoint: &'m Arc<dyn Endpoint>,
    pub(super) clock: &'m Arc<dyn Clock>,
    pub(super) telemetry: &'m Arc<Telemetry>,
    pub(super) background: &'m Background,
    /// Ends this world's drivers.
    pub(super) stop: &'m CancellationToken,
}

/// Where a credential comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Fetched from a token endpoint for this service, kept fresh.
    ClientCredentials(Granting),
    /// The user's, exchanged.
    TokenExchange(Exchanging),
    /// Read from a file or variable.
    Kept(Kept),
    /// The caller's own.
    PassThrough(PassThrough),
}

/// A grant together with what fetches for it.
#[derive(Debug)]
pub(super) struct Granting {
    asking: Arc<Asking>,
    grant: Arc<Grant<Bearer>>,
}

/// A source has nothing for this call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nothing {
    /// It may have in this time.
    pub(super) retry_after: Option<Duration>,
}

/// Why a source has no credential for a call.
#[derive(Debug)]
pub(super) enum Absent {
    /// It has none at the moment: the next one may.
    Nothing(Nothing),
    /// Nobody stands behind the call, which is for the next one then.
    NoUser,
    /// It has none for this user, and no other source has.
    Ends(Refusal),
}

impl From<Nothing> for Absent {
    fn from(nothing: Nothing) -> Self {
        Self::Nothing(nothing)
    }
}

impl From<Without> for Absent {
    fn from(without: Without) -> Self {
        let why = match without {
            Without::Token => {
                "The user was proven by no token that could be passed on or exchanged."
            }
            Without::Expired => "The user's token has expired.",
            Without::Refused(why) => why,
            Without::Later(pause) => {
                let retry_after = pause.max(RETRY_AFTER);
                return Self::Ends(Failure::EgressTokenUnavailable { retry_after }.into());
            }
        };
        Self::Ends(Denial::EgressUserUnavailable(why).into())
    }
}

impl Source {
    /// Builds a source, or takes over what `previous` holds if it is the same. Reads the disk.
    pub(super) fn start(
        source: &CredentialSource,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let name = Arc::clone(&source.name);
        match &source.kind {
            CredentialKind::ClientCredentials(definition) => {
                let previous = match previous {
                    Some(Self::ClientCredentials(granting)) => Some(granting),
                    Some(Self::TokenExchange(_) | Self::Kept(_) | Self::PassThrough(_)) | None => {
                        None
                    }
                };
                Self::ClientCredentials(Granting::start(name, definition, means, previous))
            }
            CredentialKind::TokenExchange(definition) => {
                let previous = match previous {
                    Some(Self::TokenExchange(exchanging)) => Some(exchanging),
                    Some(Self::ClientCredentials(_) | Self::Kept(_) | Self::PassThrough(_))
                    | None => None,
                };
                Self::TokenExchange(Exchanging::start(name, definition, means, previous))
            }
            CredentialKind::StaticToken { token } => Self::Kept(Kept::new(
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
            } => Self::Kept(Kept::new(
                name,
                "api_key",
                header.clone(),
                scheme.clone(),
                value.clone(),
            )),
            CredentialKind::PassThrough => {
                Self::PassThrough(PassThrough::new(name, Arc::clone(means.clock)))
            }
        }
    }

    /// Whether it makes its credential from the user's.
    pub(super) fn needs_user(&self) -> bool {
        match self {
            Self::TokenExchange(_) | Self::PassThrough(_) => true,
            Self::ClientCredentials(_) | Self::Kept(_) => false,
        }
    }

    /// The credential for this call.
    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        match self {
            Self::ClientCredentials(granting) => Ok(granting.attach().await?),
            Self::TokenExchange(exchanging) => exchanging.attach(call).await,
            Self::Kept(kept) => Ok(kept.attach().await.ok_or(Nothing::default())?),
            Self::PassThrough(own) => own.attach(call),
        }
    }

    /// Another one than the refused one, worth a replay.
    pub(super) async fn replace(&self, refused: &Attachment, call: &For<'_>) -> Option<Attachment> {
        match self {
            Self::ClientCredentials(granting) => granting.replace(refused).await,
            Self::TokenExchange(exchanging) => exchanging.replace(refused, call).await,
            Self::Kept(kept) => kept.replace(refused).await,
            Self::PassThrough(_) => None,
        }
    }

    /// The token of its own, with which it can act for users.
    pub(super) fn actor(&self) -> Option<Actor> {
        match self {
            Self::ClientCredentials(granting) => Some(Actor::Granted(Arc::clone(&granting.grant))),
            Self::Kept(kept) => kept.token().cloned().map(Actor::Kept),
            Self::TokenExchange(_) | Self::PassThrough(_) => None,
        }
    }

    /// What `/status` shows of it. No secrets.
    pub(super) fn report(&self) -> Value {
        match self {
            Self::ClientCredentials(granting) => granting.grant.report(),
            Self::TokenExchange(exchanging) => exchanging.report(),
            Self::Kept(kept) => kept.report(),
            Self::PassThrough(own) => own.report(),
        }
    }
}

impl Granting {
    fn start(
        name: Arc<str>,
        definition: &ClientCredentials,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let asking = Asking {
            definition: definition.clone(),
            requester: Requester::new(definition.client.clone(), Arc::clone(means.endpoint)),
        };
        let kept = previous.filter(|previous| {
            previous.asking.definition == *definition
                && previous.asking.requester.is_same(&asking.requester)
        });
        let granting = if let Some(kept) = kept {
            kept.asking.requester.ask_through(&asking.requester);
            Self {
                asking: Arc::clone(&kept.asking),
                grant: Arc::clone(&kept.grant),
            }
        } else {
            let asking = Arc::new(asking);
            let grant = Grant::new(
                name,
                "client_credentials",
                definition.freshness,
                Arc::clone(&asking) as Arc<dyn Fetch<Bearer>>,
                Arc::clone(means.clock),
                Arc::clone(means.telemetry),
            );
            Self {
                asking,
                grant: Arc::new(grant),
            }
        };
        let drive = Arc::clone(&granting.grant).drive(means.stop.clone());
        means.background.tasks.spawn(drive);
        granting
    }

    async fn attach(&self) -> Result<Attachment, Nothing> {
        match self.grant.find().await {
            Ok(token) => Ok(Attachment::authorization(token.header().clone())),
            Err(pause) => Err(Nothing {
                retry_after: Some(pause),
            }),
        }
    }

    async fn replace(&self, refused: &Attachment) -> Option<Attachment> {
        let Attachment::Header(_, refused) = refused;
        let token = self
            .grant
            .replace(|token| token.header() == refused)
            .await?;
        Some(Attachment::authorization(token.header().clone()))
    }
}
