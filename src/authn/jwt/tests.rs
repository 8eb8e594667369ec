//! Forged and odd tokens of any issuer, each with the denial it gets.

use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::authn::Mapping;
use crate::authn::issuer::Algorithm::{ES256, ES384, PS256, RS256, RS512};
use crate::authn::issuer::{Accepted, ClaimMap};
use crate::authn::mint::{SECRET, SigningKey, encode, pem};
use crate::authn::principal::PrincipalKind;
use crate::authn::proof::Bound;
use crate::secret::Secret;

pub(super) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(super) const ISS: &str = "https://issuer.example";

fn issuer(algorithms: &[Algorithm]) -> Issuer {
    Issuer {
        name: Arc::from("partner"),
        accepted_iss: vec![ISS.to_owned()],
        algorithms: algorithms.to_vec(),
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: Vec::new(),
        claims: ClaimMap::generic(),
        mapping: Mapping::default(),
        preset: Preset::Generic {
            audiences: Accepted::OneOf(vec!["orders".to_owned(), "stock".to_owned()]),
        },
    }
}

pub(super) fn good() -> Value {
    json!({"iss": ISS, "aud": "orders", "sub": "ada", "exp": NOW.0 + 300, "iat": NOW.0 - 10})
}

/// The good claims with one replaced; `null` removes it.
pub(super) fn with(name: &str, value: Value) -> Value {
    changed(good(), &[(name, value)])
}

/// Claims with some replaced; `null` removes one.
pub(super) fn changed(mut claims: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(*name);
        } else {
            claims[*name] = value.clone();
        }
    }
    claims
}

pub(super) fn key_set(keys: &[Value], algorithms: &[Algorithm]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), algorithms).unwrap()
}

/// The whole walk of a token, as the gate does it.
pub(super) fn outcome(
    token: &str,
    issuer: &Issuer,
    keys: &KeySet,
) -> Result<Arc<Principal>, Denial> {
    let jws = Jws::parse(token)?;
    jws.unverified_issuer()?;
    let verified = verify(&jws, issuer, keys, &mut ())?;
    verified.judge(issuer, NOW, &mut ())?;
    Ok(verified.principal)
}

/// An issuer with its key.
pub(super) struct Bench {
    pub(super) key: SigningKey,
    pub(super) keys: KeySet,
    pub(super) issuer: Issuer,
}

impl Bench {
    /// One ES256 issuer, for everything that does not depend on the algorithm.
    pub(super) fn new() -> Self {
        let key = SigningKey::new(ES256);
        let keys = key_set(&[key.jwk("k")], &[ES256]);
        Self {
            key,
            keys,
            issuer: issuer(&[ES256]),
        }
    }

    pub(super) fn outcome(&self, claims: &Value) -> Result<Arc<Principal>, Denial> {
        outcome(&self.key.token("k", claims), &self.issuer, &self.keys)
    }
}

#[test]
fn a_token_of_another_type_is_refused() {
    let mut bench = Bench::new();
    let typed = |bench: &Bench, typ: Option<&str>| {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        let token = bench.key.token_of(&header.to_string(), &good().to_string());
        outcome(&token, &bench.issuer, &bench.keys).map(|_principal| ())
    };
    let refused = Err(Denial::TokenTypeRefused);
    for typ in [
        None,
        Some("JWT"),
        Some("jwt"),
        Some("AT+JWT"),
        Some("application/at+jwt"),
    ] {
        assert_eq!(typed(&bench, typ), Ok(()), "{typ:?}");
    }
    for typ in [
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "JOSE",
        "",
        "application/application/jwt",
    ] {
        assert_eq!(typed(&bench, Some(typ)), refused, "{typ}");
    }
    // RFC 9068: access tokens only
    bench.issuer.typ = vec!["at+jwt".to_owned()];
    for typ in [None, Some("JWT"), Some("")] {
        assert_eq!(typed(&bench, typ), refused, "{typ:?}");
    }
    for typ in ["at+jwt", "AT+jwt", "application/at+jwt"] {
        assert_eq!(typed(&bench, Some(typ)), Ok(()), "{typ}");
    }
}

