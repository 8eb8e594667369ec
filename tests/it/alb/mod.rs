//! What a load balancer says of its user (`x-amzn-oidc-data`), judged by the real binary.

mod oracle;
mod requests;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::URL_SAFE;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::support::gatepost::Gatepost;
use crate::support::issuer::{Signer, merge, now};
use crate::support::upstream::{self, Upstream};

const KID: &str = "c0ffee00-1111-2222-3333-444455556666";
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188";
const ISSUER: &str = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC123DEF";
const CLIENT: &str = "1example23456789";

/// A load balancer: its key, and what it says.
struct Edge {
    pair: KeyPair,
    key: EncodingKey,
}

impl Edge {
    fn new() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key");
        Self { pair, key }
    }

    fn pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// The signature of this text, 64 bytes.
    fn sign(&self, input: &str) -> Vec<u8> {
        let text = jsonwebtoken::crypto::sign(input.as_bytes(), &self.key, Algorithm::ES256);
        let text = text.expect("signed");
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .expect("base64url")
    }

    /// A statement with these members added or replaced in header and payload; `null` removes one.
    fn says(&self, header: &Value, payload: &Value) -> String {
        self.says_in(&URL_SAFE, header, payload)
    }

    fn says_in(&self, base64: &GeneralPurpose, header: &Value, payload: &Value) -> String {
        let input = input(base64, header, payload);
        format!("{input}.{}", base64.encode(self.sign(&input)))
    }

    /// Publishes its key.
    async fn publish(&self) -> Upstream {
        let pem = self.pem();
        Upstream::answering(move |request| {
            if request.uri.path() == format!("/keys/{KID}") {
                let mut answer = upstream::status(StatusCode::OK);
                *answer.body_mut() = pem.clone().into();
                answer
            } else {
                upstream::status(StatusCode::NOT_FOUND)
            }
        })
        .await
    }
}

/// Header and payload as they are signed.
fn input(base64: &GeneralPurpose, header: &Value, payload: &Value) -> String {
    let end = now() + 120;
    let mut whole = json!({
        "alg": "ES256", "typ": "JWT", "kid": KID, "signer": SIGNER, "iss": ISSUER, "client": CLIENT,
        "exp": end,
    });
    merge(&mut whole, header);
    let mut claims = json!({"sub": "ada", "email": "ada@example.com", "iss": ISSUER, "exp": end});
    merge(&mut claims, payload);
    format!(
        "{}.{}",
        base64.encode(whole.to_string()),
        base64.encode(claims.to_string())
    )
}

/// `edge` and the pool behind it; `/**` by statement, `/ops/**` for a group, `/both/**` by statement and
/// token, `/token/**` by token, `/public/**`.
fn config(keys: &str, pool: &str, app: &Upstream) -> String {
    format!(
        r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]

        [errors]
        expose_reason = true

        [issuers.edge]
        kind = "alb"
        region = "us-east-1"
        issuer = "{ISSUER}"
        client_ids = ["{CLIENT}"]
        signer = "{SIGNER}"
        keys_url = "{keys}"
        access_token = "pool"

        [issuers.pool]
        kind = "cognito"
        user_pool_id = "us-east-1_ABC123DEF"
        client_ids = ["{CLIENT}"]
        jwks_url = "{pool}"

        [upstreams.app]
        url = "{app}"

        [[routes]]
        name = "all"
        path = "/**"
        auth = ["alb"]
        issuers = ["edge"]
        upstream = "app"

        [[routes]]
        name = "ops"
        path = "/ops/**"
        auth = ["alb"]
        issuers = ["edge"]
        require = {{ groups = ["ops"] }}
        upstream = "app"

        [[routes]]
        name = "kept"
        path = "/kept/**"
        auth = ["alb"]
        issuers = ["edge"]
        authorization = "strip"
        upstream = "app"

        [[routes]]
        name = "both"
        path = "/both/**"
        auth = ["alb", "bearer"]
        issuers = ["edge", "pool"]
        upstream = "app"

        [[routes]]
        name = "token"
        path = "/token/**"
        issuers = ["pool"]
        upstream = "app"

        [[routes]]
        name = "public"
        path = "/public/**"
        auth = "none"
        upstream = "app"
        "#,
        app = app.url()
    )
}

/// A pool that publishes its keys, and an access token of it.
async fn pool() -> (Signer, Upstream) {
    let signer = Signer::new("pool-1");
    let set = json!({"keys": [signer.jwk()]});
    let keys = Upstream::answering(move |_request| upstream::json(&set)).await;
    (signer, keys)
}

fn access_token(pool: &Signer, more: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "sub": "ada", "client_id": CLIENT, "token_use": "access", "username": "ada",
        "scope": "openid", "cognito:groups": ["ops"], "exp": now() + 600,
    });
    merge(&mut claims, more);
    pool.mint(&claims)
}

/// Everything together.
struct Site {
    edge: Edge,
    keys: Upstream,
    pool: Signer,
    _pool_keys: Upstream,
    app: Upstream,
    gatepost: Gatepost,
}

impl Site {
    async fn start() -> Self {
        let edge = Edge::new();
        let keys = edge.publish().await;
        let (pool, pool_keys) = pool().await;
        let app = Upstream::start().await;
        let text = config(&format!("{}/keys", keys.url()), &pool_keys.url(), &app);
        let gatepost = Gatepost::start(&text).await;
        gatepost.ready().await;
        Self {
            edge,
            keys,
            pool,
            _pool_keys: pool_keys,
            app,
            gatepost,
        }
    }
}

/// One more use of the padded alphabet: text as a statement's part.
fn part(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}
