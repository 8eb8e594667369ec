//! User names and passwords with the real binary: who passes, what it costs, who is locked out, and what
//! nobody learns.

mod dialects;
mod locked;
#[cfg(feature = "sql")]
mod sql;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply, raw};
use crate::support::sidecar::token;
use crate::support::upstream::Upstream;

/// As `htpasswd -B`, Python's bcrypt and argon2-cffi write them: "open sesame", "open sesame", "pässwörd:1".
const HTPASSWD: &str = "$2y$05$SR/n2OSFhzteLZrbUJO/LeNh5ZbHghnD2GeboK43MfWZONmXaUGee";
const BCRYPT: &str = "$2a$04$qjmSjUMGOTx.9tvU.xQA8uwXQStajA3z8NoOZChjf78WwiSazIw.u";
const ARGON2: &str = "$argon2id$v=19$m=64,t=1,p=1$1i+6TNL5rgtuyZYHY5vT8Q$JpAbpNTXnGuPsY3XZhbkVHDaQ/BfQ/36l8x+vSugF5Y";

const ADA: &str = "ada:open sesame";

/// A gateway, its users, and an upstream.
struct Setup {
    gatepost: Gatepost,
    upstream: Upstream,
    users: TempDir,
}

impl Setup {
    /// Takes passwords at `/**`, passwords or tokens at `/both`, whatever it is at `/either`; these are
    /// further keys of `[basic]`.
    async fn start(keys: &str) -> Self {
        let upstream = Upstream::start().await;
        let users = tempfile::tempdir().unwrap();
        let text = format!("# users\nada:{HTPASSWD}\nbob:{BCRYPT}\nÅsa:{ARGON2}\n");
        std::fs::write(users.path().join("users"), text).unwrap();
        let config = config(&upstream.url(), &users, keys);
        let gatepost = Gatepost::start(&config).await;
        gatepost.ready().await;
        Self {
            gatepost,
            upstream,
            users,
        }
    }

    /// Replaces the users' file and waits for the reload.
    async fn write(&self, text: &str, result: &str, count: u32) {
        std::fs::write(self.users.path().join("users"), text).unwrap();
        self.gatepost.signal("HUP");
        self.gatepost.reloads(result, count).await;
    }

    async fn ask(&self, path: &str, pair: &str) -> Reply {
        let call = self.gatepost.get(path).await;
        call.header("authorization", &basic(pair)).send().await
    }

    /// Hashes so far.
    async fn hashes(&self) -> u64 {
        let sample = "gatepost_password_hash_seconds_count ";
        self.gatepost.metric(sample).await.expect("a metric")
    }
}

fn config(upstream: &str, users: &TempDir, keys: &str) -> String {
    let file = users.path().join("users");
    crate::support::sidecar::config(upstream, "").replace(
        "[[routes]]\n        path = \"/**\"",
        &format!(
            r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]

        [ingress]
        trusted_proxies = ["127.0.0.0/8"]

        [basic]
        users_file = {file:?}
        {keys}

        [[routes]]
        name = "stripped"
        path = "/stripped"
        auth = ["basic"]
        authorization = "strip"
        upstream = "app"

        [[routes]]
        name = "replaced"
        path = "/replaced"
        auth = ["basic"]
        authorization = {{ replace = "own" }}
        upstream = "app"

        [credentials.own]
        kind = "static_token"
        token = {{ insecure_literal = "of-our-own" }}

        [[routes]]
        name = "both"
        path = "/both"
        auth = ["bearer", "basic"]
        upstream = "app"

        [[routes]]
        path = "/token"
        upstream = "app"

        [[routes]]
        name = "all"
        path = "/**"
        auth = ["basic"]"#
        ),
    )
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

