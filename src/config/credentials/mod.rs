//! Credential sources: what an egress request, or a route's `authorization = { replace = … }`,
//! carries. A kind of more than a few keys has its own file.

mod client;
mod client_credentials;
mod refresh_token;
mod token_exchange;

use std::sync::Arc;

use http::HeaderName;

pub use self::client::*;
pub use self::client_credentials::*;
pub use self::refresh_token::*;
pub use self::token_exchange::*;
use crate::config::AwsCredential;
use crate::secret::SecretSource;

/// `[credentials.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSource {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub kind: CredentialKind,
    /// The issuers whose users' tokens it may send, by name: to its endpoint, or to the target. Empty
    /// if it sends none.
    pub issuers: Vec<Arc<str>>,
}

/// Where an egress credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// OAuth 2.0 client credentials grant (RFC 6749 4.4).
    ClientCredentials(Box<ClientCredentials>),
    /// The user's token, exchanged for another (RFC 8693; Entra's on-behalf-of flow).
    TokenExchange(Box<TokenExchange>),
    /// A user's refresh token (RFC 6749 6).
    RefreshToken(Box<RefreshToken>),
    /// A token that somebody else issued and rotates.
    StaticToken {
        /// The token.
        token: SecretSource,
    },
    /// A key in a header.
    ApiKey {
        /// The header.
        header: HeaderName,
        /// A scheme before the value (`ApiKey`), separated by a space.
        scheme: Option<String>,
        /// The key.
        value: SecretSource,
    },
    /// User and password (RFC 7617).
    Basic {
        /// The user: no colon, no control characters.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// Requests are signed for AWS.
    Aws(Box<AwsCredential>),
    /// The caller's own `Authorization`, unchanged.
    PassThrough,
}

impl CredentialKind {
    /// The OAuth client it is at a token endpoint, if it is one.
    #[must_use]
    pub fn client(&self) -> Option<&OAuthClient> {
        match self {
            Self::ClientCredentials(kind) => Some(&kind.client),
            Self::TokenExchange(kind) => Some(&kind.client),
            Self::RefreshToken(kind) => Some(&kind.client),
            Self::StaticToken { .. }
            | Self::ApiKey { .. }
            | Self::Basic { .. }
            | Self::Aws(_)
            | Self::PassThrough => None,
        }
    }

    /// `kind` in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "client_credentials",
            Self::TokenExchange(_) => "token_exchange",
            Self::RefreshToken(_) => "refresh_token",
            Self::StaticToken { .. } => "static_token",
            Self::ApiKey { .. } => "api_key",
            Self::Basic { .. } => "basic",
            Self::Aws(_) => "aws",
            Self::PassThrough => "pass_through",
        }
    }
}
