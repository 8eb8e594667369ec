//! Endpoints that do not answer as they should, and what never reaches them.

use http::{HeaderValue, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::support::sidecar;
use crate::support::upstream::{self, Answer};

/// A route for an endpoint of one's own and one for its JWTs too.
fn config(endpoint: &str, app: &Upstream) -> String {
    let own = sidecar::config(&app.url(), "");
    format!(
        r#"
        [errors]
        expose_reason = true
        {}

        [issuers.custom]
        kind = "remote"
        url = "{endpoint}"
        timeout = "1s"

        [[routes]]
        path = "/asked/**"
        issuers = ["own", "custom"]
        upstream = "app"
        "#,
        own.replace("path = \"/**\"", "path = \"/**\"\nissuers = [\"own\"]")
            .replace(
                "path = \"/editors/**\"",
                "path = \"/editors/**\"\nissuers = [\"own\"]"
            )
    )
}

#[tokio::test]
async fn what_is_no_answer_is_an_outage_and_nobody_passes() {
    let app = Upstream::start().await;
    let says = |status: u16, body: &'static str| {
        let mut answer: Answer = upstream::status(StatusCode::from_u16(status).unwrap());
        *answer.body_mut() = body.into();
        answer
    };
    let endpoint = Upstream::answering(move |request| match request.header("authorization") {
        "Bearer good" => upstream::json(&json!({"id": "ada", "kind": "user", "groups": ["ops"]})),
        "Bearer none" => says(401, ""),
        "Bearer forbidden" => says(403, ""),
        "Bearer nonsense" => says(200, "<html>"),
        "Bearer empty" => says(200, ""),
        "Bearer nobody" => says(200, "{}"),
        "Bearer moved" => {
            let mut answer = says(302, "");
            let at = HeaderValue::from_static("http://127.0.0.1:9/");
            answer.headers_mut().insert("location", at);
            answer
        }
        "Bearer huge" => {
            let mut answer = says(200, "");
            *answer.body_mut() = vec![b' '; 1024 * 1024].into();
            answer
        }
        _other => says(400, ""),
    })
    .await;
    let gatepost = Gatepost::start(&config(&endpoint.url(), &app)).await;
    let good = gatepost.get("/asked/x").await.bearer("good").send().await;
    assert_eq!(good.status, 200, "{good:?}");
    assert_eq!(app.last().header("x-user-groups"), "ops");
    for (token, expected) in [
        ("none", (401, "token_inactive")),
        ("forbidden", (401, "token_inactive")),
        ("nobody", (401, "subject_invalid")),
        ("nonsense", (503, "issuer_unavailable")),
        ("moved", (503, "issuer_unavailable")),
        ("good", (200, "")),
        ("odd", (503, "issuer_unavailable")),
    ] {
        let reply = gatepost.get("/asked/x").await.bearer(token).send().await;
        let found = (reply.status.as_u16(), reason(&reply));
        assert_eq!((found.0, found.1.as_str()), expected, "{token}");
    }
    let huge = gatepost.get("/asked/x").await.bearer("huge").send().await;
    assert_eq!(huge.status, 503);
    // nobody else's tokens, no JWT, and nothing that is no token is shown to the endpoint
    let before = endpoint.requests().len();
    let jwt = sidecar::token(&json!({}));
    let own = gatepost.get("/asked/x").await.bearer(&jwt).send().await;
    assert_eq!(own.status, 200, "verified by its own issuer");
    let strange = sidecar::token(&json!({"iss": "https://strange.example"}));
    for (path, token, expected) in [
        ("/x", "good", "token_malformed"),
        ("/asked/x", strange.as_str(), "issuer_unknown"),
        ("/asked/x", "a,b", "token_malformed"),
    ] {
        let reply = gatepost.get(path).await.bearer(token).send().await;
        assert_eq!(
            (reply.status.as_u16(), reason(&reply).as_str()),
            (401, expected),
            "{token}"
        );
    }
    assert_eq!(endpoint.requests().len(), before);
    assert!(!gatepost.output().contains("Bearer good"), "logged");
}

#[tokio::test]
async fn an_endpoint_that_hangs_or_hangs_up_is_an_outage() {
    let app = Upstream::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = crate::support::Gone::take();
    for address in [silent.local_addr().unwrap(), gone.address] {
        let gatepost = Gatepost::start(&config(&format!("http://{address}/"), &app)).await;
        let reply = gatepost.get("/asked/x").await.bearer("good").send().await;
        assert_eq!(
            (reply.status.as_u16(), reason(&reply).as_str()),
            (503, "issuer_unavailable")
        );
        let jwt = sidecar::token(&json!({}));
        let own = gatepost.get("/asked/x").await.bearer(&jwt).send().await;
        assert_eq!(own.status, 200, "others are not kept waiting");
    }
}
