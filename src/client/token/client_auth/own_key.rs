//! `private_key_jwt`: an assertion signed by the client's own key (RFC 7523 3, OpenID Connect Core
//! 9; with a certificate, Entra's form of it).

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::authn::issuer::Algorithm;
use crate::authn::signing::SigningKey;
use crate::certificate::{self, Certificate, PemError};
use crate::client::token::FetchError;
use crate::clock::UnixTime;
use crate::config::PrivateKeyJwt;
use crate::secret::{Secret, SecretSource};

/// Seconds an assertion is good for: long enough for clocks that differ, used once within moments.
const LIFE: u64 = 300;
/// Seconds an assertion is dated back: a server whose clock is behind takes it too.
const BEFORE: u64 = 30;

/// A key as read from its files.
#[derive(Debug)]
pub(in crate::client::token) struct OwnKey {
    key: SigningKey,
    algorithm: Algorithm,
    key_id: Option<String>,
    /// `x5t#S256`
    thumbprint: Option<String>,
    /// The key's text, to know a rotated one by.
    pem: Secret,
}

impl PartialEq for OwnKey {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem && self.thumbprint == other.thumbprint
    }
}

impl OwnKey {
    /// Blocks on reading both files. A pair of which only one half was rotated yet is an error.
    pub(super) fn read(definition: &PrivateKeyJwt) -> Result<Self, FetchError> {
        let broken = |file: &std::path::Path, error: PemError| {
            FetchError::Client(format!("{} {error}", file.display()))
        };
        let in_key = |error| broken(&definition.key_file, error);
        let pem = SecretSource::File(definition.key_file.clone()).load()?;
        let der = certificate::private_key(pem.expose().as_bytes()).map_err(in_key)?;
        let key = SigningKey::new(&der).map_err(in_key)?;
        let mut thumbprint = None;
        if let Some(file) = &definition.certificate_file {
            let chain = SecretSource::File(file.clone()).load()?;
            let chain = certificate::chain(chain.expose().as_bytes())
                .map_err(|error| broken(file, error))?;
            if let Some(first) = chain.first() {
                let read = Certificate::read(first).map_err(|error| {
                    FetchError::Client(format!("{} is {error}", file.display()))
                })?;
                thumbprint = Some(URL_SAFE_NO_PAD.encode(read.fingerprint.0));
            }
            certificate::certified_key(chain, der).map_err(in_key)?;
        }
        let able = key.algorithms();
        let usual = match (able.first().copied(), &thumbprint) {
            // Entra asks for PSS
            (Some(Algorithm::RS256), Some(_)) => Some(Algorithm::PS256),
            (usual, _) => usual,
        };
        let algorithm = definition
            .algorithm
            .or(usual)
            .filter(|algorithm| able.contains(algorithm))
            .ok_or_else(|| {
                let file = definition.key_file.display();
                FetchError::Client(format!("the key in {file} does not sign as configured"))
            })?;
        Ok(Self {
            key,
            algorithm,
            key_id: definition.key_id.clone(),
            thumbprint,
            pem,
        })
    }

    /// A new assertion, never the same twice.
    pub(super) fn assertion(
        &self,
        client_id: &str,
        audience: &str,
        now: UnixTime,
    ) -> Result<Secret, FetchError> {
        let mut random = [0; 16];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_exhausted| FetchError::Client("the system has no random bits".to_owned()))?;
        let mut header = json!({ "alg": self.algorithm.as_str(), "typ": "JWT" });
        if let Some(header) = header.as_object_mut() {
            if let Some(key_id) = &self.key_id {
                header.insert("kid".to_owned(), key_id.as_str().into());
            }
            if let Some(thumbprint) = &self.thumbprint {
                header.insert("x5t#S256".to_owned(), thumbprint.as_str().into());
            }
        }
        let since = UnixTime(now.0.saturating_sub(BEFORE));
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": URL_SAFE_NO_PAD.encode(random),
            "iat": since.0,
            "nbf": since.0,
            "exp": since.plus(LIFE).0,
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self
            .key
            .sign(self.algorithm, signed.as_bytes())
            .map_err(|error| FetchError::Client(error.to_string()))?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Secret::new(format!("{signed}.{signature}")))
    }
}
