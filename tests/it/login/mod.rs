//! `[login]` with the real binary: a login service in the test's own process, moto for Cognito, and an
//! authorization server for the password grant.

mod cognito;
mod grant;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply, raw};
use crate::support::upstream::{Upstream, json as answer_json, status};
use crate::support::wire::until;
use crate::support::{Gone, eventually, sidecar};

/// Takes logins by these keys of `[login]`.
async fn start(upstream: &Upstream, login: &str) -> Gatepost {
    let config = sidecar::config(&upstream.url(), "");
    let config =
        format!("[login]\n{login}\n[ingress]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{config}");
    let gatepost = Gatepost::start(&config).await;
    gatepost.ready().await;
    gatepost
}

/// The table of a login service.
fn service(url: &str, keys: &str) -> String {
    format!("kind = \"http\"\nurl = \"{url}/sign-in\"\n{keys}")
}

async fn post(gatepost: &Gatepost, body: &Value) -> Reply {
    post_from(gatepost, "203.0.113.9", body).await
}

async fn post_from(gatepost: &Gatepost, address: &str, body: &Value) -> Reply {
    let to = gatepost.listener("ingress").await;
    let call = Call::post(to, "/auth/login").header("content-type", "application/json");
    call.header("x-forwarded-for", address)
        .body(body.to_string())
        .send()
        .await
}

fn login(user: &str, password: &str) -> Value {
    json!({ "username": user, "password": password })
}

async fn reason(gatepost: &Gatepost, reply: &Reply) -> Value {
    gatepost.line_of(reply).await["reason"].clone()
}

/// Takes ada's password, and says no to any other.
async fn ada() -> Upstream {
    Upstream::answering(|request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if request.uri.path() != "/sign-in" {
            return answer_json(&json!({}));
        }
        if asked == login("ada", "open sesame") {
            answer_json(&json!({
                "access_token": "of-ada", "refresh_token": "again", "expires_in": 300, "role": "admin",
            }))
        } else {
            status(StatusCode::UNAUTHORIZED)
        }
    })
    .await
}

#[tokio::test]
async fn a_user_name_and_password_are_answered_with_tokens_and_nothing_is_kept() {
    let service_at = ada().await;
    let gatepost = start(&service_at, &service(&service_at.url(), "")).await;
    let reply = post(&gatepost, &login("ada", "open sesame")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.json(),
        json!({
            "access_token": "of-ada", "refresh_token": "again", "token_type": "Bearer", "expires_in": 300,
        })
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("set-cookie"), "");
    let seen = service_at.last();
    assert_eq!(seen.method, Method::POST);
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("x-forwarded-for"), "");
    for (user, password) in [("ada", "hunter2"), ("hunter2", "open sesame"), ("ada", "")] {
        let reply = post(&gatepost, &login(user, password)).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reason(&gatepost, &reply).await, "password_refused");
    }
    let line = gatepost.line_of(&reply).await;
    assert_eq!(
        (&line["path"], &line["route"]),
        (&json!("/auth/login"), &Value::Null),
        "{line}"
    );
    let output = gatepost.output();
    for secret in ["hunter2", "sesame", "of-ada", "again"] {
        assert!(!output.contains(secret), "{secret}\n{output}");
    }
    gatepost
        .counts("gatepost_logins_total{result=\"granted\"} 1")
        .await;
    gatepost
        .counts("gatepost_logins_total{result=\"refused\"} 2")
        .await;
}

