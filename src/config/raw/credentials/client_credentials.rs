//! `kind = "client_credentials"`

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::super::forms::{NonEmpty, Text};
use super::super::OneOrMany;
use super::{Freshness, OAuthClient};

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct ClientCredentials {
    #[serde(flatten)]
    pub(in crate::config) client: OAuthClient,
    /// Requested scopes.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<Text<NonEmpty>>,
    /// `audience` parameter.
    pub(in crate::config) audience: Option<Text<NonEmpty>>,
    /// `resource` parameter (RFC 8707); a list states it several times.
    pub(in crate::config) resource: Option<OneOrMany>,
    #[serde(flatten)]
    pub(in crate::config) freshness: Freshness,
}
