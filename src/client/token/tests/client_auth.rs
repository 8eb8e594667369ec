//! Clients that authenticate by an assertion.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use super::*;
use crate::authn::issuer;
use crate::config::{FederatedAssertion, PrivateKeyJwt};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const REFUSAL: &str = r#"{"error":"invalid_client"}"#;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, content: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a key and its certificate; the certificate's `x5t#S256`.
    fn pair(&self, key: &KeyPair) -> String {
        let certificate = CertificateParams::default().self_signed(key).unwrap();
        self.write("key.pem", &key.serialize_pem());
        self.write("certificate.pem", &certificate.pem());
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        URL_SAFE_NO_PAD.encode(hash)
    }

    fn definition(&self, algorithm: Option<issuer::Algorithm>) -> PrivateKeyJwt {
        PrivateKeyJwt {
            key_file: self.folder.path().join("key.pem"),
            certificate_file: None,
            key_id: None,
            algorithm,
            audience: None,
        }
    }

    fn with_certificate(&self) -> PrivateKeyJwt {
        PrivateKeyJwt {
            certificate_file: Some(self.folder.path().join("certificate.pem")),
            ..self.definition(None)
        }
    }
}

fn by(authentication: ClientAuthentication) -> Vec<CredentialSource> {
    grant(ClientCredentials {
        client: client(authentication),
        ..definition()
    })
}

fn generate(kind: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(kind).unwrap()
}

/// The assertion of the request of this number.
fn asserted(world: &World, number: usize) -> String {
    let seen = world.endpoint.seen.lock().unwrap();
    let (form, authorization) = &seen[number];
    assert_eq!(*authorization, None);
    let value = |name: &str| {
        let mut values = form.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next().expect(name);
        assert_eq!(values.count(), 0, "{name}");
        value.clone()
    };
    assert_eq!(value("client_id"), "my client");
    assert_eq!(value("client_assertion_type"), JWT_BEARER);
    assert!(form.iter().all(|(name, _)| name != "client_secret"));
    value("client_assertion")
}

/// Header and claims of an assertion that this key has signed.
fn verified(assertion: &str, key: &KeyPair, algorithm: Algorithm) -> (Value, Value) {
    let spki = key.public_key_pem();
    let decoding = if matches!(algorithm, Algorithm::ES256 | Algorithm::ES384) {
        DecodingKey::from_ec_pem(spki.as_bytes())
    } else if algorithm == Algorithm::EdDSA {
        DecodingKey::from_ed_pem(spki.as_bytes())
    } else {
        DecodingKey::from_rsa_pem(spki.as_bytes())
    };
    let mut validation = Validation::new(algorithm);
    validation.validate_aud = false;
    validation.validate_exp = false;
    let token = jsonwebtoken::decode::<Value>(assertion, &decoding.unwrap(), &validation).unwrap();
    let header = assertion.split('.').next().unwrap();
    let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    (header, token.claims)
}

