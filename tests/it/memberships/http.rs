//! `kind = "http"`: a service that answers with JSON, and all that one may answer instead.

use std::sync::{Arc, Mutex};

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{ADA_GROUPS, ask, config, decides, outcome, token};
use crate::support::eventually;
use crate::support::gatepost::{Gatepost, run};
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer, status};

/// A service that knows its users says so in JSON.
fn nobody() -> Answer {
    let mut said = answer(&json!({"title": "no such user"}));
    *said.status_mut() = StatusCode::NOT_FOUND;
    said
}

struct Setup {
    gatepost: Gatepost,
    upstream: Upstream,
    directory: Upstream,
}

impl Setup {
    /// A directory that answers so; this is the URL below it, and more keys of the store.
    async fn start(
        path: &str,
        more: &str,
        answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let directory = Upstream::answering(answer).await;
        let upstream = Upstream::start().await;
        let store = store(&format!("{}{path}", directory.url()), more);
        let config = config(&upstream.url(), &store);
        let gatepost = Gatepost::start(&config).await;
        Self {
            gatepost,
            upstream,
            directory,
        }
    }

    /// The paths and queries that were asked.
    fn asked(&self) -> Vec<String> {
        let asked = self.directory.requests().into_iter();
        asked.map(|request| request.uri.to_string()).collect()
    }
}

fn store(url: &str, more: &str) -> String {
    format!("[memberships.main]\nkind = \"http\"\nurl = \"{url}\"\n{more}\n")
}

const BY_ISSUER: &str = "/{issuer}/users/{user_id}";

fn groups(names: &[&str]) -> Answer {
    answer(&json!({ "groups": names, "roles": null, "permissions": [] }))
}

#[tokio::test]
async fn the_service_decides_and_is_asked_once() {
    let setup = Setup::start(BY_ISSUER, "", |request| match request.uri.path() {
        "/users/users/ada" => answer(&json!({
            "groups": ADA_GROUPS, "roles": ["editor"], "permissions": ["orders.write"], "more": {},
        })),
        "/users/users/mallory" => groups(&["banned"]),
        _nobody => nobody(),
    })
    .await;
    decides(&setup.gatepost).await;
    let ada = token("users", "ada", &json!({}));
    let reply = ask(&setup.gatepost, "/admins/1", &ada).await;
    let line = setup.gatepost.line_of(&reply).await;
    assert_eq!(line["memberships"], "cached", "{line}");
    let told = setup.upstream.last();
    assert_eq!(told.header("x-user-groups"), "admins,a%2Cb,line%0Abreak");
    let asked = setup.asked();
    let of_ada = asked.iter().filter(|path| *path == "/users/users/ada");
    assert_eq!(of_ada.count(), 1, "{asked:?}");
    setup
        .gatepost
        .counts("gatepost_memberships_lookups_total{memberships=\"main\",result=\"found\"} 2")
        .await;
}

