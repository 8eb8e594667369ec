//! Signals to processes that tests have started.

use std::process::{Child, Command};

/// Sends a signal by its name without `SIG`.
pub(crate) fn signal(child: &Child, name: &str) {
    let line = format!("kill -{name} {}", child.id());
    let sent = Command::new("/bin/sh").args(["-c", &line]).status();
    assert!(sent.expect("a shell").success(), "{line}");
}

/// Makes it hang, until it is sent `CONT`: back once each of its threads stands still, which is a while
/// after the signal was sent.
#[cfg(any(feature = "redis", feature = "sql"))]
pub(crate) async fn hang(child: &Child) {
    signal(child, "STOP");
    super::eventually("every thread stands still", async || {
        let mut threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("Linux");
        let still = threads.all(|thread| {
            let status = thread.and_then(|thread| std::fs::read(thread.path().join("status")));
            status.is_ok_and(|status| {
                let status = String::from_utf8_lossy(&status);
                status.lines().any(|line| line.starts_with("State:\tT"))
            })
        });
        still.then_some(())
    })
    .await;
}
