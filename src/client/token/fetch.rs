//! What the freshness engine asks a credential source for, and what it gets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::client::aws::AwsError;
use crate::client::outgoing;
use crate::clock::UnixTime;
use crate::gate::Boxed;
use crate::secret::SecretError;

/// How long a token is used whose answer has no `expires_in` and which is no JWT with an `exp`.
pub const UNSTATED_LIFE: Duration = Duration::from_secs(300);

/// Where a credential comes from: a token endpoint, the task role's endpoint, an identity pool.
pub trait Fetch<C>: fmt::Debug + Send + Sync {
    /// Asks for one. A caller that stops waiting does not end it; [`Grant`](super::Grant) sees to
    /// it that one is asked for at a time, and not again too soon.
    fn fetch(&self, now: UnixTime) -> Boxed<'_, Result<Granted<C>, FetchError>>;

    /// Whether asking spends what it asks with: a fetch that has begun is then waited for.
    fn spends(&self) -> bool {
        false
    }
}

/// A credential, as granted.
#[derive(Clone, Debug)]
pub struct Granted<C> {
    /// What it is.
    pub credential: C,
    /// How long it is valid, from the moment it was asked for.
    pub life: Duration,
    /// Who says so.
    pub life_from: LifeFrom,
    /// The granted scopes, if the endpoint states them.
    pub scope: Option<String>,
}

/// A credential that a call is given.
#[derive(Debug)]
pub struct Lent<C> {
    /// What it is.
    pub credential: Arc<C>,
    /// Never sent from this moment on.
    pub until: UnixTime,
}

impl<C> Granted<C> {
    /// Whether another sidecar fetched it.
    pub(super) fn is_of_the_fleet(&self) -> bool {
        match self.life_from {
            LifeFrom::Fleet { .. } => true,
            LifeFrom::ExpiresIn
            | LifeFrom::Exp
            | LifeFrom::Expiration
            | LifeFrom::Unstated
            | LifeFrom::Endless => false,
        }
    }
}

/// Where a token's life is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeFrom {
    /// The answer's `expires_in`.
    ExpiresIn,
    /// The JWT's `exp`.
    Exp,
    /// The `Expiration` of AWS keys.
    Expiration,
    /// Nobody: [`UNSTATED_LIFE`].
    Unstated,
    /// Nobody: it does not end by itself, and the life is a hundred years.
    Endless,
    /// Another sidecar, which fetched it; nobody was asked now.
    Fleet {
        /// How long before we asked. Its life is counted from then.
        age: Duration,
    },
}

/// Why there is no token. Its text holds no secret and nothing the endpoint chose freely.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client's own secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What authenticates the client cannot be used.
    #[error("the client cannot authenticate: {0}")]
    Client(String),
    /// No answer within the deadline; what failed.
    #[error("no answer from the token endpoint: {0}")]
    NoAnswer(#[from] outgoing::FetchError),
    /// The endpoint said no.
    #[error("the token endpoint answered {status}{}", said(code.as_deref()))]
    Refused {
        /// The status.
        status: StatusCode,
        /// The OAuth error code, if the body holds one.
        code: Option<String>,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The token of the source that acts for the user cannot be had.
    #[error("the actor's credential source has no token")]
    Actor,
    /// 200, but no usable token.
    #[error("the token endpoint's answer is not usable: {0}")]
    Unusable(&'static str),
    /// AWS gave no keys, or no token.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

fn said(code: Option<&str>) -> String {
    code.map(|code| format!(" {code}")).unwrap_or_default()
}

impl FetchError {
    /// When the endpoint wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Aws(error) => error.retry_after(),
            Self::Secret(_)
            | Self::Client(_)
            | Self::NoAnswer(_)
            | Self::Actor
            | Self::Unusable(_) => None,
        }
    }

    /// The OAuth error code, if the endpoint stated one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            Self::Secret(_)
            | Self::Client(_)
            | Self::NoAnswer(_)
            | Self::Actor
            | Self::Unusable(_)
            | Self::Aws(_) => None,
        }
    }

    /// Whether the endpoint, or where the client's secret is kept, is away and names no time: it may be
    /// back at any moment.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused {
                status,
                retry_after,
                ..
            } => status.is_server_error() && retry_after.is_none(),
            Self::Aws(error) => error.is_outage(),
            Self::Secret(error) => error.is_outage(),
            Self::Client(_) | Self::Actor | Self::Unusable(_) => false,
        }
    }

    /// Whether the endpoint does not take our client authentication: the secret may have been
    /// rotated. Cognito says so with 400, others with 401, some without a code.
    #[must_use]
    pub fn is_invalid_client(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => match code.as_deref() {
                Some(code) => code == "invalid_client",
                None => *status == StatusCode::UNAUTHORIZED,
            },
            Self::Secret(_)
            | Self::Client(_)
            | Self::NoAnswer(_)
            | Self::Actor
            | Self::Unusable(_)
            | Self::Aws(_) => false,
        }
    }
}
