//! What a token endpoint answers (RFC 6749 5.1, 5.2), read strictly.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::token::{Bearer, FetchError, Granted, LifeFrom, UNSTATED_LIFE};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// Longest access token: no server takes a header beyond this.
const LONGEST_TOKEN: usize = 16 * 1024;

#[derive(Deserialize)]
struct Success {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    scope: Option<String>,
}

/// Reads an answer to a request that was sent at `asked_at`.
pub(super) fn read(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
    asked_at: UnixTime,
) -> Result<Granted<Bearer>, FetchError> {
    if status != StatusCode::OK {
        return Err(FetchError::Refused {
            status,
            code: error_code(body),
            retry_after,
        });
    }
    let success: Success = serde_json::from_slice(body)
        .map_err(|_content| FetchError::Unusable("it is not a JSON object of RFC 6749 5.1"))?;
    let token = Secret::new(success.access_token.unwrap_or_default());
    let text = token.expose();
    if text.is_empty() {
        return Err(FetchError::Unusable("access_token is missing or empty"));
    }
    if text.len() > LONGEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(FetchError::Unusable(
            "access_token does not fit into a header",
        ));
    }
    if !success
        .token_type
        .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
    {
        return Err(FetchError::Unusable("token_type is not Bearer"));
    }
    let (seconds, life_from) = match success.expires_in {
        Some(stated) => (
            seconds(&stated).ok_or(FetchError::Unusable("expires_in is not a number"))?,
            LifeFrom::ExpiresIn,
        ),
        None => match exp(text) {
            Some(exp) => (exp.since(asked_at), LifeFrom::Exp),
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
fn error_code(body: &[u8]) -> Option<String> {
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

fn exp(token: &str) -> Option<UnixTime> {
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
    use super::*;

    const NOW: UnixTime = UnixTime(1_000);

    fn life(body: &str) -> Result<(u64, LifeFrom), String> {
        read(StatusCode::OK, None, body.as_bytes(), NOW)
            .map(|granted| (granted.life.as_secs(), granted.life_from))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_life_of_a_token_is_read_from_expires_in_then_exp_then_short() {
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
        let refused = |status, body: &str| {
            read(status, None, body.as_bytes(), NOW)
                .unwrap_err()
                .to_string()
        };
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
            let error = read(status, None, body.as_bytes(), NOW).unwrap_err();
            assert_eq!(error.is_invalid_client(), expected, "{status} {body}");
        }
    }
}
