//! `[login]`: whom user names and passwords are handed on to.

use url::Url;

use super::{Lockout, OAuthClient};
use crate::secret::SecretSource;

/// `[login]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Where ingress takes them, as paths are normalised.
    pub path: String,
    /// To whom.
    pub kind: LoginKind,
    /// Most that are handed on at once.
    pub max_concurrent: usize,
    /// When guessing ends.
    pub lockout: Lockout,
}

/// Who knows whether a password is right, and issues tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// Amazon Cognito: `InitiateAuth`, `USER_PASSWORD_AUTH`.
    Cognito {
        /// `https://cognito-idp.….amazonaws.com/`
        endpoint: Url,
        /// The app client.
        client_id: String,
        /// Its secret, if it has one: then `SECRET_HASH` is sent.
        client_secret: Option<SecretSource>,
    },
    /// The resource owner password grant (RFC 6749 4.3).
    PasswordGrant {
        /// Who asks.
        client: OAuthClient,
        /// Requested scopes.
        scopes: Vec<String>,
    },
    /// A login service of one's own: JSON in, JSON out.
    Http {
        /// Where it is.
        url: Url,
    },
}
