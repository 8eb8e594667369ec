//! A `DPoP` proof (RFC 9449 4.3): a JWT signed by the key that the token is bound to, about this request.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;

use super::{About, Replays, Shown};
use crate::authn::claims::Json;
use crate::authn::issuer::Algorithm;
use crate::authn::jwk::VerificationKey;
use crate::authn::jws::Jws;
use crate::clock::UnixTime;
use crate::request::{Host, Path};

/// How old a proof may be, in seconds.
pub(super) const MAX_AGE: u64 = 60;

/// How far its clock may be ahead, in seconds.
pub(super) const MAX_AHEAD: u64 = 10;

/// The longest `jti`, in bytes.
const MAX_ID_BYTES: usize = 256;

/// What a proof may be signed by.
pub const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// Why a proof does not hold: nothing of it.
type Why = &'static str;

/// Whether `proof` is by the key of that thumbprint, for this request and token, made now and not seen
/// before. Whoever holds has it noted among the `replays`.
pub(super) fn judge(
    proof: &str,
    bound_to: [u8; 32],
    shown: Shown<'_>,
    replays: &Replays,
    now: UnixTime,
) -> Result<(), Why> {
    let (jws, header) = Jws::parse_with_header(proof).map_err(|_denial| "the proof is no JWS")?;
    let typ = jws.typ.as_deref();
    if !typ.is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")) {
        return Err("the proof's typ is not dpop+jwt");
    }
    let Some(jwk) = header.find("jwk").filter(|jwk| jwk.members().is_some()) else {
        return Err("the proof shows no key");
    };
    let key = VerificationKey::from_jwk(jwk, &ALGORITHMS).map_err(|_why| "its key is unusable")?;
    if thumbprint(jwk) != Some(bound_to) {
        return Err("the proof is of another key than the token's");
    }
    let claims = jws
        .verify(&key)
        .map_err(|_denial| "the proof's signature does not verify")?;
    let text = |name: &str| claims.find(name).and_then(Json::as_str);
    let about = shown
        .about
        .ok_or("the request is not known, so no proof can be for it")?;
    if text("htm") != Some(about.method) {
        return Err("the proof is for another method");
    }
    if !text("htu").is_some_and(|url| is_about(url, about)) {
        return Err("the proof is for another URL");
    }
    if text("ath").and_then(digest) != Some(sha256(shown.token)) {
        return Err("the proof is for another token");
    }
    let made = claims.date("iat").ok().flatten();
    let made = made.ok_or("the proof has no iat")?;
    if made > now.plus(MAX_AHEAD) {
        return Err("the proof's iat is ahead of our clock");
    }
    if now.since(made) > MAX_AGE {
        return Err("the proof is older than a minute");
    }
    let id = text("jti").filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES);
    let id = id.ok_or("the proof has no jti, or one over 256 bytes")?;
    if replays.is_first(&bound_to, id, made, now) {
        Ok(())
    } else {
        Err("the proof was used before, or may have been")
    }
}

/// Whether `htu` is this request's URL, less query and fragment. Who ended TLS may be somebody else, so
/// `http` and `https` are one; a port that the request names must be the URL's.
fn is_about(url: &str, about: About<'_>) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _other => return false,
    };
    let port = |host: &Host<'_>| host.port().unwrap_or(usual);
    Host::parse(authority.as_str())
        .is_ok_and(|host| host.as_str() == about.host.as_str() && port(&host) == port(about.host))
        && Path::parse(url.path()).is_ok_and(|path| path.as_str() == about.path.as_str())
}

/// The thumbprint of a public key (RFC 7638): SHA-256 of its required members, in order.
fn thumbprint(jwk: Json<'_>) -> Option<[u8; 32]> {
    let required: &[&str] = match jwk.find("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _other => return None,
    };
    let members: Option<Vec<String>> = required
        .iter()
        .map(|name| Some(format!("\"{name}\":{}", jwk.find(name)?)))
        .collect();
    Some(sha256(format!("{{{}}}", members?.join(",")).as_bytes()))
}

/// A SHA-256 as base64url.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    // the digest of SHA-256 is 32 bytes long, always
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests;
