//! One `[credentials.X]`: a variant for each way to come by a credential. Each answers `attach`,
//! `replace` and `report`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::aws::sigv4;
use crate::client::jwks::Background;
use crate::client::token::attached::Attachment;
use crate::client::token::client_credentials::Asking;
use crate::client::token::fleet::Store;
use crate::client::token::granting::Granting;
use crate::client::token::kept::{Form, Kept};
use crate::client::token::pass_through::PassThrough;
use crate::client::token::refresh_token::Refreshing;
use crate::client::token::request::Endpoint;
use crate::client::token::signing::{PoolSigning, Signing};
use crate::client::token::subject::Without;
use crate::client::token::token_exchange::{Actor, Exchanging};
use crate::client::token::{For, RETRY_AFTER};
use crate::clock::Clock;
use crate::config::{AwsSource, CredentialKind, CredentialSource};
use crate::reason::{Denial, Failure, Refusal};
use crate::secret::SecretSource;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Asked;

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
    Kept(Arc<Kept>),
    /// AWS keys of our own, which sign.
    Signing(Signing),
    /// The AWS keys of the user behind the call, which sign.
    PoolSigning(PoolSigning),
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

impl From<Duration> for Nothing {
    fn from(pause: Duration) -> Self {
        Self {
            retry_after: Some(pause),
        }
    }
}

impl Absent {
    /// How it is counted.
    pub(super) fn asked(&self) -> Asked {
        match self {
            Self::Nothing(_) | Self::Ends(Refusal::Failed(_)) => Asked::Unavailable,
            Self::NoUser => Asked::NoUser,
            Self::Ends(Refusal::Denied(_)) => Asked::Refused,
        }
    }
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
    /// Builds a source, or takes over what `previous` holds if it is the same; `previous` goes on as it
    /// did until [`Self::go_into_force`]. `actor` acts for the users of an exchange that wants one.
    /// Reads the disk.
    pub(super) fn start(
        source: &CredentialSource,
        means: &Means<'_>,
        previous: Option<&Self>,
        actor: Option<Actor>,
    ) -> Self {
        let name = Arc::clone(&source.name);
        let kind = source.kind.as_str();
        match &source.kind {
            CredentialKind::ClientCredentials(definition) => {
                let endpoint = Arc::clone(means.endpoint);
                let asking = Asking::new((**definition).clone(), endpoint);
                let previous = if let Some(Self::ClientCredentials(granting)) = previous {
                    Some(granting)
                } else {
                    None
                };
                Self::ClientCredentials(Granting::start(name, asking, means, previous))
            }
            CredentialKind::RefreshToken(definition) => {
                let endpoint = Arc::clone(means.endpoint);
                let asking = Refreshing::new(Arc::clone(&name), (**definition).clone(), endpoint);
                let previous = if let Some(Self::RefreshToken(granting)) = previous {
                    Some(granting)
                } else {
                    None
                };
                Self::RefreshToken(Granting::start(name, asking, means, previous))
            }
            CredentialKind::TokenExchange(definition) => {
                let previous = if let Some(Self::TokenExchange(exchanging)) = previous {
                    Some(exchanging)
                } else {
                    None
                };
                Self::TokenExchange(Exchanging::start(name, definition, means, actor, previous))
            }
            CredentialKind::StaticToken { token } => {
                let form = Form::Scheme(Some("Bearer".to_owned()));
                let write = (kind, header::AUTHORIZATION, form);
                Self::kept(name, write, token, means, previous)
            }
            CredentialKind::ApiKey {
                header,
                scheme,
                value,
            } => {
                let write = (kind, header.clone(), Form::Scheme(scheme.clone()));
                Self::kept(name, write, value, means, previous)
            }
            CredentialKind::Basic { username, password } => {
                let form = Form::Basic(username.clone());
                let write = (kind, header::AUTHORIZATION, form);
                Self::kept(name, write, password, means, previous)
            }
            CredentialKind::Aws(definition) => match &definition.source {
                AwsSource::Own(keys) => {
                    let previous = if let Some(Self::Signing(signing)) = previous {
                        Some(signing)
                    } else {
                        None
                    };
                    Self::Signing(Signing::start(name, definition, keys, means, previous))
                }
                AwsSource::IdentityPool(pool) => {
                    let previous = if let Some(Self::PoolSigning(signing)) = previous {
                        Some(signing)
                    } else {
                        None
                    };
                    Self::PoolSigning(PoolSigning::start(name, definition, pool, means, previous))
                }
            },
            CredentialKind::PassThrough => {
                Self::PassThrough(PassThrough::new(name, Arc::clone(means.clock)))
            }
        }
    }

