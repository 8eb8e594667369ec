use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

fn counter() -> IntCounter {
    IntCounter::new("dropped", "lines").unwrap()
}

/// Writes into a channel, one message per call; each call first waits for a permission.
struct Slow {
    permissions: Receiver<io::Result<()>>,
    written: Sender<Vec<u8>>,
}

impl Write for Slow {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // a test that ended wants no more
        self.permissions.recv().unwrap_or(Ok(()))?;
        let _gone = self.written.send(buf.to_vec());
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow() -> (Slow, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
    let (permit, permissions) = channel();
    let (sender, written) = channel();
    let slow = Slow {
        permissions,
        written: sender,
    };
    (slow, permit, written)
}

#[test]
fn lines_are_written_in_order_many_at_once() {
    let (out, permit, written) = slow();
    drop(permit);
    let log = Log::start(Box::new(out), counter());
    let lines: Vec<String> = (0..5000).map(|line| format!("line {line}\n")).collect();
    for line in &lines {
        log.push(line.as_bytes());
    }
    assert!(log.close());
    let batches: Vec<Vec<u8>> = written.try_iter().collect();
    assert_eq!(String::from_utf8(batches.concat()).unwrap(), lines.concat());
    assert!(batches.len() < 500, "{} writes", batches.len());
}

#[test]
fn a_full_queue_drops_and_counts_lines_and_never_waits() {
    let (out, permit, written) = slow();
    let dropped = counter();
    let log = Log::start(Box::new(out), dropped.clone());
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    // the writer holds at most one full queue and stands still; the queue takes one more
    let most = (CAPACITY / line.len()) as u64;
    let pushed = 3 * most;
    for _ in 0..pushed {
        log.push(&line);
    }
    let lost = dropped.get();
    assert!((most..=2 * most).contains(&lost), "{lost} of {pushed}");
    drop(permit);
    assert!(log.close());
    let kept: usize = written.try_iter().map(|batch| batch.len()).sum();
    assert_eq!(kept as u64, (pushed - lost) * line.len() as u64);
    log.push(&line);
    assert_eq!(dropped.get(), lost + 1, "a closed log counts what it drops");
}

#[test]
fn a_broken_stdout_costs_lines_and_nothing_else() {
    let (out, permit, written) = slow();
    let dropped = counter();
    let log = Log::start(Box::new(out), dropped.clone());
    permit
        .send(Err(io::Error::from(io::ErrorKind::BrokenPipe)))
        .unwrap();
    log.push(b"one\n");
    assert!(log.flush());
    assert_eq!(dropped.get(), 1);
    drop(permit);
    log.push(b"two\n");
    assert!(log.flush());
    assert_eq!(dropped.get(), 1);
    // the failed write may have left half a line behind
    assert_eq!(written.try_iter().collect::<Vec<_>>().concat(), b"\ntwo\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_survived() {
    let dropped = counter();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let log = Log::start(Box::new(full), dropped.clone());
    for _ in 0..10 {
        log.push(b"line\n");
    }
    assert!(log.close());
    assert_eq!(dropped.get(), 10);
}
