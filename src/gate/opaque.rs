//! Tokens that only their issuer can judge: whom to ask, and what becomes of the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cache::{Asked, Entry, TokenTag, Unknown};
use super::{Boxed, Gate};
use crate::authn::claims::Claims;
use crate::authn::issuer::{Issuer, Opaque};
use crate::authn::opaque::{self, Form};
use crate::authz::identity;
use crate::clock::UnixTime;
use crate::reason::{Denial, Failure, Refusal};
use crate::steps::Steps;

/// What an issuer says of a token.
#[derive(Clone, Debug)]
pub enum Said {
    /// It is good, and this is what is known of it.
    Active {
        /// The answer.
        claims: Claims,
        /// When it was asked for.
        asked_at: UnixTime,
        /// Until when it is used.
        until: UnixTime,
    },
    /// It is not good: unknown, expired, revoked.
    Inactive,
    /// Nobody could say.
    Unknown {
        /// When to try again.
        retry_after: Duration,
    },
}

/// Asks issuers about tokens. Implemented by `client::introspection` and by [`NobodyAsked`].
pub trait TokenJudge: fmt::Debug + Send + Sync {
    /// What issuer number `issuer` in the gate's list says of `token`. `tag` names the token: one question
    /// answers all who have it at a time.
    fn ask<'a>(&'a self, issuer: usize, tag: &'a TokenTag, token: &'a str) -> Boxed<'a, Said>;

    /// A number that changes as soon as this issuer is asked in another way, as another client, or elsewhere:
    /// what it said before counts no more.
    fn edition(&self, issuer: usize) -> u64;
}

/// Asks nobody: `explain`, `test`, benches.
#[derive(Clone, Copy, Debug)]
pub struct NobodyAsked;

impl TokenJudge for NobodyAsked {
    fn ask<'a>(&'a self, _issuer: usize, _tag: &'a TokenTag, _token: &'a str) -> Boxed<'a, Said> {
        Box::pin(std::future::ready(Said::Unknown {
            retry_after: Duration::ZERO,
        }))
    }

    fn edition(&self, _issuer: usize) -> u64 {
        0
    }
}

impl Gate {
    /// The issuer that is asked about tokens where these are accepted. With several such nobody is: a token is
    /// shown to its own issuer only.
    fn judge_of(&self, accepted: &[usize]) -> Option<(usize, &Opaque)> {
        let mut judges = accepted.iter().filter_map(|&number| {
            let known = self.issuers.get(number)?;
            Some((number, known.issuer.opaque()?))
        });
        let first = judges.next()?;
        judges.next().is_none().then_some(first)
    }

    /// The issuer that is to be asked about this token, if it is not to be verified by a key.
    pub(super) fn asked_about(
        &self,
        token: &[u8],
        accepted: &[usize],
    ) -> Result<Option<(usize, Form)>, Denial> {
        let Some((number, judge)) = self.judge_of(accepted) else {
            return Ok(None);
        };
        if !judge.accept_jwt && opaque::is_like_a_jwt(token) {
            return Ok(None);
        }
        let form = opaque::form(token)?;
        let is_asked = self.is_judged_by(number, &form, accepted);
        Ok(is_asked.then_some((number, form)))
    }

    /// Whether, where these are accepted, this issuer is asked about such a token: about an opaque one it is,
    /// about a JWT only where its table says so and no accepted issuer's keys could verify it.
    pub(super) fn is_judged_by(&self, number: usize, form: &Form, accepted: &[usize]) -> bool {
        let Some((judge, opaque)) = self.judge_of(accepted) else {
            return false;
        };
        if judge != number {
            return false;
        }
        let Form::Jwt { iss } = form else {
            return true;
        };
        let verifies = |number: &usize| {
            self.issuers.get(*number).is_some_and(|known| {
                let issuer = &known.issuer;
                let names = |iss: &String| issuer.accepted_iss.contains(iss);
                issuer.verifies_tokens() && iss.as_ref().is_some_and(names)
            })
        };
        opaque.accept_jwt && !accepted.iter().any(verifies)
    }

    /// Asks issuer number `number` about a token that is not in the cache.
    pub(super) async fn ask(
        &self,
        number: usize,
        form: Form,
        unknown: Unknown<'_>,
        now: UnixTime,
        steps: &mut (impl Steps + Send),
    ) -> Result<(&Issuer, Arc<Entry>), Refusal> {
        let asked = self.issuers.get(number);
        let asked = asked.and_then(|known| Some((known, known.issuer.opaque()?)));
        let (Some((known, opaque)), Some(tag)) = (asked, unknown.tag) else {
            return Err(Failure::InternalError.into());
        };
        let text = std::str::from_utf8(unknown.token).map_err(|_opaque| Denial::TokenMalformed)?;
        steps.step("issuer", || {
            format!("{:?}, asked at {}", known.issuer.name, opaque.endpoint)
        });
        let edition = self.judge.edition(number);
        let (claims, asked_at, until) = match self.judge.ask(number, &tag, text).await {
            Said::Active {
                claims,
                asked_at,
                until,
            } => (claims, asked_at, until),
            Said::Inactive => {
                steps.step("answer", || "the token is not active".to_owned());
                return Err(Denial::TokenInactive.into());
            }
            Said::Unknown { retry_after } => {
                steps.step("answer", || {
                    "none: it is away, or is not asked from here".to_owned()
                });
                return Err(Failure::IssuerUnavailable { retry_after }.into());
            }
        };
        // of all who waited for the answer one reads it
        let read = self.cache.find(&tag, known.generation);
        if let Some(entry) = read.filter(|entry| {
            let asked = entry.asked.as_ref();
            asked.is_some_and(|asked| now < asked.until) && entry.keys == edition
        }) {
            return Ok((&known.issuer, entry));
        }
        let verified = opaque::read(&claims, &known.issuer, asked_at, steps)?;
        let principal = known.issuer.mapping.apply(&verified.principal);
        let headers = identity::render(&self.identity, self.lists, &principal);
        let weight = unknown.token.len().max(principal.size());
        let entry = Entry::new(
            verified,
            principal,
            edition,
            Arc::new(headers),
            unknown.fingerprint,
            weight,
        )
        .of_answer(Asked { until, form });
        let entry = Arc::new(entry);
        self.cache.keep(tag, known.generation, Arc::clone(&entry));
        Ok((&known.issuer, entry))
    }
}
