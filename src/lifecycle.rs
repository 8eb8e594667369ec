//! Signals, and the two steps of a shutdown (DESIGN §5.3, `[shutdown]`).
//!
//! First SIGTERM or SIGINT: not ready; after `pre_drain` the listeners close and requests in flight
//! finish; after `grace` what is left is cut. A second signal cuts at once. SIGHUP, or a changed
//! file, asks for a reload.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the process was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP, or a watched file changed.
    Reload,
}

/// How often watched files are read. Contents are compared: mounted secrets and config maps are
/// swapped in ways that file notifications miss.
const POLL: Duration = Duration::from_secs(2);

/// Listens for signals and changed files.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    poll: tokio::time::Interval,
    watched: HashMap<PathBuf, Option<u64>>,
}

impl Signals {
    /// Starts listening. Fails if the process may not install signal handlers.
    pub fn listen() -> std::io::Result<Self> {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            poll,
            watched: HashMap::new(),
        })
    }

    /// Watches these files from their present contents on.
    pub async fn watch(&mut self, files: &[PathBuf]) {
        self.watched.clear();
        for path in files {
            self.watched.insert(path.clone(), content(path).await);
        }
    }

    /// Waits for the next signal or changed file.
    pub async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Told::Stop,
                _ = self.interrupt.recv() => return Told::Stop,
                _ = self.hang_up.recv() => return Told::Reload,
                _ = self.poll.tick() => {
                    if self.changed().await {
                        return Told::Reload;
                    }
                }
            }
        }
    }

    async fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.watched {
            let now = content(path).await;
            changed |= now != *known;
            *known = now;
        }
        changed
    }
}

/// A hash of a file's content; `None` if it cannot be read.
async fn content(path: &Path) -> Option<u64> {
    let bytes = tokio::fs::read(path).await.ok()?;
    let sha = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    sha.as_ref()
        .first_chunk()
        .map(|first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_file_asks_for_a_reload_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.toml");
        std::fs::write(&path, "a").unwrap();
        let mut signals = Signals::listen().unwrap();
        signals.watch(std::slice::from_ref(&path)).await;
        assert!(!signals.changed().await);
        std::fs::write(&path, "b").unwrap();
        assert!(signals.changed().await);
        assert!(!signals.changed().await);
        std::fs::remove_file(&path).unwrap();
        assert!(signals.changed().await);
    }
}
