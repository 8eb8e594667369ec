//! What every grant of a token endpoint has in common.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::super::forms::{Domain, NonEmpty, Positive, Text};
use super::super::Secret;

/// An OAuth client at its token endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct OAuthClient {
    /// The token endpoint. This, or `domain`.
    pub(in crate::config) token_url: Option<Text<Url>>,
    /// A Cognito domain: its prefix (with `region`) or its whole host.
    pub(in crate::config) domain: Option<Text<Domain>>,
    /// The region of a Cognito domain prefix.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
    /// The client.
    pub(in crate::config) client_id: Text<NonEmpty>,
    /// Its secret.
    pub(in crate::config) client_secret: Secret,
    /// How the client authenticates. In the body for Cognito and Entra, else Basic.
    pub(in crate::config) auth_method: Option<AuthMethod>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can read the secret.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}

/// `auth_method`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum AuthMethod {
    ClientSecretPost,
    ClientSecretBasic,
}

/// How long what was fetched is used.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Freshness {
    /// How long before its end a token is refreshed; 5 min or 20 % of its life if absent.
    pub(in crate::config) refresh_before: Option<Text<Positive>>,
    /// Longest reuse of one token.
    pub(in crate::config) max_reuse: Option<Text<Positive>>,
}
