//! `[login]` as written.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::super::forms::{NonEmpty, StripPrefix, Text};
use super::{Lockout, OAuthClient, Secret};

/// Takes user name and password as JSON on ingress, and hands them on to whoever issues tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::config) enum Login {
    /// Amazon Cognito: `InitiateAuth`, `USER_PASSWORD_AUTH`.
    Cognito(Box<LoginCognito>),
    /// The resource owner password grant (RFC 6749 4.3).
    PasswordGrant(Box<LoginPasswordGrant>),
    /// A login service of one's own: JSON in, JSON out.
    Http(Box<LoginHttp>),
}

/// What every kind has.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LoginCommon {
    /// Where ingress takes user name and password, by `POST`.
    pub(in crate::config) path: Option<Text<StripPrefix>>,
    /// Most that are handed on at once.
    #[schemars(range(min = 1, max = 10000))]
    pub(in crate::config) max_concurrent: Option<u16>,
    /// When guessing ends.
    #[serde(default)]
    pub(in crate::config) lockout: Lockout,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LoginCognito {
    #[serde(flatten)]
    pub(in crate::config) common: LoginCommon,
    /// The user pool's region. Without it `AWS_REGION`.
    pub(in crate::config) region: Option<Text<NonEmpty>>,
    /// Another endpoint than the region's own.
    pub(in crate::config) endpoint: Option<Text<Url>>,
    /// The app client; `ALLOW_USER_PASSWORD_AUTH` is among its flows.
    pub(in crate::config) client_id: Text<NonEmpty>,
    /// Its secret, if it has one.
    pub(in crate::config) client_secret: Option<Secret>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can read the password.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LoginPasswordGrant {
    #[serde(flatten)]
    pub(in crate::config) common: LoginCommon,
    #[serde(flatten)]
    pub(in crate::config) client: OAuthClient,
    /// Requested scopes.
    #[serde(default)]
    pub(in crate::config) scopes: Vec<Text<NonEmpty>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct LoginHttp {
    #[serde(flatten)]
    pub(in crate::config) common: LoginCommon,
    /// Where `{"username": …, "password": …}` is posted.
    pub(in crate::config) url: Text<Url>,
    /// Allows `http://` to a host other than loopback. Whoever is on the way can read the password.
    #[serde(default)]
    pub(in crate::config) insecure_http: bool,
}
