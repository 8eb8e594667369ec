//! What a request carries, and what happens when the target or the token endpoint says no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gatepost::config::CredentialKind;
use gatepost::secret::SecretSource;
use http::{HeaderName, StatusCode};
use serde_json::json;

use crate::support::eventually;
use crate::support::http::Call;
use crate::support::upstream::{self, Upstream, status};

use super::{REPLAY, Running, fixed, granted, source, target};

/// A token endpoint: `s3cret-1`, `s3cret-2`… while `up`.
async fn endpoint(up: &Arc<AtomicBool>) -> Upstream {
    let (up, count) = (Arc::clone(up), AtomicUsize::new(0));
    Upstream::answering(move |_request| {
        if !up.load(Ordering::SeqCst) {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        upstream::json(&json!({
            "access_token": format!("s3cret-{number}"),
            "token_type": "Bearer",
            "expires_in": 3600,
        }))
    })
    .await
}

/// A target that answers 401 to every `Authorization` but these.
async fn accepting(good: &'static [&'static str]) -> Upstream {
    Upstream::answering(move |request| {
        if good.contains(&request.header("authorization")) {
            upstream::json(&json!({ "bytes": request.body.len() }))
        } else {
            status(StatusCode::UNAUTHORIZED)
        }
    })
    .await
}

fn seen(target: &Upstream) -> Vec<String> {
    target
        .requests()
        .iter()
        .map(|request| request.header("authorization").to_owned())
        .collect()
}

#[tokio::test]
async fn after_a_401_a_small_request_is_replayed_once_with_its_body() {
    let token_endpoint = endpoint(&Arc::new(AtomicBool::new(true))).await;
    let billing = accepting(&["Bearer s3cret-2"]).await;
    let gatepost = Running::start(
        vec![granted(&token_endpoint.url())],
        vec![target("billing", &billing.url(), &["granted"])],
    )
    .await;
    let reply = Call::post(gatepost.at, "/billing/x?q=1")
        .body(vec![b'x'; REPLAY])
        .send()
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["bytes"], REPLAY);
    assert_eq!(seen(&billing), ["Bearer s3cret-1", "Bearer s3cret-2"]);
    assert!(
        billing
            .requests()
            .iter()
            .all(|r| r.uri == "/x?q=1" && r.body.len() == REPLAY)
    );
}

#[tokio::test]
async fn a_401_that_stays_goes_to_the_app_without_a_loop() {
    let token_endpoint = endpoint(&Arc::new(AtomicBool::new(true))).await;
    let billing = accepting(&[]).await;
    let gatepost = Running::start(
        vec![granted(&token_endpoint.url())],
        vec![target("billing", &billing.url(), &["granted"])],
    )
    .await;
    for _request in 0..3 {
        assert_eq!(gatepost.get("/billing/x").send().await.status, 401);
    }
    // one replay; then 30 s without another
    let second = "Bearer s3cret-2";
    assert_eq!(seen(&billing), ["Bearer s3cret-1", second, second, second]);
    assert_eq!(token_endpoint.requests().len(), 2);
}

#[tokio::test]
async fn a_large_body_is_not_replayed_but_the_next_request_has_a_new_token() {
    let token_endpoint = endpoint(&Arc::new(AtomicBool::new(true))).await;
    let billing = accepting(&["Bearer s3cret-2"]).await;
    let gatepost = Running::start(
        vec![granted(&token_endpoint.url())],
        vec![target("billing", &billing.url(), &["granted"])],
    )
    .await;
    let large = || Call::post(gatepost.at, "/billing/x").body(vec![b'x'; REPLAY + 1]);
    assert_eq!(large().send().await.status, 401);
    assert_eq!(seen(&billing), ["Bearer s3cret-1"]);
    assert_eq!(large().send().await.json()["bytes"], REPLAY + 1);
}

