//! `kind = "token_exchange"`

use std::sync::Arc;

use super::{Freshness, OAuthClient};

/// A source that exchanges the user's token for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExchange {
    /// The client.
    pub client: OAuthClient,
    /// How the exchange is asked for.
    pub profile: ExchangeProfile,
    /// Requested scopes; empty: none stated.
    pub scopes: Vec<String>,
    /// How long a token is used.
    pub freshness: Freshness,
    /// Most users whose tokens are kept at once.
    pub max_subjects: usize,
}

impl TokenExchange {
    /// The source whose token says who acts for the user.
    #[must_use]
    pub fn actor(&self) -> Option<&Arc<str>> {
        match &self.profile {
            ExchangeProfile::Rfc8693(parameters) => parameters.actor.as_ref(),
            ExchangeProfile::EntraOnBehalfOf => None,
        }
    }
}

/// How an exchange is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeProfile {
    /// RFC 8693.
    Rfc8693(Rfc8693),
    /// Microsoft Entra ID's on-behalf-of flow: the JWT bearer grant (RFC 7523) with
    /// `requested_token_use`.
    EntraOnBehalfOf,
}

/// The parameters of RFC 8693 2.1 that the profile adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rfc8693 {
    /// `subject_token_type`: a URI.
    pub subject_token_type: String,
    /// `requested_token_type`: a URI.
    pub requested_token_type: Option<String>,
    /// `audience` parameters.
    pub audiences: Vec<String>,
    /// `resource` parameters.
    pub resources: Vec<String>,
    /// The credential source whose token says who acts for the user.
    pub actor: Option<Arc<str>>,
}

/// `urn:ietf:params:oauth:token-type:access_token` (RFC 8693 3).
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// `urn:ietf:params:oauth:token-type:jwt` (RFC 8693 3).
pub const JWT_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
