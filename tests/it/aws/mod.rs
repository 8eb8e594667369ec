//! AWS: signatures, key sets, identity pools, Secrets Manager, tokens of STS for others.

mod assertion;
mod keys;
mod served;
mod signed;
mod sigv4;
