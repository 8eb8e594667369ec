//! wrk: load on kept connections, and what became of it.

use std::process::{Child, Stdio};

use super::programs::program;
use super::signals::signal;

/// A running wrk; killed when dropped.
#[derive(Debug)]
pub(crate) struct Wrk(Option<Child>);

/// What wrk counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Whole responses.
    pub(crate) responses: u64,
    /// Those of another status than 2xx or 3xx.
    pub(crate) others: u64,
    /// Connections for which there was no socket.
    pub(crate) connect: u64,
    /// Connections that broke off before a response was whole.
    pub(crate) read: u64,
    /// Requests that could not be sent: their connection was refused, as wrk finds out then.
    pub(crate) write: u64,
    /// Responses that took more than 10 s.
    pub(crate) timeout: u64,
}

impl Wrk {
    /// Asks for this URL with this token on 16 connections, one request after the other on each;
    /// `None`, said on stderr, if the machine has no wrk.
    pub(crate) fn start(url: &str, token: &str) -> Option<Self> {
        let mut command = program("wrk")?;
        let child = command
            .args([
                "--threads=1",
                "--connections=16",
                "--duration=60s",
                "--timeout=10s",
            ])
            .arg(format!("--header=authorization: Bearer {token}"))
            .arg(url)
            .stdout(Stdio::piped())
            .spawn();
        Some(Self(Some(child.expect("wrk runs"))))
    }

    /// Ends it and reads its report.
    pub(crate) async fn stop(mut self) -> Counted {
        let child = self.0.take().expect("stopped once");
        let stopped = tokio::task::spawn_blocking(move || {
            signal(&child, "INT");
            let output = child.wait_with_output().expect("our child");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("a text")
        });
        Counted::read(&stopped.await.expect("wrk's report"))
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // An error means that it has ended already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Counted {
    /// `100 requests in 1.00s, 3.05KB read`, and where there was any:
    /// `Socket errors: connect 0, read 1, write 0, timeout 0` and `Non-2xx or 3xx responses: 2`.
    fn read(report: &str) -> Self {
        let mut counted = Self::default();
        for line in report.lines().map(str::trim) {
            let number = |text: &str| text.trim().parse().unwrap_or_else(|_| panic!("{report}"));
            if let Some((responses, _)) = line.split_once(" requests in ") {
                counted.responses = number(responses);
            } else if let Some(others) = line.strip_prefix("Non-2xx or 3xx responses:") {
                counted.others = number(others);
            } else if let Some(errors) = line.strip_prefix("Socket errors:") {
                for error in errors.split(',') {
                    let (name, count) = error.trim().split_once(' ').expect("name and count");
                    *match name {
                        "connect" => &mut counted.connect,
                        "read" => &mut counted.read,
                        "write" => &mut counted.write,
                        "timeout" => &mut counted.timeout,
                        _ => panic!("{report}"),
                    } = number(count);
                }
            }
        }
        counted
    }
}
