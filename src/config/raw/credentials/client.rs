//! What every grant of a token endpoint has in common.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::authn::issuer::Algorithm;

use super::super::super::forms::{Domain, NonEmpty, Positive, Text};
use super::super::Secret;

/// An OAuth client at its token endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct OAuthClient {
    /// The token endpoint. This, `domain` or `tenant_id`.
    pub(in crate::config) token_url: Option<Text<Url>>,
    /// A Cognito domain: its prefix (with `region`) or its whole host.
    pub(in crate::config) domain: Option<Text<Domain>>,
    /// The region of a Cognito domain prefix.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
    /// Microsoft Entra ID: the tenant's GUID.
    pub(in crate::config) tenant_id: Option<Text<NonEmpty>>,
    /// The client.
    pub(in crate::config) client_id: Text<NonEmpty>,
    /// Its secret. This, a key, an assertion, or `auth_method = "none"`.
    pub(in crate::config) client_secret: Option<Secret>,
    /// How the client authenticates. With a secret: in the body for Cognito and Entra, else Basic.
    pub(in crate::config) auth_method: Option<AuthMethod>,
    /// The client's private key, PEM: it signs an assertion for each token request.
    pub(in crate::config) client_key_file: Option<PathBuf>,
    /// The key's certificate, PEM: assertions name it by `x5t#S256`, as Entra wants.
    pub(in crate::config) client_certificate_file: Option<PathBuf>,
    /// `kid` of assertions.
    pub(in crate::config) client_key_id: Option<Text<NonEmpty>>,
    /// `alg` of assertions, where the key leaves a choice.
    pub(in crate::config) client_assertion_algorithm: Option<Text<Algorithm>>,
    /// `aud` of assertions: the token endpoint, unless the server wants its issuer.
    pub(in crate::config) client_assertion_audience: Option<Text<NonEmpty>>,
    /// A file with an assertion that somebody else issues and rotates (workload identity).
    pub(in crate::config) client_assertion_file: Option<PathBuf>,
    /// An assertion that AWS STS issues about this process's role (`GetWebIdentityToken`).
    pub(in crate::config) client_assertion_aws: Option<AwsAssertion>,
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
    PrivateKeyJwt,
    None,
}

/// `client_assertion_aws`
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct AwsAssertion {
    /// Its `aud`. Without it Entra's own, at Entra.
    pub(in crate::config) audience: Option<Text<NonEmpty>>,
    /// How it is signed: RS256 or ES384.
    pub(in crate::config) algorithm: Option<Text<Algorithm>>,
    /// How long it is valid: 60 s to 1 h.
    pub(in crate::config) duration: Option<Text<Positive>>,
    /// The region whose STS is asked. Without it `AWS_REGION`.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
}

/// How long what was fetched is used.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Freshness {
    /// How long before its end a token is refreshed; 5 min or 20 % of its life if absent.
    pub(in crate::config) refresh_before: Option<Text<Positive>>,
    /// Longest reuse of one token.
    pub(in crate::config) max_reuse: Option<Text<Positive>>,
}
