//! The real binary, run as users run it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::http::{Call, Reply};

/// A command of the binary with an empty environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.env_clear().args(arguments);
    command
}

/// Runs a command with this environment to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

/// A running `gatepost serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Gatepost {
    child: Child,
    /// The request log.
    stdout: Lines,
    /// Events.
    stderr: Lines,
    /// Holds the config file.
    _directory: TempDir,
}

impl Gatepost {
    /// Serves this config. Ingress, admin and health listen on free ports; `[forward_auth]` and
    /// `[egress]` tables need `listen = "127.0.0.1:0"`.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// Like [`Gatepost::start`], with environment variables.
    pub(crate) async fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("gatepost.toml");
        std::fs::write(&file, config).expect("a config file");
        let path = file.to_str().expect("a plain path");
        let mut child = command(&["serve", "--config", path])
            .env("GATEPOST__HEALTH__LISTEN", "127.0.0.1:0")
            .env("GATEPOST__ADMIN__LISTEN", "127.0.0.1:0")
            .env("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0")
            .env("GATEPOST__SHUTDOWN__PRE_DRAIN", "0s")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let gatepost = Self {
            stdout: Lines::of(child.stdout.take().expect("piped")),
            stderr: Lines::of(child.stderr.take().expect("piped")),
            child,
            _directory: directory,
        };
        gatepost.listener("health").await;
        gatepost
    }

    /// Where a listener of this name listens, once it does.
    pub(crate) async fn listener(&self, name: &str) -> SocketAddr {
        let what = format!("a listener {name:?}");
        let address = eventually(&what, || async {
            self.stderr.json().iter().find_map(|event| {
                let fields = event.get("fields")?;
                (fields["message"] == "listening" && fields["listener"] == name)
                    .then(|| fields["address"].as_str().map(str::to_owned))?
            })
        });
        tokio::select! {
            address = address => address.parse().expect("an address"),
            () = self.ended() => panic!("gatepost ended:\n{}", self.stderr.text()),
        }
    }

    /// A `GET` of this path on the ingress listener.
    pub(crate) async fn get(&self, path: &str) -> Call {
        Call::get(self.listener("ingress").await, path)
    }

    /// A path of the health listener.
    pub(crate) async fn health(&self, path: &str) -> Reply {
        Call::get(self.listener("health").await, path).send().await
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn ready(&self) {
        eventually("ready", || async {
            (self.health("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    /// The log line of the request this reply belongs to.
    pub(crate) async fn line_of(&self, reply: &Reply) -> Value {
        let id = reply.header("x-request-id");
        assert_ne!(id, "", "no X-Request-ID in {reply:?}");
        eventually("the request's log line", || async {
            self.stdout
                .json()
                .into_iter()
                .find(|line| line["request_id"] == id)
        })
        .await
    }

    /// All that was written to standard output and error.
    pub(crate) fn output(&self) -> String {
        self.stdout.text() + &self.stderr.text()
    }

    async fn ended(&self) {
        eventually("end of output", || async {
            self.stderr.ended().then_some(())
        })
        .await;
    }
}

impl Drop for Gatepost {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- gatepost wrote:\n{}", self.output());
        }
    }
}

/// The lines a process has written so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads on a thread of its own until the end.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let written = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                written
                    .0
                    .lock()
                    .expect("no reader panicked")
                    .lines
                    .push(line);
            }
            written.0.lock().expect("no reader panicked").ended = true;
        });
        lines
    }

    pub(crate) fn text(&self) -> String {
        let mut text = self.0.lock().expect("no reader panicked").lines.join("\n");
        text.push('\n');
        text
    }

    /// The lines that are JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let written = self.0.lock().expect("no reader panicked");
        written
            .lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub(crate) fn ended(&self) -> bool {
        self.0.lock().expect("no reader panicked").ended
    }
}
