//! A login service of one's own: it is posted the JSON, and answers tokens.

use std::sync::Arc;

use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Asks, Tokens, Without, no_answer, token};
use crate::authn::password::UserPassword;
use crate::client::outgoing::Fetched;
use crate::client::token::Endpoint;
use crate::gate::Boxed;

#[derive(Debug)]
pub(super) struct Service {
    pub(super) url: Url,
    pub(super) endpoint: Arc<dyn Endpoint>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<u64>,
}

impl Asks for Service {
    fn ask<'a>(&'a self, presented: &'a UserPassword) -> Boxed<'a, Result<Tokens, Without>> {
        Box::pin(async move {
            let UserPassword { user, password } = presented;
            let body = json!({ "username": user, "password": password.expose() });
            let request = Request::post(self.url.as_str())
                .header(CONTENT_TYPE, "application/json")
                .header(ACCEPT, "application/json")
                .body(body.to_string().into())
                .map_err(|_unwritable| unusable("its url cannot be asked"))?;
            match self.endpoint.send(request).await {
                Ok(fetched) => read(&fetched),
                Err(error) => Err(no_answer("the login service", &error)),
            }
        })
    }
}

fn unusable(why: &str) -> Without {
    Without::Unusable(format!("the login service: {why}"))
}

fn read(fetched: &Fetched) -> Result<Tokens, Without> {
    let status = fetched.status;
    match status.as_u16() {
        200 => tokens(&fetched.body).ok_or_else(|| unusable("no tokens in its answer")),
        401 | 403 => Err(Without::Refused),
        429 | 500.. => Err(Without::Away {
            retry_after: fetched.retry_after,
            why: format!("the login service answered {status}"),
        }),
        _other => Err(Without::Unusable(format!(
            "the login service answered {status}"
        ))),
    }
}

/// Tokens in the shape of RFC 6749 5.1.
pub(super) fn tokens(body: &[u8]) -> Option<Tokens> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let bearer = |kind: &String| kind.eq_ignore_ascii_case("bearer");
    if !answer.token_type.as_ref().is_none_or(bearer) {
        return None;
    }
    Some(Tokens {
        access_token: token(answer.access_token)?,
        id_token: token(answer.id_token),
        refresh_token: token(answer.refresh_token),
        token_type: "Bearer".to_owned(),
        expires_in: answer.expires_in,
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_service_says_yes_no_or_nothing_that_can_be_used() {
        let told = |status: u16, body: &str| {
            let fetched = Fetched {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.to_owned().into(),
                max_age: None,
                retry_after: None,
            };
            match read(&fetched) {
                Ok(tokens) => tokens.json().unwrap().expose().to_owned(),
                Err(Without::Refused) => "refused".to_owned(),
                Err(Without::Challenged) => "challenged".to_owned(),
                Err(Without::Away { .. }) => "away".to_owned(),
                Err(Without::Unusable(_)) => "unusable".to_owned(),
            }
        };
        for (status, body, expected) in [
            (
                200,
                r#"{"access_token":"a"}"#,
                r#"{"access_token":"a","token_type":"Bearer"}"#,
            ),
            (
                200,
                r#"{"access_token":"a","id_token":"i","refresh_token":"r","token_type":"bearer","expires_in":60,"more":1}"#,
                r#"{"access_token":"a","id_token":"i","refresh_token":"r","token_type":"Bearer","expires_in":60}"#,
            ),
            (
                200,
                r#"{"access_token":"a","token_type":"DPoP"}"#,
                "unusable",
            ),
            (200, r#"{"access_token":""}"#, "unusable"),
            (200, r#"{"access_token":["a"]}"#, "unusable"),
            (200, "[]", "unusable"),
            (200, "", "unusable"),
            (204, "", "unusable"),
            (201, r#"{"access_token":"a"}"#, "unusable"),
            (401, "", "refused"),
            (403, r#"{"access_token":"a"}"#, "refused"),
            (404, "", "unusable"),
            (429, "", "away"),
            (500, "", "away"),
            (503, "", "away"),
        ] {
            assert_eq!(told(status, body), expected, "{status} {body}");
        }
    }
}
