//! Keys that an operator configured: PEM and secrets.

use serde_json::json;

use super::tests::{ASYMMETRIC, parse};
use super::*;
use crate::authn::issuer::Algorithm::{ES256, ES384, HS256, HS384, HS512, RS256};
use crate::authn::mint::{SECRET, SigningKey, pem};

#[test]
fn a_pem_public_key_serves_any_kid() {
    for algorithm in ASYMMETRIC {
        let key = SigningKey::new(algorithm);
        let text = pem("PUBLIC KEY", &key.spki());
        let set = KeySet::from_pem(text.as_bytes(), &[algorithm]).unwrap();
        let found: Vec<_> = set.find(Some("any"), algorithm).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].verify(algorithm, b"m", &key.sign(b"m")),
            Ok(()),
            "{algorithm:?}"
        );
        // of all algorithms it keeps those of its kind
        let all = KeySet::from_pem(text.as_bytes(), &Algorithm::ALL).unwrap();
        let jwk = parse(&json!([key.jwk("k")])).unwrap();
        assert_eq!(all.keys()[0].algorithms, jwk.keys()[0].algorithms);
    }
}

#[test]
fn a_certificate_gives_its_key() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["signer.example".to_owned()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let of_certificate = KeySet::from_pem(certificate.pem().as_bytes(), &[ES256]).unwrap();
    let of_key = KeySet::from_pem(pair.public_key_pem().as_bytes(), &[ES256]).unwrap();
    assert_eq!(of_certificate.fingerprint, of_key.fingerprint);
}

#[test]
fn a_pem_text_that_is_not_one_public_key_is_refused() {
    let ec = SigningKey::new(ES256);
    let public = pem("PUBLIC KEY", &ec.spki());
    let private = pem("PRIVATE KEY", &ec.pkcs8());
    let weak = pem("PUBLIC KEY", &weak_rsa_spki());
    for (text, algorithm, why) in [
        ("", ES256, "no PEM block"),
        ("nonsense", ES256, "no PEM block"),
        (
            public.split_at(60).0,
            ES256,
            "a PEM block that is cut off or not base64",
        ),
        (
            &format!("{public}{public}"),
            ES256,
            "more than one PEM block",
        ),
        (
            &private,
            ES256,
            "a PEM block that is no public key and no certificate",
        ),
        (
            &pem("CERTIFICATE", b"no certificate"),
            ES256,
            "the certificate cannot be read",
        ),
        (
            &pem("PUBLIC KEY", b"no key"),
            ES256,
            "no key of an algorithm this issuer may use",
        ),
        (&public, ES384, "no key of an algorithm this issuer may use"),
        (&public, HS256, "no key of an algorithm this issuer may use"),
        (&weak, RS256, "an RSA key under 2048 bits"),
    ] {
        assert_eq!(
            KeySet::from_pem(text.as_bytes(), &[algorithm]).unwrap_err(),
            KeySetError::Malformed(why.to_owned()),
            "{text}"
        );
    }
}

/// 1024 bits, from numbers: the library makes no such key.
fn weak_rsa_spki() -> Vec<u8> {
    material::rsa_spki(&[&[0xc1; 127][..], &[1]].concat(), &[1, 0, 1]).unwrap()
}

#[test]
fn a_secret_is_at_least_as_long_as_its_hash() {
    let of = |bytes: usize, algorithms: &[Algorithm]| {
        KeySet::from_secret(&Secret::new("s".repeat(bytes)), algorithms)
            .map(|set| set.keys()[0].algorithms.clone())
    };
    assert_eq!(of(32, &[HS256]), Ok(vec![HS256]));
    assert_eq!(of(64, &[HS256, HS512]), Ok(vec![HS256, HS512]));
    assert_eq!(
        of(31, &[HS256]),
        Err(KeySetError::ShortSecret(31, "HS256", 32))
    );
    assert_eq!(
        of(47, &[HS256, HS384]),
        Err(KeySetError::ShortSecret(47, "HS384", 48))
    );
    assert_eq!(of(64, &[RS256]), Err(KeySetError::Empty));
    for algorithm in [HS256, HS384, HS512] {
        let key = SigningKey::new(algorithm);
        let set = KeySet::from_secret(&Secret::new(SECRET.to_owned()), &[algorithm]).unwrap();
        let verified = set.keys()[0].verify(algorithm, b"m", &key.sign(b"m"));
        assert_eq!(verified, Ok(()));
        let tag = key.sign(b"m");
        for forged in [&tag[..16], &[][..], &[0; 32][..]] {
            assert_eq!(
                set.keys()[0].verify(algorithm, b"m", forged),
                Err(Denial::SignatureInvalid)
            );
        }
    }
}

#[test]
fn key_material_is_not_printed() {
    let secret = KeySet::from_secret(&Secret::new(SECRET.to_owned()), &[HS256]).unwrap();
    let shown = format!("{secret:?}");
    assert!(
        shown.contains("HS256") && !shown.contains("secret that is"),
        "{shown}"
    );
}
