//! The resource owner password grant (RFC 6749 4.3), for authorization servers that have it yet.

use std::sync::Arc;

use http::StatusCode;

use super::{Asks, Tokens, Without, no_answer, service};
use crate::authn::password::UserPassword;
use crate::client::outgoing::Fetched;
use crate::client::token::{FetchError, Requester, error_code};
use crate::clock::Clock;
use crate::gate::Boxed;

#[derive(Debug)]
pub(super) struct PasswordGrant {
    pub(super) requester: Requester,
    pub(super) scopes: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl Asks for PasswordGrant {
    fn ask<'a>(&'a self, presented: &'a UserPassword) -> Boxed<'a, Result<Tokens, Without>> {
        Box::pin(async move {
            let UserPassword { user, password } = presented;
            let mut form = vec![
                ("grant_type", "password"),
                ("username", user.as_str()),
                ("password", password.expose()),
            ];
            if !self.scopes.is_empty() {
                form.push(("scope", self.scopes.as_str()));
            }
            let asked = self
                .requester
                .ask_for(&form, self.clock.now(), |fetched, _now| read(fetched));
            match asked.await {
                Ok(answer) => answer,
                Err(error) => Err(without(&error)),
            }
        })
    }
}

/// A refusal of the client itself is the requester's to mend; any other answer is about the user.
fn read(fetched: &Fetched) -> Result<Result<Tokens, Without>, FetchError> {
    if fetched.status == StatusCode::OK {
        let unusable = FetchError::Unusable("it holds no bearer token");
        return service::tokens(&fetched.body).map(Ok).ok_or(unusable);
    }
    let code = error_code(&fetched.body);
    match code.as_deref() {
        Some("invalid_grant") => Ok(Err(Without::Refused)),
        Some("interaction_required" | "mfa_required") => Ok(Err(Without::Challenged)),
        _other => Err(FetchError::Refused {
            status: fetched.status,
            code,
            retry_after: fetched.retry_after,
        }),
    }
}

fn without(error: &FetchError) -> Without {
    let why = error.to_string();
    let away = match error {
        FetchError::NoAnswer(error) => match no_answer("the token endpoint", error) {
            Without::Away { .. } => true,
            Without::Refused | Without::Challenged | Without::Unusable(_) => false,
        },
        FetchError::Secret(error) => error.is_outage(),
        FetchError::Aws(error) => error.is_outage(),
        FetchError::Refused { status, code, .. } => {
            status.is_server_error()
                || *status == StatusCode::TOO_MANY_REQUESTS
                || code.as_deref() == Some("temporarily_unavailable")
        }
        FetchError::Client(_) | FetchError::Actor | FetchError::Unusable(_) => false,
    };
    if away {
        let retry_after = error.retry_after();
        Without::Away { retry_after, why }
    } else {
        Without::Unusable(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_user_is_told_from_one_of_the_client() {
        let told = |status: u16, body: &str| {
            let fetched = Fetched {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.to_owned().into(),
                max_age: None,
                retry_after: None,
            };
            match read(&fetched).unwrap_or_else(|error| Err(without(&error))) {
                Ok(_) => "tokens",
                Err(Without::Refused) => "refused",
                Err(Without::Challenged) => "challenged",
                Err(Without::Away { .. }) => "away",
                Err(Without::Unusable(_)) => "unusable",
            }
        };
        for (status, body, expected) in [
            (
                200,
                r#"{"access_token":"a","token_type":"bearer"}"#,
                "tokens",
            ),
            (200, "{}", "unusable"),
            (400, r#"{"error":"invalid_grant"}"#, "refused"),
            (401, r#"{"error":"invalid_grant"}"#, "refused"),
            (403, r#"{"error":"mfa_required"}"#, "challenged"),
            (400, r#"{"error":"interaction_required"}"#, "challenged"),
            (401, r#"{"error":"invalid_client"}"#, "unusable"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "unusable"),
            (400, r#"{"error":"invalid_scope"}"#, "unusable"),
            (429, "", "away"),
            (503, "<html>", "away"),
            (400, r#"{"error":"temporarily_unavailable"}"#, "away"),
            (404, "", "unusable"),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
    }
}
