//! Every metric, declared here. Labels are bounded enums and configured names, never user input.

use crate::clock::UnixTime;
use crate::telemetry::Plane;

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {}

impl Metrics {
    /// A fetch of an issuer's keys ended.
    pub fn key_refresh(&self, _issuer: &str, _succeeded: bool) {}

    /// When an issuer's keys were last fetched with success.
    pub fn keys_fetched(&self, _issuer: &str, _at: UnixTime) {}

    /// A token request of a credential source ended.
    pub fn token_fetch(&self, _credential: &str, _succeeded: bool) {}

    /// When a source's current token expires.
    pub fn token_expires(&self, _credential: &str, _at: UnixTime) {}

    /// The verified-token cache was asked.
    pub fn token_cache(&self, _hit: bool) {}

    /// A reload ended.
    pub fn config_reload(&self, _accepted: bool, _generation: u64) {}

    /// A connection was accepted (`1`) or ended (`-1`).
    pub fn connections(&self, _listener: &'static str, _change: i64) {}

    /// A request was refused before it had facts (malformed framing, too large, timeout).
    pub fn rejected(&self, _plane: Plane, _reason: &'static str) {}

    /// A panic was caught.
    pub fn panicked(&self) {}
}
