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
use crate::client::token::fleet::Store;
use crate::client::token::granting::Granting;
use crate::client::token::kept::{Form, Kept};
use crate::client::token::pass_through::PassThrough;
use crate::client::token::refresh_token::Refreshing;
use crate::client::token::request::Endpoint;
use crate::client::token::subject::Without;
use crate::client::token::token_exchange::{Actor, Exchanging};
use crate::client::token::{For, RETRY_AFTER};
use crate::clock::Clock;
use crate::config::{CredentialKind, CredentialSource};
use crate::reason::{Denial, Failure, Refusal};
use crate::telemetry::Telemetry;

/// What a source is built with.
pub(super) struct Means<'m> {
    pub(super) endpoint: &'m Arc<dyn Endpoint>,
    /// Where the fleet shares tokens.
    pub(super) store: Option<&'m Arc<dyn Store>>,
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
    ClientCredentials(Granting<Asking>),
    /// Fetched with a user's refresh token, kept fresh.
    RefreshToken(Granting<Refreshing>),
    /// The user's, exchanged.
    TokenExchange(Exchanging),
    /// Read from a file or variable.
    Kept(Kept),
    /// The caller's own.
    PassThrough(PassThrough),
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
                let endpoint = Arc::clone(means.endpoint);
                let asking = Asking::new((**definition).clone(), endpoint);
                let previous = match previous {
                    Some(Self::ClientCredentials(granting)) => Some(granting),
                    Some(
                        Self::RefreshToken(_)
                        | Self::TokenExchange(_)
                        | Self::Kept(_)
                        | Self::PassThrough(_),
                    )
                    | None => None,
                };
                Self::ClientCredentials(Granting::start(name, asking, means, previous))
            }
            CredentialKind::RefreshToken(definition) => {
                let endpoint = Arc::clone(means.endpoint);
                let asking = Refreshing::new(Arc::clone(&name), (**definition).clone(), endpoint);
                let previous = match previous {
                    Some(Self::RefreshToken(granting)) => Some(granting),
                    Some(
                        Self::ClientCredentials(_)
                        | Self::TokenExchange(_)
                        | Self::Kept(_)
                        | Self::PassThrough(_),
                    )
                    | None => None,
                };
                Self::RefreshToken(Granting::start(name, asking, means, previous))
            }
            CredentialKind::TokenExchange(definition) => {
                let previous = match previous {
                    Some(Self::TokenExchange(exchanging)) => Some(exchanging),
                    Some(
                        Self::ClientCredentials(_)
                        | Self::RefreshToken(_)
                        | Self::Kept(_)
                        | Self::PassThrough(_),
                    )
                    | None => None,
                };
                Self::TokenExchange(Exchanging::start(name, definition, means, previous))
            }
            CredentialKind::StaticToken { token } => {
                let form = Form::Scheme(Some("Bearer".to_owned()));
                Self::Kept(Kept::new(
                    name,
                    "static_token",
                    header::AUTHORIZATION,
                    form,
                    token.clone(),
                ))
            }
            CredentialKind::ApiKey {
                header,
                scheme,
                value,
            } => {
                let form = Form::Scheme(scheme.clone());
                Self::Kept(Kept::new(
                    name,
                    "api_key",
                    header.clone(),
                    form,
                    value.clone(),
                ))
            }
            CredentialKind::Basic { username, password } => Self::Kept(Kept::new(
                name,
                "basic",
                header::AUTHORIZATION,
                Form::Basic(username.clone()),
                password.clone(),
            )),
            CredentialKind::PassThrough => {
                Self::PassThrough(PassThrough::new(name, Arc::clone(means.clock)))
            }
        }
    }

    /// Whether it is read as somebody else wrote it.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Whether it makes its credential from the user's.
    pub(super) fn needs_user(&self) -> bool {
        match self {
            Self::TokenExchange(_) | Self::PassThrough(_) => true,
            Self::ClientCredentials(_) | Self::RefreshToken(_) | Self::Kept(_) => false,
        }
    }

    /// The credential for this call.
    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        match self {
            Self::ClientCredentials(granting) => Ok(granting.attach().await?),
            Self::RefreshToken(granting) => Ok(granting.attach().await?),
            Self::TokenExchange(exchanging) => exchanging.attach(call).await,
            Self::Kept(kept) => Ok(kept.attach().await.ok_or(Nothing::default())?),
            Self::PassThrough(own) => own.attach(call),
        }
    }

    /// Another one than the refused one, worth a replay.
    pub(super) async fn replace(&self, refused: &Attachment, call: &For<'_>) -> Option<Attachment> {
        match self {
            Self::ClientCredentials(granting) => granting.replace(refused).await,
            Self::RefreshToken(granting) => granting.replace(refused).await,
            Self::TokenExchange(exchanging) => exchanging.replace(refused, call).await,
            Self::Kept(kept) => kept.replace(refused).await,
            Self::PassThrough(_) => None,
        }
    }

    /// The token of its own, with which it can act for users.
    pub(super) fn actor(&self) -> Option<Actor> {
        match self {
            Self::ClientCredentials(granting) => Some(Actor::Granted(Arc::clone(granting.grant()))),
            Self::RefreshToken(granting) => Some(Actor::Granted(Arc::clone(granting.grant()))),
            Self::Kept(kept) => kept.token().cloned().map(Actor::Kept),
            Self::TokenExchange(_) | Self::PassThrough(_) => None,
        }
    }

    /// What `/status` shows of it. No secrets.
    pub(super) fn report(&self) -> Value {
        match self {
            Self::ClientCredentials(granting) => granting.report(),
            Self::RefreshToken(granting) => granting.report(),
            Self::TokenExchange(exchanging) => exchanging.report(),
            Self::Kept(kept) => kept.report(),
            Self::PassThrough(own) => own.report(),
        }
    }
}
