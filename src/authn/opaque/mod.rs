//! Tokens that only their issuer can judge: what may be one, and what the issuer's answer about it says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::authn::claims::{self, Claims};
use crate::authn::issuer::{Accepted, Answers, Issuer, Opaque};
use crate::authn::jwt::{VerifiedToken, Vouched};
use crate::authn::proof::Bound;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::Steps;

/// What a token states of itself, by which it is decided who may be shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is no JWT.
    Opaque,
    /// It is written like a JWT.
    Jwt {
        /// Its `iss`, unproven.
        iss: Option<String>,
    },
}

/// The form of a token that an issuer is to be asked about.
///
/// What cannot be a token, and a JWT that could be read in two ways, is [`Denial::TokenMalformed`].
pub fn form(token: &[u8]) -> Result<Form, Denial> {
    if is_like_a_jwt(token) {
        return stated_issuer(token).map(|iss| Form::Jwt { iss });
    }
    if is_token(token) {
        Ok(Form::Opaque)
    } else {
        Err(Denial::TokenMalformed)
    }
}

/// Whether this can be a bearer token at all: `b64token` of RFC 6750 2.1.
fn is_token(token: &[u8]) -> bool {
    let body = unpadded(token);
    !body.is_empty()
        && body.iter().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

fn unpadded(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_suffix(b"=") {
        text = rest;
    }
    text
}

/// Whether this is written like a JWT: three parts in base64url, of which the first is a JSON object. Such
/// a token is judged by its signature.
#[must_use]
pub fn is_like_a_jwt(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(unpadded(part));
    let is_object = |json: &Vec<u8>| matches!(serde_json::from_slice(json), Ok(Value::Object(_)));
    decode(header).is_ok_and(|json| is_object(&json))
        && decode(payload).is_ok()
        && decode(signature).is_ok()
}

/// `iss` of what is written like a JWT, unproven. `None` if it states none. A payload that could be read in
/// two ways is [`Denial::TokenMalformed`].
fn stated_issuer(token: &[u8]) -> Result<Option<String>, Denial> {
    let payload = token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(unpadded(payload));
    let json = json.map_err(|_not_base64url| Denial::TokenMalformed)?;
    if !matches!(serde_json::from_slice(&json), Ok(Value::Object(_))) {
        return Ok(None);
    }
    let members = claims::parse_object(&json).map_err(|_ambiguous| Denial::TokenMalformed)?;
    Ok(members
        .get("iss")
        .and_then(Value::as_str)
        .map(str::to_owned))
}

/// Reads an answer about a token that its issuer says is good, given at `asked_at`.
///
/// Another kind of token than a bearer (or, where the issuer's table takes it, a `DPoP`) access token is
/// [`Denial::TokenTypeRefused`]; an answer that names another issuer is [`Denial::IssuerUnknown`].
pub fn read(
    answer: &Claims,
    issuer: &Issuer,
    asked_at: UnixTime,
    steps: &mut impl Steps,
) -> Result<VerifiedToken, Denial> {
    let Some(opaque) = issuer.opaque() else {
        return Err(Denial::IssuerUnknown);
    };
    let text = |name: &str| answer.find(name).and_then(Value::as_str);
    if let Some(kind) = text("token_type") {
        let taken = kind.eq_ignore_ascii_case("bearer")
            || (kind.eq_ignore_ascii_case("dpop") && issuer.dpop != Bound::Refused);
        steps.step("token_type", || format!("{kind:?}"));
        if !taken {
            return Err(Denial::TokenTypeRefused);
        }
    }
    // where some servers say which kind of token it is: RFC 7662 has no member for that
    for member in ["typ", "token_use"] {
        if let Some(kind) = text(member).filter(|kind| is_no_access_token(kind)) {
            steps.step(member, || format!("{kind:?}"));
            return Err(Denial::TokenTypeRefused);
        }
    }
    judge_named_issuer(answer, opaque, steps)?;
    let (claims, stated_end) = match opaque.answers {
        Answers::Introspection => (answer.clone(), None),
        Answers::Remote => (present(answer, issuer), answer.date("expiry")?),
    };
    let is_ended = stated_end.is_some() || claims.date("exp")?.is_some();
    let vouched = Vouched {
        key_id: None,
        algorithm: None,
        // whoever says no end is asked again
        expires_at: stated_end.or_else(|| (!is_ended).then(|| asked_at.plus(opaque.cache))),
    };
    vouched.read(claims, issuer, steps)
}

/// Keycloak's `typ` (`Refresh`, `Offline`, `ID`, `Logout`), and what others write into `token_use`.
fn is_no_access_token(kind: &str) -> bool {
    let others = [
        "refresh",
        "refresh_token",
        "offline",
        "id",
        "id_token",
        "logout",
    ];
    others.iter().any(|other| kind.eq_ignore_ascii_case(other))
}

/// An issuer that the answer names must be one of those whose tokens are meant: who answers may know tokens of
/// several, and two users of one id.
fn judge_named_issuer(
    answer: &Claims,
    opaque: &Opaque,
    steps: &mut impl Steps,
) -> Result<(), Denial> {
    let accepted = &opaque.issuers;
    let members: &[&str] = match opaque.answers {
        Answers::Introspection => &["iss"],
        Answers::Remote => &["iss", "issuer"],
    };
    let mut is_named = false;
    for member in members {
        let Some(named) = answer.find(member).filter(|named| !named.is_null()) else {
            continue;
        };
        is_named = true;
        steps.step(member, || format!("{named}, accepted {}", accepted.shown()));
        let holds = match (accepted, named.as_str()) {
            (Accepted::Any, _) => true,
            (Accepted::OneOf(_), Some(named)) => accepted.accepts(named),
            (Accepted::OneOf(_), None) => false,
        };
        if !holds {
            return Err(Denial::IssuerUnknown);
        }
    }
    // RFC 7662 leaves `iss` out at will; who lists several wants to know which
    let must_be_named = match (opaque.answers, accepted) {
        (Answers::Remote, Accepted::OneOf(list)) => !list.is_empty(),
        (Answers::Introspection, _) | (Answers::Remote, Accepted::Any) => false,
    };
    if must_be_named && !is_named {
        steps.step("issuer", || {
            format!("not named, accepted {}", accepted.shown())
        });
        return Err(Denial::IssuerUnknown);
    }
    Ok(())
}

/// Until when an answer about `token` is used: for the issuer's `cache`, and not beyond its end.
#[must_use]
pub fn used_until(token: &VerifiedToken, opaque: &Opaque, asked_at: UnixTime) -> UnixTime {
    token.expires_at.min(asked_at.plus(opaque.cache))
}

/// `/api/v1/validate` writes `null` for what a token does not carry. Of sets that is not "none of them".
fn present(answer: &Claims, issuer: &Issuer) -> Claims {
    let map = &issuer.claims;
    let sets = [&map.groups, &map.roles, &map.permissions];
    let is_of_a_set = |name: &str| {
        let mut paths = sets.iter().flat_map(|paths| paths.iter());
        paths.any(|path| path.is_in(name))
    };
    answer.without(|name, value| value.is_null() && !is_of_a_set(name))
}

#[cfg(test)]
mod tests;