#[tokio::test]
async fn a_changed_file_is_read_again_after_a_401() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "old\n").unwrap();
    let billing = Upstream::answering(|request| {
        if request.header("x-metrics-key") == "new" {
            upstream::json(&json!({}))
        } else {
            status(StatusCode::UNAUTHORIZED)
        }
    })
    .await;
    let key = source(
        "key",
        CredentialKind::ApiKey {
            header: HeaderName::from_static("x-metrics-key"),
            scheme: None,
            value: SecretSource::File(path.clone()),
        },
    );
    let targets = vec![target("billing", &billing.url(), &["key"])];
    let gatepost = Running::start(vec![key], targets).await;
    let get = || {
        gatepost
            .get("/billing/x")
            .header("x-metrics-key", "the app's")
            .header("authorization", "Bearer of-the-app")
    };
    assert_eq!(get().send().await.status, 401);
    assert_eq!(billing.requests().len(), 1, "nothing new to replay with");
    std::fs::write(&path, "new\n").unwrap();
    assert_eq!(get().send().await.status, 200);
    let keys: Vec<_> = billing
        .requests()
        .iter()
        .map(|request| request.header("x-metrics-key").to_owned())
        .collect();
    assert_eq!(keys, ["old", "old", "new"]);
    assert!(
        seen(&billing).iter().all(String::is_empty),
        "the app's own credential stays here"
    );
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_it_recovers() {
    let up = Arc::new(AtomicBool::new(false));
    let token_endpoint = endpoint(&up).await;
    let billing = accepting(&["Bearer s3cret-1"]).await;
    let gatepost = Running::start(
        vec![granted(&token_endpoint.url())],
        vec![target("billing", &billing.url(), &["granted"])],
    )
    .await;
    let reply = gatepost
        .get("/billing/x")
        .header("authorization", "Bearer of-the-app")
        .send()
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
    assert_ne!(reply.header("retry-after"), "");
    assert_eq!(billing.requests().len(), 0);
    up.store(true, Ordering::SeqCst);
    eventually("recovery", || async {
        (gatepost.get("/billing/x").send().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_target_is_a_failure_of_its_own() {
    let gone = Upstream::start().await.url();
    let targets = vec![target("billing", &gone, &["static"])];
    let gatepost = Running::start(vec![fixed()], targets).await;
    let reply = gatepost.get("/billing/x").send().await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-auth-reason"), "upstream_unreachable");
}

#[tokio::test]
async fn the_callers_own_token_passes_if_it_is_one() {
    let billing = accepting(&["Bearer callers"]).await;
    let sources = vec![source("caller", CredentialKind::PassThrough), fixed()];
    let targets = vec![
        target("strict", &billing.url(), &["caller"]),
        target("either", &billing.url(), &["caller", "static"]),
    ];
    let gatepost = Running::start(sources, targets).await;
    let callers = |path: &str| gatepost.get(path).header("authorization", "Bearer callers");
    assert_eq!(callers("/strict/x").send().await.status, 200);
    let missing = gatepost.get("/strict/x").send().await;
    assert_eq!(missing.status, 403);
    assert_eq!(missing.header("x-auth-reason"), "egress_token_unavailable");
    for target in ["/strict/x", "/either/x"] {
        let twice = callers(target).header("authorization", "Bearer other");
        assert_eq!(twice.send().await.status, 400);
    }
    assert_eq!(seen(&billing), ["Bearer callers"]);
    assert_eq!(callers("/either/x").send().await.status, 200);
    assert_eq!(gatepost.get("/either/x").send().await.status, 401);
    assert_eq!(seen(&billing).last().unwrap(), "Bearer s3cret-static");
    assert_eq!(
        billing.requests().len(),
        3,
        "what was refused is not replayed"
    );
}

#[tokio::test]
async fn the_log_tells_the_request_and_no_secret() {
    let token_endpoint = endpoint(&Arc::new(AtomicBool::new(true))).await;
    let billing = accepting(&["Bearer s3cret-2"]).await;
    let gatepost = Running::start(
        vec![granted(&token_endpoint.url())],
        vec![target("billing", &billing.url(), &["granted"])],
    )
    .await;
    let reply = gatepost
        .get("/billing/x?password=s3cret-query")
        .header("authorization", "Bearer s3cret-app")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .send()
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(gatepost.get("/unknown/x").send().await.status, 403);
    let lines = eventually("two lines", || async {
        let lines = gatepost.lines();
        (lines.lines().count() == 2).then_some(lines)
    })
    .await;
    for expected in [
        r#""plane":"egress""#,
        r#""route":"billing""#,
        r#""path":"/billing/x""#,
        r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736""#,
        r#""reason":"egress_target_refused""#,
    ] {
        assert!(lines.contains(expected), "{expected} in {lines}");
    }
    let world = gatepost.app.world();
    let report = world.credentials.report();
    let shown = format!("{lines}{world:?}{report}");
    assert!(!shown.contains("s3cret"), "{shown}");
}
