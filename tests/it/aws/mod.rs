//! AWS: signatures, key sets, identity pools, Secrets Manager, tokens of STS for others.

mod assertion;
mod identity_pool;
mod keys;
mod secrets;
mod served;
mod signed;
mod sigv4;
