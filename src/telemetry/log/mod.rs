//! Lines → bounded queue → one writer thread.
//!
//! A request copies its line under a short lock and goes on. The writer takes all that has
//! gathered and writes it with one call, then lets lines gather again: many lines per system call
//! under load, and at most [`LINGER`] of delay. Whatever happens to stdout (closed pipe, full disk,
//! a reader that stopped) costs lines, which are counted, and never a request.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

/// The request log.
#[derive(Debug)]
pub(super) struct Log {
    queue: Arc<Queue>,
    dropped: IntCounter,
}

impl Log {
    /// Starts the writer thread. Without one (the system gave no thread) every line is dropped and
    /// counted.
    pub(super) fn start(out: Box<dyn Write + Send>, dropped: IntCounter) -> Self {
        let queue = Arc::new(Queue::default());
        let writer = Writer {
            queue: Arc::clone(&queue),
            out,
            lost: dropped.clone(),
        };
        let started = thread::Builder::new()
            .name("request-log".to_owned())
            .spawn(move || writer.run());
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the request log's writer");
            queue.lock().closed = true;
        }
        Self { queue, dropped }
    }

    /// Adds one line (with its line break), or drops and counts it if the queue is full.
    pub(super) fn push(&self, line: &[u8]) {
        let mut pending = self.queue.lock();
        let length = pending.lines.len() + line.len();
        if pending.closed || length > CAPACITY {
            drop(pending);
            self.dropped();
            return;
        }
        pending.lines.extend_from_slice(line);
        pending.accepted += 1;
        // one wake per batch: when the writer sleeps, and when a batch is full
        let wake = pending.asleep || (!pending.hurry && length >= BATCH);
        pending.asleep = false;
        pending.hurry |= length >= BATCH;
        drop(pending);
        if wake {
            self.queue.more.notify_one();
        }
    }

    /// Counts a line that could not be written.
    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }

    /// Waits until the lines pushed so far are written or lost; `false` after [`PATIENCE`].
    pub(super) fn flush(&self) -> bool {
        self.finish(false)
    }

    /// Flushes and ends the writer.
    pub(super) fn close(&self) -> bool {
        self.finish(true)
    }

    fn finish(&self, close: bool) -> bool {
        let mut pending = self.queue.lock();
        pending.hurry = true;
        pending.closed |= close;
        let target = pending.accepted;
        self.queue.more.notify_one();
        let (pending, _timeout) = self
            .queue
            .done
            .wait_timeout_while(pending, PATIENCE, |pending| pending.finished < target)
            .unwrap_or_else(PoisonError::into_inner);
        pending.finished >= target
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug, Default)]
struct Queue {
    pending: Mutex<Pending>,
    /// There is something to write, or to end.
    more: Condvar,
    /// A batch was written.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// Lines ever taken into the queue.
    accepted: u64,
    /// Those of them that are written or lost.
    finished: u64,
    /// The writer waits for the first line of a batch.
    asleep: bool,
    /// The batch must not linger.
    hurry: bool,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // nothing that runs under the lock can leave it half done
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer {
    queue: Arc<Queue>,
    out: Box<dyn Write + Send>,
    lost: IntCounter,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        // whether the last batch may have ended in the middle of a line
        let mut torn = false;
        while let Some(finished) = self.gather(&mut batch) {
            let result = self.write(&batch, torn);
            torn = result.is_err();
            if torn {
                self.lost.inc_by(count_lines(&batch));
            }
            batch.clear();
            batch.shrink_to(KEEP);
            self.queue.lock().finished = finished;
            self.queue.done.notify_all();
        }
    }

    /// Waits for lines and takes them all; the count of lines accepted up to then. `None` when
    /// closed and empty.
    fn gather(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut pending = self.queue.lock();
        while pending.lines.is_empty() {
            if pending.closed {
                return None;
            }
            pending.hurry = false;
            pending.asleep = true;
            pending = self
                .queue
                .more
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        pending.asleep = false;
        let (mut pending, _timeout) = self
            .queue
            .more
            .wait_timeout_while(pending, LINGER, |pending| !pending.hurry)
            .unwrap_or_else(PoisonError::into_inner);
        pending.hurry = false;
        std::mem::swap(&mut pending.lines, batch);
        Some(pending.accepted)
    }

    fn write(&mut self, batch: &[u8], torn: bool) -> std::io::Result<()> {
        if torn {
            self.out.write_all(b"\n")?;
        }
        self.out.write_all(batch)?;
        self.out.flush()
    }
}

fn count_lines(batch: &[u8]) -> u64 {
    batch.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Most bytes that wait.
const CAPACITY: usize = 4 * 1024 * 1024;
/// A batch of this size is written at once.
const BATCH: usize = 64 * 1024;
/// How long a smaller one waits for more lines.
const LINGER: Duration = Duration::from_millis(10);
/// Memory the two buffers keep.
const KEEP: usize = 256 * 1024;
/// Longest wait for a flush.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
