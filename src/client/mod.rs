//! Whom we call: issuers for keys, token endpoints, upstreams and egress targets.

pub mod aws;
pub mod disk;
pub mod egress;
pub mod guesses;
pub mod health;
pub mod introspection;
pub(crate) mod jitter;
pub mod jwks;
pub mod login;
mod names;
pub mod outgoing;
pub mod pool;
pub mod through;
pub mod tls;
pub mod token;
pub mod upstream;
