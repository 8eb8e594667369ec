//! Attempts on passwords as they are made: [`Attempts`] with a clock, and with room to wait in for whoever
//! comes while as many run as may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::authn::password::attempts::{Attempt, Ended, Held, Limits};
use crate::authn::password::{Attempts, Source};

/// The longest anybody waits for another's attempt to end.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Most of one source that wait for that.
const MOST_WAITING: usize = 256;

/// Attempts on passwords. Clones share them.
#[derive(Clone, Debug)]
pub struct Guesses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    attempts: Attempts,
    /// Time is counted from then on.
    began: Instant,
    waiting: Mutex<HashMap<Source, Waiting>>,
}

/// Who waits of one source.
#[derive(Debug, Default)]
struct Waiting {
    number: usize,
    ended: Arc<Notify>,
}

/// An attempt that runs. Dropped before it is told how it ended, it was not made.
#[derive(Debug)]
pub struct Guess {
    guesses: Guesses,
    source: Source,
    attempt: Option<Attempt>,
}

impl Guesses {
    /// What `previous` counted is kept, if it counted by the same numbers.
    #[must_use]
    pub fn start(limits: Limits, at_once: u32, previous: Option<&Self>) -> Self {
        let same = |old: &&Self| {
            let attempts = &old.0.attempts;
            attempts.limits() == limits && attempts.at_once() == at_once
        };
        previous.filter(same).cloned().unwrap_or_else(|| {
            Self(Arc::new(Inner {
                attempts: Attempts::new(limits, at_once),
                began: Instant::now(),
                waiting: Mutex::default(),
            }))
        })
    }

    /// For how long this source is locked out of this user yet, if at all.
    #[must_use]
    pub fn locked(&self, user: &str, source: Source) -> Option<Duration> {
        self.0.attempts.locked(user, source, self.now())
    }

    /// Begins an attempt, if it may begin now.
    pub fn try_begin(&self, user: &str, source: Source) -> Result<Guess, Held> {
        let attempt = self.0.attempts.begin(user, source, self.now())?;
        Ok(Guess {
            guesses: self.clone(),
            source,
            attempt: Some(attempt),
        })
    }

    /// Begins an attempt once there is room: [`Held::Running`] where there was none for long, or too many
    /// of this source wait.
    pub async fn begin(&self, user: &str, source: Source) -> Result<Guess, Held> {
        let full = match self.try_begin(user, source) {
            Err(full @ Held::Running { .. }) => full,
            begun_or_held => return begun_or_held,
        };
        let until = Instant::now() + LONGEST_WAIT;
        let place = Place::take(self, source).ok_or(full)?;
        loop {
            // from here on it is heard what ends
            let ended = place.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            match self.try_begin(user, source) {
                Err(Held::Running { .. }) => {}
                begun_or_held => return begun_or_held,
            }
            let ended = tokio::time::timeout_at(until, ended).await;
            ended.map_err(|_elapsed| full)?;
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Source, Waiting>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guess {
    /// The attempt's turn: nothing is to be looked at before.
    pub async fn turn(&self) {
        if let Some(attempt) = &self.attempt {
            tokio::time::sleep(attempt.wait).await;
        }
    }

    /// Tells how it ended.
    pub fn end(mut self, ended: Ended) {
        if let Some(attempt) = self.attempt.take() {
            attempt.end(ended, self.guesses.now());
        }
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        drop(self.attempt.take());
        if let Some(waiting) = self.guesses.waiting().get(&self.source) {
            waiting.ended.notify_waiters();
        }
    }
}

/// Room of one who waits.
struct Place<'g> {
    guesses: &'g Guesses,
    source: Source,
    ended: Arc<Notify>,
}

impl<'g> Place<'g> {
    fn take(guesses: &'g Guesses, source: Source) -> Option<Self> {
        let mut all = guesses.waiting();
        let waiting = all.entry(source).or_default();
        if waiting.number >= MOST_WAITING {
            return None;
        }
        waiting.number += 1;
        let ended = Arc::clone(&waiting.ended);
        Some(Self {
            guesses,
            source,
            ended,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.guesses.waiting();
        if let Some(waiting) = all.get_mut(&self.source) {
            waiting.number -= 1;
            if waiting.number == 0 {
                all.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        attempts: 3,
        window: Duration::from_secs(900),
        duration: Duration::from_secs(600),
    };

    fn source() -> Source {
        Source::of("192.0.2.1".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_others_run_waits_for_them_and_is_let_in_or_locked_as_they_end() {
        for (ended, expected) in [
            (Ended::Right, 20),
            (Ended::Unanswered, 20),
            (Ended::Wrong, 3),
        ] {
            let guesses = Guesses::start(LIMITS, 64, None);
            let all = (0..20).map(|_each| async {
                let guess = guesses.begin("ada", source()).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
                guess.end(ended);
                Ok::<_, Held>(())
            });
            let made = futures_util::future::join_all(all).await;
            let begun = made.iter().filter(|made| made.is_ok()).count();
            assert_eq!(begun, expected, "{ended:?}");
            let locked =
                |made: &Result<(), Held>| matches!(made, Ok(()) | Err(Held::LockedOut { .. }));
            assert!(made.iter().all(locked), "{made:?}");
            assert!(guesses.waiting().is_empty());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_nor_in_a_crowd() {
        let guesses = Guesses::start(LIMITS, 1, None);
        let running = guesses.try_begin("eve", source()).unwrap();
        let all = (0..300).map(|_each| guesses.begin("ada", source()));
        let (began, all) = (Instant::now(), futures_util::future::join_all(all));
        for held in all.await {
            assert!(matches!(held, Err(Held::Running { .. })), "{held:?}");
        }
        assert_eq!(began.elapsed(), LONGEST_WAIT);
        let late = guesses.begin("ada", source());
        tokio::pin!(late);
        assert!(futures_util::poll!(&mut late).is_pending());
        drop(running);
        assert!(late.await.is_ok());
    }
}
