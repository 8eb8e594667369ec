//! A real Redis, in a folder of its own.

use std::process::{Child, Stdio};

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tempfile::TempDir;

use super::counterparts::{free_port, python, skipped};
use super::programs::{find, program};
use super::{eventually, signals};

/// The password of a secure one.
pub(crate) const PASSWORD: &str = "s3cret-redis-password";

/// A running `redis-server`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    child: Child,
    directory: TempDir,
    secure: bool,
}

impl Redis {
    /// Without TLS or password. `None`, said on stderr, if the machine has none.
    pub(crate) async fn start() -> Option<Self> {
        Self::prepared(tempfile::tempdir().expect("a directory"), false).await
    }

    /// With TLS alone, for `localhost`, its certificate signed by this authority, and a password.
    pub(crate) async fn secure(authority: &CertifiedIssuer<'_, KeyPair>) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        for (name, pem) in [
            ("server.pem", certificate.pem()),
            ("server.key", key.serialize_pem()),
            ("ca.pem", authority.pem()),
        ] {
            std::fs::write(directory.path().join(name), pem).expect("written");
        }
        Self::prepared(directory, true).await
    }

    async fn prepared(directory: TempDir, secure: bool) -> Option<Self> {
        find("redis-cli").or_else(|| skipped("redis-cli"))?;
        let port = free_port();
        let mut redis = Self {
            port,
            child: spawn(port, &directory, secure)?,
            directory,
            secure,
        };
        // the port may have become another's
        while !redis.answers().await {
            redis.port = free_port();
            redis.child = spawn(redis.port, &redis.directory, secure)?;
        }
        Some(redis)
    }

    /// Waits until it answers; `false` if it ended.
    async fn answers(&mut self) -> bool {
        let child = std::cell::RefCell::new(&mut self.child);
        let cli = |arguments: &[&str]| cli(self.port, &self.directory, self.secure, arguments);
        eventually("redis answers", || async {
            if child.borrow_mut().try_wait().expect("our child").is_some() {
                return Some(false);
            }
            (cli(&["PING"]).trim_ascii() == b"PONG").then_some(true)
        })
        .await
    }

    /// `127.0.0.1` or, with TLS, `localhost`.
    pub(crate) fn url(&self) -> String {
        if self.secure {
            format!("rediss://localhost:{}", self.port)
        } else {
            format!("redis://127.0.0.1:{}", self.port)
        }
    }

    /// What `redis-cli` prints for this command.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Vec<u8> {
        cli(self.port, &self.directory, self.secure, arguments)
    }

    /// All keys, but the probe's.
    pub(crate) fn keys(&self) -> Vec<String> {
        let output = String::from_utf8(self.cli(&["--scan"])).expect("names");
        let keys = output.lines().filter(|key| !key.ends_with(":probe"));
        keys.map(str::to_owned).collect()
    }

    /// The one key whose name ends so.
    pub(crate) fn key(&self, end: &str) -> String {
        let keys = self.keys();
        let mut found = keys.iter().filter(|key| key.ends_with(end));
        match (found.next(), found.next()) {
            (Some(key), None) => key.clone(),
            other => panic!("{end}: {other:?} of {keys:?}"),
        }
    }

    /// Takes connections and says nothing from now on.
    pub(crate) async fn hang(&self) {
        signals::hang(&self.child).await;
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        signals::signal(&self.child, "CONT");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Starts it again at the same port, empty.
    pub(crate) async fn revive(&mut self) {
        self.child = spawn(self.port, &self.directory, self.secure).expect("installed");
        assert!(self.answers().await, "the port is taken");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // an error means that it has ended already
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(port: u16, directory: &TempDir, secure: bool) -> Option<Child> {
    let server = find("redis-server").or_else(|| skipped("redis-server"))?;
    let mut command = python("run.py")?;
    let number = port.to_string();
    command
        .arg(server)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    if secure {
        command.args(["--port", "0", "--tls-port", &number]);
        command.args(["--tls-auth-clients", "no", "--requirepass", PASSWORD]);
        for (key, file) in [
            ("--tls-cert-file", "server.pem"),
            ("--tls-key-file", "server.key"),
            ("--tls-ca-cert-file", "ca.pem"),
        ] {
            command.arg(key).arg(directory.path().join(file));
        }
    } else {
        command.args(["--port", &number]);
    }
    let child = command
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Some(child.expect("an installed program starts"))
}

fn cli(port: u16, directory: &TempDir, secure: bool, arguments: &[&str]) -> Vec<u8> {
    let mut command = program("redis-cli").expect("found before");
    command.args(["-h", "localhost", "-p", &port.to_string()]);
    if secure {
        command.args(["--tls", "--no-auth-warning", "-a", PASSWORD, "--cacert"]);
        command.arg(directory.path().join("ca.pem"));
    }
    let output = command.args(arguments).output().expect("it runs");
    output.stdout
}
