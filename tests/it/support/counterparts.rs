//! Other people's authorization servers, installed by `scripts/counterparts`: moto's Cognito,
//! oidc-provider, oauth2-mock-server. Their keys are public or random: test only.
//!
//! Each reads standard input to its end and then exits, so none outlives the test process,
//! however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::eventually;
use super::gatepost::Lines;
use super::http::Call;

/// Takes what a start function returns, or skips the test: says so on stderr and returns. Under
/// `GATEPOST_TESTS=all` nothing may be skipped.
macro_rules! or_skip {
    ($started:expr) => {
        match $started {
            Some(counterpart) => counterpart,
            None => return,
        }
    };
}
pub(crate) use or_skip;

/// A running counterpart; killed when dropped.
#[derive(Debug)]
pub(crate) struct Counterpart {
    child: Child,
    stderr: Lines,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
}

/// moto's Cognito.
pub(crate) async fn cognito() -> Option<Counterpart> {
    let python = installed("py", "bin/python")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counterparts/cognito.py");
    let mut command = Command::new(python);
    command.arg(script);
    Some(start(command).await)
}

/// oidc-provider with these clients: `(id, secret, authentication method)`.
pub(crate) async fn oidc_provider(clients: &[(&str, &str, &str)]) -> Option<Counterpart> {
    let clients: Vec<Value> = clients
        .iter()
        .map(|(id, secret, method)| {
            json!({"client_id": id, "client_secret": secret, "token_endpoint_auth_method": method})
        })
        .collect();
    let script = include_str!("../../counterparts/oidc-provider.mjs");
    Some(start(node(script, &[&json!({"clients": clients}).to_string()])?).await)
}

/// oauth2-mock-server.
pub(crate) async fn oauth2_mock_server() -> Option<Counterpart> {
    let script = include_str!("../../counterparts/oauth2-mock-server.mjs");
    Some(start(node(script, &[])?).await)
}

/// A free port, for what must be known before its server starts. Another process may take it
/// meanwhile: use it only where there is no other way.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// The program `path` in the installation `name`; `None`, said on stderr, if it is not installed.
fn installed(name: &str, path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/counterparts");
    if root.join(name).join(".stamp").exists() {
        return Some(root.join(name).join(path));
    }
    let all = std::env::var_os("GATEPOST_TESTS").is_some_and(|which| which == "all");
    assert!(!all, "GATEPOST_TESTS=all, but {name} is not installed");
    eprintln!("skipped: {name} is not installed (scripts/counterparts)");
    None
}

fn node(script: &str, arguments: &[&str]) -> Option<Command> {
    // The script is handed over as text, so that its imports are found from the installation.
    let directory = installed("js", "")?;
    let mut command = Command::new(directory.join("../bin/node"));
    command
        .current_dir(directory)
        .args(["--input-type=module", "--eval", script, "--"])
        .args(arguments);
    Some(command)
}

async fn start(mut command: Command) -> Counterpart {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("an installed counterpart starts");
    let stdout = Lines::of(child.stdout.take().expect("piped"));
    let mut counterpart = Counterpart {
        stderr: Lines::of(child.stderr.take().expect("piped")),
        child,
        url: String::new(),
    };
    let errors = counterpart.stderr.clone();
    counterpart.url = eventually("the counterpart's address", || async {
        assert!(!stdout.ended(), "counterpart ended: {}", errors.text());
        let first = stdout.json().into_iter().next()?;
        first["url"].as_str().map(str::to_owned)
    })
    .await;
    counterpart
}

impl Counterpart {
    /// `POST`s JSON and returns the JSON answered.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
        let address = self.url.trim_start_matches("http://");
        let mut call =
            Call::post(address.parse().expect("an address"), path).body(body.to_string());
        for (name, value) in headers {
            call = call.header(name, value);
        }
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// An operation of the Cognito API (moto); region `eu-west-1`, no signature is checked.
    pub(crate) async fn aws(&self, operation: &str, body: &Value) -> Value {
        let target = format!("AWSCognitoIdentityProviderService.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target.as_str()),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/cognito-idp/aws4_request, \
                 SignedHeaders=host, Signature=00",
            ),
        ];
        self.post("/", &headers, body).await
    }

    /// A command of oauth2-mock-server's control path.
    pub(crate) async fn control(&self, command: &str, body: &Value) -> Value {
        self.post(&format!("/control/{command}"), &[], body).await
    }
}

impl Drop for Counterpart {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- counterpart wrote:\n{}", self.stderr.text());
        }
    }
}
