//! Other people's programs, installed on the machine by `.ci/setup`: curl, h2load, wrk, nginx.

use std::path::PathBuf;
use std::process::Command;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use tempfile::TempDir;

use super::counterparts::{Counterpart, python, skipped, start};

/// The program of this name, with nothing of our environment that would change what it does; `None`,
/// said on stderr, if the machine has none.
pub(crate) fn program(name: &str) -> Option<Command> {
    let Some(file) = find(name) else {
        return skipped(name);
    };
    let mut command = Command::new(file);
    command.env_clear();
    Some(command)
}

/// `curl` without its config file, quiet but for errors. It speaks HTTP/2.
pub(crate) fn curl() -> Option<Command> {
    let mut command = program("curl")?;
    command.args(["--disable", "--silent", "--show-error", "--max-time", "20"]);
    Some(command)
}

/// Runs a program to its end, off the runtime's threads: what it wrote to standard output. Fails if
/// it does.
pub(crate) async fn text(mut command: Command) -> String {
    let ran = tokio::task::spawn_blocking(move || {
        let output = command.output().expect("the program runs");
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).expect("a text")
    });
    ran.await.expect("the program's output")
}

/// The file of a program, on the `PATH` or in `/usr/sbin`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // not on everyone's PATH
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// A running nginx; killed when dropped. What it serves: `tests/counterparts/nginx.conf`.
#[derive(Debug)]
pub(crate) struct Nginx {
    server: Counterpart,
    _directory: TempDir,
}

impl Nginx {
    /// HTTP/1.1 and HTTP/2 with prior knowledge. Serves these files: name and content.
    pub(crate) async fn serving(files: &[(&str, &[u8])]) -> Option<Self> {
        Self::prepared(files, None).await
    }

    /// The same, and TLS for `localhost`, its certificate signed by this authority.
    pub(crate) async fn secure(
        files: &[(&str, &[u8])],
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> Option<Self> {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        Self::prepared(files, Some(certificate.pem() + &key.serialize_pem())).await
    }

    async fn prepared(files: &[(&str, &[u8])], identity: Option<String>) -> Option<Self> {
        let nginx = find("nginx").or_else(|| skipped("nginx"))?;
        let mut command = python("nginx.py")?;
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("files");
        std::fs::create_dir(&root).expect("a directory");
        for (name, content) in files {
            std::fs::write(root.join(name), content).expect("written");
        }
        if let Some(pem) = identity {
            std::fs::write(directory.path().join("server.pem"), pem).expect("written");
        }
        command.arg(nginx).arg(directory.path());
        Some(Self {
            server: start(command).await,
            _directory: directory,
        })
    }

    /// `http://127.0.0.1:PORT`: HTTP/1.1
    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// `http://127.0.0.1:PORT`: HTTP/2 with prior knowledge and nothing else
    pub(crate) fn h2c_url(&self) -> &str {
        self.server.said["h2c"].as_str().expect("an address")
    }

    /// `https://localhost:PORT`: HTTP/2 or HTTP/1.1, as ALPN says
    pub(crate) fn tls_url(&self) -> String {
        let url = self.server.said["tls"].as_str().expect("started secure");
        url.replace("127.0.0.1", "localhost")
    }
}
