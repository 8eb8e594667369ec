//! Carrying a judged request to its upstream: pooled connections, streaming both ways.

use crate::config;

/// Connection pools, one per `[upstreams.X]`.
#[derive(Debug)]
pub struct Upstreams {}

impl Upstreams {
    /// Builds the pools. An upstream whose definition is the same in `previous` keeps its pool.
    pub fn new(
        _upstreams: &[config::Upstream],
        _client: &config::Client,
        _previous: Option<&Self>,
    ) -> std::io::Result<Self> {
        todo!("new")
    }
}
