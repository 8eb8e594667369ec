//! A tenant of Entra that checks assertions: MSAL's own client passes, and so does Gatepost's.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::{config, describe};
use crate::support::counterparts::{self, or_skip};
use crate::support::entra::{CLIENT, TENANT};
use crate::support::issuer::now;
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer_json};

const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "api://orders/.default";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The application with its certificate, as the tenant knows it.
struct Application {
    key: KeyPair,
    certificate: String,
    thumbprint: String,
    /// `jti`s that were used.
    used: Mutex<BTreeSet<String>>,
}

impl Application {
    fn new() -> Arc<Self> {
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .expect("signed");
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        Arc::new(Self {
            key,
            certificate: certificate.pem(),
            thumbprint: URL_SAFE_NO_PAD.encode(hash),
            used: Mutex::default(),
        })
    }

    /// The reason to refuse a token request that came to `at`.
    fn judge(&self, request: &Recorded, at: &str) -> Result<(), String> {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let value = |name: &str| {
            let values: Vec<_> = form.iter().filter(|(known, _)| known == name).collect();
            match values.as_slice() {
                [(_, value)] => Ok(value.as_str()),
                _none_or_several => Err(format!("{name} stands {} times", values.len())),
            }
        };
        let is = |name: &str, expected: &str| match value(name)? {
            found if found == expected => Ok(()),
            found => Err(format!("{name} is {found}")),
        };
        is("grant_type", "client_credentials")?;
        is("client_id", CLIENT)?;
        is("client_assertion_type", JWT_BEARER)?;
        is("scope", SCOPE)?;
        let assertion = value("client_assertion")?;
        let header = assertion.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|e| e.to_string())?;
        let header: Value = serde_json::from_slice(&header).map_err(|e| e.to_string())?;
        // MSAL pads it
        let named = header["x5t#S256"]
            .as_str()
            .map(|name| name.trim_end_matches('='));
        if named != Some(&self.thumbprint) || header["alg"] != "PS256" {
            return Err(format!("header {header}"));
        }
        let public = self.key.public_key_pem();
        let public = DecodingKey::from_rsa_pem(public.as_bytes()).map_err(|e| e.to_string())?;
        let mut validation = Validation::new(Algorithm::PS256);
        let path = format!("/{TENANT}/oauth2/v2.0/token");
        validation.set_audience(&[format!("{AUTHORITY}{path}"), format!("{at}{path}")]);
        validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
        validation.leeway = 0;
        let token = jsonwebtoken::decode::<Value>(assertion, &public, &validation);
        let claims = token.map_err(|error| error.to_string())?.claims;
        if claims["iss"] != CLIENT || claims["sub"] != CLIENT {
            return Err("of another client".to_owned());
        }
        // MSAL writes a fraction
        let latest = json!(now() + 660).as_f64();
        if claims["exp"].as_f64().is_none_or(|exp| Some(exp) > latest) {
            return Err("good for too long".to_owned());
        }
        let id = claims["jti"].as_str().ok_or("no jti")?.to_owned();
        let mut used = self.used.lock().map_err(|error| error.to_string())?;
        if !used.insert(id) {
            return Err("jti used twice".to_owned());
        }
        Ok(())
    }

    fn answer(&self, request: &Recorded) -> Answer {
        let at = format!("http://{}", request.header("host"));
        if request
            .uri
            .path()
            .ends_with("/.well-known/openid-configuration")
        {
            let of = |path: &str| format!("{AUTHORITY}/{TENANT}/{path}");
            return answer_json(&json!({
                "issuer": of("v2.0"), "token_endpoint": of("oauth2/v2.0/token"),
                "authorization_endpoint": of("oauth2/v2.0/authorize"),
                "tenant_region_scope": "NA",
            }));
        }
        match self.judge(request, &at) {
            Ok(()) => answer_json(&json!({
                "token_type": "Bearer", "expires_in": 3599, "access_token": "t-entra",
            })),
            Err(why) => {
                let error = json!({"error": "invalid_client", "error_description": why});
                let mut answer = answer_json(&error);
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                answer
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn msals_client_and_gateposts_are_taken_by_the_same_checks() {
    let application = Application::new();
    let tenant = {
        let application = Arc::clone(&application);
        Upstream::answering(move |request| application.answer(request)).await
    };
    let outcome = or_skip!(
        counterparts::msal_client(json!({
            "authority": format!("{AUTHORITY}/{TENANT}"), "at": tenant.url(), "times": 2,
            "client_id": CLIENT, "private_key": application.key.serialize_pem(),
            "certificate": application.certificate, "scopes": [SCOPE],
        }))
        .await
    );
    for answer in outcome.as_array().expect("a list") {
        assert_eq!(answer["access_token"], "t-entra", "{answer}");
    }

    let directory = tempfile::tempdir().expect("a directory");
    let (key, certificate) = (
        directory.path().join("key.pem"),
        directory.path().join("certificate.pem"),
    );
    std::fs::write(&key, application.key.serialize_pem()).expect("written");
    std::fs::write(&certificate, &application.certificate).expect("written");
    let lines = |certificate: &str| {
        let credential = format!(
            "kind = \"client_credentials\"\nclient_id = \"{CLIENT}\"\n\
             token_url = \"{}/{TENANT}/oauth2/v2.0/token\"\nscopes = [\"{SCOPE}\"]\n\
             client_key_file = \"{}\"\n{certificate}",
            tenant.url(),
            key.display()
        );
        config("http://127.0.0.1:1", &credential)
    };
    let whole = lines(&format!(
        "client_certificate_file = \"{}\"",
        certificate.display()
    ));
    for _time in 0..2 {
        let (success, said) = describe(directory.path(), &whole, &["--show"]);
        assert!(success && said.contains("t-entra"), "{said}");
    }
    assert_eq!(application.used.lock().expect("no panic").len(), 4);
    // without the certificate's name Entra does not know the key
    let (success, said) = describe(directory.path(), &lines(""), &[]);
    assert!(!success && said.contains("invalid_client"), "{said}");
}
