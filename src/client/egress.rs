//! Carrying the app's own request to an allow-listed target, with a credential.

use crate::config;

/// Allow-listed targets, each with its connection pool.
#[derive(Debug)]
pub struct Targets {}

impl Targets {
    /// Builds the pools. A target whose definition is the same in `previous` keeps its pool.
    pub fn new(
        _targets: &[config::EgressTarget],
        _client: &config::Client,
        _previous: Option<&Self>,
    ) -> std::io::Result<Self> {
        todo!("new")
    }
}
