//! No secret in anything that Gatepost says, at the level that says most.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Upstream, json, status};

const CONFIG: &str = r#"
    [log]
    level = "trace"

    [forward_auth]
    listen = "127.0.0.1:0"
    trusted_proxies = ["127.0.0.0/8"]

    [egress]
    listen = "127.0.0.1:0"

    [issuers.users]
    kind = "jwt"
    issuer = "https://users.example"
    jwks_url = "ISSUER/jwks"
    audiences = ["app"]
    algorithms = ["RS256"]

    [issuers.legacy]
    kind = "jwt"
    issuer = "legacy"
    secret = { insecure_literal = "hmac-5ecret-hmac-5ecret-hmac-5ecret" }
    audiences = ["app"]
    algorithms = ["HS256"]

    [upstreams.app]
    url = "ISSUER"

    [[routes]]
    name = "orders"
    path = "/orders/**"
    issuers = ["users", "legacy"]
    upstream = "app"

    [credentials.granted]
    kind = "client_credentials"
    token_url = "ISSUER/token"
    client_id = "app"
    client_secret = { env = "CLIENT_SECRET" }

    [credentials.broken]
    kind = "client_credentials"
    token_url = "ISSUER/broken"
    client_id = "app"
    client_secret = { env = "CLIENT_SECRET" }

    [credentials.key]
    kind = "api_key"
    header = "x-metrics-key"
    value = { env = "API_KEY" }

    [credentials.fixed]
    kind = "static_token"
    token = { insecure_literal = "static-5ecret" }

    [[egress_targets]]
    name = "granted"
    url = "ISSUER"
    credential = "granted"
    forward_user = true

    [[egress_targets]]
    name = "broken"
    url = "ISSUER"
    credential = "broken"

    [[egress_targets]]
    name = "key"
    url = "ISSUER"
    credential = "key"

    [[egress_targets]]
    name = "fixed"
    url = "ISSUER"
    credential = "fixed"
"#;

/// Everything that must not be said; also parts of it.
const SECRETS: [&str; 12] = [
    "client-5ecret",
    "Y2xpZW50LTVlY3JldA", // in Base64, with anything before it that ends a group
    "api-5ecret",
    "hmac-5ecret",
    "static-5ecret",
    "granted-5ecret",
    "refresh-5ecret",
    "error-5ecret",
    "cookie-5ecret",
    "query-5ecret",
    "basic-5ecret",
    "handle-5ecret",
];

#[tokio::test]
async fn no_secret_is_told_anywhere() {
    let signer = Signer::new("key-one");
    let keys = json!({ "keys": [signer.jwk()] });
    let upstream = Upstream::answering(move |request| match request.uri.path() {
        "/jwks" => json(&keys),
        "/token" => json(&json!({
            "access_token": "granted-5ecret", "token_type": "Bearer", "expires_in": 600,
            "refresh_token": "refresh-5ecret",
        })),
        "/broken" => {
            let mut answer = json(&json!({
                "error": "invalid_client", "error_description": "not client-5ecret error-5ecret",
            }));
            *answer.status_mut() = http::StatusCode::BAD_REQUEST;
            answer
        }
        "/refused" => status(http::StatusCode::UNAUTHORIZED),
        _other => json(&json!({})),
    })
    .await;
    let gatepost = Gatepost::start_with(
        &CONFIG.replace("ISSUER", &upstream.url()),
        &[
            ("CLIENT_SECRET", "client-5ecret"),
            ("API_KEY", "api-5ecret"),
        ],
    )
    .await;
    gatepost.ready().await;
    let claims = json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada", "iat": now(), "exp": now() + 600,
    });
    let token = signer.mint(&claims);
    let stranger = Signer::new("key-two").mint(&claims);
    let signatures = [&token, &stranger].map(|token| token.rsplit('.').next().unwrap().to_owned());
    let mut told = Vec::new();

    for presented in [&token, &stranger, &format!("{token}x"), &"x".repeat(20_000)] {
        for path in [
            "/orders/1?access_token=query-5ecret",
            "/nowhere?t=query-5ecret",
        ] {
            let call = gatepost.get(path).await.bearer(presented);
            let reply = call
                .header("cookie", "session=cookie-5ecret")
                .header("proxy-authorization", "Basic basic-5ecret")
                .header("x-api-key", "api-5ecret")
                .header("x-auth-handle", "handle-5ecret")
                .send()
                .await;
            gatepost.line_of(&reply).await;
            if reply.status != 200 {
                told.push(format!("{reply:?}"));
            }
        }
        let forward_auth = gatepost.listener("forward_auth").await;
        let call = Call::get(forward_auth, "/auth/traefik").bearer(presented);
        let reply = call
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "a")
            .header("x-forwarded-uri", "/orders/1?query-5ecret")
            .header("cookie", "session=cookie-5ecret")
            .send()
            .await;
        told.push(format!("{reply:?}"));
        let call = Call::get(forward_auth, "/api/v1/validate").bearer(presented);
        told.push(format!("{:?}", call.send().await));
    }
    let reply = gatepost.get("/orders/1").await;
    let reply = reply
        .header("authorization", "Basic basic-5ecret")
        .send()
        .await;
    told.push(format!("{reply:?}"));

    let egress = gatepost.listener("egress").await;
    for path in [
        "/granted/x",
        "/granted/refused",
        "/broken/x",
        "/key/x",
        "/key/refused",
        "/fixed/x",
    ] {
        let call =
            || Call::get(egress, &format!("{path}?query-5ecret")).header("cookie", "cookie-5ecret");
        told.push(format!("{:?}", call().send().await));
        let dead = call().header("x-auth-handle", "handle-5ecret");
        told.push(format!("{:?}", dead.send().await));
    }
    over_http2(&gatepost, &token).await;

    let admin = gatepost.listener("admin").await;
    for path in ["/", "/jwks", "/status", "/config", "/elsewhere"] {
        told.push(format!("{:?}", Call::get(admin, path).send().await));
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        told.push(format!("{:?}", gatepost.health(path).await));
    }
    // the secrets were in use
    assert!(
        upstream
            .requests()
            .iter()
            .any(|request| request.header("x-metrics-key") == "api-5ecret")
    );
    assert!(
        upstream
            .requests()
            .iter()
            .any(|request| request.header("authorization") == "Bearer granted-5ecret")
    );
    let told = told.concat();
    let output = gatepost.output();
    for secret in SECRETS
        .into_iter()
        .chain(signatures.iter().map(String::as_str))
    {
        assert!(!output.contains(secret), "{secret} in the log:\n{output}");
        assert!(!told.contains(secret), "{secret} in an answer:\n{told}");
    }
    assert!(!output.contains("panic"), "{output}");
}

async fn over_http2(gatepost: &Gatepost, token: &str) {
    let stream = TcpStream::connect(gatepost.listener("ingress").await)
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get("http://a.test/orders/1?query-5ecret")
        .header("authorization", format!("Bearer {token}"))
        .header("cookie", "session=cookie-5ecret")
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}
