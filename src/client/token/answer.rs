//! What a token endpoint answers (RFC 6749 5.1, 5.2), read strictly.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::outgoing::Fetched;
use crate::client::token::{Bearer, FetchError, Granted, LifeFrom, UNSTATED_LIFE};
use crate::clock::UnixTime;
use crate::config::{ACCESS_TOKEN_TYPE, JWT_TOKEN_TYPE};
use crate::secret::Secret;

/// The token is bound to a key that we do not have, mostly by `DPoP` (RFC 9449).
pub const NOT_BEARER: &str = "token_type is not Bearer";

/// Longest access token: no server takes a header beyond this.
const LONGEST_TOKEN: usize = 16 * 1024;

#[derive(Deserialize)]
struct Success {
    access_token: Option<String>,
    token_type: Option<String>,
    issued_token_type: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
}

/// What an endpoint was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected<'r> {
    /// An access token (RFC 6749 5.1).
    AccessToken,
    /// The outcome of an exchange (RFC 8693 2.2.1), of this type if one was requested.
    Exchanged {
        /// `requested_token_type`
        requested: Option<&'r str>,
    },
}

impl Expected<'_> {
    /// Whether the token is of a type that was asked for. Access tokens may be told to be JWTs.
    fn holds(&self, issued: Option<&str>) -> bool {
        match (self, issued) {
            (Self::AccessToken, _) => true,
            (Self::Exchanged { .. }, None) => false,
            (Self::Exchanged { requested }, Some(issued)) => match *requested {
                None | Some(ACCESS_TOKEN_TYPE) => {
                    [ACCESS_TOKEN_TYPE, JWT_TOKEN_TYPE].contains(&issued)
                }
                Some(requested) => requested == issued,
            },
        }
    }

    /// `N_A` is said of a token that is no access token: only where another was asked for.
    fn takes_type(&self, token_type: &str) -> bool {
        let other = match self {
            Self::AccessToken => false,
            Self::Exchanged { requested } => {
                requested.is_some_and(|requested| requested != ACCESS_TOKEN_TYPE)
            }
        };
        token_type.eq_ignore_ascii_case("bearer")
            || (other && token_type.eq_ignore_ascii_case("n_a"))
    }
}

/// Whether a token fits into a header.
pub(super) fn is_sendable(token: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An answer that is none, with what it says of why.
pub(in crate::client) fn refused(fetched: &Fetched) -> FetchError {
    FetchError::Refused {
        status: fetched.status,
        code: error_code(&fetched.body),
        retry_after: fetched.retry_after,
    }
}

/// Reads an answer to a request that was sent at `asked_at`.
pub(super) fn read(fetched: &Fetched, asked_at: UnixTime) -> Result<Granted<Bearer>, FetchError> {
    read_as(&Expected::AccessToken, fetched, asked_at)
}

/// The same, where something else was asked for.
pub(super) fn read_as(
    expected: &Expected<'_>,
    fetched: &Fetched,
    asked_at: UnixTime,
) -> Result<Granted<Bearer>, FetchError> {
    if fetched.status != StatusCode::OK {
        return Err(refused(fetched));
    }
    let success: Success = serde_json::from_slice(&fetched.body)
        .map_err(|_content| FetchError::Unusable("it is not a JSON object of RFC 6749 5.1"))?;
    let token = Secret::new(success.access_token.unwrap_or_default());
    let text = token.expose();
    if text.is_empty() {
        return Err(FetchError::Unusable("access_token is missing or empty"));
    }
    if !is_sendable(text) {
        return Err(FetchError::Unusable(
            "access_token does not fit into a header",
        ));
    }
    if !success
        .token_type
        .is_some_and(|kind| expected.takes_type(&kind))
    {
        return Err(FetchError::Unusable(NOT_BEARER));
    }
    if !expected.holds(success.issued_token_type.as_deref()) {
        return Err(FetchError::Unusable(
            "issued_token_type is not what was asked for",
        ));
    }
    let own = exp(text).map(|exp| exp.since(asked_at));
    let (seconds, life_from) = match success.expires_in {
        Some(stated) => {
            let stated =
                seconds(&stated).ok_or(FetchError::Unusable("expires_in is not a number"))?;
            // whoever is sent the token goes by its `exp`
            match own {
                Some(own) if own < stated => (own, LifeFrom::Exp),
                Some(_) | None => (stated, LifeFrom::ExpiresIn),
            }
        }
        None => match own {
            Some(own) => (own, LifeFrom::Exp),
            None => (UNSTATED_LIFE.as_secs(), LifeFrom::Unstated),
        },
    };
    if seconds == 0 {
        return Err(FetchError::Unusable("the token has expired already"));
    }
    let credential = Bearer::new(token).ok_or(FetchError::Unusable(
        "access_token does not fit into a header",
    ))?;
    Ok(Granted {
        credential,
        life: Duration::from_secs(seconds),
        life_from,
        scope: success.scope,
    })
}

/// The refresh token of an answer, whatever else is wrong with it (RFC 6749 6): the one that was
/// asked with may be spent.
pub(super) fn refresh_token(fetched: &Fetched) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Rotated {
        refresh_token: Option<String>,
    }
    let rotated: Rotated = serde_json::from_slice(&fetched.body).ok()?;
    let token = rotated.refresh_token.map(Secret::new)?;
    let text = token.expose();
    let sound = (1..=LONGEST_TOKEN).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    sound.then_some(token)
}

