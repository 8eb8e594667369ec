//! What every grant of a token endpoint has in common: the client, and how long its tokens are used.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::authn::issuer::Algorithm;
use crate::config::WebIdentityToken;
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
    /// `private_key_jwt` (RFC 7523 2.2): an assertion signed by the client's own key.
    PrivateKeyJwt(PrivateKeyJwt),
    /// RFC 7523 2.2 too, with an assertion that somebody else issues to this process.
    Federated(FederatedAssertion),
    /// A public client (RFC 6749 2.1): its id alone.
    None,
}

/// The key of `private_key_jwt`, and what its assertions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateKeyJwt {
    /// The key, PEM.
    pub key_file: PathBuf,
    /// Its certificate, PEM: assertions name it by `x5t#S256`.
    pub certificate_file: Option<PathBuf>,
    /// `kid`
    pub key_id: Option<String>,
    /// `alg`, if it does not follow from the key: `RS256` for RSA, `PS256` with a certificate.
    pub algorithm: Option<Algorithm>,
    /// `aud`, if not the token endpoint.
    pub audience: Option<String>,
}

/// Where an assertion comes from that somebody else issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FederatedAssertion {
    /// A file that somebody rotates (Kubernetes, Azure workload identity); read for each token
    /// request.
    File(PathBuf),
    /// AWS STS `GetWebIdentityToken`, with the process's own keys; kept while it lives.
    AwsSts(WebIdentityToken),
}

/// How long what was fetched is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// How long before its end it is refreshed; `None`: 5 min or 20 % of its life, the shorter.
    pub refresh_before: Option<Duration>,
    /// Longest reuse.
    pub max_reuse: Option<Duration>,
}
