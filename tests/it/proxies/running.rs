//! The process of a proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::counterparts::{free_port, python};
use crate::support::eventually;
use crate::support::gatepost::Lines;

/// A running proxy; killed when dropped, with all it started.
pub(super) struct Proxy {
    /// Where its clients come.
    pub(super) address: SocketAddr,
    child: Child,
    output: [Lines; 2],
    pub(super) directory: TempDir,
}

impl Proxy {
    /// Runs this program with the arguments that `prepare` returns, which may write files into the
    /// directory; it must listen at the address. `None`, said on stderr, if Python is not installed.
    pub(super) async fn run(
        program: &Path,
        prepare: impl Fn(&Path, SocketAddr) -> Vec<String>,
    ) -> Option<Self> {
        // the port may be another's by the time the proxy takes it
        for _attempt in 0..3 {
            let directory = tempfile::tempdir().expect("a directory");
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let mut command = python("run.py")?;
            command
                .arg(program)
                .args(prepare(directory.path(), address));
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("an installed program starts");
            let output = [
                Lines::of(child.stdout.take().expect("piped")),
                Lines::of(child.stderr.take().expect("piped")),
            ];
            let proxy = Self {
                address,
                child,
                output,
                directory,
            };
            if proxy.listens().await {
                return Some(proxy);
            }
            eprintln!("it did not start: {}", proxy.written());
        }
        panic!("{} does not start", program.display());
    }

    /// Waits until it listens; false if it ended.
    async fn listens(&self) -> bool {
        eventually("the proxy listens", || async {
            if self.output.iter().all(Lines::ended) {
                return Some(false);
            }
            TcpStream::connect(self.address)
                .await
                .is_ok()
                .then_some(true)
        })
        .await
    }

    /// All that it wrote.
    pub(super) fn written(&self) -> String {
        self.output.iter().map(Lines::text).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error means that it has ended already. The end of its standard input ends what it started.
        drop(self.child.kill());
        drop(self.child.stdin.take());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- the proxy wrote:\n{}", self.written());
        }
    }
}
