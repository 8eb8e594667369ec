//! Credential → principal.

use std::sync::Arc;

use http::HeaderMap;

use super::cache::{Entry, TokenTag};
use super::{Evidence, Gate, KeysNow};
use crate::authn::alb::Verified;
use crate::authn::credential::{self, Kind, TokenSource};
use crate::authn::jws::MAX_TOKEN_BYTES;
use crate::authn::password::Source;
use crate::authn::proof::{self, About, Bound, Shown};
use crate::authn::{self, Issuer, Principal};
use crate::authz::decision::Proven;
use crate::authz::identity;
use crate::authz::route::Protected;
use crate::certificate::Certificate;
use crate::clock::UnixTime;
use crate::reason::{Denial, Refusal};
use crate::steps::Steps;

/// Where the credentials of a request are looked for.
#[derive(Clone, Copy)]
pub(super) struct Presented<'r> {
    pub(super) headers: &'r HeaderMap,
    pub(super) certificate: Option<&'r Certificate>,
    /// What a proof must be about; `None` where only headers are judged.
    pub(super) about: Option<About<'r>>,
    /// Where they come from, as failures are counted; `None`: from nobody (`explain`).
    pub(super) source: Option<Source>,
    /// Whose valid credential is to be supposed ([`Gate::check_stated`]).
    pub(super) stated: Option<&'r Arc<Principal>>,
}

impl Gate {
    /// Credentials → principal. All that the route accepts and the request presents must be valid;
    /// the first the route names is the principal. `None` if nothing was presented.
    pub(super) async fn prove(
        &self,
        presented: Presented<'_>,
        asked: &Protected,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Refusal> {
        let mut first: Option<Proven> = None;
        for kind in &asked.accepts {
            let supposed = match presented.stated {
                Some(principal) => self.suppose(principal, *kind, presented, asked, steps)?,
                None => None,
            };
            let proven = match (supposed, kind) {
                (Some(supposed), _) => Some(supposed),
                (None, Kind::Alb) => {
                    self.prove_alb(presented.headers, asked, now, steps, evidence)
                        .await?
                }
                (None, Kind::Basic) => {
                    let (headers, source) = (presented.headers, presented.source);
                    self.prove_password(headers, source, now, steps, evidence)
                        .await?
                }
                (None, Kind::Bearer) => {
                    let (sources, accepted) = (&asked.token_from, &asked.issuers);
                    self.prove_bearer(presented, sources, accepted, now, steps, evidence)
                        .await?
                }
                (None, Kind::Mtls) => {
                    self.prove_certificate(presented.certificate, now, steps, evidence)?
                }
            };
            if let Some(proven) = &proven {
                self.judge_revoked(&proven.principal, now, steps)?;
            }
            first = match (first, proven) {
                // as long as both are good
                (Some(first), Some(proven)) => Some(Proven {
                    until: first.until.min(proven.until),
                    alb: first.alb.or(proven.alb),
                    ..first
                }),
                (first, proven) => first.or(proven),
            };
        }
        Ok(first)
    }

    /// Client certificate → principal.
    fn prove_certificate(
        &self,
        certificate: Option<&Certificate>,
        now: UnixTime,
        steps: &mut impl Steps,
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Denial> {
        let Some(certificate) = certificate else {
            steps.step("credential", || "no client certificate".to_owned());
            return Ok(None);
        };
        steps.step("credential", || {
            let names = [
                std::slice::from_ref(&certificate.subject),
                &certificate.uris,
            ]
            .concat();
            let names = names.join(" ");
            format!(
                "client certificate {} of {names:?}",
                certificate.fingerprint
            )
        });
        steps.step("validity", || {
            format!("{} to {}", certificate.not_before, certificate.not_after)
        });
        evidence.certificate = Some(certificate.fingerprint);
        let principal = Arc::new(authn::certificate::principal(certificate, now)?);
        steps.step("principal", || format!("service {:?}", principal.user_id));
        evidence.proves(&principal, certificate.not_after);
        let headers = Arc::new(identity::render(&self.identity, self.lists, &principal));
        Ok(Some(Proven {
            by: Kind::Mtls,
            stated: Arc::clone(&principal),
            alb: Verified::default(),
            principal,
            headers,
            // good for the whole of that second
            until: certificate.not_after.plus(1),
        }))
    }

    /// Bearer token → principal. `None` if none was presented.
    pub(super) async fn prove_bearer(
        &self,
        presented: Presented<'_>,
        sources: &[TokenSource],
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<Option<Proven>, Refusal> {
        let found = self.presented_token(presented.headers, sources, accepted)?;
        let Some(credential::Presented { token, proof }) = found else {
            steps.step("credential", || "no bearer token".to_owned());
            return Ok(None);
        };
        steps.step("credential", || {
            let scheme = proof.map_or("bearer", |_proof| "DPoP");
            format!("{scheme} token, {} bytes", token.len())
        });
        let (issuer, entry) = self
            .find_or_verify(token, accepted, now, steps, evidence)
            .await?;
        evidence.proves(&entry.principal, entry.token.expires_at);
        entry.token.judge(issuer, now, steps)?;
        let shown = Shown {
            proof,
            certificate: presented.certificate,
            about: presented.about,
            token,
        };
        proof::judge(entry.token.confirmation, shown, &self.replays, now, steps)?;
        Ok(Some(Proven {
            by: Kind::Bearer,
            alb: Verified::default(),
            principal: Arc::clone(&entry.principal),
            stated: Arc::clone(&entry.token.principal),
            headers: Arc::clone(&entry.headers),
            until: entry.token.good_until(issuer),
        }))
    }

    /// A token whose signature is good, and the issuer whose it is. Nothing is judged yet.
    pub(super) async fn find_or_verify(
        &self,
        token: &[u8],
        accepted: &[usize],
        now: UnixTime,
        steps: &mut (impl Steps + Send),
        evidence: &mut Evidence,
    ) -> Result<(&Issuer, Arc<Entry>), Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denial::TokenTooLarge.into());
        }
        let tag = self.cache.tag(token);
        let found = tag.and_then(|tag| self.find_verified(&tag, accepted, now));
        evidence.cached = Some(found.is_some());
        let (issuer, entry) = if let Some(found) = found {
            steps.step("signature", || "verified before, keys unchanged".to_owned());
            found
        } else {
            let unknown = self.cache.unknown(token, tag);
            evidence.token = unknown.fingerprint;
            if let Some((number, form)) = self.asked_about(token, accepted)? {
                // boxed: the large future of the rare case
                Box::pin(self.ask(number, form, unknown, now, steps)).await?
            } else {
                self.in_turn(|| self.verify(unknown, accepted, now, steps))
                    .await?
            }
        };
        evidence.token = entry.fingerprint;
        evidence.key_id.clone_from(&entry.token.key_id);
        Ok((issuer, entry))
    }