    /// A value of this kind, in this header, in this form; with what `previous` held until it is read,
    /// if that takes a call to another machine.
    fn kept(
        name: Arc<str>,
        (kind, header, form): (&'static str, HeaderName, Form),
        value: &SecretSource,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let kept = Arc::new(Kept::new(name, kind, header, form, value.clone(), means));
        if kept.is_elsewhere() {
            if let Some(Self::Kept(previous)) = previous {
                kept.take_over(previous);
            }
            let stop = means.stop.clone();
            let reading = Arc::clone(&kept);
            means.background.tasks.spawn(async move {
                // a world that ends needs it no more
                let _ended = stop.run_until_cancelled(reading.read()).await;
            });
        }
        Self::Kept(kept)
    }

    /// Its world is in force: what it took over from the one before follows it.
    pub(super) fn go_into_force(&self) {
        match self {
            Self::ClientCredentials(granting) => granting.go_into_force(),
            Self::RefreshToken(granting) => granting.go_into_force(),
            Self::Signing(signing) => signing.go_into_force(),
            // each world asks by itself
            Self::TokenExchange(_)
            | Self::Kept(_)
            | Self::PoolSigning(_)
            | Self::PassThrough(_) => {}
        }
    }

    /// Whether servers say 403 where they do not know it (any more): a value as somebody else wrote it,
    /// or AWS keys.
    pub(super) fn is_key(&self) -> bool {
        matches!(
            self,
            Self::Kept(_) | Self::Signing(_) | Self::PoolSigning(_)
        )
    }

    /// The headers it writes, but for `Authorization`.
    pub(super) fn own_headers(&self) -> &[HeaderName] {
        match self {
            Self::Kept(kept) if *kept.header() != header::AUTHORIZATION => {
                std::slice::from_ref(kept.header())
            }
            Self::Signing(_) | Self::PoolSigning(_) => &sigv4::WRITTEN,
            Self::Kept(_)
            | Self::ClientCredentials(_)
            | Self::RefreshToken(_)
            | Self::TokenExchange(_)
            | Self::PassThrough(_) => &[],
        }
    }

    /// Whether it makes its credential from the user's.
    pub(super) fn needs_user(&self) -> bool {
        match self {
            Self::TokenExchange(_) | Self::PoolSigning(_) | Self::PassThrough(_) => true,
            Self::ClientCredentials(_)
            | Self::RefreshToken(_)
            | Self::Kept(_)
            | Self::Signing(_) => false,
        }
    }

    /// The credential for this call.
    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        match self {
            Self::ClientCredentials(granting) => Ok(granting.attach().await?),
            Self::RefreshToken(granting) => Ok(granting.attach().await?),
            Self::TokenExchange(exchanging) => exchanging.attach(call).await,
            Self::Kept(kept) => Ok(kept.attach().await.ok_or(Nothing::default())?),
            Self::Signing(signing) => Ok(signing.attach(call).await?),
            Self::PoolSigning(signing) => signing.attach(call).await,
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
            Self::Signing(signing) => signing.replace(refused).await,
            Self::PoolSigning(signing) => signing.replace(refused, call).await,
            Self::PassThrough(_) => None,
        }
    }

    /// The token of its own, with which it can act for users.
    pub(super) fn actor(&self) -> Option<Actor> {
        match self {
            Self::ClientCredentials(granting) => Some(Actor::Granted(Arc::clone(granting.grant()))),
            Self::RefreshToken(granting) => Some(Actor::Granted(Arc::clone(granting.grant()))),
            Self::Kept(kept) => kept.is_token().then(|| Actor::Kept(Arc::clone(kept))),
            Self::TokenExchange(_)
            | Self::Signing(_)
            | Self::PoolSigning(_)
            | Self::PassThrough(_) => None,
        }
    }

    /// What `/status` shows of it. No secrets.
    pub(super) fn report(&self) -> Value {
        match self {
            Self::ClientCredentials(granting) => granting.report(),
            Self::RefreshToken(granting) => granting.report(),
            Self::TokenExchange(exchanging) => exchanging.report(),
            Self::Kept(kept) => kept.report(),
            Self::Signing(signing) => signing.report(),
            Self::PoolSigning(signing) => signing.report(),
            Self::PassThrough(own) => own.report(),
        }
    }
}
