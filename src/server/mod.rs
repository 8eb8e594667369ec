//! Who calls us: ingress, forward auth, egress, health, admin.
//!
//! Each plane builds facts from what it was sent, asks the gate, and spends the decision. Errors
//! leave through [`respond`] only.

pub mod accept;
mod account;
pub mod admin;
pub mod body;
pub mod egress;
pub mod forward_auth;
pub mod handles;
pub mod health;
mod hop;
pub mod ingress;
mod login;
mod plain;
pub mod respond;
pub mod tls;
pub mod tunnel;
pub mod turns;
pub mod workers;
pub mod world;

pub use self::world::World;
