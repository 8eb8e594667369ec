//! `kind = "refresh_token"`

use std::path::PathBuf;

use super::{Freshness, OAuthClient};
use crate::secret::SecretSource;

/// A source that holds a user's refresh token (RFC 6749 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The client it was issued to; may be a public one.
    pub client: OAuthClient,
    /// The refresh token to begin with.
    pub refresh_token: SecretSource,
    /// Where the one is written that the endpoint gave in its place.
    pub state_file: Option<PathBuf>,
    /// Requested scopes, none beyond those granted; empty: all of them.
    pub scopes: Vec<String>,
    /// `resource` parameters (RFC 8707).
    pub resources: Vec<String>,
    /// How long its access tokens are used.
    pub freshness: Freshness,
}