#[test]
fn a_bound_token_is_taken_where_the_table_says_so() {
    use Bound::{Accepted, Refused, Required};
    let digest = encode([7; 32]);
    let (key, certificate) = (json!({"jkt": digest}), json!({"x5t#S256": digest}));
    let both = json!({"jkt": digest, "x5t#S256": digest});
    for (dpop, certificate_bound, cnf, taken) in [
        (Refused, Refused, Value::Null, true),
        (Accepted, Accepted, Value::Null, true),
        (Required, Refused, Value::Null, false),
        (Refused, Required, Value::Null, false),
        (Refused, Refused, key.clone(), false),
        (Accepted, Refused, key.clone(), true),
        (Required, Refused, key.clone(), true),
        (Required, Required, key.clone(), false),
        (Refused, Accepted, key, false),
        (Refused, Accepted, certificate.clone(), true),
        (Accepted, Refused, certificate, false),
        (Accepted, Refused, both.clone(), false),
        (Accepted, Accepted, both, true),
        // what nobody could prove is not passed over
        (
            Accepted,
            Accepted,
            json!({"jkt": digest, "kid": "k"}),
            false,
        ),
        (Accepted, Accepted, json!({"jwk": {}}), false),
        (Accepted, Accepted, json!({"jkt": "short"}), false),
        (Accepted, Accepted, json!({"jkt": [digest]}), false),
        (Accepted, Accepted, json!({}), false),
        (Accepted, Accepted, json!("jkt"), false),
    ] {
        let mut bench = Bench::new();
        (bench.issuer.dpop, bench.issuer.certificate_bound) = (dpop, certificate_bound);
        let judged = bench.outcome(&with("cnf", cnf.clone()));
        let expected = if taken {
            Ok(())
        } else {
            Err(Denial::TokenTypeRefused)
        };
        assert_eq!(
            judged.map(|_principal| ()),
            expected,
            "{dpop:?} {certificate_bound:?} {cnf}"
        );
    }
}

#[test]
fn a_good_token_of_every_algorithm_proves_its_subject() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::new(algorithm);
        let keys = if algorithm.is_hmac() {
            KeySet::from_secret(&Secret::new(SECRET.to_owned()), &[algorithm]).unwrap()
        } else {
            key_set(&[key.jwk("k")], &[algorithm])
        };
        let principal = outcome(&key.token("k", &good()), &issuer(&[algorithm]), &keys).unwrap();
        assert_eq!(principal.user_id, "ada", "{algorithm:?}");
        assert_eq!(principal.kind, PrincipalKind::User);
    }
}

#[test]
fn what_another_library_signs_is_verified() {
    for algorithm in Algorithm::ALL {
        // jsonwebtoken knows no ES512
        let Ok(alg) = algorithm.as_str().parse::<jsonwebtoken::Algorithm>() else {
            assert_eq!(algorithm, Algorithm::ES512);
            continue;
        };
        let key = SigningKey::new(algorithm);
        let (encoding, keys) = if algorithm.is_hmac() {
            (
                EncodingKey::from_secret(SECRET.as_bytes()),
                KeySet::from_secret(&Secret::new(SECRET.to_owned()), &[algorithm]).unwrap(),
            )
        } else {
            let private = pem("PRIVATE KEY", &key.pkcs8());
            let encoding = match key.jwk("k")["kty"].as_str().unwrap() {
                "RSA" => EncodingKey::from_rsa_pem(private.as_bytes()).unwrap(),
                "EC" => EncodingKey::from_ec_pem(private.as_bytes()).unwrap(),
                _ => EncodingKey::from_ed_der(&key.pkcs8()),
            };
            (encoding, key_set(&[key.jwk("k")], &[algorithm]))
        };
        let mut header = jsonwebtoken::Header::new(alg);
        header.kid = Some("k".to_owned());
        let token = jsonwebtoken::encode(&header, &good(), &encoding).unwrap();
        let principal = outcome(&token, &issuer(&[algorithm]), &keys).unwrap();
        assert_eq!(principal.user_id, "ada", "{algorithm:?}");
    }
}

