//! Whom we call: upstreams, egress targets and the credentials for them.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use url::Url;

use super::Server;
use crate::secret::SecretSource;

/// `[upstreams.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is and how it is connected to.
    pub server: Server,
}

/// `[credentials.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSource {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub kind: CredentialKind,
}

/// Where an egress credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// OAuth 2.0 client credentials grant (RFC 6749 4.4).
    ClientCredentials(ClientCredentials),
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
    /// The caller's own `Authorization`, unchanged.
    PassThrough,
}

/// A client-credentials source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretSource,
    /// How the client authenticates.
    pub auth_method: ClientAuthMethod,
    /// Requested scopes; empty: none stated.
    pub scopes: Vec<String>,
    /// `audience` parameter.
    pub audience: Option<String>,
    /// `resource` parameter (RFC 8707).
    pub resource: Option<String>,
    /// How long before `exp` a token is refreshed; `None`: 5 min or 20 % of its life, the shorter.
    pub refresh_before: Option<Duration>,
    /// Longest reuse of one token.
    pub max_reuse: Option<Duration>,
    /// Whether plain `http://` to a host other than loopback is allowed.
    pub insecure_http: bool,
}

/// Client authentication at a token endpoint (RFC 6749 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// Id and secret in the body.
    ClientSecretPost,
    /// Id and secret in `Authorization: Basic`, each form-encoded.
    ClientSecretBasic,
}

/// `[[egress_targets]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTarget {
    /// Its name: the first path segment on the egress listener.
    pub name: Arc<str>,
    /// Where it is and how it is connected to.
    pub server: Server,
    /// Names of credential sources; the first that has something is used.
    pub credentials: Vec<Arc<str>>,
    /// Whether the user behind the call (known by `X-Auth-Handle`) is stated in identity headers.
    pub forward_user: bool,
}
