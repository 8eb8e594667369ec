//! The real binary, run as users run it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{Call, Reply};
use super::{DEADLINE, eventually, signals};

/// The binary under test: the one of this build, or another (`scripts/dist`).
pub(crate) fn binary() -> OsString {
    let other = std::env::var_os("GATEPOST_BINARY");
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_gatepost").into())
}

/// A command of the binary with an empty environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().args(arguments);
    command
}

/// The same, run by a line of shell that holds `exec "$@"`.
pub(crate) fn shell(line: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .args(["-c", line, "sh"])
        .arg(binary())
        .args(arguments);
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
    directory: TempDir,
}

impl Gatepost {
    /// Serves this config. Ingress, admin and health listen on free ports; `[forward_auth]` and
    /// `[egress]` tables need `listen = "127.0.0.1:0"`.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// Like [`Gatepost::start`], with environment variables.
    pub(crate) async fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_under(r#"exec "$@""#, config, environment).await
    }

    /// The same, run by this line of shell: `exec "$@"`, and what surrounds it.
    pub(crate) async fn start_under(
        line: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("gatepost.toml");
        std::fs::write(&file, config).expect("a config file");
        let path = file.to_str().expect("a plain path");
        let mut command = shell(line, &["serve", "--config", path]);
        command
            .env("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0")
            .env("GATEPOST__SHUTDOWN__PRE_DRAIN", "0s")
            .envs(environment.iter().copied());
        Self::spawn(command, directory).await
    }

    /// Runs a command that serves; health and admin listen on free ports.
    pub(crate) async fn spawn(mut command: Command, directory: TempDir) -> Self {
        let mut child = command
            .env("GATEPOST__HEALTH__LISTEN", "127.0.0.1:0")
            .env("GATEPOST__ADMIN__LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let gatepost = Self {
            stdout: Lines::of(child.stdout.take().expect("piped")),
            stderr: Lines::of(child.stderr.take().expect("piped")),
            child,
            directory,
        };
        gatepost.listener("health").await;
        gatepost
    }

    /// Writes another config in place of the first.
    pub(crate) fn rewrite(&self, config: &str) {
        std::fs::write(self.directory.path().join("gatepost.toml"), config).expect("written");
    }

    /// Sends a signal by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        signals::signal(&self.child, name);
    }

    /// Reloads this config by SIGHUP and waits until `count` reloads had this result.
    pub(crate) async fn reload(&self, config: &str, result: &str, count: u32) {
        self.rewrite(config);
        self.signal("HUP");
        self.reloads(result, count).await;
    }

    /// Waits until this many reloads, or more, had this result: how many.
    pub(crate) async fn reloads(&self, result: &str, count: u32) -> u32 {
        let sample = format!(r#"gatepost_config_reloads_total{{result="{result}"}}"#);
        eventually(&sample, || async {
            let value = self.metric::<u32>(&sample).await;
            value.filter(|value| *value >= count)
        })
        .await
    }

    /// Waits for the end of the process: its exit code, `None` if a signal ended it.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let end = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().expect("our child") {
                return status.code();
            }
            assert!(tokio::time::Instant::now() < end, "gatepost did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Most memory it ever had resident, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Memory it has resident, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, size: &str) -> u64 {
        let status = std::fs::read(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let status = String::from_utf8_lossy(&status);
        let size = status.lines().find_map(|line| {
            let size = line.strip_prefix(size)?.trim();
            size.strip_suffix(" kB")?.parse().ok()
        });
        size.expect("a size")
    }

    /// The value of a metric, written with its labels.
    pub(crate) async fn metric<T: std::str::FromStr>(&self, sample: &str) -> Option<T> {
        let metrics = self.health("/metrics").await;
        let mut lines = metrics.text().lines();
        lines.find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
    }

    /// Waits until the metrics hold this line.
    pub(crate) async fn counts(&self, line: &str) {
        eventually(line, || async {
            let metrics = self.health("/metrics").await;
            metrics
                .text()
                .lines()
                .any(|other| other == line)
                .then_some(())
        })
        .await;
    }

    /// Events at this level.
    pub(crate) fn events(&self, level: &str) -> Vec<Value> {
        let mut events = self.stderr.json();
        events.retain(|event| event["level"] == level);
        events
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
        self.line(id).await
    }

    /// The log line with this request id.
    pub(crate) async fn line(&self, id: &str) -> Value {
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
pub(crate) struct Lines(Arc<(Mutex<Written>, Condvar)>);

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
                written.now().lines.push(line);
            }
            written.now().ended = true;
            written.0.1.notify_all();
        });
        lines
    }

    fn now(&self) -> MutexGuard<'_, Written> {
        self.0.0.lock().expect("no reader panicked")
    }

    pub(crate) fn text(&self) -> String {
        let mut text = self.now().lines.join("\n");
        text.push('\n');
        text
    }

    /// The lines that are JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.now()
            .lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub(crate) fn ended(&self) -> bool {
        self.now().ended
    }

    /// Waits until all who may write here have ended.
    pub(crate) fn wait(&self) {
        let (_, ended) = &*self.0;
        let ended = ended.wait_timeout_while(self.now(), DEADLINE, |written| !written.ended);
        drop(ended.expect("no reader panicked"));
    }
}