fn challenges(reply: &Reply) -> Vec<&str> {
    let all = reply.headers.get_all("www-authenticate").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

const ASKS_BASIC: &str = "Basic realm=\"gatepost\", charset=\"UTF-8\"";

#[tokio::test]
async fn a_user_passes_by_her_password_for_one_hash_and_then_none() {
    let setup = Setup::start("").await;
    for (pair, id) in [
        (ADA, "ada"),
        ("bob:open sesame", "bob"),
        ("Åsa:pässwörd:1", "%C3%85sa"),
    ] {
        let before = setup.hashes().await;
        for _each in 0..5 {
            let reply = setup.ask("/orders", pair).await;
            assert_eq!(reply.status, 200, "{pair}");
            let seen = setup.upstream.last();
            assert_eq!(seen.header("x-user-id"), id);
            assert_eq!(seen.header("x-auth-issuer"), "basic");
            assert_eq!(seen.header("x-principal-kind"), "user");
            assert_eq!(seen.header("x-client-id"), "");
        }
        assert_eq!(setup.hashes().await, before + 1, "{pair}");
    }
    let cached = "gatepost_passwords_total{result=\"cached\"} 12";
    setup.gatepost.counts(cached).await;
    let reply = setup.ask("/orders", ADA).await;
    let line = setup.gatepost.line_of(&reply).await;
    assert_eq!(
        (&line["user_id"], &line["issuer"]),
        (&json!("ada"), &json!("basic")),
        "{line}"
    );
}

#[tokio::test]
async fn who_is_refused_is_told_what_to_send_and_nothing_else() {
    let setup = Setup::start("").await;
    let nothing = setup.gatepost.get("/orders").await.send().await;
    assert_eq!(
        (nothing.status.as_u16(), challenges(&nothing)),
        (401, vec![ASKS_BASIC])
    );
    let both = setup.gatepost.get("/both").await.send().await;
    let asks_bearer = "Bearer realm=\"gatepost\"";
    assert_eq!(challenges(&both), [asks_bearer, ASKS_BASIC]);
    let token_only = setup.ask("/token", ADA).await;
    assert_eq!(challenges(&token_only), [asks_bearer]);
    // a wrong password and a name nobody has are told apart by nothing
    let mut told = Vec::new();
    for pair in [
        "ada:hunter2",
        "hunter2:ada",
        "nobody:open sesame",
        "ada:",
        "x",
    ] {
        for _again in 0..2 {
            let reply = setup.ask("/both", pair).await;
            assert_eq!(reply.status, 401, "{pair}");
            assert_eq!(challenges(&reply), [asks_bearer, ASKS_BASIC], "{pair}");
            let line = setup.gatepost.line_of(&reply).await;
            assert_eq!(line["reason"], "password_refused", "{line}");
            let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
            names.sort();
            told.push((names, reply.text().to_owned()));
        }
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    let wrong = setup
        .gatepost
        .get("/both")
        .await
        .bearer("x.y.z")
        .send()
        .await;
    assert_eq!(
        challenges(&wrong),
        [
            "Bearer realm=\"gatepost\", error=\"invalid_token\"",
            ASKS_BASIC
        ]
    );
    let output = setup.gatepost.output();
    for secret in ["hunter2", "sesame", &STANDARD.encode(ADA)] {
        assert!(!output.contains(secret), "{secret}\n{output}");
    }
    assert!(setup.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_changed_line_ends_the_old_password_and_a_broken_file_changes_nothing() {
    let setup = Setup::start("").await;
    for pair in [ADA, "bob:open sesame"] {
        assert_eq!(setup.ask("/orders", pair).await.status, 200);
    }
    let hashes = setup.hashes().await;
    // ada's changed, bob's did not
    setup
        .write(&format!("ada:{ARGON2}\nbob:{BCRYPT}\n"), "accepted", 1)
        .await;
    assert_eq!(setup.ask("/orders", ADA).await.status, 401);
    assert_eq!(setup.ask("/orders", "ada:pässwörd:1").await.status, 200);
    assert_eq!(setup.ask("/orders", "bob:open sesame").await.status, 200);
    assert_eq!(setup.hashes().await, hashes + 2);
    setup.write("ada:hunter2\n", "rejected", 1).await;
    assert_eq!(setup.ask("/orders", "ada:pässwörd:1").await.status, 200);
    let events = setup.gatepost.events("ERROR");
    let told = serde_json::to_string(&events).unwrap();
    assert!(
        told.contains("line 1: \\\"ada\\\": not a password hash"),
        "{told}"
    );
    assert!(!setup.gatepost.output().contains("hunter2"));
    setup.write(&format!("bob:{BCRYPT}\n"), "accepted", 2).await;
    assert_eq!(setup.ask("/orders", "ada:pässwörd:1").await.status, 401);
    assert_eq!(setup.ask("/orders", "bob:open sesame").await.status, 200);
}

#[tokio::test]
async fn the_password_goes_no_further_than_the_route_says() {
    let setup = Setup::start("").await;
    for (path, expected) in [
        ("/orders", basic(ADA)),
        ("/stripped", String::new()),
        ("/replaced", "Bearer of-our-own".to_owned()),
    ] {
        assert_eq!(setup.ask(path, ADA).await.status, 200, "{path}");
        let seen = setup.upstream.last();
        assert_eq!(seen.header("authorization"), expected, "{path}");
        assert_eq!(seen.header("x-user-id"), "ada");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let setup = Setup::start("").await;
    let to = setup.gatepost.listener("ingress").await;
    let bearer = format!("Bearer {}", token(&json!({})));
    let ada = basic(ADA);
    let bob = basic("bob:open sesame");
    let both = Call::get(to, "/both")
        .header("authorization", &ada)
        .header("authorization", &bearer);
    assert_eq!(both.send().await.status, 400);
    let two = Call::get(to, "/orders")
        .header("authorization", &ada)
        .header("authorization", &bob);
    let two = two.send().await;
    assert_eq!(two.status, 400);
    assert_eq!(
        setup.gatepost.line_of(&two).await["reason"],
        "credential_ambiguous"
    );
    let half = ada.split_at(12).0;
    for value in [
        format!("{ada}, {bearer}"),
        format!("{ada},{bob}"),
        format!("{ada} {bob}"),
        format!("{ada}\t"),
        format!("{ada}="),
        half.to_owned(),
        "Basic".to_owned(),
        format!("Basic {}", "A".repeat(32_000)),
        format!(
            "Basic {}",
            STANDARD.encode(format!("ada:{}", "x".repeat(1025)))
        ),
        format!("Basic {}", STANDARD.encode("ada:open\0sesame")),
        format!("Basic {}", STANDARD.encode(b"ada:\xff")),
    ] {
        // a tab at the end is not the header's
        let expected = if value.ends_with('\t') { 200 } else { 401 };
        let request = format!(
            "GET /orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {value}\r\n\r\n"
        );
        let answer = raw(to, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{value}\n{answer}"
        );
    }
    // folded names are no second place for it
    let folded = Call::get(to, "/orders")
        .header("authorization_", &ada)
        .header("x-authorization", &ada);
    assert_eq!(folded.send().await.status, 401);
    assert_eq!(setup.ask("/orders", ADA).await.status, 200);
}

#[tokio::test]
async fn explain_and_check_tell_of_passwords() {
    let setup = Setup::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gatepost.toml");
    std::fs::write(&path, config("http://127.0.0.1:9", &setup.users, "")).unwrap();
    let path = path.to_str().unwrap();
    for (pair, code, told) in [
        (ADA, 0, "user \"ada\""),
        ("ada:hunter2", 1, "password_refused"),
    ] {
        let header = format!("Authorization: {}", basic(pair));
        let arguments = [
            "explain", "--config", path, "--path", "/orders", "--header", &header,
        ];
        let output = run(&arguments, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(told) && !text.contains("hunter2"), "{text}");
    }
    let output = run(&["check", "--config", path], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("passes users' passwords on to its upstream"),
        "{text}"
    );
}
