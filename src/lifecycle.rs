//! Signals, and the two steps of a shutdown (DESIGN §5.3, `[shutdown]`).
//!
//! First SIGTERM or SIGINT: not ready; after `pre_drain` the listeners close and requests in flight
//! finish; after `grace` what is left is cut. A second signal cuts at once. SIGHUP, or a changed
//! file, asks for a reload.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

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

/// A changed file is read once it has stayed the same for this long, or after [`MOST_LOOKS`].
const SETTLE: Duration = Duration::from_millis(100);
const MOST_LOOKS: u32 = 20;

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
        let mut poll = tokio::time::interval_at(Instant::now() + POLL, POLL);
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
        self.watch_also(files).await;
    }

    /// Watches these files and no others: those already watched from what was last seen of them
    /// on, the others from their present contents on.
    pub async fn watch_also(&mut self, files: &[PathBuf]) {
        let mut known = std::mem::take(&mut self.watched);
        for path in files {
            let content = match known.remove(path) {
                Some(content) => content,
                None => content(path).await,
            };
            self.watched.insert(path.clone(), content);
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
                        // a SIGHUP sent meanwhile asks for this same reload
                        let _same = self.hang_up.recv().now_or_never();
                        return Told::Reload;
                    }
                }
            }
        }
    }

    /// Whether a file changed since last asked. May be dropped at any point: what was not told is
    /// told the next time.
    async fn changed(&mut self) -> bool {
        let mut seen = contents(&self.watched).await;
        if seen == self.watched {
            return false;
        }
        // who writes a file in place is given time to finish
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(SETTLE).await;
            let again = contents(&self.watched).await;
            if again == seen {
                break;
            }
            seen = again;
        }
        let changed = seen != self.watched;
        self.watched = seen;
        changed
    }
}

async fn contents(files: &HashMap<PathBuf, Option<u64>>) -> HashMap<PathBuf, Option<u64>> {
    let mut seen = HashMap::with_capacity(files.len());
    for path in files.keys() {
        seen.insert(path.clone(), content(path).await);
    }
    seen
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

    #[tokio::test(start_paused = true)]
    async fn a_file_written_in_place_is_one_change_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gatepost.toml");
        std::fs::write(&path, "old").unwrap();
        let mut signals = Signals::listen().unwrap();
        signals.watch(std::slice::from_ref(&path)).await;
        std::fs::write(&path, "").unwrap();
        let (changed, ()) = tokio::join!(signals.changed(), async {
            tokio::time::sleep(SETTLE / 2).await;
            std::fs::write(&path, "new").unwrap();
        });
        assert!(changed);
        assert_eq!(signals.watched[&path], content(&path).await);
        assert!(!signals.changed().await);
    }

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

        // a change nobody was told of is told, whatever list the file is on meanwhile
        std::fs::write(&path, "c").unwrap();
        let dropped = tokio::time::timeout(Duration::ZERO, signals.changed()).await;
        assert!(dropped.is_err());
        let more = [path.clone(), folder.path().join("secret")];
        signals.watch_also(&more).await;
        assert!(signals.changed().await);
        assert!(!signals.changed().await);
    }
}
