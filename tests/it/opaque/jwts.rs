//! JWTs that are not verified here: another Gatepost is asked, where the issuer's table says so.

use serde_json::json;

use super::*;
use crate::support::issuer::now;
use crate::support::sidecar;
use crate::support::upstream::{self, Upstream};

/// The central one: it has the keys.
async fn central(app: &Upstream) -> (Gatepost, String) {
    let text = format!(
        "[forward_auth]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n{}",
        sidecar::config(&app.url(), "")
    );
    let central = Gatepost::start(&text).await;
    let url = format!(
        "http://{}/api/v1/validate",
        central.listener("forward_auth").await
    );
    (central, url)
}

/// `/asked` asks `url`; `/own` takes what keys of ours verify too.
fn config(url: &str, app: &Upstream, more: &str) -> String {
    let own = sidecar::config(&app.url(), "");
    let own = own
        .replace("path = \"/**\"", "path = \"/**\"\nissuers = [\"own\"]")
        .replace(
            "path = \"/editors/**\"",
            "path = \"/editors/**\"\nissuers = [\"own\"]",
        );
    format!(
        r#"
        [errors]
        expose_reason = true
        {own}

        [issuers.central]
        kind = "remote"
        url = "{url}"
        accept_jwt = true
        {more}

        [[routes]]
        path = "/asked/**"
        issuers = ["central"]
        require = {{ groups = ["ops"] }}
        upstream = "app"

        [[routes]]
        path = "/both/**"
        issuers = ["own", "central"]
        upstream = "app"
        "#
    )
}

async fn outcome(gatepost: &Gatepost, path: &str, token: &str) -> (u16, String) {
    let reply = gatepost.get(path).await.bearer(token).send().await;
    (reply.status.as_u16(), reason(&reply))
}

#[tokio::test]
async fn another_gatepost_judges_and_only_for_the_issuers_that_are_meant() {
    let app = Upstream::start().await;
    let (_central, url) = central(&app).await;
    let ops = sidecar::token(&json!({"groups": ["ops"]}));
    for (issuers, expected) in [
        ("issuers = [\"own\"]", (200, "")),
        ("issuers = \"any\"", (200, "")),
        ("issuers = [\"other\"]", (401, "issuer_unknown")),
        ("", (401, "issuer_unknown")),
    ] {
        let gatepost = Gatepost::start(&config(&url, &app, issuers)).await;
        let found = outcome(&gatepost, "/asked/x", &ops).await;
        assert_eq!((found.0, found.1.as_str()), expected, "{issuers}");
        if expected.0 == 200 {
            let seen = app.last();
            assert_eq!(seen.header("x-user-id"), "ada");
            assert_eq!(seen.header("x-user-groups"), "ops");
            assert_eq!(seen.header("x-auth-issuer"), "central");
        }
        let nobody = sidecar::token(&json!({}));
        let found = outcome(&gatepost, "/asked/x", &nobody).await;
        assert_eq!(found.0, if expected.0 == 200 { 403 } else { 401 });
        let expired = sidecar::token(&json!({"groups": ["ops"], "exp": now() - 3600}));
        let found = outcome(&gatepost, "/asked/x", &expired).await;
        assert_eq!(found, (401, "token_inactive".to_owned()));
    }
}

#[tokio::test]
async fn an_answer_about_a_token_counts_only_where_it_would_be_asked_about() {
    let app = Upstream::start().await;
    // an endpoint that says yes to everything
    let yes = Upstream::answering(|_request| {
        upstream::json(&json!({"id": "eve", "kind": "user", "groups": ["ops"]}))
    })
    .await;
    let gatepost = Gatepost::start(&config(&yes.url(), &app, "")).await;
    // it names the issuer whose keys we have, and they do not verify it
    let good = sidecar::token(&json!({}));
    let (signed, _signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", "A".repeat(43));
    for _time in 0..2 {
        assert_eq!(outcome(&gatepost, "/asked/x", &forged).await.0, 200);
        assert_eq!(yes.requests().len(), 1, "and then it is known");
        let both = outcome(&gatepost, "/both/x", &forged).await;
        assert_eq!(both, (401, "signature_invalid".to_owned()));
        let own = outcome(&gatepost, "/x", &forged).await;
        assert_eq!(own, (401, "signature_invalid".to_owned()));
    }
    // and the other way round: what our keys verify is its own user, not the endpoint's
    assert_eq!(outcome(&gatepost, "/both/x", &good).await.0, 200);
    assert_eq!(app.last().header("x-user-id"), "ada");
    assert_eq!(outcome(&gatepost, "/asked/x", &good).await.0, 200);
    assert_eq!(app.last().header("x-user-id"), "eve");
    assert_eq!(outcome(&gatepost, "/both/x", &good).await.0, 200);
    assert_eq!(app.last().header("x-user-id"), "ada");
    // one that nobody's keys could verify is asked about at both
    let strange = sidecar::token(&json!({"iss": "https://strange.example"}));
    assert_eq!(outcome(&gatepost, "/both/x", &strange).await.0, 200);
    assert_eq!(app.last().header("x-user-id"), "eve");
    assert_eq!(outcome(&gatepost, "/x", &strange).await.0, 401);
}

#[tokio::test]
async fn a_reload_keeps_the_answers_of_what_stays_the_same_and_no_others() {
    let app = Upstream::start().await;
    let endpoint = Upstream::answering(|_request| {
        upstream::json(&json!({"id": "ada", "kind": "user", "groups": ["ops"]}))
    })
    .await;
    let text = |more: &str| config(&format!("{}/who", endpoint.url()), &app, more);
    let gatepost = Gatepost::start(&text("")).await;
    let asked = async |count: usize, what: &str| {
        assert_eq!(
            outcome(&gatepost, "/asked/x", "opaque").await.0,
            200,
            "{what}"
        );
        assert_eq!(endpoint.requests().len(), count, "{what}");
    };
    asked(1, "first").await;
    asked(1, "known").await;
    gatepost
        .reload(&format!("{}\n", text("")), "accepted", 1)
        .await;
    asked(1, "nothing changed").await;
    gatepost
        .reload(&text("claims = { groups = \"groups\" }"), "accepted", 2)
        .await;
    asked(1, "read in another way, the answer is the same").await;
    let elsewhere = text("").replace("/who", "/whom");
    gatepost.reload(&elsewhere, "accepted", 3).await;
    asked(2, "somebody else is asked").await;
}

#[tokio::test]
async fn a_token_ends_with_what_the_answer_says_of_it() {
    let app = Upstream::start().await;
    let start = now();
    let endpoint = Upstream::answering(move |request| {
        let expiry = match request.header("authorization") {
            "Bearer long" => start + 3600,
            "Bearer over" => start - 61,
            _short => start - 58,
        };
        upstream::json(&json!({"id": "ada", "groups": ["ops"], "expiry": expiry}))
    })
    .await;
    let gatepost = Gatepost::start(&config(&endpoint.url(), &app, "")).await;
    assert_eq!(outcome(&gatepost, "/asked/x", "long").await.0, 200);
    let over = outcome(&gatepost, "/asked/x", "over").await;
    assert_eq!(over, (401, "token_expired".to_owned()));
    // within the leeway, for two seconds more
    let ended = crate::support::eventually("the end", async || {
        let found = outcome(&gatepost, "/asked/x", "short").await;
        (found.0 != 200).then_some(found)
    });
    assert_eq!(ended.await, (401, "token_expired".to_owned()));
}
