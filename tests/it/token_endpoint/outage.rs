//! An endpoint that does as it is told (oauth2-mock-server): slow, away, out of order.

use serde_json::{Value, json};

use super::{config, describe};
use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::Upstream;

/// Parallel first requests.
const CALLERS: usize = 500;

async fn tell(mock: &Counterpart, command: &str, order: Value) -> Value {
    let address = mock.url.strip_prefix("http://").expect("a URL");
    let call = Call::post(
        address.parse().expect("an address"),
        &format!("/control/{command}"),
    );
    let call = call.header("content-type", "application/json");
    call.body(order.to_string()).send().await.json()
}

async fn asked(mock: &Counterpart) -> u64 {
    let seen = tell(mock, "seen", json!({"at": "/token/x"})).await;
    seen["requests"].as_u64().expect("a number")
}

/// The endpoint answers so from now on.
async fn answers(mock: &Counterpart, status: u16, body: Value, more: Value) {
    let mut order = json!({"at": "/token/x", "status": status, "body": body});
    crate::support::issuer::merge(&mut order, &more);
    tell(mock, "answer", order).await;
}

fn granted(token: &str) -> Value {
    json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600})
}

fn credential(mock: &Counterpart) -> String {
    format!(
        "kind = \"client_credentials\"\ntoken_url = \"{}/token/x\"\nclient_id = \"a\"\n\
         client_secret = {{ insecure_literal = \"s3cret\" }}",
        mock.url
    )
}

#[tokio::test]
async fn five_hundred_first_requests_at_once_cause_one_token_request() {
    let mock = or_skip!(counterparts::oauth2_mock_server().await);
    answers(&mock, 200, granted("t-1"), json!({"delay_ms": 1000})).await;
    let upstream = Upstream::start().await;
    let mut text = config(&upstream.url(), &credential(&mock));
    text = text.replace("[egress]", "[egress]\nmax_connections_per_peer = 1000");
    let gatepost = Gatepost::start(&text).await;
    let egress = gatepost.listener("egress").await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(async move {
            Call::get(egress, &format!("/t/{number}"))
                .send()
                .await
                .status
        });
    }
    let statuses = callers.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    let carried = upstream.requests();
    assert_eq!(carried.len(), CALLERS);
    assert!(
        carried
            .iter()
            .all(|request| request.header("authorization") == "Bearer t-1")
    );
    assert_eq!(asked(&mock).await, 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_calls_go_on_when_the_endpoint_is_back() {
    let mock = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), &credential(&mock))).await;
    let egress = gatepost.listener("egress").await;
    answers(&mock, 500, json!({}), json!({})).await;
    for _call in 0..50 {
        let refused = Call::get(egress, "/t/x").send().await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("x-auth-reason"), "egress_token_unavailable");
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    }
    assert!(upstream.requests().is_empty(), "sent without a credential");
    assert!(asked(&mock).await < 10, "each call asked");
    answers(&mock, 200, granted("t-1"), json!({})).await;
    eventually("a token", async || {
        let reply = Call::get(egress, "/t/x").send().await;
        (reply.status == 200).then_some(())
    })
    .await;
    assert_eq!(upstream.last().header("authorization"), "Bearer t-1");
    assert!(!gatepost.output().contains("t-1"), "logged");
}

#[tokio::test]
async fn an_endpoint_that_wants_to_be_left_alone_is_left_alone() {
    let mock = or_skip!(counterparts::oauth2_mock_server().await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&upstream.url(), &credential(&mock))).await;
    let egress = gatepost.listener("egress").await;
    // a date far from now, whatever the machine's clock says
    let headers = json!({"headers": {"retry-after": "Tue, 31 Dec 2199 23:59:59 GMT"}});
    answers(&mock, 429, json!({}), headers).await;
    for _call in 0..50 {
        let refused = Call::get(egress, "/t/x").send().await;
        assert_eq!(refused.status, 503, "{refused:?}");
        let retry_after: u64 = refused.header("retry-after").parse().expect("seconds");
        // as long as we let any endpoint silence us
        assert!((800..=1000).contains(&retry_after), "{retry_after}");
    }
    assert_eq!(asked(&mock).await, 1);
}

#[tokio::test]
async fn gatepost_token_says_what_is_behind_a_refusal() {
    let mock = or_skip!(counterparts::oauth2_mock_server().await);
    let directory = tempfile::tempdir().expect("a directory");
    let config = config("http://127.0.0.1:1", &credential(&mock));
    for (status, body, words) in [
        (
            400,
            json!({"error": "invalid_scope", "error_description": "s3cret"}),
            [
                "answered 400 Bad Request invalid_scope",
                "a scope does not exist",
            ],
        ),
        (429, json!({}), ["answered 429", "limit"]),
        (
            200,
            json!({"access_token": "t-dpop", "token_type": "DPoP", "expires_in": 60}),
            ["token_type is not Bearer", "DPoP"],
        ),
        (200, granted("t-1"), ["client_secret_basic", "opaque"]),
    ] {
        let sound = status == 200 && body["token_type"] == "Bearer";
        answers(&mock, status, body, json!({})).await;
        let (success, text) = describe(directory.path(), &config, &[]);
        assert_eq!(success, sound, "{text}");
        for words in words {
            assert!(text.contains(words), "{text}");
        }
        for secret in ["s3cret", "t-dpop", "t-1"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
