//! Assertions that somebody else issues to this process: workload identity (RFC 7523 2.2).

use std::fmt;

use crate::client::token::FetchError;
use crate::client::token::request::load;
use crate::clock::UnixTime;
use crate::gate::Boxed;
use crate::secret::{Secret, SecretSource};

/// Whoever says that this process is the client: a file that a platform rotates, a security token
/// service. Asked for each token request; what it says is not kept.
pub trait Assertion: fmt::Debug + Send + Sync {
    /// A JWT that is good now.
    fn assertion(&self, now: UnixTime) -> Boxed<'_, Result<Secret, FetchError>>;
}

/// A file, read each time.
impl Assertion for SecretSource {
    fn assertion(&self, _now: UnixTime) -> Boxed<'_, Result<Secret, FetchError>> {
        Box::pin(async move { Ok(load(self).await?) })
    }
}
