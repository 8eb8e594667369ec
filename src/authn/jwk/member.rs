//! One key of a set: what makes it usable, and why it is left out.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::material::{self, Family, Verifier};
use super::{MAX_KEY_ID_BYTES, SkippedKey, VerificationKey, sha256};
use crate::authn::claims::{Json, Kind, Object};
use crate::authn::issuer::Algorithm;

/// Lower case, no key material.
type Why = &'static str;

/// Parses one JWK. Only members that matter to verification are read: a broken `x5c` spoils
/// nothing.
pub(super) fn parse(json: &str, algorithms: &[Algorithm]) -> Result<VerificationKey, SkippedKey> {
    let skipped = |key_id, why| SkippedKey { key_id, why };
    let object = Object::parse(json.into())
        .map_err(|_syntax| skipped(None, "not a JSON object without doubled names"))?;
    let jwk = object.root();
    let key_id = key_id(jwk).map_err(|why| skipped(None, why))?;
    let key = usable(jwk, algorithms).map_err(|why| skipped(key_id.clone(), why))?;
    Ok(VerificationKey {
        key_id: key_id.map(Arc::from),
        issuer: text(jwk, "issuer").ok().flatten().map(str::to_owned),
        ..key
    })
}

/// A public key alone, for every allowed algorithm of its kind.
pub(super) fn from_spki(spki: &[u8], algorithms: &[Algorithm]) -> Result<VerificationKey, Why> {
    match material::rsa_bits(spki) {
        Some(..2048) => Err("an RSA key under 2048 bits"),
        Some(8193..) => Err("an RSA key over 8192 bits"),
        Some(_) | None => with_material(spki, algorithms.to_vec())
            .ok_or("no key of an algorithm this issuer may use"),
    }
}

