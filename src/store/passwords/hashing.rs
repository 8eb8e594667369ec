//! The threads that hash: few, of low priority, so that requests that bring a token do not wait for them.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::authn::password::PasswordHash;
use crate::secret::Secret;
use crate::telemetry::Telemetry;

/// Most hashes that wait for a thread.
pub(super) const MOST_WAITING: u16 = 256;
/// The longest one waits: whoever asked has mostly gone by then.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Above that of the threads that serve, which is 0: they are given ten times as much of a core.
const NICE: i32 = 10;

/// Threads that hash. They end when it is dropped.
pub(super) struct Hashing {
    threads: NonZeroUsize,
    waiting: SyncSender<Job>,
    telemetry: Arc<Telemetry>,
}

struct Job {
    against: Arc<PasswordHash>,
    password: Secret,
    until: Instant,
    tell: oneshot::Sender<bool>,
}

impl Hashing {
    pub(super) fn start(threads: NonZeroUsize, telemetry: &Arc<Telemetry>) -> io::Result<Self> {
        let (waiting, jobs) = sync_channel(MOST_WAITING.into());
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            let telemetry = Arc::clone(telemetry);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(&jobs, &telemetry))?;
        }
        Ok(Self {
            threads,
            waiting,
            telemetry: Arc::clone(telemetry),
        })
    }

    pub(super) fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Whether `password` is the stored one. `None`: too many wait, or it took too long.
    pub(super) async fn verify(
        &self,
        against: Arc<PasswordHash>,
        password: Secret,
    ) -> Option<bool> {
        let (tell, told) = oneshot::channel();
        let until = Instant::now() + LONGEST_WAIT;
        let job = Job {
            against,
            password,
            until,
            tell,
        };
        self.telemetry.metrics.password_waits(1);
        if self.waiting.try_send(job).is_err() {
            self.telemetry.metrics.password_waits(-1);
            return None;
        }
        told.await.ok()
    }
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, telemetry: &Telemetry) {
    // on Linux, of the calling thread; where it is not allowed, all have the same share
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "hashing threads have the priority of all others");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        // nobody is left who could send one
        let Ok(job) = job else {
            return;
        };
        telemetry.metrics.password_waits(-1);
        if Instant::now() >= job.until {
            continue;
        }
        let began = Instant::now();
        let verify = AssertUnwindSafe(|| job.against.matches(&job.password));
        if let Ok(matches) = catch_unwind(verify) {
            telemetry.metrics.password_hashed(began.elapsed());
            // whoever asked may have gone
            let _gone = job.tell.send(matches);
        }
    }
}
