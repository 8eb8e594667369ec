//! Credential sources as written. A kind of more than a few keys has its own file.

mod aws;
mod client;
mod client_credentials;
mod refresh_token;
mod token_exchange;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{NonEmpty, Text};
use super::{List, Secret};

pub(in crate::config) use self::aws::*;
pub(in crate::config) use self::client::*;
pub(in crate::config) use self::client_credentials::*;
pub(in crate::config) use self::refresh_token::*;
pub(in crate::config) use self::token_exchange::*;

/// One `[credentials.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Credential {
    /// OAuth 2.0 client credentials (RFC 6749 4.4).
    ClientCredentials(Box<ClientCredentials>),
    /// The user's token, exchanged for another (RFC 8693; Entra's on-behalf-of flow).
    TokenExchange(Box<TokenExchange>),
    /// A user's refresh token (RFC 6749 6).
    RefreshToken(Box<RefreshToken>),
    /// A token that somebody else issued and rotates.
    StaticToken(StaticToken),
    /// A key in a header.
    ApiKey(ApiKey),
    /// User and password (RFC 7617).
    Basic(Basic),
    /// Requests are signed for AWS (Signature Version 4).
    Aws(Box<Aws>),
    /// The caller's own `Authorization`, unchanged.
    PassThrough(PassThrough),
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct StaticToken {
    /// The token.
    pub(in crate::config) token: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct ApiKey {
    /// The header.
    pub(in crate::config) header: Text<HeaderName>,
    /// A scheme before the value, separated by a space.
    pub(in crate::config) scheme: Option<Text<NonEmpty>>,
    /// The key.
    pub(in crate::config) value: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Basic {
    /// The user.
    pub(in crate::config) username: Text<NonEmpty>,
    /// The password.
    pub(in crate::config) password: Secret,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct PassThrough {
    /// Whose users' tokens are passed on. Required once there are two issuers.
    pub(in crate::config) issuers: Option<List<Text<NonEmpty>>>,
}
