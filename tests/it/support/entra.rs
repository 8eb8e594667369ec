//! A tenant of Entra ID as it looks from outside: keys of both versions, the token endpoint, and the shapes of its access tokens. Keys carry `x5t`, `x5c` and `issuer` but no
//! `alg`; `kid` is the SHA-1 of the certificate.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::CertificateParams;
use serde_json::{Value, json};

use super::issuer::{Signer, merge, now};
use super::upstream::{Answer, Recorded, Upstream, json as answer_json, status};

/// The tenant.
pub(crate) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
/// Another tenant, whose tokens the same keys sign.
pub(crate) const OTHER_TENANT: &str = "99999999-8888-7777-6666-555555555555";
/// The tenant of personal accounts.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The protected API.
pub(crate) const AUDIENCE: &str = "api://orders";
/// The signed-in user's `oid`.
pub(crate) const USER: &str = "aaaaaaaa-0000-0000-0000-000000000001";
/// The calling application.
pub(crate) const CLIENT: &str = "bbbbbbbb-0000-0000-0000-000000000002";

/// The protected API's own registration, with which it acts for its users.
pub(crate) const API_CLIENT: &str = "cccccccc-0000-0000-0000-000000000003";
/// Its secret.
pub(crate) const API_SECRET: &str = "s3cret+of/the=api";
/// A user for whom a policy wants another factor first.
pub(crate) const CAREFUL: &str = "aaaaaaaa-0000-0000-0000-000000000009";

/// A running tenant.
#[derive(Debug)]
pub(crate) struct Entra {
    pub(crate) server: Upstream,
    key: Arc<Key>,
    /// Published beside it, for personal accounts only.
    consumers_key: Key,
}

struct Key(Signer);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    fn new() -> Self {
        let mut signer = Signer::new("");
        let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        let certificate = certificate(&signer);
        signer.key_id = URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(sha1, &certificate));
        Self(signer)
    }

    /// As published; `issuer` may hold `{tenantid}`.
    fn jwk(&self, issuer: &str) -> Value {
        let mut jwk = self.0.jwk();
        let more = json!({
            "x5t": self.0.key_id,
            "x5c": [STANDARD.encode(certificate(&self.0))],
            "cloud_instance_name": "microsoftonline.com",
            "issuer": issuer,
        });
        merge(&mut jwk, &more);
        jwk
    }
}

fn certificate(signer: &Signer) -> Vec<u8> {
    let name = "accounts.accesscontrol.windows.net".to_owned();
    CertificateParams::new([name])
        .and_then(|parameters| parameters.self_signed(&signer.pair))
        .expect("a certificate")
        .der()
        .to_vec()
}

impl Entra {
    pub(crate) async fn start() -> Self {
        let key = Arc::new(Key::new());
        let consumers_key = Key::new();
        let keys = [
            consumers_key.jwk(&v2_issuer(CONSUMERS)),
            key.jwk(&v2_issuer("{tenantid}")),
        ];
        let issued = Arc::clone(&key);
        let server = Upstream::answering(move |request| {
            let tenant = format!("/{TENANT}");
            match request.uri.path().strip_prefix(&tenant) {
                Some("/discovery/keys" | "/discovery/v2.0/keys") => {
                    answer_json(&json!({"keys": keys}))
                }
                Some("/v2.0/.well-known/openid-configuration") => answer_json(&configuration()),
                Some("/oauth2/v2.0/token") => token(&issued, request),
                _ => status(StatusCode::NOT_FOUND),
            }
        })
        .await;
        Self {
            server,
            key,
            consumers_key,
        }
    }

    /// The token endpoint. To client credentials it asks no questions, the test looks at what it was
    /// sent; on behalf of a user it is as strict as Entra.
    pub(crate) fn token_url(&self) -> String {
        format!("{}/{TENANT}/oauth2/v2.0/token", self.server.url())
    }

    /// Where the keys are, for `jwks_url`.
    pub(crate) fn jwks_url(&self) -> String {
        format!("{}/{TENANT}/discovery/v2.0/keys", self.server.url())
    }

    /// A v2.0 token of a user, with claims added, replaced or (`null`) removed.
    pub(crate) fn v2(&self, changes: &Value) -> String {
        v2(&self.key, changes)
    }

    /// The same under the key that may sign for personal accounts only.
    pub(crate) fn v2_by_consumers_key(&self) -> String {
        v2(&self.consumers_key, &json!({}))
    }

