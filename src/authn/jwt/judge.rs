//! What may change between two requests: time, and what the issuer's table asks.

use super::VerifiedToken;
use crate::authn::claims::value_matches;
use crate::authn::issuer::{Accepted, Issuer, Preset, TokenUse};
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::{Steps, shown};

impl VerifiedToken {
    /// Judges what may change between two requests: time, audience, client, token use, required
    /// claims. Runs on every request, cached or not.
    ///
    /// `exp`, `nbf`, `iat` and the age are judged with the issuer's leeway. With `max_token_age` a
    /// token without `iat` is [`Denial::TokenClaimMismatch`]: its age cannot be told.
    pub fn judge(
        &self,
        issuer: &Issuer,
        now: UnixTime,
        steps: &mut impl Steps,
    ) -> Result<(), Denial> {
        match &issuer.preset {
            // read from the header
            Preset::Alb { client_ids, .. } => self.judge_client(client_ids, steps)?,
            Preset::Cognito {
                client_ids,
                audiences,
                token_use,
            } => self.judge_cognito(client_ids, audiences, token_use, steps)?,
            Preset::Entra { audiences, .. } => {
                self.judge_entra_use(steps)?;
                self.judge_audience(audiences, steps)?;
            }
            Preset::Generic { audiences } => self.judge_audience(audiences, steps)?,
            Preset::Opaque(opaque) => {
                if let Some(audiences) = &opaque.audiences {
                    self.judge_audience(audiences, steps)?;
                }
                if let Some(client_ids) = &opaque.client_ids {
                    self.judge_client(client_ids, steps)?;
                }
            }
        }
        self.judge_time(issuer, now, steps)?;
        for (path, accepted) in &issuer.required_claims {
            let value = path.find(&self.principal.claims);
            steps.step("required claim", || {
                let found = if value.is_some() { "present" } else { "absent" };
                format!("{path} wants one of {accepted:?}, is {found}")
            });
            if !value.is_some_and(|value| value_matches(value, accepted)) {
                return Err(Denial::TokenClaimMismatch);
            }
        }
        Ok(())
    }

    /// When [`Self::judge`] begins to refuse it for its time: `exp`, or its greatest age, with the
    /// issuer's leeway.
    #[must_use]
    pub fn good_until(&self, issuer: &Issuer) -> UnixTime {
        let aged = issuer
            .max_token_age
            .zip(self.issued_at)
            .map(|(longest, issued_at)| issued_at.plus(longest));
        self.expires_at
            .min(aged.unwrap_or(self.expires_at))
            .plus(issuer.leeway)
    }

    fn judge_client(&self, client_ids: &Accepted, steps: &mut impl Steps) -> Result<(), Denial> {
        let client = self.principal.client_id.as_deref();
        steps.step("client", || {
            format!("{}, accepted {}", shown(client), client_ids.shown())
        });
        if client.is_some_and(|client| client_ids.accepts(client)) {
            Ok(())
        } else {
            Err(Denial::TokenClientRefused)
        }
    }

    /// Access tokens name their client in `client_id`, and carry `aud` only if they were asked for
    /// one resource; ID tokens name their client in `aud`.
    fn judge_cognito(
        &self,
        client_ids: &Accepted,
        audiences: &[String],
        accepted_use: &[TokenUse],
        steps: &mut impl Steps,
    ) -> Result<(), Denial> {
        steps.step("token_use", || {
            let accepted: Vec<&str> = accepted_use
                .iter()
                .map(|accepted| accepted.as_str())
                .collect();
            format!(
                "{}, accepted {}",
                self.token_use
                    .map_or("neither access nor id", TokenUse::as_str),
                accepted.join(" ")
            )
        });
        let token_use = self
            .token_use
            .filter(|token_use| accepted_use.contains(token_use))
            .ok_or(Denial::TokenUseMismatch)?;
        match token_use {
            TokenUse::Id => self.judge_audience(client_ids, steps),
            TokenUse::Access => {
                let client = self.client.as_deref();
                steps.step("client_id", || {
                    format!("{}, accepted {}", shown(client), client_ids.shown())
                });
                if !client.is_some_and(|client| client_ids.accepts(client)) {
                    return Err(Denial::TokenClientRefused);
                }
                let asked = !audiences.is_empty() && !self.audiences.is_empty();
                if !asked {
                    return Ok(());
                }
                steps.step("aud", || {
                    format!("{:?}, accepted {audiences:?}", self.audiences)
                });
                if self.audiences.iter().any(|aud| audiences.contains(aud)) {
                    Ok(())
                } else {
                    Err(Denial::AudienceMismatch)
                }
            }
        }
    }

    /// An ID token for an application that is its own API has the API's audience. Access tokens
    /// name the client they were issued to, always (`azp` in v2, `appid` in v1); ID tokens do not.
    fn judge_entra_use(&self, steps: &mut impl Steps) -> Result<(), Denial> {
        steps.step("azp or appid", || {
            if self.client.is_some() {
                "present: an access token".to_owned()
            } else {
                "absent: an ID token".to_owned()
            }
        });
        self.client
            .as_ref()
            .map(|_| ())
            .ok_or(Denial::TokenUseMismatch)
    }

    fn judge_audience(&self, accepted: &Accepted, steps: &mut impl Steps) -> Result<(), Denial> {
        steps.step("aud", || {
            format!("{:?}, accepted {}", self.audiences, accepted.shown())
        });
        let holds = match accepted {
            Accepted::Any => true,
            Accepted::OneOf(_) => self.audiences.iter().any(|aud| accepted.accepts(aud)),
        };
        if holds {
            Ok(())
        } else {
            Err(Denial::AudienceMismatch)
        }
    }

    fn judge_time(
        &self,
        issuer: &Issuer,
        now: UnixTime,
        steps: &mut impl Steps,
    ) -> Result<(), Denial> {
        let leeway = issuer.leeway;
        steps.step("exp", || {
            format!("{}, now {now}, leeway {leeway} s", self.expires_at)
        });
        // RFC 7519 4.1.4: on or after
        if now >= self.expires_at.plus(leeway) {
            return Err(Denial::TokenExpired);
        }
        for (name, date) in [("nbf", self.not_before), ("iat", self.issued_at)] {
            let Some(date) = date else { continue };
            steps.step(name, || format!("{date}, now {now}, leeway {leeway} s"));
            if date > now.plus(leeway) {
                return Err(Denial::TokenNotYetValid);
            }
        }
        if let Some(longest) = issuer.max_token_age {
            let age = self.issued_at.map(|issued_at| now.since(issued_at));
            steps.step("age", || match age {
                Some(age) => format!("{age} s, at most {longest} s, leeway {leeway} s"),
                None => "unknown: no iat".to_owned(),
            });
            if age.ok_or(Denial::TokenClaimMismatch)? > longest.saturating_add(leeway) {
                return Err(Denial::TokenExpired);
            }
        }
        Ok(())
    }
}
