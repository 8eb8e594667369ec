//! What every grant of a token endpoint has in common: the client, and how long its tokens are used.

use std::time::Duration;

use url::Url;

use crate::secret::SecretSource;

/// An OAuth client at its token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// The token endpoint.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// How it authenticates.
    pub authentication: ClientAuthentication,
    /// Whether plain `http://` to a host other than loopback is allowed.
    pub insecure_http: bool,
}

/// Client authentication at a token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// `client_secret_post` of RFC 6749 2.3.1: id and secret in the body.
    SecretPost(SecretSource),
    /// `client_secret_basic` of RFC 6749 2.3.1: id and secret in `Authorization: Basic`, each
    /// form-encoded.
    SecretBasic(SecretSource),
}

/// How long what was fetched is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// How long before its end it is refreshed; `None`: 5 min or 20 % of its life, the shorter.
    pub refresh_before: Option<Duration>,
    /// Longest reuse.
    pub max_reuse: Option<Duration>,
}
