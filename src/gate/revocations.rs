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

    /// The same of a user whom a service states ([`DenyList::denies_stated`]).
    fn denies_stated(&self, user_id: &str, now: UnixTime) -> Result<bool, Duration>;
}

impl Revocations for DenyList {
    fn denies(&self, principal: &Principal, now: UnixTime) -> Result<bool, Duration> {
        Ok(Self::denies(self, principal, now))
    }

    fn denies_stated(&self, user_id: &str, now: UnixTime) -> Result<bool, Duration> {
        Ok(Self::denies_stated(self, user_id, now))
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
        self.judge_lists(
            |list| list.denies(principal, now),
            Denial::TokenRevoked,
            steps,
        )
    }

    /// Refuses whom a list denies by now, of those that were let in before: who is to be called for.
    pub fn judge_again(&self, principal: &Principal, now: UnixTime) -> Result<(), Refusal> {
        self.judge_revoked(principal, now, &mut ())
    }

    /// Refuses a user whom a service states and a list denies.
    pub fn judge_stated(&self, user_id: &str, now: UnixTime) -> Result<(), Refusal> {
        self.judge_lists(
            |list| list.denies_stated(user_id, now),
            Denial::UserRevoked,
            &mut (),
        )
    }

    fn judge_lists(
        &self,
        denies: impl Fn(&dyn Revocations) -> Result<bool, Duration>,
        denial: Denial,
        steps: &mut impl Steps,
    ) -> Result<(), Refusal> {
        for list in &self.revocations {
            match denies(&**list) {
                Ok(false) => {}
                Ok(true) => {
                    steps.step("deny-list", || "an entry of it denies this".to_owned());
                    return Err(denial.into());
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
