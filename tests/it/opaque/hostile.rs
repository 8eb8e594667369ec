//! What servers and made-up tokens do to others: servers in this process, since real ones cannot be made to.

use http::StatusCode;

use super::*;
use crate::support::issuer::now;
use crate::support::sidecar;
use crate::support::upstream::{self, Recorded, Upstream};

fn asked_about(request: &Recorded) -> String {
    url::form_urlencoded::parse(&request.body)
        .find(|(name, _)| name == "token")
        .map(|(_, token)| token.into_owned())
        .unwrap_or_default()
}

fn config(server: &Upstream, app: &Upstream, more: &str, route: &str) -> String {
    format!(
        r#"
        [errors]
        expose_reason = true

        [issuers.opaque]
        kind = "introspection"
        introspection_url = "{}/introspect"
        client_ids = ["app"]
        client_id = "gatepost"
        client_secret = {{ insecure_literal = "s" }}
        {more}

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        {route}
        upstream = "app"
        "#,
        server.url(),
        app.url()
    )
}

async fn outcome(gatepost: &Gatepost, token: &str) -> (u16, String) {
    let reply = gatepost.get("/x").await.bearer(token).send().await;
    (reply.status.as_u16(), reason(&reply))
}

fn good() -> Value {
    json!({"active": true, "sub": "ada", "client_id": "app"})
}

#[tokio::test]
async fn what_a_firewall_says_of_one_token_keeps_nobody_else_out() {
    let app = Upstream::start().await;
    let server = Upstream::answering(|request| {
        if asked_about(request).contains("../") {
            upstream::status(StatusCode::FORBIDDEN)
        } else {
            upstream::json(&good())
        }
    })
    .await;
    let gatepost = Gatepost::start(&config(&server, &app, "cache = \"0s\"", "")).await;
    for round in 0..20 {
        let evil = outcome(&gatepost, &format!("../../../../etc/passwd{round}")).await;
        assert_eq!(evil, (503, "issuer_unavailable".to_owned()));
        assert_eq!(outcome(&gatepost, "known").await.0, 200);
        assert_eq!(outcome(&gatepost, &format!("new{round}")).await.0, 200);
    }
    let output = gatepost.output();
    assert!(!output.contains("token endpoint"), "{output}");
}

#[tokio::test]
async fn a_jwt_is_shown_to_nobody_however_it_is_bent() {
    let app = Upstream::start().await;
    let server = Upstream::answering(|_request| upstream::json(&good())).await;
    let gatepost = Gatepost::start(&config(&server, &app, "", "")).await;
    let jwt = sidecar::token(&json!({}));
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    // the two spare bits of the last of 43 characters
    let bent = alphabet.chars().nth(at + 1).unwrap();
    let start = signature.strip_suffix(last).unwrap();
    for token in [
        jwt.clone(),
        format!("{signed}.{start}{bent}"),
        format!("{signed}.{signature}="),
        format!("{signed}.+/{signature}"),
    ] {
        assert_eq!(outcome(&gatepost, &token).await.0, 401, "{token}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_token_whose_end_has_come_is_asked_about_again() {
    let app = Upstream::start().await;
    let end = now() + 2;
    let server = Upstream::answering(move |_request| {
        let mut answer = if now() < end {
            good()
        } else {
            json!({"active": false})
        };
        answer["exp"] = json!(end);
        upstream::json(&answer)
    })
    .await;
    let gatepost = Gatepost::start(&config(&server, &app, "", "")).await;
    assert_eq!(outcome(&gatepost, "t").await.0, 200);
    // long before `cache` and leeway are over
    let ended = crate::support::eventually("the end", async || {
        let found = outcome(&gatepost, "t").await;
        (found.0 != 200).then_some(found)
    });
    assert_eq!(ended.await, (401, "token_inactive".to_owned()));
}

#[tokio::test]
async fn what_was_said_to_another_client_counts_no_more() {
    let app = Upstream::start().await;
    let server = Upstream::answering(|request| {
        let is_first = request.body.windows(12).any(|part| part == b"client_id=g1");
        upstream::json(&if is_first {
            good()
        } else {
            json!({"active": false})
        })
    })
    .await;
    let text = config(&server, &app, "", "").replace(
        "client_id = \"gatepost\"",
        "client_id = \"g1\"\nauth_method = \"client_secret_post\"",
    );
    let gatepost = Gatepost::start(&text).await;
    assert_eq!(outcome(&gatepost, "t").await.0, 200);
    gatepost
        .reload(&text.replace("\"g1\"", "\"g2\""), "accepted", 1)
        .await;
    assert_eq!(
        outcome(&gatepost, "t").await,
        (401, "token_inactive".to_owned())
    );
}

#[tokio::test]
async fn a_token_without_an_end_can_stand_behind_a_call() {
    let app = Upstream::start().await;
    let target = Upstream::start().await;
    let server = Upstream::answering(|_request| upstream::json(&good())).await;
    let text = config(&server, &app, "cache = \"0s\"\nleeway = \"0s\"", "")
        + &format!(
            r#"
            [egress]
            listen = "127.0.0.1:0"

            [credentials.own]
            kind = "pass_through"

            [[egress_targets]]
            name = "own"
            url = "{}"
            credential = "own"
            "#,
            target.url()
        );
    let gatepost = Gatepost::start(&text).await;
    let egress = gatepost.listener("egress").await;
    assert_eq!(outcome(&gatepost, "of-ada").await.0, 200);
    let handle = app.last().header("x-auth-handle").to_owned();
    let call = Call::get(egress, "/own/x").header("x-auth-handle", &handle);
    let reply = call.send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(target.last().header("authorization"), "Bearer of-ada");
}
