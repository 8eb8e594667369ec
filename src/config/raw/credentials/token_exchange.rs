//! `kind = "token_exchange"`

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::super::forms::{NonEmpty, Text, TokenType};
use super::super::{List, OneOrMany};
use super::{Freshness, OAuthClient};

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct TokenExchange {
    #[serde(flatten)]
    pub(in crate::config) client: OAuthClient,
    /// How the exchange is asked for. `entra_on_behalf_of` at Entra's endpoint, else `rfc8693`.
    pub(in crate::config) profile: Option<ExchangeProfile>,
    /// Requested scopes.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<Text<NonEmpty>>,
    /// What kind of token the user's is: `access_token`, `id_token`, `jwt`, or a URI.
    pub(in crate::config) subject_token_type: Option<Text<TokenType>>,
    /// What kind of token is wanted.
    pub(in crate::config) requested_token_type: Option<Text<TokenType>>,
    /// `audience` parameter; a list states it several times.
    pub(in crate::config) audience: Option<OneOrMany>,
    /// `resource` parameter (RFC 8707); a list states it several times.
    pub(in crate::config) resource: Option<OneOrMany>,
    /// The credential source whose token says who acts for the user.
    pub(in crate::config) actor: Option<Text<NonEmpty>>,
    /// Whose users' tokens are sent to this endpoint. Required once there are two issuers.
    pub(in crate::config) issuers: Option<List<Text<NonEmpty>>>,
    #[serde(flatten)]
    pub(in crate::config) freshness: Freshness,
    /// Most users whose tokens are kept at once.
    #[schemars(range(min = 1))]
    pub(in crate::config) max_subjects: Option<u32>,
}

/// `profile`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum ExchangeProfile {
    Rfc8693,
    EntraOnBehalfOf,
}
