//! The password grant: oauth2-mock-server says yes to everybody, an endpoint in the test's own process
//! says no.

use http::StatusCode;
use serde_json::json;

use super::{login, post, reason, start};
use crate::support::counterparts::{self, or_skip};
use crate::support::upstream::{Upstream, json as answer_json};

#[tokio::test]
async fn an_authorization_server_is_asked_by_the_password_grant() {
    let server = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let table = format!(
        "kind = \"password_grant\"\ntoken_url = \"{}/token\"\nclient_id = \"app\"\nauth_method = \"none\"\n\
         scopes = [\"openid\", \"orders\"]",
        server.url
    );
    let gatepost = start(&upstream, &table).await;
    let reply = post(&gatepost, &login("ada", "open sesame")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let tokens = reply.json();
    assert!(
        tokens["access_token"]
            .as_str()
            .is_some_and(|token| token.split('.').count() == 3)
    );
    assert_eq!(tokens["token_type"], "Bearer");
}

#[tokio::test]
async fn what_the_endpoint_refuses_is_told_by_its_code() {
    let endpoint = Upstream::answering(|request| {
        let form: Vec<_> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let value = |name: &str| {
            let found = form.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(
            (&*value("grant_type"), &*value("scope")),
            ("password", "orders")
        );
        assert_eq!(request.header("authorization"), "Basic YXBwOmh1c2g=");
        let code = match &*value("username") {
            "ada" if value("password") == "open sesame & more" => {
                return answer_json(&json!({ "access_token": "of-ada", "token_type": "bearer" }));
            }
            "mfa" => "mfa_required",
            "scope" => "invalid_scope",
            _other => "invalid_grant",
        };
        let mut answer = answer_json(&json!({ "error": code, "error_description": "hunter2" }));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    })
    .await;
    let table = format!(
        "kind = \"password_grant\"\ntoken_url = \"{}/token\"\nclient_id = \"app\"\n\
         client_secret = {{ insecure_literal = \"hush\" }}\nscopes = [\"orders\"]",
        endpoint.url()
    );
    let gatepost = start(&endpoint, &table).await;
    for (user, status, code) in [
        ("eve", 401, "password_refused"),
        ("mfa", 403, "login_challenge"),
        ("scope", 502, "login_unusable"),
    ] {
        let reply = post(&gatepost, &login(user, "open sesame & more")).await;
        assert_eq!(reply.status, status, "{user}");
        assert_eq!(reason(&gatepost, &reply).await, code);
        assert!(!reply.text().contains("hunter2"));
    }
    let reply = post(&gatepost, &login("ada", "open sesame & more")).await;
    assert_eq!(reply.json()["access_token"], "of-ada");
    assert!(!gatepost.output().contains("hunter2") && !gatepost.output().contains("sesame"));
}