#[tokio::test]
async fn only_a_json_object_of_both_is_read() {
    let service_at = ada().await;
    let gatepost = start(&service_at, &service(&service_at.url(), "")).await;
    let to = gatepost.listener("ingress").await;
    let good = login("ada", "open sesame").to_string();
    let form = "username=ada&password=open+sesame";
    let big = login("ada", &"x".repeat(8 * 1024)).to_string();
    let twice = r#"{"username":"eve","username":"ada","password":"open sesame"}"#;
    let more = r#"{"username":"ada","password":"open sesame","otp":"1"}"#;
    for (kind, body, expected) in [
        ("application/json", &*good, 200),
        ("Application/JSON; charset=UTF-8", &*good, 200),
        ("application/json; charset=latin1", &*good, 400),
        ("text/plain", &*good, 400),
        ("", &*good, 400),
        ("application/json, text/plain", &*good, 400),
        ("application/x-www-form-urlencoded", form, 400),
        ("application/json", form, 400),
        ("application/json", "", 400),
        ("application/json", "[]", 400),
        ("application/json", r#"{"username":"ada"}"#, 400),
        (
            "application/json",
            r#"{"username":"ada","password":null}"#,
            400,
        ),
        (
            "application/json",
            r#"{"username":["ada"],"password":"open sesame"}"#,
            400,
        ),
        ("application/json", twice, 400),
        ("application/json", more, 400),
        ("application/json", &*big, 413),
    ] {
        let mut call = Call::post(to, "/auth/login");
        if !kind.is_empty() {
            call = call.header("content-type", kind);
        }
        let reply = call.body(body.to_owned()).send().await;
        assert_eq!(reply.status, expected, "{kind} {body}");
    }
    let encoded = Call::post(to, "/auth/login")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip");
    assert_eq!(encoded.body(good.clone()).send().await.status, 400);
    for method in [Method::GET, Method::PUT, Method::OPTIONS] {
        let reply = Call::new(method, to, "/auth/login").send().await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (405, "POST")
        );
    }
    for (user, password, code) in [
        ("", "open sesame", "subject_invalid"),
        ("a\nb", "open sesame", "subject_invalid"),
        ("ada", "open\u{0}sesame", "password_refused"),
    ] {
        let reply = post(&gatepost, &login(user, password)).await;
        assert_eq!(reply.status, 401, "{user:?}");
        assert_eq!(reason(&gatepost, &reply).await, code);
    }
    // a route's rules hold for every other path, a spelling of this one among them
    let reply = Call::post(to, "/auth/login/x")
        .body(good.clone())
        .send()
        .await;
    assert_eq!(reply.status, 401);
    let spelled = format!(
        "POST /auth/%6Cogin HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{good}",
        good.len()
    );
    assert!(
        raw(to, spelled.as_bytes())
            .await
            .starts_with("HTTP/1.1 200 ")
    );
}

#[tokio::test]
async fn who_guesses_is_locked_out_of_one_user_and_slowed_for_all() {
    let service_at = ada().await;
    let keys = "lockout = { attempts = 3, duration = \"10m\" }";
    let gatepost = start(&service_at, &service(&service_at.url(), keys)).await;
    for number in 0..3 {
        let reply = post(&gatepost, &login("ada", &format!("guess {number}"))).await;
        assert_eq!(reply.status, 401);
    }
    let asked = service_at.requests().len();
    // in whatever case
    let spelled = post(&gatepost, &login(" ADA", "guess 4")).await;
    assert_eq!(spelled.status, 429);
    let locked = post(&gatepost, &login("ada", "open sesame")).await;
    assert_eq!(locked.status, 429);
    assert!(locked.header("retry-after").parse::<u64>().unwrap() > 590);
    assert_eq!(reason(&gatepost, &locked).await, "locked_out");
    assert_eq!(service_at.requests().len(), asked);
    let home = post_from(&gatepost, "198.51.100.7", &login("ada", "open sesame")).await;
    assert_eq!(home.status, 200);
    // one source, many names
    let guesses = (0..200).map(|number| {
        let gatepost = &gatepost;
        async move { post(gatepost, &login(&format!("user-{number}"), "guess")).await }
    });
    let answers = futures_util::future::join_all(guesses).await;
    let limited: Vec<_> = answers.iter().filter(|reply| reply.status == 429).collect();
    assert!(!limited.is_empty());
    assert_eq!(reason(&gatepost, limited[0]).await, "rate_limited");
    assert!(service_at.requests().len() < asked + 150);
}

