//! `gatepost explain`: outcomes, exit codes, and that no token is printed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::dev::{Dev, gatepost};

/// The issuer's JWK Set.
fn jwks(dev: &Dev) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", dev.base_port + 8)).unwrap();
    stream
        .write_all(
            b"GET /us-east-1_GatepostD/.well-known/jwks.json HTTP/1.1\r\n\
              Host: localhost\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_head, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// Tokens of a dev issuer that is gone by now, and its keys.
struct Kept {
    folder: tempfile::TempDir,
    dev: String,
    tokens: Vec<String>,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dev = Dev::start();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("jwks.json", &jwks(&dev)).unwrap();
        let mut tokens = Vec::new();
        for (name, whose) in [
            ("ada", &["--user", "ada"][..]),
            ("bob", &["--user", "bob"]),
            ("id", &["--id"]),
            ("service", &["--service"]),
        ] {
            let token = dev.token(whose);
            write(name, &format!("{token}\n")).unwrap();
            tokens.push(token);
        }
        Self {
            dev: format!("--dev={}", dev.base_port),
            folder,
            tokens,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Explains offline, and looks for tokens in what is printed.
    fn explain(&self, whose: Option<&str>, more: &[&str]) -> Output {
        let jwks = self.file("jwks.json");
        let token = whose.map(|whose| self.file(whose));
        let mut arguments = vec!["explain", &self.dev, "--jwks", &jwks];
        if let Some(token) = &token {
            arguments.extend(["--token-file", token]);
        }
        arguments.extend(more);
        let output = gatepost(&arguments);
        for token in &self.tokens {
            for part in token.split('.') {
                assert!(!text(&output).contains(part), "a token is printed");
            }
        }
        output
    }
}

/// Whose token, the path, further arguments; the exit code, and what must be printed.
type Case<'c> = (Option<&'c str>, &'c str, &'c [&'c str], i32, &'c [&'c str]);

#[test]
fn a_decision_is_explained_offline_with_its_reason_and_exit_code() {
    let kept = Kept::new();
    let later = ["--now", "2100-01-01T00:00:00Z"];
    let cases: [Case<'_>; 12] = [
        (
            Some("ada"),
            "/admin/users",
            &[],
            0,
            &[
                "\"admin\"",
                "decision        allow",
                "x-user-groups: admins,readers",
            ],
        ),
        (
            Some("bob"),
            "/admin/users",
            &[],
            1,
            &["group_missing", "403"],
        ),
        (
            Some("bob"),
            "/orders/17?x=1",
            &[],
            0,
            &["x-user-groups: readers"],
        ),
        (
            Some("ada"),
            "/admin/users",
            &later,
            1,
            &["token_expired", "401"],
        ),
        (
            Some("id"),
            "/orders/17",
            &[],
            1,
            &["token_use_mismatch", "401"],
        ),
        (
            Some("service"),
            "/reports/today",
            &[],
            0,
            &["x-principal-kind: service"],
        ),
        (
            Some("ada"),
            "/reports/today",
            &[],
            1,
            &["principal_kind_refused"],
        ),
        (None, "/orders/17", &[], 1, &["credential_missing", "401"]),
        (None, "/healthz", &[], 0, &["public"]),
        (None, "/nowhere", &[], 1, &["no_route", "404"]),
        (None, "/orders//17", &[], 1, &["path_ambiguous", "400"]),
        (
            Some("ada"),
            "/orders/17",
            &["--header", "x_user-id: mallory"],
            0,
            &["removed         x_user-id"],
        ),
    ];
    for (whose, path, more, code, holds) in cases {
        let output = kept.explain(whose, &[&["--path", path], more].concat());
        let text = text(&output);
        assert_eq!(output.status.code(), Some(code), "{whose:?} {path}\n{text}");
        for part in holds {
            assert!(
                text.contains(part),
                "{whose:?} {path} lacks {part:?}:\n{text}"
            );
        }
        assert!(!text.contains("mallory"), "{text}");
    }
}

#[test]
fn an_explanation_in_json_tells_the_same() {
    let kept = Kept::new();
    let output = kept.explain(Some("bob"), &["--path", "/admin/x", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["decision"], "deny");
    assert_eq!(told["reason"], "group_missing");
    assert_eq!(told["status"], 403);
    assert_eq!(told["route"], "admin");
    let steps = told["steps"].as_array().unwrap();
    assert!(
        steps.iter().any(|step| step["step"] == "credential"),
        "{told:#}"
    );

    let output = kept.explain(Some("bob"), &["--path", "/orders", "--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["decision"], "allow");
    assert_eq!(told["upstream"], "echo");
    let headers = told["headers"].as_array().unwrap();
    let user = headers
        .iter()
        .find(|header| header["name"] == "x-user-id")
        .unwrap();
    assert_eq!(user["value"], "b0b5a7e1-5c1d-4f2e-9b3a-7d6c5e4f3a2b");
}

#[test]
fn without_keys_there_is_no_decision() {
    let kept = Kept::new();
    let config = kept.folder.path().join("gatepost.toml");
    // the dev issuer is gone
    let base_port: u16 = kept.dev.strip_prefix("--dev=").unwrap().parse().unwrap();
    let issuer = format!("http://127.0.0.1:{}/us-east-1_GatepostD", base_port + 8);
    std::fs::write(
        &config,
        format!(
            "[jwks]\nfetch_timeout = \"1s\"\n[issuers.dev]\nkind = \"cognito\"\n\
             user_pool_id = \"us-east-1_GatepostD\"\nissuer = \"{issuer}\"\n\
             jwks_url = \"{issuer}/.well-known/jwks.json\"\nclient_ids = [\"dev-app\"]\n\
             [upstreams.app]\nurl = \"http://127.0.0.1:1\"\n\
             [[routes]]\npath = \"/**\"\nupstream = \"app\"\n"
        ),
    )
    .unwrap();
    let config = config.display().to_string();
    let ada = kept.file("ada");
    let arguments = [
        "explain",
        "--config",
        &config,
        "--token-file",
        &ada,
        "--path",
        "/",
    ];
    let output = gatepost(&arguments);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("keys_unavailable"), "{told}");
    // the same config with the kept keys
    let jwks = kept.file("jwks.json");
    let output = gatepost(&[&arguments[..], &["--jwks", &jwks]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn the_chosen_route_is_told_with_those_that_match_less_closely() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gatepost.toml");
    std::fs::write(
        &config,
        "[upstreams.app]\nurl = \"http://127.0.0.1:1\"\n\
         [[routes]]\nname = \"all\"\npath = \"/**\"\nauth = \"none\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"one\"\npath = \"/a/{id}\"\nauth = \"none\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"other\"\npath = \"/b\"\nauth = \"none\"\nupstream = \"app\"\n",
    )
    .unwrap();
    let config = config.display().to_string();
    let output = gatepost(&["explain", "--config", &config, "--path", "/a/7"]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("\"one\", pattern /a/{id}"), "{told}");
    assert!(told.contains("also matching: \"all\" (/**)"), "{told}");
    assert!(!told.contains("\"other\""), "{told}");
}

#[test]
fn wrong_usage_exits_2() {
    let missing = Path::new("no-such-file.toml");
    for arguments in [
        &["explain"][..],
        &["explain", "--path", "/", "--now", "tomorrow"],
        &["explain", "--path", "/", "--header", "no colon"],
        &[
            "explain",
            "--path",
            "/",
            "--config",
            missing.to_str().unwrap(),
        ],
        &[
            "explain",
            "--path",
            "/",
            "--dev",
            "--jwks",
            "no-such-file.json",
        ],
        &["explain", "--path", "/", "--dev", "--config", "x"],
    ] {
        let output = gatepost(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
