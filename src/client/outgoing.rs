//! The one outgoing HTTP client, for key sets and token endpoints: no redirects, a total deadline,
//! a bounded body, no proxy but the configured one.

use crate::config;

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {}

impl Outgoing {
    /// Builds it: TLS roots, proxy.
    pub fn new(_client: &config::Client) -> std::io::Result<Self> {
        todo!("outgoing")
    }
}
