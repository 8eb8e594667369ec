//! A target says no: which requests are sent again with another credential, exactly once, and which
//! are not. The real binary.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::{self, Upstream, status};
use crate::support::wire;

/// What a target does with credentials.
type Judge = Arc<Mutex<Box<dyn Fn(&str) -> u16 + Send + Sync>>>;

struct Scene {
    gatepost: Gatepost,
    at: std::net::SocketAddr,
    target: Upstream,
    issuer: Upstream,
    judge: Judge,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let judge: Judge = Arc::new(Mutex::new(Box::new(|_credential| 200)));
        let asked = Arc::clone(&judge);
        let target = Upstream::answering(move |request| {
            let credential = ["authorization", "x-key"]
                .map(|name| request.header(name))
                .concat();
            let code = asked.lock().unwrap()(&credential);
            let mut answer = status(StatusCode::from_u16(code).unwrap());
            if code == 401 {
                let challenge = HeaderValue::from_static("Target realm=\"t\"");
                answer.headers_mut().insert("www-authenticate", challenge);
                *answer.body_mut() = "the target's own words".into();
            }
            answer
        })
        .await;
        let count = AtomicUsize::new(0);
        let issuer = Upstream::answering(move |_request| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            upstream::json(&json!({
                "access_token": format!("granted-{number}"), "token_type": "Bearer", "expires_in": 600,
            }))
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["robot", "key"] {
            std::fs::write(folder.path().join(name), format!("{name}-1")).unwrap();
        }
        let config = format!(
            r#"
            [egress]
            listen = "127.0.0.1:0"
            replay_body_bytes = "100B"
            [credentials.service]
            kind = "client_credentials"
            token_url = "{issuer}/token"
            client_id = "app"
            client_secret = {{ insecure_literal = "s" }}
            [credentials.robot]
            kind = "static_token"
            token = {{ file = "{folder}/robot" }}
            [credentials.key]
            kind = "api_key"
            header = "x-key"
            value = {{ file = "{folder}/key" }}
            [credentials.caller]
            kind = "pass_through"
            {targets}
            "#,
            issuer = issuer.url(),
            folder = folder.path().display(),
            targets = ["service", "robot", "key", "caller"]
                .map(|name| {
                    let url = target.url();
                    format!("[[egress_targets]]\nname = \"{name}\"\nurl = \"{url}\"\ncredential = \"{name}\"\n")
                })
                .concat(),
        );
        let gatepost = Gatepost::start(&config).await;
        let at = gatepost.listener("egress").await;
        Self {
            gatepost,
            at,
            target,
            issuer,
            judge,
            folder,
        }
    }

