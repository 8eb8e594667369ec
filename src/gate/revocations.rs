//! The gate's view of revocations: who must not be let in any more, whatever their credential says.

use std::fmt;
use std::time::Duration;

use super::Gate;
use crate::authn::deny_list::DenyList;
use crate::authn::principal::Principal;
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::steps::Steps;

/// A list of revocations. Implemented by the config's own [`DenyList`] and by the fleet's in Redis.
pub trait Revocations: fmt::Debug + Send + Sync {
    /// Whether it denies whoever was proven. Never waits. On error nobody can tell; when to try again.
    fn denies(&self, principal: &Principal, now: UnixTime) -> Result<bool, Duration>;
}

impl Revocations for DenyList {
    fn denies(&self, principal: &Principal, now: UnixTime) -> Result<bool, Duration> {
        Ok(Self::denies(self, principal, now))
    }
}

impl Gate {
    /// Refuses whom a list denies. Judged on every request.
    pub(super) fn judge_revoked(
        &self,
        principal: &Principal,
        now: UnixTime,
        steps: &mut impl Steps,
    ) -> Result<(), Refusal> {
        for list in &self.revocations {
            match list.denies(principal, now) {
                Ok(false) => {}
                Ok(true) => {
                    steps.step("deny-list", || "an entry of it denies this".to_owned());
                    return Err(Denial::TokenRevoked.into());
                }
                Err(retry_after) => {
                    steps.step("deny-list", || {
                        "it could not be read for too long".to_owned()
                    });
                    return Err(Failure::RevocationsUnavailable { retry_after }.into());
                }
            }
        }
        Ok(())
    }
}
