//! Wycheproof (<https://github.com/C2SP/wycheproof>, Apache-2.0): JWS, JWK and bare signatures. Their
//! payloads are no claims, so they are driven below [`Jws::parse`].

use serde_json::{Value, json};

use super::*;
use crate::authn::jwk::{KeySet, KeySetError};

fn groups(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["testGroups"].as_array().unwrap().clone()
}

/// The keys of a group as a verifier would have them: a public set, or the one HMAC secret that an
/// operator configured.
fn keys_of(group: &Value) -> Result<KeySet, KeySetError> {
    let stated = group.get("public").unwrap_or(&group["private"]);
    let list = stated
        .get("keys")
        .cloned()
        .unwrap_or_else(|| json!([stated]));
    match list.as_array().map(Vec::as_slice) {
        Some([secret]) if secret["kty"] == "oct" => {
            let bytes = decode(text(&secret["k"])).map_err(|_denial| KeySetError::Empty)?;
            // A256GCM and the like name no HMAC: there is nothing to configure
            let algorithms = Vec::from_iter(Algorithm::from_name(text(&secret["alg"])));
            KeySet::from_secret_bytes(&bytes, &algorithms)
        }
        _ => {
            let set = json!({ "keys": list }).to_string();
            KeySet::parse(set.as_bytes(), &Algorithm::ALL)
        }
    }
}

/// All that [`Jws::parse`] and `verify` do, but for the claims.
fn verifies(token: &str, keys: &KeySet) -> Result<(), Denial> {
    let parts = Parts::split(token)?;
    let header = Object::parse(decode(parts.header)?);
    let header = Header::read(&header.map_err(|_syntax| Denial::TokenMalformed)?)?;
    decode(parts.payload)?;
    let signature = decode(parts.signature)?;
    keys.find(header.key_id.as_deref(), header.algorithm)
        .next()
        .ok_or(Denial::KeyUnknown)?
        .verify(header.algorithm, parts.signing_input.as_bytes(), &signature)
}

/// Which valid vectors are refused, and which invalid ones accepted.
fn disagreements(text: &str) -> (Vec<u64>, Vec<u64>, usize) {
    let (mut refused, mut accepted, mut seen) = (vec![], vec![], 0);
    for group in groups(text) {
        let keys = keys_of(&group);
        for case in group["tests"].as_array().unwrap() {
            seen += 1;
            let id = case["tcId"].as_u64().unwrap();
            // a JSON serialisation is presented as it stands
            let token = case["jws"]
                .as_str()
                .map_or_else(|| case["jws"].to_string(), str::to_owned);
            let holds = keys
                .as_ref()
                .is_ok_and(|keys| verifies(&token, keys).is_ok());
            match (case["result"].as_str().unwrap(), holds) {
                ("valid", false) => refused.push(id),
                ("invalid", true) => accepted.push(id),
                _ => {}
            }
        }
    }
    (refused, accepted, seen)
}

#[test]
fn wycheproof_jws() {
    let (refused, accepted, seen) = disagreements(include_str!(
        "../../../tests/vectors/wycheproof/json_web_signature_test.json"
    ));
    assert_eq!(seen, 401);
    // "invalid padding", but byte for byte the valid token 357
    assert_eq!(accepted, [367, 370]);
    // 346 to 351, RFC 7520 figures 20 and 27: the JWK says PS256 or "ES521", the token PS384 or ES512,
    // and RFC 8725 3.1 wants one algorithm for one key. 372 and 373 hold a question mark, which is
    // no base64url
    assert_eq!(refused, [346, 347, 350, 351, 372, 373]);
}

#[test]
fn wycheproof_jwk() {
    let (refused, accepted, seen) = disagreements(include_str!(
        "../../../tests/vectors/wycheproof/json_web_key_test.json"
    ));
    assert_eq!(seen, 26);
    assert_eq!(accepted, Vec::<u64>::new());
    // two secrets in one set: secrets are configured one by one, never read from a set
    assert_eq!(refused, [2]);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn hex(digits: &Value) -> Vec<u8> {
    text(digits)
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Every signature of a file is accepted exactly if it is valid ("acceptable" is left open).
fn check_signatures(text: &str, jwk: &str, algorithm: Algorithm, expected: usize) {
    let mut seen = 0;
    for group in groups(text) {
        let keys = match group.get(jwk) {
            Some(jwk) => {
                let set = json!({ "keys": [jwk] }).to_string();
                KeySet::parse(set.as_bytes(), &[algorithm])
            }
            None => KeySet::from_pem(
                group["publicKeyPem"].as_str().unwrap().as_bytes(),
                &[algorithm],
            ),
        };
        let keys = keys.unwrap();
        let key = keys.find(None, algorithm).next().unwrap();
        for case in group["tests"].as_array().unwrap() {
            seen += 1;
            let verified = key.verify(algorithm, &hex(&case["msg"]), &hex(&case["sig"]));
            let expected = match case["result"].as_str().unwrap() {
                "valid" => Ok(()),
                "invalid" => Err(Denial::SignatureInvalid),
                _ => continue,
            };
            assert_eq!(verified, expected, "{} {}", case["tcId"], case["comment"]);
        }
    }
    assert_eq!(seen, expected);
}

#[test]
fn wycheproof_es256() {
    check_signatures(
        include_str!("../../../tests/vectors/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"),
        "publicKeyJwk",
        Algorithm::ES256,
        262,
    );
}

#[test]
fn wycheproof_ed25519() {
    check_signatures(
        include_str!("../../../tests/vectors/wycheproof/ed25519_test.json"),
        "publicKeyJwk",
        Algorithm::EdDSA,
        151,
    );
}

#[test]
fn wycheproof_rs256() {
    check_signatures(
        include_str!("../../../tests/vectors/wycheproof/rsa_signature_2048_sha256_test.json"),
        "keyJwk",
        Algorithm::RS256,
        259,
    );
}