    /// The token that was presented. The scheme `DPoP` is looked at where an accepted issuer takes it;
    /// elsewhere it is the app's business.
    fn presented_token<'h>(
        &self,
        headers: &'h HeaderMap,
        sources: &[TokenSource],
        accepted: &[usize],
    ) -> Result<Option<credential::Presented<'h>>, Denial> {
        let takes_proofs = accepted.iter().any(|&number| {
            let known = self.issuers.get(number);
            known.is_some_and(|known| known.issuer.dpop != Bound::Refused)
        });
        if takes_proofs {
            return credential::bearer_or_dpop(headers, sources);
        }
        let token = credential::bearer(headers, sources)?;
        Ok(token.map(|token| credential::Presented { token, proof: None }))
    }

    /// A token verified before, if the keys that verified it are still the issuer's. Where several
    /// tables describe one issuer, only if this table takes it: another one might.
    pub(super) fn find_verified(
        &self,
        tag: &TokenTag,
        accepted: &[usize],
        now: UnixTime,
    ) -> Option<(&Issuer, Arc<Entry>)> {
        accepted.iter().find_map(|&number| {
            let known = self.issuers.get(number)?;
            let entry = self.cache.find(tag, known.generation)?;
            let holds = match (&entry.asked, self.keys.find(number)) {
                (Some(asked), _) => {
                    now < asked.until
                        && self.judge.edition(number) == entry.keys
                        && self.is_judged_by(number, &asked.form, accepted)
                }
                (None, KeysNow::Usable(keys)) => keys.fingerprint == entry.keys,
                (None, KeysNow::Unavailable { .. }) => false,
            };
            let decides = || {
                self.is_alone(number, &known.issuer, accepted)
                    || entry.token.judge(&known.issuer, now, &mut ()).is_ok()
            };
            (holds && decides()).then_some((&*known.issuer, entry))
        })
    }

    /// Whether no other accepted table describes this issuer too.
    fn is_alone(&self, number: usize, issuer: &Issuer, accepted: &[usize]) -> bool {
        accepted
            .iter()
            .filter(|&&other| other != number)
            .filter_map(|&other| self.issuers.get(other))
            .filter(|other| other.issuer.proves_by() == issuer.proves_by())
            .all(|other| {
                let theirs = &other.issuer.accepted_iss;
                !theirs.iter().any(|iss| issuer.accepted_iss.contains(iss))
            })
    }
}
