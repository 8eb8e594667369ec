//! A token that was not verified before, verified with its issuer's keys.

use std::sync::Arc;

use super::cache::{Entry, Unknown};
use super::{Gate, KeysNow, Known, Sought};
use crate::authn::jws::Jws;
use crate::authn::{Issuer, KeySet, VerifiedToken, jwt};
use crate::authz::identity;
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::steps::Steps;

/// The tables that are still to be tried, and what came of those before.
struct Trial<'t> {
    tables: &'t [usize],
    /// The keys that the issuer of the first one was asked for, or why there are none.
    sought: Option<Result<Arc<KeySet>, Refusal>>,
    refused: Refusal,
}

/// What a trial came to.
enum Tried<'g, 't> {
    Proven(&'g Issuer, Arc<Entry>),
    /// The issuer of the first table that is left has no key of this id, but may have a new one.
    KeyUnknown(Trial<'t>, String),
}

/// Why one table does not prove a token.
enum Unproven {
    KeyUnknown(String),
    Refused(Refusal),
}

impl Gate {
    /// Verifies a token that is not in the cache, for the issuer it names.
    pub(super) async fn verify(
        &self,
        unknown: Unknown<'_>,
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<(&Issuer, Arc<Entry>), Refusal> {
        let trial = Trial {
            tables: accepted,
            sought: None,
            refused: Denial::IssuerUnknown.into(),
        };
        match self.try_tables(unknown, trial, now, steps)? {
            Tried::Proven(issuer, entry) => Ok((issuer, entry)),
            // boxed: the large future of the rare case
            Tried::KeyUnknown(trial, key_id) => {
                Box::pin(self.verify_by_new_keys(unknown, trial, key_id, now, steps)).await
            }
        }
    }

    /// Goes on where a key was unknown, with what its issuer says to that.
    async fn verify_by_new_keys(
        &self,
        unknown: Unknown<'_>,
        mut trial: Trial<'_>,
        mut key_id: String,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<(&Issuer, Arc<Entry>), Refusal> {
        loop {
            let number = *trial.tables.first().ok_or(Denial::KeyUnknown)?;
            trial.sought = Some(match self.keys.seek(number, &key_id).await {
                Sought::Found(keys) => Ok(keys),
                Sought::Absent => Err(Denial::KeyUnknown.into()),
                Sought::Unknown { retry_after } => {
                    Err(Failure::KeysUnavailable { retry_after }.into())
                }
            });
            match self.try_tables(unknown, trial, now, steps)? {
                Tried::Proven(issuer, entry) => return Ok((issuer, entry)),
                Tried::KeyUnknown(left, other) => (trial, key_id) = (left, other),
            }
        }
    }

    /// Tries the tables that describe the token's issuer. Several may, for different audiences: the first
    /// whose judgement holds proves the token; else the last one's refusal is the reason, unless one could
    /// not tell. On the stack, where the next token finds it warm, not in a future.
    fn try_tables<'t>(
        &self,
        unknown: Unknown<'_>,
        mut trial: Trial<'t>,
        now: UnixTime,
        steps: &mut impl Steps,
    ) -> Result<Tried<'_, 't>, Refusal> {
        let text = std::str::from_utf8(unknown.token).map_err(|_opaque| Denial::TokenMalformed)?;
        let jws = Jws::parse(text)?;
        let named = jws.unverified_issuer()?;
        let meant = |number: &usize| {
            let known = self.issuers.get(*number)?;
            let is_named = known.issuer.accepted_iss.iter().any(|iss| iss == named);
            (is_named && known.issuer.verifies_tokens()).then_some(known)
        };
        while let [number, others @ ..] = trial.tables {
            if let Some(known) = meant(number) {
                let sought = trial.sought.take();
                match self.verify_by(*number, &jws, &known.issuer, sought, steps) {
                    Ok((verified, keys)) => {
                        let is_last = !others.iter().any(|other| meant(other).is_some());
                        let is_refused = matches!(trial.refused, Refusal::Denied(_));
                        if verified.judge(&known.issuer, now, &mut ()).is_ok()
                            || (is_last && is_refused)
                        {
                            let entry = self.keep(known, unknown, verified, &keys);
                            return Ok(Tried::Proven(&known.issuer, entry));
                        }
                    }
                    Err(Unproven::KeyUnknown(key_id)) => {
                        return Ok(Tried::KeyUnknown(trial, key_id));
                    }
                    Err(Unproven::Refused(refused)) => {
                        if matches!(trial.refused, Refusal::Denied(_)) {
                            trial.refused = refused;
                        }
                    }
                }
            }
            trial.tables = others;
        }
        Err(trial.refused)
    }

    fn verify_by(
        &self,
        number: usize,
        jws: &Jws<'_>,
        issuer: &Issuer,
        sought: Option<Result<Arc<KeySet>, Refusal>>,
        steps: &mut impl Steps,
    ) -> Result<(VerifiedToken, Arc<KeySet>), Unproven> {
        let may_ask = sought.is_none();
        if may_ask {
            steps.step("issuer", || format!("{:?}", issuer.name));
        }
        let keys = match (sought, self.keys.find(number)) {
            (Some(sought), _) => sought.map_err(Unproven::Refused)?,
            (None, KeysNow::Usable(keys)) => keys,
            (None, KeysNow::Unavailable { retry_after }) => {
                steps.step("keys", || {
                    "the issuer has none that can be used now".to_owned()
                });
                let failure = Failure::KeysUnavailable { retry_after };
                return Err(Unproven::Refused(failure.into()));
            }
        };
        match (jwt::verify(jws, issuer, &keys, steps), &jws.key_id) {
            (Ok(verified), _) => Ok((verified, keys)),
            (Err(Denial::KeyUnknown), Some(key_id)) if may_ask => {
                steps.step("keys", || "unknown kid, asking the issuer".to_owned());
                Err(Unproven::KeyUnknown(key_id.clone()))
            }
            (Err(denial), _) => Err(Unproven::Refused(denial.into())),
        }
    }

    /// What is known of a verified token from now on.
    fn keep(
        &self,
        known: &Known,
        unknown: Unknown<'_>,
        verified: VerifiedToken,
        keys: &KeySet,
    ) -> Arc<Entry> {
        let principal = known.issuer.mapping.apply(&verified.principal);
        let headers = identity::render(&self.identity, self.lists, &principal);
        let entry = Arc::new(Entry::new(
            verified,
            principal,
            keys.fingerprint,
            Arc::new(headers),
            unknown.fingerprint,
            unknown.token.len(),
        ));
        if let Some(tag) = unknown.tag {
            self.cache.keep_if_met(tag, known.generation, &entry);
        }
        entry
    }
}
