//! Signatures in turns: in each turn of a worker's event loop only so many are verified.
//!
//! A signature takes as long as all else that is done for a request. Without turns a crowd of new tokens, good or
//! not, is verified in one go, while answers and known tokens wait. And each would be sent on as soon as it is
//! verified: to a peer that has slept since the last one and has to be woken, which costs a third of a signature.
//! Those of one turn are sent on together.

use std::sync::Arc;
use std::thread::ThreadId;

use tokio::sync::{Notify, Semaphore};

use crate::gate;

/// How many signatures a turn has: a fraction of a millisecond, and enough to be sent on together.
const EACH: usize = 16;

/// The turns of each worker, by its thread.
#[derive(Clone, Debug)]
pub struct Turns(Arc<[(ThreadId, Arc<Turn>)]>);

impl FromIterator<(ThreadId, Arc<Turn>)> for Turns {
    fn from_iter<I: IntoIterator<Item = (ThreadId, Arc<Turn>)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl Turns {
    /// Of the worker that asks; `None` elsewhere.
    fn here(&self) -> Option<&Turn> {
        let here = std::thread::current().id();
        let mut turns = self.0.iter();
        turns.find_map(|(thread, turn)| (*thread == here).then_some(&**turn))
    }
}

impl gate::Turns for Turns {
    fn wait(&self) -> Option<gate::Boxed<'_, ()>> {
        self.here()?.wait()
    }

    fn end(&self) -> Option<gate::Boxed<'_, ()>> {
        self.here()?;
        // goes on after what is ready by now, the rest of this turn among it
        Some(Box::pin(tokio::task::yield_now()))
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

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Done {
        Verified(usize),
        Sent(usize),
        Answer,
    }

    #[tokio::test]
    async fn what_is_ready_goes_before_the_rest_of_a_crowd() {
        let (turns, _turn) = turns();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..3 * EACH {
            let (turns, log) = (turns.clone(), Arc::clone(&log));
            all.spawn(async move {
                take(turns.clone()).await;
                log.lock().unwrap().push(Done::Verified(number));
                turns.end().unwrap().await;
                log.lock().unwrap().push(Done::Sent(number));
            });
        }
        let answer = Arc::clone(&log);
        all.spawn(async move {
            tokio::task::yield_now().await;
            answer.lock().unwrap().push(Done::Answer);
        });
        all.join_all().await;
        let log = log.lock().unwrap();
        let verified = |done: &&Done| matches!(done, Done::Verified(_));
        let crowd = log.iter().copied().filter(|done| verified(&done));
        assert!(crowd.eq((0..3 * EACH).map(Done::Verified)), "{log:?}");
        assert!(log.iter().take(EACH).all(|done| verified(&done)), "{log:?}");
        // an answer, and those of the first turn, before anybody of the second
        let between = log.iter().skip(EACH).take_while(|done| !verified(done));
        let between: Vec<_> = between.collect();
        assert_eq!(between.len(), EACH + 1, "{log:?}");
        assert!(between.contains(&&Done::Answer), "{log:?}");
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
            let free = |_: &usize| turns.wait().is_none() && turns.end().is_none();
            (0..2 * EACH).filter(free).count()
        });
        assert_eq!(elsewhere.join().unwrap(), 2 * EACH);
    }
}
