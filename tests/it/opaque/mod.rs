//! Opaque tokens: a strict authorization server (oidc-provider) that is asked about them, and endpoints that
//! misbehave.

mod faults;
mod hostile;
mod jwts;

use serde_json::{Value, json};

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::key_client::KeyClient;
use crate::support::upstream::Upstream;

const SECRET: &str = "p+s/%w rd:&=~\"'";

fn reason(reply: &Reply) -> String {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let reason = body.and_then(|body| Some(body.get("reason")?.as_str()?.to_owned()));
    reason.unwrap_or_default()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs).finish()
}

/// One form `POST` of the client `post-client`.
async fn post(provider: &Counterpart, path: &str, pairs: &[(&str, &str)]) -> Reply {
    let address = provider.url.trim_start_matches("http://").parse().unwrap();
    let mut all = vec![("client_id", "post-client"), ("client_secret", SECRET)];
    all.extend(pairs);
    Call::post(address, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form(&all))
        .send()
        .await
}

/// An access token for this resource.
async fn token(provider: &Counterpart, resource: &str) -> String {
    let grant = [
        ("grant_type", "client_credentials"),
        ("resource", resource),
        ("scope", "read"),
    ];
    let reply = post(provider, "/token", &grant).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

async fn provider() -> Option<Counterpart> {
    counterparts::oidc_provider(&[
        ("post-client", SECRET, "client_secret_post"),
        ("basic:client+1", SECRET, "client_secret_basic"),
    ])
    .await
}

fn config(provider: &Counterpart, app: &Upstream, audience: &str, client: &str) -> String {
    format!(
        r#"
        [errors]
        expose_reason = true

        [issuers.opaque]
        kind = "introspection"
        issuer = "{}"
        audiences = ["{audience}"]
        {client}
        client_secret = {{ env = "OAUTH_SECRET" }}
        cache = "1s"
        negative_cache = "1s"

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        require = {{ scopes = ["read"], principal = "service" }}
        upstream = "app"
        "#,
        provider.url,
        app.url()
    )
}

const BASIC: &str = "client_id = \"basic:client+1\"";
const POST: &str = "client_id = \"post-client\"\nauth_method = \"client_secret_post\"";
const OPAQUE: &str = "https://opaque.example";

#[tokio::test]
async fn the_issuer_is_asked_and_a_revoked_token_ends_with_the_answer() {
    let provider = or_skip!(provider().await);
    let app = Upstream::start().await;
    for client in [BASIC, POST] {
        let text = config(&provider, &app, OPAQUE, client);
        let gatepost = Gatepost::start_with(&text, &[("OAUTH_SECRET", SECRET)]).await;
        gatepost.ready().await;
        let token = token(&provider, OPAQUE).await;
        assert!(!token.contains('.'), "opaque");
        let allowed = gatepost.get("/x").await.bearer(&token).send().await;
        assert_eq!(allowed.status, 200, "{client}: {allowed:?}");
        let seen = app.last();
        assert_eq!(seen.header("x-client-id"), "post-client");
        assert_eq!(seen.header("x-principal-kind"), "service");
        assert_eq!(seen.header("x-auth-issuer"), "opaque");
        let none = gatepost.get("/x").await.bearer("never-issued").send().await;
        assert_eq!(
            (none.status.as_u16(), reason(&none).as_str()),
            (401, "token_inactive")
        );
        let revoked = post(&provider, "/token/revocation", &[("token", &token)]).await;
        assert_eq!(revoked.status, 200);
        let gone = crate::support::eventually("the end of the answer", async || {
            let reply = gatepost.get("/x").await.bearer(&token).send().await;
            (reply.status != 200).then_some(reply)
        })
        .await;
        assert_eq!(
            (gone.status.as_u16(), reason(&gone).as_str()),
            (401, "token_inactive")
        );
        let output = gatepost.output();
        assert!(
            !output.contains(&token) && !output.contains(SECRET),
            "logged"
        );
    }
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused_and_a_wrong_secret_is_an_outage() {
    let provider = or_skip!(provider().await);
    let app = Upstream::start().await;
    let token = token(&provider, OPAQUE).await;
    for (audience, secret, expected) in [
        ("https://other.example", SECRET, (401, "audience_mismatch")),
        (OPAQUE, "wrong", (503, "issuer_unavailable")),
    ] {
        let text = config(&provider, &app, audience, BASIC);
        let gatepost = Gatepost::start_with(&text, &[("OAUTH_SECRET", secret)]).await;
        let reply = gatepost.get("/x").await.bearer(&token).send().await;
        assert_eq!((reply.status.as_u16(), reason(&reply).as_str()), expected);
        assert_eq!(expected.0 == 503, !reply.header("retry-after").is_empty());
    }
    assert!(app.requests().is_empty());
}

#[tokio::test]
async fn a_client_with_a_key_asks_by_assertions_and_a_refresh_token_is_no_access_token() {
    let asks = KeyClient::new("asks", &rcgen::PKCS_ECDSA_P256_SHA256, "ES256");
    let clients = vec![
        asks.metadata.clone(),
        json!({"client_id": "post-client", "client_secret": SECRET,
               "token_endpoint_auth_method": "client_secret_post"}),
        json!({"client_id": "app", "token_endpoint_auth_method": "none", "user": true}),
    ];
    let provider = or_skip!(counterparts::oidc_provider_with(clients, &Value::Null).await);
    let app = Upstream::start().await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), &asks.pem).unwrap();
    let client = format!(
        "client_id = \"asks\"\nclient_key_file = \"{}\"\nclient_key_id = \"key-1\"",
        key.path().display()
    );
    let text = config(&provider, &app, OPAQUE, &client);
    let text = text.replace("client_secret = { env = \"OAUTH_SECRET\" }", "");
    let gatepost = Gatepost::start(&text).await;
    // each question has an assertion of its own: the provider takes none twice
    for _question in 0..2 {
        let token = token(&provider, OPAQUE).await;
        let reply = gatepost.get("/x").await.bearer(&token).send().await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let refresh = provider.said["refresh_token"].as_str().unwrap();
    let reply = gatepost.get("/x").await.bearer(refresh).send().await;
    assert_eq!(
        (reply.status.as_u16(), reason(&reply).as_str()),
        (401, "audience_mismatch"),
        "the server says that it is active"
    );
}