/// Some endpoints write the number as a string, some with a fraction.
fn seconds(stated: &Value) -> Option<u64> {
    match stated {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "finite, not negative, and a cast from float saturates"
)]
fn whole(number: f64) -> Option<u64> {
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

/// `error` of RFC 6749 5.2, only if it looks like a code: it goes to the log.
pub(in crate::client) fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let code = serde_json::from_slice::<Refusal>(body).ok()?.error;
    let is_code = (1..=64).contains(&code.len())
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    is_code.then_some(code)
}

/// The `exp` of a JWT. Nothing is verified.
pub(in crate::client) fn exp(token: &str) -> Option<UnixTime> {
    seconds(peek(token)?.claims.get("exp")?).map(UnixTime)
}

/// The readable parts of a JWT. Nothing is verified: for expiry and for showing to operators.
#[derive(Clone, Debug)]
pub struct Peek {
    /// The JOSE header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Header and claims of a token of ours, if it is a JWT.
#[must_use]
pub fn peek(token: &str) -> Option<Peek> {
    let mut parts = token.split('.');
    let (header, claims) = (parts.next()?, parts.next()?);
    let (_signature, None) = (parts.next()?, parts.next()) else {
        return None;
    };
    let object = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    Some(Peek {
        header: object(header)?,
        claims: object(claims)?,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000);

    fn answered(status: StatusCode, body: &str) -> Fetched {
        Fetched {
            status,
            body: Bytes::copy_from_slice(body.as_bytes()),
            max_age: None,
            retry_after: None,
        }
    }

    fn life(body: &str) -> Result<(u64, LifeFrom), String> {
        read(&answered(StatusCode::OK, body), NOW)
            .map(|granted| (granted.life.as_secs(), granted.life_from))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_life_of_a_token_is_the_shorter_of_expires_in_and_exp_or_else_short() {
        let jwt = format!(
            "e30.{}.c2ln",
            URL_SAFE_NO_PAD.encode(r#"{"exp":1900,"sub":"svc"}"#)
        );
        let with =
            |more: &str| format!(r#"{{"access_token":"opaque-1","token_type":"Bearer"{more}}}"#);
        for (body, expected) in [
            (with(r#","expires_in":3600"#), (3600, LifeFrom::ExpiresIn)),
            (with(r#","expires_in":"3600""#), (3600, LifeFrom::ExpiresIn)),
            (with(r#","expires_in":3599.9"#), (3599, LifeFrom::ExpiresIn)),
            (with(""), (300, LifeFrom::Unstated)),
            (with(r#","expires_in":null"#), (300, LifeFrom::Unstated)),
            (with("").replace("opaque-1", &jwt), (900, LifeFrom::Exp)),
            (
                with(r#","expires_in":60"#).replace("opaque-1", &jwt),
                (60, LifeFrom::ExpiresIn),
            ),
            (
                with(r#","expires_in":3600"#).replace("opaque-1", &jwt),
                (900, LifeFrom::Exp),
            ),
            (
                with(r#","expires_in":60"#).replace("Bearer", "bEARER"),
                (60, LifeFrom::ExpiresIn),
            ),
        ] {
            assert_eq!(life(&body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_an_error() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"access_token":"","token_type":"Bearer","expires_in":1}"#,
            r#"{"access_token":7,"token_type":"Bearer","expires_in":1}"#,
            r#"{"access_token":"a b","token_type":"Bearer","expires_in":1}"#,
            r#"{"access_token":"a\r\nx: y","token_type":"Bearer","expires_in":1}"#,
            r#"{"access_token":"t","expires_in":1}"#,
            r#"{"access_token":"t","token_type":"DPoP","expires_in":1}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":0}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":-5}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":"soon"}"#,
            r#"{"access_token":"t","token_type":"Bearer","expires_in":true}"#,
            r#"{"access_token":"t","access_token":"u","token_type":"Bearer"}"#,
            &format!(
                r#"{{"access_token":"{}","token_type":"Bearer"}}"#,
                "x".repeat(LONGEST_TOKEN + 1)
            ),
            // a JWT that has expired
            &format!(
                r#"{{"access_token":"e30.{}.c2ln","token_type":"Bearer"}}"#,
                URL_SAFE_NO_PAD.encode(r#"{"exp":1000}"#)
            ),
        ] {
            assert!(life(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_code_only() {
        let refused =
            |status, body: &str| read(&answered(status, body), NOW).unwrap_err().to_string();
        let bad = StatusCode::BAD_REQUEST;
        assert_eq!(
            refused(
                bad,
                r#"{"error":"invalid_scope","error_description":"s3cret"}"#
            ),
            "the token endpoint answered 400 Bad Request invalid_scope"
        );
        for body in [
            r#"{"error":"a\nb"}"#,
            r#"{"error":"your secret s3cret"}"#,
            r#"{"error":{"code":"s3cret"}}"#,
            "<p>s3cret</p>",
        ] {
            assert_eq!(
                refused(bad, body),
                "the token endpoint answered 400 Bad Request",
                "{body}"
            );
        }
    }

    #[test]
    fn a_wrong_client_is_recognised_with_and_without_a_code() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_client"}"#, true),
            (401, r#"{"error":"invalid_client"}"#, true),
            (401, "", true),
            (401, r#"{"error":"unauthorized_client"}"#, false),
            (400, r#"{"error":"invalid_grant"}"#, false),
            (400, "", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = read(&answered(status, body), NOW).unwrap_err();
            assert_eq!(error.is_invalid_client(), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_exchanged_token_is_of_the_type_that_was_asked_for() {
        let (access, jwt) = (Some(ACCESS_TOKEN_TYPE), Some(JWT_TOKEN_TYPE));
        let id = Some("urn:ietf:params:oauth:token-type:id_token");
        for (requested, issued, token_type, expected) in [
            (None, access, "Bearer", true),
            (None, jwt, "Bearer", true),
            (None, id, "Bearer", false),
            (None, None, "Bearer", false),
            (None, access, "N_A", false),
            (None, access, "DPoP", false),
            (access, jwt, "Bearer", true),
            (access, id, "Bearer", false),
            (access, access, "N_A", false),
            (id, id, "N_A", true),
            (id, id, "Bearer", true),
            (id, access, "Bearer", false),
            (jwt, access, "Bearer", false),
            (jwt, jwt, "n_a", true),
        ] {
            let body = json!({
                "access_token": "t", "token_type": token_type, "issued_token_type": issued,
            });
            let fetched = answered(StatusCode::OK, &body.to_string());
            let outcome = read_as(&Expected::Exchanged { requested }, &fetched, NOW);
            assert_eq!(outcome.is_ok(), expected, "{requested:?} {body}");
        }
    }
}
