//! Credential sources (DESIGN §9): what an egress request, or a route's
//! `authorization = { replace = … }`, carries.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::client::jwks::Background;
use crate::client::outgoing::Outgoing;
use crate::clock::Clock;
use crate::config;
use crate::reason::Failure;
use crate::telemetry::Telemetry;

/// All `[credentials.X]`, with the tokens they hold.
#[derive(Debug)]
pub struct Credentials {}

/// A header that authenticates one request. Its value is marked sensitive.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The header, mostly `authorization`.
    pub name: HeaderName,
    /// Its value.
    pub value: HeaderValue,
}

impl Credentials {
    /// Builds the sources and starts refreshing ahead. A source whose definition is the same in
    /// `previous` keeps its token.
    pub fn start(
        _sources: &[config::CredentialSource],
        _outgoing: &Outgoing,
        _clock: &Arc<dyn Clock>,
        _telemetry: &Arc<Telemetry>,
        _background: &Background,
        _previous: Option<&Self>,
    ) -> Self {
        todo!("start")
    }

    /// The credential of the first source in `names` that has something. `original` are the
    /// headers of the request it is for (`pass_through` reads them).
    pub async fn attach(
        &self,
        _names: &[Arc<str>],
        _original: &HeaderMap,
    ) -> Result<Attached, Failure> {
        todo!("attach")
    }

    /// The target refused `refused` with 401: another credential if there is one worth a replay
    /// (DESIGN §9), else `None`.
    pub async fn replace(&self, _names: &[Arc<str>], _refused: &Attached) -> Option<Attached> {
        todo!("replace")
    }

    /// What `/status` shows: per source its kind, age, time to expiry, last error. No secrets.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        todo!("report")
    }
}
