use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::authn::issuer::Algorithm::{
    ES256, ES384, ES512, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512,
};
use crate::authn::mint::{SECRET, SigningKey, encode};

pub(super) const ASYMMETRIC: [Algorithm; 10] = [
    RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
];

pub(super) fn parse(keys: &Value) -> Result<KeySet, KeySetError> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &ASYMMETRIC)
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

#[test]
fn every_kind_of_key_verifies_what_it_signed_and_nothing_else() {
    for algorithm in ASYMMETRIC {
        let key = SigningKey::new(algorithm);
        let set = parse(&json!([key.jwk("k")])).unwrap();
        let signature = key.sign(b"message");
        let [parsed] = set.keys() else { panic!() };
        assert_eq!(parsed.verify(algorithm, b"message", &signature), Ok(()));
        for other in Algorithm::ALL {
            let expected = if parsed.algorithms.contains(&other) {
                Denial::SignatureInvalid
            } else {
                Denial::AlgorithmRefused
            };
            if other != algorithm {
                assert_eq!(parsed.verify(other, b"message", &signature), Err(expected));
            }
        }
        for (message, signature) in [
            (&b"massage"[..], signature.clone()),
            (b"message", vec![0; signature.len()]),
            (b"message", signature[1..].to_vec()),
            (b"message", [&signature[..], b"0"].concat()),
            (b"message", Vec::new()),
        ] {
            assert_eq!(
                parsed.verify(algorithm, message, &signature),
                Err(Denial::SignatureInvalid)
            );
        }
    }
}

#[test]
fn a_key_verifies_the_issuers_algorithms_of_its_kind_only() {
    let rsa = SigningKey::new(RS256).jwk("rsa");
    let of = |jwk: Value, algorithms: &[Algorithm]| {
        KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes(), algorithms)
            .map(|set| set.keys()[0].algorithms.clone())
    };
    assert_eq!(of(rsa.clone(), &[RS256]), Ok(vec![RS256]));
    assert_eq!(
        of(rsa.clone(), &[ES256, RS256, PS256]),
        Ok(vec![RS256, PS256])
    );
    assert_eq!(
        of(with(rsa.clone(), "alg", json!("PS256")), &[RS256, PS256]),
        Ok(vec![PS256])
    );
    assert_eq!(
        of(with(rsa.clone(), "alg", json!("PS256")), &[RS256]),
        Err(KeySetError::Empty)
    );
    assert_eq!(of(rsa.clone(), &[HS256]), Err(KeySetError::Empty));
    assert_eq!(of(rsa, &[ES256]), Err(KeySetError::Empty));
}

#[test]
fn a_key_for_other_algorithms_is_reported() {
    let keys = [RS256, ES256].map(|algorithm| SigningKey::new(algorithm).jwk("k"));
    let set = KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), &[ES256]).unwrap();
    assert_eq!(
        set.skipped,
        [SkippedKey {
            key_id: Some("k".to_owned()),
            why: "no algorithm this issuer may use"
        }]
    );
}