    /// A v1.0 token of a user, with claims added, replaced or (`null`) removed.
    pub(crate) fn v1(&self, changes: &Value) -> String {
        mint(
            &self.key,
            &json!({"ver": "1.0", "iss": format!("https://sts.windows.net/{TENANT}/"),
                   "appid": CLIENT, "appidacr": "0", "scp": "orders.read",
                   "unique_name": "ada@example.com"}),
            &json!({"x5t": self.key.0.key_id}),
            changes,
        )
    }

    /// A v2.0 token of an application for itself, with claims added, replaced or removed.
    pub(crate) fn app(&self, changes: &Value) -> String {
        app(&self.key, changes)
    }
}

/// What MSAL reads first.
fn configuration() -> Value {
    let at = format!("https://login.microsoftonline.com/{TENANT}");
    json!({
        "issuer": v2_issuer(TENANT),
        "authorization_endpoint": format!("{at}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{at}/oauth2/v2.0/token"),
    })
}

fn token(key: &Key, request: &Recorded) -> Answer {
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(&request.body)
        .into_owned()
        .collect();
    let parameter = |name: &str| form.get(name).map_or("", String::as_str);
    let access_token = if parameter("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        match on_behalf_of(key, parameter) {
            Ok(token) => token,
            Err(code) => {
                let refusal = json!({"error": code, "error_description": "AADSTS: no"});
                let mut answer = answer_json(&refusal);
                *answer.status_mut() = StatusCode::BAD_REQUEST;
                return answer;
            }
        }
    } else {
        app(key, &json!({}))
    };
    answer_json(&json!({
        "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
        "access_token": access_token,
    }))
}

/// The on-behalf-of flow: the assertion must be a token of a user for this very client.
fn on_behalf_of<'f>(
    key: &Key,
    parameter: impl Fn(&str) -> &'f str,
) -> Result<String, &'static str> {
    if parameter("client_id") != API_CLIENT || parameter("client_secret") != API_SECRET {
        return Err("invalid_client");
    }
    if parameter("requested_token_use") != "on_behalf_of" {
        return Err("invalid_request");
    }
    let scopes = parameter("scope").split(' ');
    if !scopes
        .into_iter()
        .any(|scope| scope == "api://billing/.default")
    {
        return Err("invalid_scope");
    }
    let public = key.0.public_pem();
    let verifying =
        DecodingKey::from_rsa_pem(public.as_bytes()).map_err(|_no_key| "server_error")?;
    let mut checks = Validation::new(Algorithm::RS256);
    checks.set_audience(&[AUDIENCE]);
    checks.set_issuer(&[v2_issuer(TENANT)]);
    let assertion = jsonwebtoken::decode::<Value>(parameter("assertion"), &verifying, &checks);
    let claims = assertion.map_err(|_refused| "invalid_grant")?.claims;
    if claims["idtyp"] == "app" {
        return Err("invalid_grant");
    }
    if claims["oid"] == CAREFUL {
        return Err("interaction_required");
    }
    Ok(v2(
        key,
        &json!({
            "aud": "api://billing", "azp": API_CLIENT, "azpacr": "1", "scp": "billing.read",
            "oid": claims["oid"],
        }),
    ))
}

/// The issuer of a tenant's v2.0 tokens.
pub(crate) fn v2_issuer(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

fn v2(key: &Key, changes: &Value) -> String {
    let version = json!({"ver": "2.0", "iss": v2_issuer(TENANT), "azp": CLIENT, "azpacr": "0",
                         "scp": "orders.read", "name": "Ada",
                         "preferred_username": "ada@example.com"});
    mint(key, &version, &json!({}), changes)
}

fn app(key: &Key, changes: &Value) -> String {
    let version = json!({"ver": "2.0", "iss": v2_issuer(TENANT), "azp": CLIENT, "azpacr": "1",
                         "oid": CLIENT, "sub": CLIENT, "idtyp": "app"});
    mint(key, &version, &json!({}), changes)
}

fn mint(key: &Key, version: &Value, header: &Value, changes: &Value) -> String {
    let now = now();
    let mut claims = json!({
        "aud": AUDIENCE, "tid": TENANT, "oid": USER, "sub": "pairwise-subject",
        "iat": now, "nbf": now, "exp": now + 4000, "uti": "uti-1", "aio": "opaque", "rh": "0.",
    });
    merge(&mut claims, version);
    merge(&mut claims, changes);
    key.0.mint_with(header, &claims)
}