/// A member's text. Some issuers write `null` for what is absent.
fn text<'j>(jwk: Json<'j>, name: &str) -> Result<Option<&'j str>, ()> {
    match jwk.find(name).map(Json::kind) {
        None | Some(Kind::Null) => Ok(None),
        Some(Kind::String(text)) => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

fn key_id(jwk: Json<'_>) -> Result<Option<String>, Why> {
    match text(jwk, "kid") {
        Ok(Some(key_id)) if key_id.len() > MAX_KEY_ID_BYTES => Err("kid is over 256 bytes"),
        Ok(Some(key_id)) if key_id.chars().any(char::is_control) => {
            Err("kid holds control characters")
        }
        Ok(key_id) => Ok(key_id.map(str::to_owned)),
        Err(()) => Err("kid is not a string"),
    }
}

/// The key without its `kid`.
pub(super) fn usable(jwk: Json<'_>, algorithms: &[Algorithm]) -> Result<VerificationKey, Why> {
    let kty = text(jwk, "kty").ok().flatten().ok_or("kty is missing")?;
    // RFC 7517 9.2: a set that shows private or shared keys has given them away
    if kty == "oct" || jwk.find("k").is_some() {
        return Err("a shared secret in a public set");
    }
    if jwk.find("d").is_some() {
        return Err("a private key in a public set");
    }
    if text(jwk, "use") != Ok(None) && text(jwk, "use") != Ok(Some("sig")) {
        return Err("use is not sig");
    }
    match jwk.find("key_ops").map(Json::kind) {
        None | Some(Kind::Null) => {}
        Some(Kind::Array(list)) if list.clone().any(|op| op.as_str() == Some("verify")) => {}
        Some(_) => return Err("key_ops does not hold verify"),
    }
    let family = family(kty, text(jwk, "crv").ok().flatten())?;
    let stated = match text(jwk, "alg") {
        Ok(None) => None,
        Ok(Some(name)) => {
            Some(Algorithm::from_name(name).ok_or("alg is no signature algorithm we know")?)
        }
        Err(()) => return Err("alg is not a string"),
    };
    if stated.is_some_and(|stated| Family::of(stated) != family) {
        return Err("alg does not fit kty and crv");
    }
    let left: Vec<Algorithm> = algorithms
        .iter()
        .copied()
        .filter(|&algorithm| Family::of(algorithm) == family)
        .filter(|&algorithm| stated.is_none_or(|stated| stated == algorithm))
        .collect();
    if left.is_empty() {
        return Err("no algorithm this issuer may use");
    }
    let coordinate = |name: &str, bytes: usize| {
        bytes_of(jwk, name)
            .filter(|coordinate| coordinate.len() == bytes)
            .ok_or("a coordinate is missing or of another length")
    };
    let point = |bytes: usize| -> Result<Vec<u8>, Why> {
        // SEC 1 2.3.3: uncompressed
        let mut point = vec![4];
        point.extend(coordinate("x", bytes)?);
        point.extend(coordinate("y", bytes)?);
        Ok(point)
    };
    match family {
        Family::Rsa => rsa(jwk, left),
        Family::P256 => with_material(&point(32)?, left).ok_or("not a point of P-256"),
        Family::P384 => with_material(&point(48)?, left).ok_or("not a point of P-384"),
        Family::P521 => with_material(&point(66)?, left).ok_or("not a point of P-521"),
        Family::Ed25519 => with_material(&coordinate("x", 32)?, left).ok_or("not an Ed25519 key"),
        Family::Hmac => Err("a shared secret in a public set"),
    }
}

fn family(kty: &str, crv: Option<&str>) -> Result<Family, Why> {
    match (kty, crv) {
        ("RSA", _) => Ok(Family::Rsa),
        ("EC", Some("P-256")) => Ok(Family::P256),
        ("EC", Some("P-384")) => Ok(Family::P384),
        ("EC", Some("P-521")) => Ok(Family::P521),
        ("OKP", Some("Ed25519")) => Ok(Family::Ed25519),
        ("EC" | "OKP", _) => Err("unsupported crv"),
        (_, _) => Err("unsupported kty"),
    }
}

fn rsa(jwk: Json<'_>, left: Vec<Algorithm>) -> Result<VerificationKey, Why> {
    let number = |name: &str, why: Why| {
        let bytes = bytes_of(jwk, name).ok_or(why)?;
        // RFC 7518 6.3.1.1 warns that some libraries write a leading zero
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes
            .get(zeros..)
            .filter(|bytes| !bytes.is_empty())
            .map(<[u8]>::to_vec)
            .ok_or(why)
    };
    let modulus = number("n", "n is missing or not base64url")?;
    let exponent = number("e", "e is missing or not base64url")?;
    if exponent == [1] || exponent.last().is_some_and(|byte| byte % 2 == 0) {
        return Err("the exponent is 1 or even");
    }
    if has_roca_fingerprint(&modulus) {
        return Err("an RSA key made by a broken generator (CVE-2017-15361)");
    }
    let unusable = "not an RSA key";
    let spki = material::rsa_spki(&modulus, &exponent).ok_or(unusable)?;
    match material::rsa_bits(&spki).ok_or(unusable)? {
        ..2048 => Err("an RSA key under 2048 bits"),
        8193.. => Err("an RSA key over 8192 bits"),
        2048..=8192 => with_material(&spki, left).ok_or(unusable),
    }
}

/// Whether the modulus bears the mark of the Infineon generator, whose keys can be factored: modulo
/// each of these primes it is a power of 65537. A sound key does so once in a hundred million.
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [
        11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
    ];
    PRIMES.iter().all(|prime| {
        let residue = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        std::iter::successors(Some(1), |power| Some(power * 65537 % prime))
            .take(*prime as usize)
            .any(|power| power == residue)
    })
}

/// Canonical unpadded base64url, as RFC 7518 wants it.
fn bytes_of(jwk: Json<'_>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name).ok()??).ok()
}

/// Keeps the algorithms this material is a key of. `None` if there are none.
fn with_material(key: &[u8], algorithms: Vec<Algorithm>) -> Option<VerificationKey> {
    let (algorithms, verifiers): (Vec<_>, Vec<_>) = algorithms
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, Verifier::public(algorithm, key)?)))
        .unzip();
    (!algorithms.is_empty()).then(|| VerificationKey {
        key_id: None,
        algorithms,
        issuer: None,
        verifiers,
        digest: sha256(&[key]),
    })
}