#[tokio::test(start_paused = true)]
async fn each_token_request_has_an_assertion_of_its_own_signed_by_the_clients_key() {
    let files = Files::new();
    for (kind, algorithm, expected) in [
        (&rcgen::PKCS_RSA_SHA256, None, Algorithm::RS256),
        (
            &rcgen::PKCS_RSA_SHA256,
            Some(issuer::Algorithm::PS384),
            Algorithm::PS384,
        ),
        (&rcgen::PKCS_ECDSA_P256_SHA256, None, Algorithm::ES256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, None, Algorithm::ES384),
        (&rcgen::PKCS_ED25519, None, Algorithm::EdDSA),
    ] {
        let key = generate(kind);
        files.write("key.pem", &key.serialize_pem());
        let world = World::new(1000);
        let sources = by(ClientAuthentication::PrivateKeyJwt(PrivateKeyJwt {
            key_id: Some("key-1".to_owned()),
            ..files.definition(algorithm)
        }));
        let credentials = world.start(&sources, None);
        let mut ids = std::collections::BTreeSet::new();
        for number in 0..2 {
            assert!(token(&credentials).await.is_ok());
            sleep(Duration::from_secs(1000)).await;
            let (header, claims) = verified(&asserted(&world, number), &key, expected);
            assert_eq!(header["kid"], "key-1");
            assert_eq!(header["typ"], "JWT");
            assert!(header.get("x5t#S256").is_none());
            assert_eq!(claims["iss"], "my client");
            assert_eq!(claims["sub"], "my client");
            assert_eq!(claims["aud"], "https://login.test/token");
            let (issued, ends) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64());
            assert_eq!(ends, Some(issued + 300));
            assert_eq!(claims["nbf"], issued);
            ids.insert(claims["jti"].as_str().unwrap().to_owned());
        }
        assert_eq!(ids.len(), 2, "a jti was used twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_named_by_its_sha_256_and_the_audience_as_configured() {
    let files = Files::new();
    let key = generate(&rcgen::PKCS_RSA_SHA256);
    let thumbprint = files.pair(&key);
    let world = World::new(1000);
    let sources = by(ClientAuthentication::PrivateKeyJwt(PrivateKeyJwt {
        audience: Some("https://login.test".to_owned()),
        ..files.with_certificate()
    }));
    assert!(token(&world.start(&sources, None)).await.is_ok());
    let (header, claims) = verified(&asserted(&world, 0), &key, Algorithm::PS256);
    assert_eq!(header["x5t#S256"], thumbprint);
    assert!(header.get("kid").is_none());
    assert_eq!(claims["aud"], "https://login.test");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_pair_is_read_again_after_invalid_client_and_half_of_one_is_not_used() {
    let files = Files::new();
    files.pair(&generate(&rcgen::PKCS_RSA_SHA256));
    let world = World::new(1000);
    let sources = by(ClientAuthentication::PrivateKeyJwt(
        files.with_certificate(),
    ));
    let credentials = world.start(&sources, None);
    world.endpoint.then(400, REFUSAL, None);
    assert!(token(&credentials).await.is_err());
    assert_eq!(world.endpoint.calls(), 1, "the same key is not tried twice");

    sleep(Duration::from_secs(2)).await;
    let next = generate(&rcgen::PKCS_RSA_SHA256);
    files.write("key.pem", &next.serialize_pem());
    world.endpoint.then(400, REFUSAL, None);
    assert!(token(&credentials).await.is_err());
    assert_eq!(
        world.endpoint.calls(),
        2,
        "the halves do not belong together"
    );
    let report = credentials.report();
    let said = report[0]["last_error"]["error"].as_str().unwrap();
    assert!(
        said.ends_with("holds the key of another certificate"),
        "{said}"
    );

    sleep(Duration::from_secs(4)).await;
    let thumbprint = files.pair(&next);
    world.endpoint.then(400, REFUSAL, None);
    assert!(token(&credentials).await.is_ok());
    assert_eq!(world.endpoint.calls(), 4);
    let (header, _) = verified(&asserted(&world, 3), &next, Algorithm::PS256);
    assert_eq!(header["x5t#S256"], thumbprint);
}

#[tokio::test(start_paused = true)]
async fn a_federated_assertion_is_read_for_each_token_request() {
    let files = Files::new();
    let path = files.write("assertion", "a.b.1\n");
    let world = World::new(1000);
    let sources = by(ClientAuthentication::Federated(FederatedAssertion::File(
        path.clone(),
    )));
    let credentials = world.start(&sources, None);
    assert!(token(&credentials).await.is_ok());
    files.write("assertion", "a.b.2\n");
    // refreshed ahead once, then left alone
    sleep(Duration::from_secs(5000)).await;
    world.endpoint.then(401, REFUSAL, None);
    assert!(token(&credentials).await.is_err());
    std::fs::remove_file(&path).unwrap();
    sleep(Duration::from_secs(2)).await;
    assert!(token(&credentials).await.is_err());
    files.write("assertion", "a.b.3");
    sleep(Duration::from_secs(4)).await;
    assert!(token(&credentials).await.is_ok());
    let found: Vec<_> = (0..world.endpoint.calls())
        .map(|number| asserted(&world, number))
        .collect();
    assert_eq!(found, ["a.b.1", "a.b.2", "a.b.2", "a.b.3"]);
    // a reload keeps the token
    let next = world.start(&sources, Some(&credentials));
    assert!(token(&next).await.is_ok());
    assert_eq!(world.endpoint.calls(), 4);
}