#[test]
fn a_bad_key_is_left_out_and_the_others_stay() {
    let rsa = SigningKey::new(RS256).jwk("bad");
    let ec = SigningKey::new(ES256).jwk("bad");
    let ed = SigningKey::new(EdDSA).jwk("bad");
    let point = |x: &[u8]| with(ec.clone(), "x", json!(encode(x)));
    let small = [&[0xc1; 127][..], &[1]].concat();
    let huge = [&[0xc1; 1199][..], &[1]].concat();
    let modulus = |n: &[u8]| with(rsa.clone(), "n", json!(encode(n)));
    let even = [&[0xc1; 255][..], &[2]].concat();
    for (jwk, why) in [
        (json!(1), "not a JSON object without doubled names"),
        (with(rsa.clone(), "kid", json!(7)), "kid is not a string"),
        (
            with(rsa.clone(), "kid", json!("k".repeat(257))),
            "kid is over 256 bytes",
        ),
        (
            with(rsa.clone(), "kid", json!("a\nb")),
            "kid holds control characters",
        ),
        (with(rsa.clone(), "kty", json!(null)), "kty is missing"),
        (with(rsa.clone(), "kty", json!("rsa")), "unsupported kty"),
        (with(rsa.clone(), "kty", json!("AKP")), "unsupported kty"),
        (
            json!({"kty": "oct", "kid": "bad", "k": encode(SECRET)}),
            "a shared secret in a public set",
        ),
        (
            with(rsa.clone(), "k", json!("x")),
            "a shared secret in a public set",
        ),
        (
            with(rsa.clone(), "d", json!("AQAB")),
            "a private key in a public set",
        ),
        (with(rsa.clone(), "use", json!("enc")), "use is not sig"),
        (with(rsa.clone(), "use", json!("SIG")), "use is not sig"),
        (with(rsa.clone(), "use", json!(["sig"])), "use is not sig"),
        (
            with(rsa.clone(), "key_ops", json!(["encrypt"])),
            "key_ops does not hold verify",
        ),
        (
            with(rsa.clone(), "key_ops", json!([])),
            "key_ops does not hold verify",
        ),
        (
            with(rsa.clone(), "key_ops", json!("verify")),
            "key_ops does not hold verify",
        ),
        (
            with(rsa.clone(), "alg", json!("RSA-OAEP")),
            "alg is no signature algorithm we know",
        ),
        (
            with(rsa.clone(), "alg", json!("none")),
            "alg is no signature algorithm we know",
        ),
        (with(rsa.clone(), "alg", json!(256)), "alg is not a string"),
        (
            with(rsa.clone(), "alg", json!("ES256")),
            "alg does not fit kty and crv",
        ),
        (
            with(rsa.clone(), "alg", json!("HS256")),
            "alg does not fit kty and crv",
        ),
        (
            with(ec.clone(), "alg", json!("ES384")),
            "alg does not fit kty and crv",
        ),
        (
            with(rsa.clone(), "e", json!("AQ")),
            "the exponent is 1 or even",
        ),
        (
            with(rsa.clone(), "e", json!("AQAC")),
            "the exponent is 1 or even",
        ),
        (
            with(rsa.clone(), "e", json!("AAAA")),
            "e is missing or not base64url",
        ),
        (
            with(rsa.clone(), "e", json!("AQAB=")),
            "e is missing or not base64url",
        ),
        (
            with(rsa.clone(), "e", json!(encode([0xff; 8]))),
            "not an RSA key",
        ),
        (
            with(rsa.clone(), "n", json!(null)),
            "n is missing or not base64url",
        ),
        (modulus(&small), "an RSA key under 2048 bits"),
        (modulus(&huge), "an RSA key over 8192 bits"),
        (modulus(&even), "not an RSA key"),
        (
            with(ec.clone(), "crv", json!("secp256k1")),
            "unsupported crv",
        ),
        (
            with(ec.clone(), "crv", json!("P-384")),
            "a coordinate is missing or of another length",
        ),
        (with(ec.clone(), "crv", json!(null)), "unsupported crv"),
        (with(ed.clone(), "crv", json!("X25519")), "unsupported crv"),
        (point(&[0; 32]), "not a point of P-256"),
        (
            point(&[1; 31]),
            "a coordinate is missing or of another length",
        ),
        (
            with(ed, "x", json!(encode([1; 33]))),
            "a coordinate is missing or of another length",
        ),
    ] {
        let good = SigningKey::new(ES256).jwk("good");
        let set = parse(&json!([jwk, good])).unwrap();
        assert_eq!(set.keys().len(), 1, "{jwk}");
        assert_eq!(set.skipped.len(), 1, "{jwk}");
        assert_eq!(set.skipped[0].why, why, "{jwk}");
        assert!(set.holds("good") && !set.holds("bad"), "{jwk}");
    }
}

#[test]
fn what_verification_does_not_need_may_be_odd() {
    let rsa = SigningKey::new(RS256).jwk("k");
    let n = rsa["n"].as_str().unwrap().to_owned();
    let leading_zero = encode([&[0][..], &URL_SAFE_NO_PAD.decode(n).unwrap()].concat());
    for jwk in [
        with(rsa.clone(), "x5c", json!("not a list")),
        with(rsa.clone(), "x5t", json!(7)),
        with(rsa.clone(), "use", json!(null)),
        with(rsa.clone(), "alg", json!(null)),
        with(rsa.clone(), "kid", json!(null)),
        with(rsa.clone(), "key_ops", json!(["sign", "verify"])),
        with(rsa.clone(), "n", json!(leading_zero)),
        with(rsa, "crv", json!("P-256")),
    ] {
        let set = parse(&json!([jwk])).unwrap();
        assert_eq!((set.keys().len(), set.skipped.len()), (1, 0), "{jwk}");
    }
}