#[tokio::test]
async fn a_user_id_is_one_segment_whatever_it_holds() {
    let all = |_: &Recorded| groups(&["admins"]);
    let setup = Setup::start("/v1/{issuer}/{user_id}/groups?t={tenant}", "", all).await;
    let mut expected = Vec::new();
    for (user, path) in [
        ("a/b", "a%2Fb"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("%2e%2e", "%252e%252e"),
        ("%2f", "%252f"),
        ("a?t=other#", "a%3Ft%3Dother%23"),
        ("a\\b", "a%5Cb"),
    ] {
        let token = token("users", user, &json!({ "org": "x&t=acme" }));
        let outcome = outcome(&setup.gatepost, "/admins/1", &token).await;
        assert_eq!(outcome, "200", "{user}");
        expected.push(format!("/v1/users/{path}/groups?t=x%26t%3Dacme"));
    }
    assert_eq!(setup.asked(), expected);
    // who has no place there is in nothing that anybody knows
    for (user, claims) in [
        (".", json!({ "org": "acme" })),
        ("..", json!({ "org": "acme" })),
        ("ada", json!({})),
    ] {
        for path in ["/admins/1", "/unbanned/1"] {
            let token = token("users", user, &claims);
            let outcome = outcome(&setup.gatepost, path, &token).await;
            assert_eq!(outcome, "403 groups_unresolved", "{path} {user} {claims}");
        }
    }
    assert_eq!(setup.asked(), expected);
}

#[tokio::test]
async fn every_bad_answer_has_its_outcome() {
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("g{number}")).collect();
        json!({ "groups": names, "roles": [], "permissions": [] })
    };
    let setup = Setup::start(BY_ISSUER, "", move |request| {
        let text = |text: &str| {
            let mut answer = answer(&Value::Null);
            *answer.body_mut() = http_body_util::Full::new(text.to_owned().into());
            answer
        };
        match request.uri.path().rsplit('/').next().unwrap_or_default() {
            "ten-thousand" => answer(&many(10_000)),
            "more" => answer(&many(10_001)),
            "nul" => groups(&["admins", "a\0b"]),
            "long" => groups(&["admins", &"a".repeat(1025)]),
            "huge" => answer(&json!({ "groups": ["admins"], "more": "a".repeat(1 << 20) })),
            "no-json" => text("<html>sorry</html>"),
            "a-list" => text("[\"admins\"]"),
            "twice" => text("{\"groups\": [], \"groups\": [\"admins\"]}"),
            "a-text" => answer(&json!({ "groups": "admins" })),
            "numbers" => answer(&json!({ "groups": ["admins", 1] })),
            "absent" => answer(&json!({ "roles": [], "permissions": [] })),
            "null" => answer(&json!({ "groups": null })),
            "gateway" => status(StatusCode::NOT_FOUND),
            "error" => status(StatusCode::INTERNAL_SERVER_ERROR),
            "bad-request" => status(StatusCode::BAD_REQUEST),
            "no-content" => status(StatusCode::NO_CONTENT),
            "moved" => {
                let mut moved = status(StatusCode::FOUND);
                let to = HeaderValue::from_static("/users/users/ada");
                moved.headers_mut().insert("location", to);
                moved
            }
            "ada" => groups(&["admins"]),
            _nobody => nobody(),
        }
    })
    .await;
    let unavailable = "503 memberships_unavailable";
    for (user, admins, unbanned) in [
        ("ten-thousand", "403 group_missing", "200"),
        ("more", unavailable, unavailable),
        ("nul", unavailable, unavailable),
        ("long", unavailable, unavailable),
        ("huge", unavailable, unavailable),
        ("no-json", unavailable, unavailable),
        ("a-list", unavailable, unavailable),
        ("twice", unavailable, unavailable),
        ("a-text", unavailable, unavailable),
        ("numbers", unavailable, unavailable),
        ("absent", "403 groups_unresolved", "403 groups_unresolved"),
        ("null", "403 group_missing", "200"),
        ("bad-request", unavailable, unavailable),
        ("error", unavailable, unavailable),
        // between two that may be everybody's, somebody is answered
        ("ada", "200", "200"),
        ("no-content", unavailable, unavailable),
        ("bob", "403 group_missing", "200"),
        ("gateway", unavailable, unavailable),
        ("bob", "403 group_missing", "200"),
        ("nobody", "403 group_missing", "200"),
        ("moved", unavailable, unavailable),
    ] {
        let token = token("users", user, &json!({ "groups": ["admins"] }));
        let found = outcome(&setup.gatepost, "/admins/1", &token).await;
        assert_eq!(found, admins, "{user}");
        let found = outcome(&setup.gatepost, "/unbanned/1", &token).await;
        assert_eq!(found, unbanned, "{user}");
    }
    let error = token("users", "error", &json!({}));
    let reply = ask(&setup.gatepost, "/admins/1", &error).await;
    assert_ne!(reply.header("retry-after"), "");
    // shadow mode notes it, and says who it was
    let reply = ask(&setup.gatepost, "/shadow/1", &error).await;
    assert_eq!(reply.status, 200);
    let line = setup.gatepost.line_of(&reply).await;
    assert_eq!(line["shadow_reason"], "memberships_unavailable", "{line}");
    let told = setup.upstream.last();
    assert_eq!(told.header("x-user-id"), "error");
    assert!(!told.headers.contains_key("x-user-groups"), "{told:?}");
}

