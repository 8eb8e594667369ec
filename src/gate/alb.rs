//! What a load balancer says of its user → principal, with the access token beside it.

use std::sync::Arc;

use http::HeaderMap;

use super::cache::{Beside, Entry, Unknown};
use super::{Evidence, Gate, KeysNow, Known, Sought};
use crate::authn::alb::{self, Presented, Statement, Verified};
use crate::authn::credential::Kind;
use crate::authn::issuer::Preset;
use crate::authn::jws::MAX_TOKEN_BYTES;
use crate::authn::proof::{self, Shown};
use crate::authn::{Issuer, KeySet};
use crate::authz::decision::Proven;
use crate::authz::identity;
use crate::authz::route::Protected;
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::steps::Steps;

impl Gate {
    /// `x-amzn-oidc-data` → principal. `None` if none was presented.
    pub(super) async fn prove_alb(
        &self,
        headers: &HeaderMap,
        asked: &Protected,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Refusal> {
        let accepted = asked.issuers.as_slice();
        let Some(presented) = Presented::find(headers)? else {
            steps.step("credential", || "no x-amzn-oidc-data".to_owned());
            return Ok(None);
        };
        steps.step("credential", || {
            format!("x-amzn-oidc-data, {} bytes", presented.data.len())
        });
        if presented.data.len() > MAX_TOKEN_BYTES {
            return Err(Denial::TokenTooLarge.into());
        }
        let tag = self.cache.statement_tag(presented.data);
        let found = tag.and_then(|tag| self.find_verified(&tag, accepted, now));
        evidence.cached = Some(found.is_some());
        let (issuer, entry) = if let Some(found) = found {
            steps.step("signature", || "verified before, keys unchanged".to_owned());
            found
        } else {
            let unknown = self.cache.unknown(presented.data, tag);
            evidence.token = unknown.fingerprint;
            let verified = self.in_turn(|| {
                Box::pin(self.verify_statement(unknown, &presented, accepted, now, steps))
            });
            let (known, entry) = verified.await?;
            if let Some(tag) = tag {
                self.cache.keep_if_met(tag, known.generation, &entry);
            }
            (&*known.issuer, entry)
        };
        evidence.token = entry.fingerprint;
        evidence.key_id.clone_from(&entry.token.key_id);
        evidence.proves(&entry.principal, entry.token.expires_at);
        entry.token.judge(issuer, now, steps)?;
        let mut proven = Proven {
            principal: Arc::clone(&entry.principal),
            stated: Arc::clone(&entry.token.principal),
            by: Kind::Alb,
            alb: Verified {
                data: true,
                access_token: false,
            },
            headers: Arc::clone(&entry.headers),
            until: entry.token.good_until(issuer),
        };
        if let Some(identity) = presented.identity
            && !alb::is_subject(&proven.principal, identity)
        {
            steps.step("x-amzn-oidc-identity", || {
                "names another user than x-amzn-oidc-data".to_owned()
            });
            return Err(Denial::TokenClaimMismatch.into());
        }
        if let Some(access) = presented.access_token
            && let Some((of, _)) = self.teller(issuer)
        {
            let told = match self.told(access, of, now, steps).await {
                // what it says is not asked for, and who it is was told
                Err(Refusal::Failed(failure)) if !asked.require.asks_sets() => {
                    steps.step("x-amzn-oidc-accesstoken", || {
                        format!("{failure}: groups, roles and permissions stay unknown")
                    });
                    None
                }
                told => told?,
            };
            if let Some((until, other)) = told {
                let beside = self.beside(&entry, other, steps)?;
                proven.principal = Arc::clone(&beside.principal);
                proven.stated = Arc::clone(&beside.stated);
                proven.headers = Arc::clone(&beside.headers);
                proven.until = proven.until.min(until);
                proven.alb.access_token = true;
            }
        }
        Ok(Some(proven))
    }

    /// The issuer of the access tokens that stand beside this one's statements.
    pub(super) fn teller(&self, issuer: &Issuer) -> Option<(usize, &Issuer)> {
        let Preset::Alb {
            access_token: Some(name),
            ..
        } = &issuer.preset
        else {
            return None;
        };
        let mut numbered = self.issuers.iter().enumerate();
        let (number, known) = numbered.find(|(_, known)| known.issuer.name == *name)?;
        Some((number, &known.issuer))
    }

    /// The access token beside a statement, and until when it is good. `None` if it is not good: a load
    /// balancer goes on with a session whose access token has expired. A failure is one all the same.
    async fn told(
        &self,
        token: &[u8],
        of: usize,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<Option<(UnixTime, Arc<Entry>)>, Refusal> {
        steps.step("x-amzn-oidc-accesstoken", || {
            format!("{} bytes", token.len())
        });
        let accepted = [of];
        // what comes to light of it is not what the request is logged by
        let mut evidence = Evidence::default();
        let found = self.find_or_verify(token, &accepted, now, steps, &mut evidence);
        let judged = match found.await {
            Ok((issuer, entry)) => self
                .judge_told(&entry, issuer, token, now, steps)
                .map(|()| (entry.token.good_until(issuer), entry)),
            Err(refusal) => Err(refusal),
        };
        match judged {
            Ok(told) => Ok(Some(told)),
            // who must not be let in is not let in without groups either
            Err(refused @ Refusal::Denied(Denial::TokenRevoked)) => Err(refused),
            Err(Refusal::Denied(denial)) => {
                steps.step("x-amzn-oidc-accesstoken", || {
                    format!("{denial}: groups, roles and permissions stay unknown")
                });
                Ok(None)
            }
            Err(failed @ Refusal::Failed(_)) => Err(failed),
        }
    }

    /// What a token without a proof is asked.
    fn judge_told(
        &self,
        entry: &Entry,
        issuer: &Issuer,
        token: &[u8],
        now: UnixTime,
        steps: &mut impl Steps,
    ) -> Result<(), Refusal> {
        entry.token.judge(issuer, now, steps)?;
        self.judge_revoked(&entry.principal, now, steps)?;
        let shown = Shown {
            proof: None,
            certificate: None,
            about: None,
            token,
        };
        proof::judge(entry.token.confirmation, shown, &self.replays, now, steps)?;
        Ok(())
    }

    /// The two together, made once for each pair.
    fn beside(
        &self,
        entry: &Entry,
        other: Arc<Entry>,
        steps: &mut impl Steps,
    ) -> Result<Arc<Beside>, Denial> {
        if let Some(known) = entry.beside().load_full()
            && Arc::ptr_eq(&known.other, &other)
        {
            return Ok(known);
        }
        let Some(stated) = alb::merged(&entry.token.principal, &other.token.principal) else {
            steps.step("x-amzn-oidc-accesstoken", || {
                "is about another subject than x-amzn-oidc-data".to_owned()
            });
            return Err(Denial::TokenClaimMismatch);
        };
        // the names are the access token's, and mean what its issuer's mapping says
        let stated = Arc::new(stated);
        let principal = match self.mapping_of(&stated) {
            Some(mapping) => mapping.apply(&stated),
            None => Arc::clone(&stated),
        };
        let headers = identity::render(&self.identity, self.lists, &principal);
        let beside = Arc::new(Beside {
            other,
            stated,
            principal,
            headers: Arc::new(headers),
        });
        entry.beside().store(Some(Arc::clone(&beside)));
        Ok(beside)
    }

    /// Verifies a statement that is not in the cache: by the first accepted table that takes it.
    async fn verify_statement(
        &self,
        unknown: Unknown<'_>,
        presented: &Presented<'_>,
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<(&Known, Arc<Entry>), Refusal> {
        let text = std::str::from_utf8(unknown.token).map_err(|_opaque| Denial::TokenMalformed)?;
        let statement = Statement::parse(text)?;
        let mut candidates = Vec::new();
        for &number in accepted {
            let known = self.issuers.get(number);
            if let Some(known) = known.filter(|known| statement.is_of(&known.issuer, steps)) {
                candidates.push((number, known));
            }
        }
        let mut refused = Refusal::Denied(Denial::IssuerUnknown);
        for (number, known) in candidates {
            steps.step("issuer", || format!("{:?}", known.issuer.name));
            if let Err(denial) = statement.is_worth_a_key(&known.issuer, now) {
                steps.step("client and exp", || denial.to_string());
                refused = denial.into();
                continue;
            }
            let keys = self.keys_for(number, &statement.key_id, steps).await?;
            let token = statement.verify(&known.issuer, &keys, steps)?;
            let principal = known.issuer.mapping.apply(&token.principal);
            let headers = identity::render(&self.identity, self.lists, &principal);
            let entry = Entry::new(
                token,
                principal,
                keys.fingerprint,
                Arc::new(headers),
                unknown.fingerprint,
                // the access token's principal is kept with it
                presented.data.len() + presented.access_token.map_or(0, <[u8]>::len),
            );
            return Ok((known, Arc::new(entry)));
        }
        Err(refused)
    }

    /// Keys with the one of this `kid`, asked for if need be.
    async fn keys_for(
        &self,
        number: usize,
        key_id: &str,
        steps: &mut (impl Steps + Send),
    ) -> Result<Arc<KeySet>, Refusal> {
        if let KeysNow::Usable(keys) = self.keys.find(number)
            && keys.holds(key_id)
        {
            return Ok(keys);
        }
        steps.step("keys", || "unknown kid, asking for its key".to_owned());
        match self.keys.seek(number, key_id).await {
            Sought::Found(keys) => Ok(keys),
            Sought::Absent => Err(Denial::KeyUnknown.into()),
            Sought::Unknown { retry_after } => Err(Failure::KeysUnavailable { retry_after }.into()),
        }
    }
}