#[test]
fn a_set_is_refused_whole_when_it_is_none_or_says_two_things() {
    let ec = SigningKey::new(ES256).jwk("same");
    let ed = SigningKey::new(EdDSA).jwk("same");
    assert_eq!(
        parse(&json!([ec, ed])).unwrap_err(),
        KeySetError::DuplicateKeyId("same".to_owned())
    );
    // the other one cannot verify, so there is nothing to guess
    let encryption = with(ed, "use", json!("enc"));
    assert!(parse(&json!([ec, encryption])).is_ok());
    let many: Vec<Value> = (0..101).map(|_| json!({})).collect();
    assert_eq!(parse(&json!(many)).unwrap_err(), KeySetError::TooMany(101));
    assert_eq!(parse(&json!([])).unwrap_err(), KeySetError::Empty);
    assert_eq!(parse(&json!([{}])).unwrap_err(), KeySetError::Empty);
    let deep = format!("{{\"keys\":[{}1{}]}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(
        KeySet::parse(deep.as_bytes(), &ASYMMETRIC).unwrap_err(),
        KeySetError::Empty
    );
    let list_of_keys = json!([[ec]]).to_string();
    for text in [
        "",
        "<html>",
        "null",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[]} x",
        list_of_keys.as_str(),
    ] {
        assert!(
            matches!(
                KeySet::parse(text.as_bytes(), &ASYMMETRIC),
                Err(KeySetError::Malformed(_))
            ),
            "{text}"
        );
    }
}

#[test]
fn the_key_of_that_kid_is_found_and_no_other() {
    let [a, b] = ["a", "b"].map(|key_id| SigningKey::new(ES256).jwk(key_id));
    let mut nameless = SigningKey::new(EdDSA).jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let set = parse(&json!([a, b, nameless])).unwrap();
    let count = |key_id, algorithm| set.find(key_id, algorithm).count();
    assert_eq!(count(Some("a"), ES256), 1);
    assert_eq!(count(Some("a"), EdDSA), 0);
    assert_eq!(count(Some("A"), ES256), 0);
    assert_eq!(count(Some("c"), EdDSA), 0);
    assert_eq!(count(None, ES256), 2);
    assert_eq!(count(None, EdDSA), 1);
    assert!(set.holds("a") && !set.holds("A") && !set.holds(""));

    let alone = parse(&json!([nameless])).unwrap();
    assert!(alone.holds("anything"));
    assert_eq!(alone.find(Some("anything"), EdDSA).count(), 1);
    assert_eq!(alone.find(Some("anything"), ES256).count(), 0);
}

#[test]
fn the_fingerprint_changes_with_the_usable_keys_and_only_with_them() {
    let [a, b] = ["a", "b"].map(|key_id| SigningKey::new(ES256).jwk(key_id));
    let of = |keys: Value| parse(&keys).unwrap().fingerprint;
    let both = of(json!([a, b]));
    assert_eq!(both, of(json!([b, a])));
    assert_eq!(
        both,
        of(json!([b, {"kty": "oct"}, with(a.clone(), "x5t", json!("x"))]))
    );
    for other in [
        json!([a]),
        json!([b]),
        json!([a, with(b.clone(), "kid", json!("c"))]),
        json!([a, with(b.clone(), "kid", json!(null))]),
        json!([
            a,
            with(b.clone(), "issuer", json!("https://issuer.example"))
        ]),
        json!([a, SigningKey::new(ES256).jwk("b")]),
    ] {
        assert_ne!(both, of(other.clone()), "{other}");
    }
    assert_ne!(
        of(json!([with(a.clone(), "kid", json!(""))])),
        of(json!([with(a.clone(), "kid", json!(null))]))
    );
    let secrets = [
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdeg",
    ]
    .map(|text| {
        KeySet::from_secret(&Secret::new(text.to_owned()), &[HS256])
            .unwrap()
            .fingerprint
    });
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn entras_issuer_of_a_key_is_kept() {
    let template = "https://login.microsoftonline.com/{tenantid}/v2.0";
    let jwk = with(SigningKey::new(RS256).jwk("k"), "issuer", json!(template));
    let set = parse(&json!([jwk])).unwrap();
    assert_eq!(set.keys()[0].issuer.as_deref(), Some(template));
}