#[tokio::test]
async fn through_an_outage_what_was_said_is_used_and_nobody_else_is_let_in() {
    let down = Arc::new(Mutex::new(false));
    let is_down = Arc::clone(&down);
    let setup = Setup::start(BY_ISSUER, "cache = \"50ms\"", move |_request| {
        if *is_down.lock().unwrap() {
            status(StatusCode::SERVICE_UNAVAILABLE)
        } else {
            groups(&["admins"])
        }
    })
    .await;
    let gatepost = &setup.gatepost;
    let ada = token("users", "ada", &json!({}));
    assert_eq!(outcome(gatepost, "/admins/1", &ada).await, "200");
    *down.lock().unwrap() = true;
    eventually("a stale answer", || async {
        let reply = ask(gatepost, "/admins/1", &ada).await;
        assert_eq!(reply.status, 200);
        let line = gatepost.line_of(&reply).await;
        (line["memberships"] == "stale").then_some(())
    })
    .await;
    for user in ["bob", "eve", "bob"] {
        let token = token("users", user, &json!({}));
        let outcome = outcome(gatepost, "/admins/1", &token).await;
        assert_eq!(outcome, "503 memberships_unavailable", "{user}");
    }
    *down.lock().unwrap() = false;
    let bob = token("users", "bob", &json!({}));
    eventually("it is asked again", || async {
        let reply = ask(gatepost, "/admins/1", &bob).await;
        (reply.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_that_hangs_or_breaks_off_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // it ends with the test
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut held = Vec::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // one is dropped, one never answered
            if held.len() % 2 == 0 {
                held.push(Some(stream));
            } else {
                held.push(None);
            }
        }
    });
    let upstream = Upstream::start().await;
    let store = store(
        &format!("http://{address}{BY_ISSUER}"),
        "timeout = \"200ms\"",
    );
    let gatepost = Gatepost::start(&config(&upstream.url(), &store)).await;
    for user in ["ada", "bob", "eve"] {
        let token = token("users", user, &json!({ "groups": ["admins"] }));
        for path in ["/admins/1", "/unbanned/1"] {
            let outcome = outcome(&gatepost, path, &token).await;
            assert_eq!(outcome, "503 memberships_unavailable", "{path} {user}");
        }
    }
}

#[tokio::test]
async fn the_credential_is_sent_and_read_again_when_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "old").unwrap();
    let more = format!(
        "credential = \"directory\"\n[credentials.directory]\nkind = \"static_token\"\ntoken = {{ file = \"{}\" }}\n",
        file.display()
    );
    let accepted = Arc::new(Mutex::new("Bearer old"));
    let known = Arc::clone(&accepted);
    let setup = Setup::start(BY_ISSUER, &more, move |request| {
        if request.header("authorization") == *known.lock().unwrap() {
            groups(&["admins"])
        } else {
            status(StatusCode::UNAUTHORIZED)
        }
    })
    .await;
    let gatepost = &setup.gatepost;
    let ada = token("users", "ada", &json!({}));
    assert_eq!(outcome(gatepost, "/admins/1", &ada).await, "200");
    // rotated: the file first, or the service
    std::fs::write(&file, "new").unwrap();
    *accepted.lock().unwrap() = "Bearer new";
    let bob = token("users", "bob", &json!({}));
    assert_eq!(outcome(gatepost, "/admins/1", &bob).await, "200");
    // never the user's own token
    let sent = setup.directory.requests();
    let values = sent.iter().map(|request| request.header("authorization"));
    assert!(
        values
            .clone()
            .all(|value| value.starts_with("Bearer ") && value.len() < 12),
        "{:?}",
        values.collect::<Vec<_>>()
    );
    // and refused for good it is an outage
    *accepted.lock().unwrap() = "Bearer third";
    let eve = token("users", "eve", &json!({}));
    let refused = outcome(gatepost, "/admins/1", &eve).await;
    assert_eq!(refused, "503 memberships_unavailable");
}

#[test]
fn what_cannot_be_right_is_an_error_of_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gatepost.toml");
    let wrong = |url: &str, more: &str| {
        let text = config("http://127.0.0.1:1", &store(url, more));
        std::fs::write(&path, text).unwrap();
        let checked = run(&["check", "--config", path.to_str().unwrap()], &[]);
        assert_eq!(checked.status.code(), Some(1), "{url} {more}");
        String::from_utf8_lossy(&checked.stdout).into_owned()
            + &String::from_utf8_lossy(&checked.stderr)
    };
    let good = "https://directory.test/{issuer}/{user_id}";
    for (url, more, told) in [
        (
            "https://directory.test/{user_id}",
            "",
            "[memberships.main] is not told the issuer, and is asked about users of several: staff, users",
        ),
        (
            "https://directory.test/{issuer}",
            "",
            "without {user_id} everybody would be in the same groups",
        ),
        (
            "http://directory.test/{issuer}/{user_id}",
            "",
            "plain http:// to another host",
        ),
        (
            good,
            "groups = \"groups\"",
            "this route asks for permissions, and [memberships.main] keeps none",
        ),
        (
            good,
            "credential = \"none\"",
            "there is no [credentials.none]",
        ),
        (
            good,
            "cache = \"1h\"\nmax_stale = \"1m\"",
            "shorter than cache",
        ),
        (
            good,
            "credential = \"own\"\n[credentials.own]\nkind = \"pass_through\"\nissuers = [\"users\"]",
            "[credentials.own] is made from a user's token",
        ),
    ] {
        let output = wrong(url, more);
        assert!(output.contains(told), "{url} {more}: {output}");
    }
}
