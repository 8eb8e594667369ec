//! Signatures in turns: in each turn of a worker's event loop only so many are verified.
//!
//! A signature takes as long as all else that is done for a request. Without turns a crowd of new tokens, good or
//! not, is verified in one go, while answers and known tokens wait; and what each of the crowd takes of memory
//! is thrown out of the caches by the rest of it before its request is sent.

use std::sync::Arc;
use std::thread::ThreadId;

use tokio::sync::{Notify, Semaphore};

use crate::gate;

/// How many signatures a turn has: few enough for the caches, enough that the upstream is not woken for each.
const EACH: usize = 16;

/// The turns of each worker, by its thread.
#[derive(Clone, Debug)]
pub struct Turns(Arc<[(ThreadId, Arc<Turn>)]>);

impl FromIterator<(ThreadId, Arc<Turn>)> for Turns {
    fn from_iter<I: IntoIterator<Item = (ThreadId, Arc<Turn>)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl gate::Turns for Turns {
    fn wait(&self) -> Option<gate::Boxed<'_, ()>> {
        let here = std::thread::current().id();
        let (_thread, turn) = self.0.iter().find(|(thread, _)| *thread == here)?;
        turn.wait()
    }
}

/// The turn of one worker.
#[derive(Debug)]
pub struct Turn {
    /// What is left of it; who waits gets what the next one brings, first come, first served.
    left: Semaphore,
    /// Somebody found nothing left.
    spent: Notify,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            left: Semaphore::new(EACH),
            spent: Notify::new(),
        }
    }
}

impl Turn {
    fn wait(&self) -> Option<gate::Boxed<'_, ()>> {
        if let Ok(one) = self.left.try_acquire() {
            one.forget();
            return None;
        }
        self.spent.notify_one();
        Some(Box::pin(async {
            // never closed
            if let Ok(one) = self.left.acquire().await {
                one.forget();
            }
        }))
    }

    /// Begins the next turn of the runtime that runs this whenever one is spent and somebody waits.
    pub async fn pass(self: Arc<Self>) {
        loop {
            self.spent.notified().await;
            while self.left.available_permits() == 0 {
                // goes on after what is ready by now
                tokio::task::yield_now().await;
                self.left.add_permits(EACH);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::runtime::Handle;
    use tokio::task::JoinSet;

    use super::*;
    use crate::gate::Turns as _;

    /// On a runtime of one thread, as a worker's.
    fn turns() -> (Turns, Arc<Turn>) {
        let turn = Arc::new(Turn::default());
        Handle::current().spawn(Arc::clone(&turn).pass());
        let here = (std::thread::current().id(), Arc::clone(&turn));
        ([here].into_iter().collect(), turn)
    }

    async fn take(turns: Turns) {
        if let Some(turn) = turns.wait() {
            turn.await;
        }
    }

    #[tokio::test]
    async fn what_is_ready_goes_before_the_rest_of_a_crowd() {
        let (turns, _turn) = turns();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..3 * EACH {
            let (turns, log) = (turns.clone(), Arc::clone(&log));
            all.spawn(async move {
                take(turns).await;
                log.lock().unwrap().push(number);
            });
        }
        let known = Arc::clone(&log);
        all.spawn(async move {
            // an answer that has come
            tokio::task::yield_now().await;
            known.lock().unwrap().push(usize::MAX);
        });
        all.join_all().await;
        let log = log.lock().unwrap();
        let (crowd, answer) = (log.iter().filter(|&&at| at < usize::MAX), log.get(EACH));
        assert_eq!(answer, Some(&usize::MAX), "{log:?}");
        assert!(crowd.copied().eq(0..3 * EACH), "{log:?}");
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_turn() {
        let (turns, turn) = turns();
        for _ in 0..EACH {
            assert!(turns.wait().is_none());
        }
        let gone: Vec<_> = (0..10 * EACH).filter_map(|_| turns.wait()).collect();
        assert_eq!(gone.len(), 10 * EACH);
        drop(gone);
        take(turns.clone()).await;
        assert_eq!(turn.left.available_permits(), EACH - 1);
    }

    #[tokio::test]
    async fn elsewhere_nobody_waits() {
        let (turns, _turn) = turns();
        let elsewhere = std::thread::spawn(move || {
            let free = |_: &usize| turns.wait().is_none();
            (0..2 * EACH).filter(free).count()
        });
        assert_eq!(elsewhere.join().unwrap(), 2 * EACH);
    }
}
