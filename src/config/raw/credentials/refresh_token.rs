//! `kind = "refresh_token"`

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::super::forms::{NonEmpty, Text};
use super::super::{OneOrMany, Secret};
use super::{Freshness, OAuthClient};

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "RFC 6749's word for it")]
pub(in crate::config) struct RefreshToken {
    #[serde(flatten)]
    pub(in crate::config) client: OAuthClient,
    /// The refresh token to begin with.
    pub(in crate::config) refresh_token: Secret,
    /// Where the refresh token is kept that the endpoint gives in its place, so that a restart goes
    /// on with it.
    pub(in crate::config) state_file: Option<PathBuf>,
    /// Requested scopes, none beyond those granted; without them all of those.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<Text<NonEmpty>>,
    /// `resource` parameter (RFC 8707); a list states it several times.
    pub(in crate::config) resource: Option<OneOrMany>,
    #[serde(flatten)]
    pub(in crate::config) freshness: Freshness,
}