#[tokio::test]
async fn right_passwords_at_once_are_all_let_in() {
    let service_at = ada().await;
    let keys = "lockout = { attempts = 3 }";
    let gatepost = start(&service_at, &service(&service_at.url(), keys)).await;
    let body = login("ada", "open sesame");
    let all = (0..20).map(|_each| post(&gatepost, &body));
    for reply in futures_util::future::join_all(all).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[tokio::test]
async fn one_source_whose_logins_hang_leaves_room_for_others() {
    let hanging = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}", hanging.local_addr().unwrap());
    let keys = "max_concurrent = 4";
    let gatepost = start(&Upstream::start().await, &service(&url, keys)).await;
    let crowd = (0..20).map(|number| {
        let gatepost = &gatepost;
        async move { post(gatepost, &login(&format!("user-{number}"), "x")).await }
    });
    let ask = async {
        let (_first, _) = hanging.accept().await.unwrap();
        let home = async {
            let body = login("ada", "open sesame");
            post_from(&gatepost, "198.51.100.7", &body).await
        };
        let told = async {
            // the second that is asked at all is hers
            let (mut second, _) = hanging.accept().await.unwrap();
            until(&mut second, "}").await;
            let tokens = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n\
                          {\"access_token\":\"of\"}";
            second.write_all(tokens.as_bytes()).await.unwrap();
        };
        tokio::join!(home, told).0
    };
    tokio::select! {
        _crowd = futures_util::future::join_all(crowd) => panic!("nobody was let in"),
        reply = ask => assert_eq!(reply.status, 200, "{reply:?}"),
    }
}

#[tokio::test]
async fn an_outage_is_503_nonsense_502_and_neither_is_a_failure_of_the_user() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let service_at = Upstream::answering(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match asked["username"].as_str() {
            Some("slow-down") => status(StatusCode::TOO_MANY_REQUESTS),
            Some("nonsense") => answer_json(&json!({ "token": "x" })),
            Some("moved") => status(StatusCode::FOUND),
            Some("ada") if !is_broken.load(Ordering::Relaxed) => {
                answer_json(&json!({ "access_token": "of-ada" }))
            }
            _broken => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    })
    .await;
    let keys = "lockout = { attempts = 3 }";
    let gatepost = start(&service_at, &service(&service_at.url(), keys)).await;
    for (user, expected, code) in [
        ("slow-down", 503, "login_unavailable"),
        ("nonsense", 502, "login_unusable"),
        ("moved", 502, "login_unusable"),
        ("ada", 503, "login_unavailable"),
    ] {
        for _each in 0..4 {
            let reply = post(&gatepost, &login(user, "open sesame")).await;
            assert_eq!(reply.status, expected, "{user}");
            assert_eq!(reason(&gatepost, &reply).await, code);
            assert_eq!(!reply.header("retry-after").is_empty(), expected == 503);
        }
    }
    broken.store(false, Ordering::Relaxed);
    assert_eq!(
        post(&gatepost, &login("ada", "open sesame")).await.status,
        200
    );
    assert!(!gatepost.output().contains("sesame"));
    let gone = Gone::take();
    let url = format!("http://{}", gone.address);
    let gatepost = start(&service_at, &service(&url, "")).await;
    let reply = post(&gatepost, &login("ada", "open sesame")).await;
    assert_eq!(reply.status, 503);
}

#[tokio::test]
async fn who_goes_away_early_is_counted_all_the_same() {
    let service_at = ada().await;
    let keys = "lockout = { attempts = 3 }";
    let gatepost = start(&service_at, &service(&service_at.url(), keys)).await;
    let to = gatepost.listener("ingress").await;
    for number in 0..3 {
        let body = login("ada", &format!("guess {number}")).to_string();
        let request = format!(
            "POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             X-Forwarded-For: 203.0.113.9\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        eventually("the service is asked", async || {
            (service_at.requests().len() > number).then_some(())
        })
        .await;
        drop(stream);
    }
    eventually("locked out", async || {
        let reply = post(&gatepost, &login("ada", "open sesame")).await;
        (reply.status == 429).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_table_the_path_is_a_path() {
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&sidecar::config(&upstream.url(), "")).await;
    gatepost.ready().await;
    let reply = post(&gatepost, &login("ada", "open sesame")).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reason(&gatepost, &reply).await, "credential_missing");
}
