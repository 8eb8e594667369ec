//! AWS: signatures, key sets, identity pools, Secrets Manager.

mod keys;
mod served;
mod sigv4;
