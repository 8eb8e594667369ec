//! The compact JWS (RFC 7515 7.1), split and checked before any key is looked for.

use base64::Engine as _;
use base64::engine::general_purpose;

use crate::authn::claims::{Claims, Json, Kind, Object};
use crate::authn::issuer::Algorithm;
use crate::authn::jwk::{MAX_KEY_ID_BYTES, VerificationKey};
use crate::reason::Denial;

/// The longest token that is read, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A token in three well-formed parts. Nothing in it is proven yet: its claims come out of
/// [`Jws::verify`] only.
#[derive(Debug)]
pub struct Jws<'t> {
    /// `alg`, by its registered name.
    pub algorithm: Algorithm,
    /// `kid`, any text of at most 256 bytes without control characters.
    pub key_id: Option<String>,
    /// `typ`, without the `application/` that may be left out (RFC 7515 4.1.9).
    pub typ: Option<String>,
    /// Header and payload as sent, joined by a dot: what is signed.
    signing_input: &'t str,
    /// The payload, parsed once; unproven.
    claims: Claims,
    /// The signature, decoded.
    signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Splits a token and checks its header: canonical unpadded base64url, no duplicate names, a
    /// known `alg`, no `crit`, no `b64`, no `cty`, a `typ` that is text. `jku`, `x5u`, `jwk` and `x5c` are never looked at. A `kid` that is no text, longer
    /// than 256 bytes or holds control characters is no key's: [`Denial::KeyUnknown`].
    pub fn parse(token: &'t str) -> Result<Self, Denial> {
        Self::parse_with_header(token).map(|(jws, _header)| jws)
    }

    /// The same, and the header: a proof (RFC 9449) shows its key there.
    pub(super) fn parse_with_header(token: &'t str) -> Result<(Self, Object), Denial> {
        let parts = Parts::split(token)?;
        let members = Object::parse(decode(parts.header)?);
        let members = members.map_err(|_syntax| Denial::TokenMalformed)?;
        let header = Header::read(&members)?;
        let jws = Self {
            algorithm: header.algorithm,
            key_id: header.key_id,
            typ: header.typ,
            signing_input: parts.signing_input,
            claims: Claims::parse(decode(parts.payload)?)?,
            signature: decode(parts.signature)?,
        };
        Ok((jws, members))
    }

    /// `iss` as the token states it, unproven: it only chooses whose keys to try. Missing or no
    /// string: [`Denial::IssuerUnknown`].
    pub fn unverified_issuer(&self) -> Result<&str, Denial> {
        self.claims
            .find("iss")
            .and_then(Json::as_str)
            .ok_or(Denial::IssuerUnknown)
    }

    /// Verifies the signature with this key; on success the claims are the issuer's word. The
    /// key's algorithms do not include the token's: [`Denial::AlgorithmRefused`].
    pub fn verify(&self, key: &VerificationKey) -> Result<Claims, Denial> {
        key.verify(
            self.algorithm,
            self.signing_input.as_bytes(),
            &self.signature,
        )?;
        Ok(self.claims.clone())
    }
}

/// The three parts of a token, still encoded.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    pub(super) header: &'t str,
    pub(super) payload: &'t str,
    pub(super) signature: &'t str,
    /// Header and payload, joined by their dot.
    pub(super) signing_input: &'t str,
}

impl<'t> Parts<'t> {
    /// Bounded before anything is read; no allocation.
    pub(super) fn split(token: &'t str) -> Result<Self, Denial> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Denial::TokenTooLarge);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(Denial::TokenMalformed)?;
        // a further dot is left in the payload, where it is no base64url
        let (header, payload) = signing_input
            .split_once('.')
            .ok_or(Denial::TokenMalformed)?;
        Ok(Self {
            header,
            payload,
            signature,
            signing_input,
        })
    }
}

/// As many characters at once as this processor can.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| base64::engine::Simd::url_safe(general_purpose::NO_PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64URL: general_purpose::GeneralPurpose = general_purpose::URL_SAFE_NO_PAD;

/// Canonical base64url without padding: one text for one value, so a token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Denial> {
    BASE64URL
        .decode(part)
        .map_err(|_not_base64url| Denial::TokenMalformed)
}

/// What a header may say.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) typ: Option<String>,
}

impl Header {
    pub(super) fn read(header: &Object) -> Result<Self, Denial> {
        let algorithm = header
            .find("alg")
            .and_then(Json::as_str)
            .and_then(Algorithm::from_name)
            .ok_or(Denial::AlgorithmRefused)?;
        // no extension is understood (RFC 7515 4.1.11, RFC 7797), and nested tokens are not opened
        if ["crit", "b64", "cty"]
            .iter()
            .any(|name| header.find(name).is_some())
        {
            return Err(Denial::TokenMalformed);
        }
        let typ = match header.find("typ").map(Json::kind) {
            None => None,
            Some(Kind::String(typ)) => Some(without_application(typ).to_owned()),
            Some(_) => return Err(Denial::TokenTypeRefused),
        };
        let key_id = match header.find("kid").map(Json::kind) {
            None => None,
            Some(Kind::String(text))
                if text.len() <= MAX_KEY_ID_BYTES && !text.chars().any(char::is_control) =>
            {
                Some(text.to_owned())
            }
            Some(_) => return Err(Denial::KeyUnknown),
        };
        Ok(Self {
            algorithm,
            key_id,
            typ,
        })
    }
}

/// A media type as `typ` has it: `application/` may be left out where no other slash follows.
#[must_use]
pub fn without_application(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((before, rest))
            if before.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
        {
            rest
        }
        _whole => typ,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vector_tests;
