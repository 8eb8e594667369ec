//! Ingress and egress of one running binary: the user behind an egress call, credentials in place
//! of the client's, and a token endpoint that many requests need at once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::issuer::{hmac_token, now};
use crate::support::secure::{self, Secure};
use crate::support::upstream::{Upstream, json as answer_json, status};

const SECRET: &str = "a secret of at least thirty-two bytes";
const CLIENT_SECRET: &str = "s3cret-of-the-client";

fn token(user: &str) -> String {
    let claims = json!({"iss": "hokusai", "aud": "app", "sub": user, "tenant": "t1",
                        "groups": ["ops"], "exp": now() + 600});
    hmac_token(SECRET.as_bytes(), "one", &claims)
}

/// A token endpoint that takes its time, with a new token for each request: `minted-1`, …
async fn token_endpoint() -> (Upstream, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let minted = Arc::clone(&count);
    let server = Upstream::answering(move |_request| {
        let number = minted.fetch_add(1, Ordering::SeqCst) + 1;
        // many requests gather meanwhile
        blocking_pause();
        answer_json(&json!({
            "access_token": format!("minted-{number}"), "token_type": "Bearer", "expires_in": 3600,
        }))
    })
    .await;
    (server, count)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow server on a thread of its own"
)]
fn blocking_pause() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Ingress routes to `app`, a client-credentials source `granted`, and egress targets by
/// `(name, URL, more keys)`.
fn config(app: &Upstream, tokens: &str, targets: &[(&str, &str, &str)]) -> String {
    let mut config = format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"
        [issuers.legacy]
        kind = "jwt"
        issuer = "hokusai"
        secret = {{ env = "LEGACY" }}
        algorithms = ["HS256"]
        audiences = ["app"]
        claims = {{ tenant = "tenant", groups = "groups" }}
        [upstreams.app]
        url = "{app}"
        [[routes]]
        name = "replaced"
        path = "/replaced"
        authorization = {{ replace = "granted" }}
        upstream = "app"
        [[routes]]
        name = "all"
        path = "/**"
        upstream = "app"
        [credentials.granted]
        kind = "client_credentials"
        token_url = "{tokens}/token"
        client_id = "orders"
        client_secret = {{ env = "CLIENT" }}
        "#,
        app = app.url(),
    );
    for (name, url, more) in targets {
        write!(
            config,
            r#"
            [[egress_targets]]
            name = "{name}"
            url = "{url}"
            credential = "granted"
            {more}
            "#
        )
        .unwrap();
    }
    config
}

async fn start(config: &str) -> Gatepost {
    let secrets = [("LEGACY", SECRET), ("CLIENT", CLIENT_SECRET)];
    let gatepost = Gatepost::start_with(config, &secrets).await;
    gatepost.ready().await;
    gatepost
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_an_ingress_request_reaches_a_tls_target_by_its_handle_alone() {
    let authority = secure::authority();
    let target = Secure::start(&authority, &["h2", "http/1.1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let app = Upstream::start().await;
    let (tokens, _count) = token_endpoint().await;
    let url = target.url();
    let config = config(
        &app,
        &tokens.url(),
        &[("told", &url, "forward_user = true"), ("untold", &url, "")],
    ) + &format!("[client]\nextra_ca_file = {file:?}\n");
    let gatepost = start(&config).await;
    let egress = gatepost.listener("egress").await;

    let reply = gatepost.get("/x").await.bearer(&token("ada")).send().await;
    assert_eq!(reply.status, 200);
    let asked = app.last();
    let handle = asked.header("x-auth-handle");
    assert_eq!(handle.len(), 22, "{asked:?}");
    assert_eq!(reply.header("x-auth-handle"), "");

    // what the app passes on, and what the target is told
    let call = async |target: &str, handle: Option<&str>| -> Value {
        let mut call = Call::get(egress, &format!("/{target}/x"))
            .header("x-user-id", "root")
            .header("x-user-groups", "admins")
            .header("authorization", "Bearer of-the-app");
        if let Some(handle) = handle {
            call = call.header("x-auth-handle", handle);
        }
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!reply.text().contains(asked.header("x-auth-handle")));
        reply.json()
    };
    let told = call("told", Some(handle)).await;
    assert_eq!(told["version"], "h2");
    assert_eq!(told["headers"]["authorization"], "Bearer minted-1");
    assert_eq!(told["headers"]["x-user-id"], "ada");
    assert_eq!(told["headers"]["x-tenant-id"], "t1");
    assert_eq!(told["headers"]["x-user-groups"], "ops");
    let stranger = "AAAAAAAAAAAAAAAAAAAAAA";
    let shorter = handle.strip_suffix(|_last: char| true).unwrap();
    let told = call("told", None).await;
    let headers = told["headers"].as_object().unwrap();
    let named = headers.keys().find(|name| name.starts_with("x-user"));
    assert_eq!(named, None);
    for other in [stranger, shorter, ""] {
        let call = Call::get(egress, "/told/x").header("x-auth-handle", other);
        assert_eq!(call.send().await.status, 403, "{other:?}");
    }
    // the app's own words pass where no user is forwarded, the handle never
    let untold = call("untold", Some(handle)).await;
    assert_eq!(untold["headers"]["authorization"], "Bearer minted-1");
    assert_eq!(untold["headers"]["x-auth-handle"], Value::Null);

    eventually("all lines", || async {
        let lines = gatepost.output().matches(r#""plane":"egress""#).count();
        (lines == 6).then_some(())
    })
    .await;
    let output = gatepost.output();
    for secret in [handle, SECRET, CLIENT_SECRET, "minted-1", "of-the-app"] {
        assert!(!output.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_first_requests_cost_one_token_request() {
    let app = Upstream::start().await;
    let target = Upstream::start().await;
    let (tokens, count) = token_endpoint().await;
    let config = config(&app, &tokens.url(), &[("billing", &target.url(), "")]);
    let gatepost = start(&config).await;
    let egress = gatepost.listener("egress").await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        calls.spawn(Call::get(egress, "/billing/x").send());
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // ingress uses the same token
    let reply = gatepost.get("/replaced").await.bearer(&token("ada"));
    assert_eq!(reply.send().await.status, 200);
    assert_eq!(app.last().header("authorization"), "Bearer minted-1");
    assert_eq!(app.last().header("x-user-id"), "ada");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let seen = target.requests();
    assert_eq!(seen.len(), 100);
    for request in seen {
        assert_eq!(request.header("authorization"), "Bearer minted-1");
    }
}

#[tokio::test]
async fn without_a_token_neither_plane_sends_anything() {
    let app = Upstream::start().await;
    let target = Upstream::start().await;
    let down = Upstream::answering(|_request| status(StatusCode::SERVICE_UNAVAILABLE)).await;
    let config = config(&app, &down.url(), &[("billing", &target.url(), "")]);
    let gatepost = start(&config).await;
    let egress = gatepost.listener("egress").await;
    let reply = Call::get(egress, "/billing/x")
        .header("authorization", "Bearer of-the-app")
        .send()
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
    let call = gatepost.get("/replaced").await.bearer(&token("ada"));
    let reply = call.send().await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        gatepost.line_of(&reply).await["reason"],
        "egress_token_unavailable"
    );
    assert!(app.requests().is_empty() && target.requests().is_empty());
    // the rest goes on
    let call = gatepost.get("/other").await.bearer(&token("ada"));
    assert_eq!(call.send().await.status, 200);
}