    fn judging(&self, judge: impl Fn(&str) -> u16 + Send + Sync + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the target was sent since `before`.
    fn sent(&self, before: usize) -> Vec<String> {
        let all = self.target.requests();
        let credential = |request: &upstream::Recorded| {
            ["authorization", "x-key"]
                .map(|name| request.header(name))
                .concat()
        };
        all[before..].iter().map(credential).collect()
    }

    fn count(&self) -> usize {
        self.target.requests().len()
    }
}

#[tokio::test]
async fn each_kind_is_sent_again_once_if_there_is_another_credential() {
    let scene = Scene::new().await;
    // a token: 401 means that it is not taken, 403 that it is
    for (code, sent) in [
        (403, vec!["Bearer granted-1"]),
        (401, vec!["Bearer granted-1", "Bearer granted-2"]),
        // nor is there a third within half a minute
        (401, vec!["Bearer granted-2"]),
    ] {
        let before = scene.count();
        scene.judging(move |_credential| code);
        let reply = Call::get(scene.at, "/service/x").send().await;
        assert_eq!(reply.status, code);
        assert_eq!(scene.sent(before), sent, "{code}");
        let line = scene.gatepost.line_of(&reply).await;
        assert_eq!(line["credential"], "service");
        assert_eq!(line["replayed"] == true, sent.len() == 2, "{line}");
    }
    assert_eq!(scene.issuer.requests().len(), 2);

    // a key or token of somebody else's: it may have been rotated, and 403 may say so too
    for (name, prefix) in [("key", ""), ("robot", "Bearer ")] {
        for (code, number) in [(401, 1), (403, 2)] {
            let what = format!("{name} {code}");
            let (old, new) = (format!("{name}-{number}"), format!("{name}-{}", number + 1));
            // still the same: nothing to try
            let before = scene.count();
            scene.judging(move |_credential| code);
            let reply = Call::get(scene.at, &format!("/{name}/x")).send().await;
            assert_eq!(reply.status, code, "{what}");
            assert_eq!(scene.sent(before), [format!("{prefix}{old}")], "{what}");
            // rotated while the request was under way
            let (file, value) = (scene.file(name), new.clone());
            let before = scene.count();
            scene.judging(move |credential| {
                if credential.ends_with(&value) {
                    return 200;
                }
                std::fs::write(&file, &value).unwrap();
                code
            });
            let call = Call::post(scene.at, &format!("/{name}/x")).body("once more, please");
            let reply = call.send().await;
            assert_eq!(reply.status, 200, "{what}");
            let sent = [format!("{prefix}{old}"), format!("{prefix}{new}")];
            assert_eq!(scene.sent(before), sent, "{what}");
            assert_eq!(scene.target.last().body, "once more, please", "{what}");
            let line = scene.gatepost.line_of(&reply).await;
            assert_eq!(
                (&line["credential"], &line["replayed"]),
                (&json!(name), &json!(true))
            );
            // the changed file also reloads, in its own time
            scene.gatepost.reloads("accepted", 1).await;
        }
    }

    // the caller's own is never ours to replace
    for code in [401, 403] {
        let before = scene.count();
        scene.judging(move |_credential| code);
        let call = Call::get(scene.at, "/caller/x").header("authorization", "Bearer own");
        assert_eq!(call.send().await.status, code);
        assert_eq!(scene.sent(before), ["Bearer own"]);
    }
    scene
        .gatepost
        .counts(r#"gatepost_egress_replays_total{route="service"} 1"#)
        .await;
    scene
        .gatepost
        .counts(r#"gatepost_egress_replays_total{route="key"} 2"#)
        .await;
}

/// 401 says that the request was not carried out, whatever its method: what counts is the body.
#[tokio::test]
async fn any_method_is_sent_again_whose_body_is_kept() {
    let scene = Scene::new().await;
    let mut number = 1;
    // the next key is there once the first was refused
    let mut rotate = || {
        number += 1;
        let (file, value) = (scene.file("key"), format!("key-{number}"));
        scene.judging(move |credential| {
            if credential == value {
                return 200;
            }
            std::fs::write(&file, &value).unwrap();
            401
        });
    };
    for (method, body, again) in [
        (Method::GET, 0, true),
        (Method::HEAD, 0, true),
        (Method::POST, 0, true),
        (Method::POST, 100, true),
        (Method::PATCH, 100, true),
        (Method::DELETE, 1, true),
        (Method::POST, 101, false),
        (Method::PUT, 100_000, false),
    ] {
        let what = format!("{method} {body}");
        rotate();
        let before = scene.count();
        let call = Call::new(method, scene.at, "/key/x?y").body(vec![b'x'; body]);
        let status = call.send().await.status;
        let requests = &scene.target.requests()[before..];
        let (expected, times) = if again { (200, 2) } else { (401, 1) };
        assert_eq!(
            (status.as_u16(), requests.len()),
            (expected, times),
            "{what}"
        );
        for request in requests {
            assert_eq!(
                (request.body.len(), request.uri.to_string()),
                (body, "/x?y".to_owned())
            );
        }
    }
    // a length nobody stated, and trailers
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
    ] {
        rotate();
        let before = scene.count();
        let line = "POST /key/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let answer = wire::send(scene.at, &format!("{line}{framing}")).await;
        assert_eq!(wire::status(&answer), 401, "{answer}");
        assert_eq!(scene.count(), before + 1, "{framing}");
    }
}

#[tokio::test]
async fn a_401_to_what_cannot_be_sent_again_reaches_the_app_and_the_next_has_another_token() {
    // both ways of not being kept: too large, and of a length that nobody stated
    let large = format!("Content-Length: 101\r\n\r\n{}", "x".repeat(101));
    let streamed = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for framing in [&*large, streamed] {
        let scene = Scene::new().await;
        scene.judging(
            |credential| {
                if credential.ends_with("-1") { 401 } else { 200 }
            },
        );
        let line = "POST /service/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let answer = wire::send(scene.at, &format!("{line}{framing}")).await;
        assert_eq!(wire::status(&answer), 401, "{answer}");
        assert!(
            answer.contains("www-authenticate: Target realm=\"t\""),
            "{answer}"
        );
        assert!(answer.ends_with("the target's own words"), "{answer}");
        eventually("another token", async || {
            (scene.issuer.requests().len() == 2).then_some(())
        })
        .await;
        // it is there a moment after it was asked for
        let reply = Call::get(scene.at, "/service/x").send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(scene.sent(0)[0], "Bearer granted-1");
        assert_eq!(scene.sent(0).last().unwrap(), "Bearer granted-2");
        // the new one is refused too: no third within half a minute
        scene.judging(|_credential| 401);
        for _call in 0..3 {
            let answer = wire::send(scene.at, &format!("{line}{framing}")).await;
            assert_eq!(wire::status(&answer), 401, "{answer}");
        }
        assert_eq!(scene.issuer.requests().len(), 2);
    }
}
