//! Tokens that only their issuer can judge: what may be one, and what the issuer's answer about it says.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::authn::claims::{Claims, Json, Object};
use crate::authn::issuer::{Accepted, Answers, Issuer, Opaque};
use crate::authn::jwt::{VerifiedToken, Vouched};
use crate::authn::proof::Bound;
use crate::clock::UnixTime;
use crate::reason::Denial;
use crate::steps::Steps;

/// How long a token of which its issuer states no end is taken to live from when it was asked about: handles
/// and upgraded connections end with it. Requests ask again after `cache`.
const UNSTATED_LIFE: u64 = 300;

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

/// Whether anybody could take this for a JWT: three parts, of which the first is a JSON object in base64,
/// however carelessly that is read. Such a token is judged by its signature: nobody chooses their judge by a
/// bit that other readers overlook.
#[must_use]
pub fn is_like_a_jwt(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(header), Some(_payload), Some(_signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let header: Vec<u8> = unpadded(header)
        .iter()
        .map(|byte| url_safe(*byte))
        .collect();
    let json = CARELESS.decode(header);
    json.is_ok_and(|json| matches!(serde_json::from_slice(&json), Ok(Value::Object(_))))
}

fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// Overlooks spare bits.
const CARELESS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `iss` of what is like a JWT, unproven. `None` if it states none. What is no JWT to a strict reader, or could
/// be read in two ways, is [`Denial::TokenMalformed`].
fn stated_issuer(token: &[u8]) -> Result<Option<String>, Denial> {
    let decode = |part: &[u8]| {
        let bytes = URL_SAFE_NO_PAD.decode(unpadded(part));
        bytes.map_err(|_not_base64url| Denial::TokenMalformed)
    };
    let mut parts = token.split(|byte| *byte == b'.').map(decode);
    let mut next = || parts.next().unwrap_or(Err(Denial::TokenMalformed));
    let (_header, payload, _signature) = (next()?, next()?, next()?);
    if !matches!(serde_json::from_slice(&payload), Ok(Value::Object(_))) {
        return Ok(None);
    }
    let members = Object::parse(payload).map_err(|_ambiguous| Denial::TokenMalformed)?;
    Ok(members
        .find("iss")
        .and_then(Json::as_str)
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
    let answer = &present(answer, issuer);
    let is_dpop = match answer.find("token_type") {
        None => false,
        Some(kind) => {
            steps.step("token_type", || kind.to_string());
            let kind = kind.as_str().ok_or(Denial::TokenTypeRefused)?;
            let is_dpop = kind.eq_ignore_ascii_case("dpop") && issuer.dpop != Bound::Refused;
            if !is_dpop && !kind.eq_ignore_ascii_case("bearer") {
                return Err(Denial::TokenTypeRefused);
            }
            is_dpop
        }
    };
    let text = |name: &str| answer.find(name).and_then(Json::as_str);
    // where some servers say which kind of token it is: RFC 7662 has no member for that
    for member in ["typ", "token_use"] {
        if let Some(kind) = text(member).filter(|kind| is_no_access_token(kind)) {
            steps.step(member, || format!("{kind:?}"));
            return Err(Denial::TokenTypeRefused);
        }
    }
    judge_named_issuer(answer, opaque, steps)?;
    let stated_end = match opaque.answers {
        Answers::Introspection => None,
        Answers::Remote => answer.date("expiry")?,
    };
    let is_ended = stated_end.is_some() || answer.date("exp")?.is_some();
    let vouched = Vouched {
        key_id: None,
        algorithm: None,
        expires_at: stated_end.or_else(|| (!is_ended).then(|| asked_at.plus(UNSTATED_LIFE))),
    };
    let token = vouched.read(answer, issuer, steps)?;
    if is_dpop && token.confirmation.key.is_none() {
        steps.step("cnf", || "of a DPoP token, none".to_owned());
        return Err(Denial::TokenTypeRefused);
    }
    Ok(token)
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

/// Until when an answer is used: for the issuer's `cache`, and not beyond the end that it states; a second at
/// least where `cache` is not nothing, so that a token within the leeway is not asked about with each request.
#[must_use]
pub fn used_until(answer: &Claims, asked_at: UnixTime, cache: u64) -> UnixTime {
    let stated = ["exp", "expiry"].map(|name| answer.date(name).ok().flatten());
    let end = stated.into_iter().flatten().min();
    let end = end.map_or(UnixTime(u64::MAX), |end| end.max(asked_at.plus(1)));
    end.min(asked_at.plus(cache))
}

/// Many servers write `null` for what a token does not carry. Of groups, roles and permissions that is not
/// "none of them"; of a binding it is no "unbound"; and of another Gatepost's scopes it is nobody's.
fn present(answer: &Claims, issuer: &Issuer) -> Claims {
    let map = &issuer.claims;
    let sets = [&map.groups, &map.roles, &map.permissions];
    let is_of_a_set = |name: &str| {
        let mut paths = sets.iter().flat_map(|paths| paths.iter());
        paths.any(|path| path.is_in(name))
    };
    let is_kept = |name: &str| name == "cnf" || name == "scopes" || is_of_a_set(name);
    answer.without(|name, value| value.is_null() && !is_kept(name))
}

#[cfg(test)]
mod tests;
