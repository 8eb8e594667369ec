//! Upstreams, credential sources and egress targets as written.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::forms::{Domain, NonEmpty, Positive, Text};
use super::{OneOrMany, Secret};

/// One `[upstreams.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Upstream {
    /// Scheme and authority; a path is put before the request's.
    pub(in crate::config) url: Text<Url>,
    /// Time to connect.
    pub(in crate::config) connect_timeout: Option<Text<Positive>>,
    /// Time to the response head.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Time a pooled connection may be idle.
    pub(in crate::config) idle_timeout: Option<Text<Positive>>,
}

/// One `[credentials.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Credential {
    /// OAuth 2.0 client credentials (RFC 6749 4.4).
    ClientCredentials(Box<ClientCredentials>),
    /// A token that somebody else issued and rotates.
    StaticToken(StaticToken),
    /// A key in a header.
    ApiKey(ApiKey),
    /// The caller's own `Authorization`, unchanged.
    PassThrough(PassThrough),
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct ClientCredentials {
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
    /// Requested scopes.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<Text<NonEmpty>>,
    /// `audience` parameter.
    pub(in crate::config) audience: Option<Text<NonEmpty>>,
    /// `resource` parameter (RFC 8707).
    pub(in crate::config) resource: Option<Text<NonEmpty>>,
    /// How long before its end a token is refreshed; 5 min or 20 % of its life if absent.
    pub(in crate::config) refresh_before: Option<Text<Positive>>,
    /// Longest reuse of one token.
    pub(in crate::config) max_reuse: Option<Text<Positive>>,
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
pub(in crate::config) struct PassThrough {}

/// One `[[egress_targets]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct EgressTarget {
    /// Its name: the first path segment on the egress listener.
    pub(in crate::config) name: Text<NonEmpty>,
    /// Where it is; its path is put before the request's.
    pub(in crate::config) url: Text<Url>,
    /// Names of credential sources; the first that has something is used.
    pub(in crate::config) credential: OneOrMany,
    /// Whether the user behind the call is stated in identity headers.
    #[serde(default)]
    pub(in crate::config) forward_user: bool,
    /// Time to connect.
    pub(in crate::config) connect_timeout: Option<Text<Positive>>,
    /// Time to the response head.
    pub(in crate::config) timeout: Option<Text<Positive>>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can read the credential.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}
