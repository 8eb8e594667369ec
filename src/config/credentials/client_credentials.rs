//! `kind = "client_credentials"`

use super::{Freshness, OAuthClient};

/// A client-credentials source (RFC 6749 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// The client.
    pub client: OAuthClient,
    /// Requested scopes; empty: none stated.
    pub scopes: Vec<String>,
    /// `audience` parameter.
    pub audience: Option<String>,
    /// `resource` parameters (RFC 8707).
    pub resources: Vec<String>,
    /// How long its tokens are used.
    pub freshness: Freshness,
}