#[test]
fn a_forged_signature_or_header_is_refused() {
    let rsa = SigningKey::new(RS256);
    let ec = SigningKey::new(ES256);
    let mut pinned = rsa.jwk("pinned");
    pinned["alg"] = json!("RS256");
    let set = [pinned, rsa.jwk("open"), ec.jwk("ec")];
    let allowed = [RS256, PS256, RS512, ES256];
    let keys = key_set(&set, &allowed);
    let issuer = issuer(&allowed);
    let token = |key: &SigningKey, kid: &str| key.token(kid, &good());
    let good_token = token(&rsa, "open");
    let (input, signature) = good_token.rsplit_once('.').unwrap();
    let other_payload = rsa.token("open", &with("sub", json!("eve")));
    let other_input = other_payload.rsplit_once('.').unwrap().0;
    let payload = good().to_string();
    let attacker = SigningKey::new(ES256);
    let embedded = json!({"alg": "ES256", "kid": "ec", "jwk": attacker.jwk("ec")}).to_string();
    let remote = json!({"alg": "ES256", "kid": "evil", "jku": "https://evil.example/keys"});
    // the public key as HMAC secret, in the spellings that libraries were caught with
    let confused: Vec<String> = [
        pem("PUBLIC KEY", &rsa.spki()).into_bytes(),
        pem("PUBLIC KEY", &rsa.spki())
            .trim_end()
            .as_bytes()
            .to_vec(),
        rsa.spki(),
        rsa.jwk("open").to_string().into_bytes(),
        rsa.jwk("open")["n"].as_str().unwrap().as_bytes().to_vec(),
    ]
    .iter()
    .map(|secret| {
        let header = encode("{\"alg\":\"HS256\",\"kid\":\"open\"}");
        let input = format!("{header}.{}", encode(&payload));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let tag = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", encode(tag))
    })
    .collect();

    assert_eq!(outcome(&good_token, &issuer, &keys).unwrap().user_id, "ada");
    let mut cases = vec![
        (format!("{input}."), Denial::SignatureInvalid),
        (format!("{input}.AAAA"), Denial::SignatureInvalid),
        (
            format!("{input}.{}", encode([0; 256])),
            Denial::SignatureInvalid,
        ),
        (format!("{input}.{signature}AAAA"), Denial::SignatureInvalid),
        (
            format!("{other_input}.{signature}"),
            Denial::SignatureInvalid,
        ),
        // r and s zero: CVE-2022-21449
        (
            format!(
                "{}.{}",
                token(&ec, "ec").rsplit_once('.').unwrap().0,
                encode([0; 64])
            ),
            Denial::SignatureInvalid,
        ),
        (token(&attacker, "ec"), Denial::SignatureInvalid),
        (
            attacker.token_of(&embedded, &payload),
            Denial::SignatureInvalid,
        ),
        (
            attacker.token_of(&remote.to_string(), &payload),
            Denial::KeyUnknown,
        ),
        (token(&rsa, "OPEN"), Denial::KeyUnknown),
        (token(&rsa, "../open"), Denial::KeyUnknown),
        (token(&rsa, ""), Denial::KeyUnknown),
        // a known key, but not for this algorithm: no reason to ask for new keys
        (
            token(&SigningKey::new(RS512), "pinned"),
            Denial::AlgorithmRefused,
        ),
        (
            token(&SigningKey::new(PS256), "pinned"),
            Denial::AlgorithmRefused,
        ),
        (token(&ec, "open"), Denial::AlgorithmRefused),
        (
            token(&SigningKey::new(ES384), "ec"),
            Denial::AlgorithmRefused,
        ),
        (
            format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode(&payload)),
            Denial::AlgorithmRefused,
        ),
    ];
    cases.extend(confused.into_iter().map(|t| (t, Denial::AlgorithmRefused)));
    for (token, denial) in cases {
        assert_eq!(
            outcome(&token, &issuer, &keys).err(),
            Some(denial),
            "{token}"
        );
    }
}

#[test]
fn an_algorithm_the_issuer_does_not_use_is_refused_before_a_key_is_looked_for() {
    let key = SigningKey::new(PS256);
    // keys read for more algorithms than this issuer table allows
    let keys = key_set(&[key.jwk("k")], &[RS256, PS256]);
    for key_id in ["k", "unknown"] {
        assert_eq!(
            outcome(&key.token(key_id, &good()), &issuer(&[RS256]), &keys),
            Err(Denial::AlgorithmRefused),
            "{key_id}"
        );
    }
}

#[test]
fn without_a_kid_every_key_of_the_algorithm_is_tried() {
    let [first, second] = [(); 2].map(|()| SigningKey::new(ES256));
    let keys = key_set(&[first.jwk("1"), second.jwk("2")], &[ES256]);
    let issuer = issuer(&[ES256, RS256]);
    let token = |key: &SigningKey, alg: &str| {
        key.token_of(&json!({ "alg": alg }).to_string(), &good().to_string())
    };
    let verified = verify(
        &Jws::parse(&token(&second, "ES256")).unwrap(),
        &issuer,
        &keys,
        &mut (),
    );
    assert_eq!(verified.unwrap().key_id.as_deref(), Some("2"));
    let stranger = token(&SigningKey::new(ES256), "ES256");
    assert_eq!(
        outcome(&stranger, &issuer, &keys),
        Err(Denial::SignatureInvalid)
    );
    let rsa = token(&SigningKey::new(RS256), "RS256");
    assert_eq!(outcome(&rsa, &issuer, &keys), Err(Denial::KeyUnknown));
}

proptest! {
    #[test]
    fn no_single_changed_character_is_accepted(at in 0_usize..10_000, to in "[A-Za-z0-9_.=+/ -]") {
        static BENCH: std::sync::LazyLock<(Bench, String)> = std::sync::LazyLock::new(|| {
            let bench = Bench::new();
            let token = bench.key.token("k", &good());
            (bench, token)
        });
        let (bench, token) = &*BENCH;
        let at = at % token.len();
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assume!(changed != *token);
        prop_assert!(outcome(&changed, &bench.issuer, &bench.keys).is_err());
    }
}
