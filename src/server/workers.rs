//! The threads that serve connections: one single-threaded runtime per core.
//!
//! A connection stays on the worker it was given to, and its requests use that worker's upstream
//! connections, so that nothing of a request crosses threads (docs/decisions.md has the figures).
//! Accept loops, health, admin and background work stand on the runtime of the process beside them.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::server::turns::{Turn, Turns};

/// The workers. Clones share them; the threads end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    workers: Box<[Arc<Worker>]>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Worker {
    number: usize,
    runtime: Handle,
    thread: ThreadId,
    turn: Arc<Turn>,
    /// Connections it serves now.
    connections: AtomicUsize,
}

impl Workers {
    /// Starts this many threads.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let workers: io::Result<_> = (0..count.get())
            .map(|number| Worker::start(number, stop.clone()).map(Arc::new))
            .collect();
        Ok(Self(Arc::new(Inner {
            workers: workers?,
            _stop: stop.drop_guard(),
        })))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.workers.len()
    }

    /// Their turns.
    #[must_use]
    pub fn turns(&self) -> Turns {
        let workers = self.0.workers.iter();
        workers
            .map(|worker| (worker.thread, Arc::clone(&worker.turn)))
            .collect()
    }

    /// A place on the worker with the fewest connections.
    #[must_use]
    pub fn seat(&self) -> Option<Seat> {
        let connections = |worker: &&Arc<Worker>| worker.connections.load(Ordering::Relaxed);
        self.0.workers.iter().min_by_key(connections).map(|worker| {
            worker.connections.fetch_add(1, Ordering::Relaxed);
            Seat(Arc::clone(worker))
        })
    }
}

impl Worker {
    fn start(number: usize, stop: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let turn = Arc::new(Turn::default());
        runtime.spawn(Arc::clone(&turn).pass());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(stop.cancelled_owned()))?;
        Ok(Self {
            number,
            runtime: handle,
            thread: thread.thread().id(),
            turn,
            connections: AtomicUsize::new(0),
        })
    }
}

/// A connection's place on its worker, given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Worker>);

impl Seat {
    /// The worker's number, from 0.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.0.number
    }

    /// Where its connection's future runs.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_go_to_the_worker_with_the_fewest() {
        let workers = Workers::start(NonZeroUsize::new(3).unwrap()).unwrap();
        let mut seats: Vec<Seat> = (0..6).map(|_| workers.seat().unwrap()).collect();
        let numbers = |seats: &[Seat]| seats.iter().map(Seat::worker).collect::<Vec<_>>();
        assert_eq!(numbers(&seats), [0, 1, 2, 0, 1, 2]);
        seats.remove(4);
        assert_eq!(workers.seat().unwrap().worker(), 1);
    }

    #[tokio::test]
    async fn each_worker_is_a_thread_of_its_own_that_ends_with_the_last_clone() {
        let workers = Workers::start(NonZeroUsize::new(2).unwrap()).unwrap();
        let mut names = Vec::new();
        let seats = [workers.seat().unwrap(), workers.seat().unwrap()];
        for seat in &seats {
            let name = async { std::thread::current().name().map(str::to_owned) };
            names.push(seat.runtime().spawn(name).await.unwrap().unwrap());
        }
        assert_eq!(names, ["worker-0", "worker-1"]);
        let waiting = seats[0].runtime().spawn(std::future::pending::<()>());
        drop(workers);
        assert!(waiting.await.unwrap_err().is_cancelled());
    }
}
