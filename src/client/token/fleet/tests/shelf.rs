//! A store in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::time::Instant;

use super::super::entry::entry;
use super::super::*;
use crate::client::token::Bearer;
use crate::clock::{Clock as _, PausedClock};
use crate::secret::Secret;

/// A store that nobody attacks, and what can be done to it.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) kept: Mutex<Option<(Entry, Instant)>>,
    pub(super) turn: Mutex<Option<(Turn, Instant)>>,
    /// The call of this name fails.
    pub(super) away_at: Mutex<Option<&'static str>>,
    turns: AtomicUsize,
    pub(super) clock: PausedClock,
}

impl Shelf {
    pub(super) fn new() -> Self {
        Self {
            kept: Mutex::default(),
            turn: Mutex::default(),
            away_at: Mutex::default(),
            turns: AtomicUsize::new(0),
            clock: PausedClock::new(),
        }
    }

    fn is_away(&self, call: &'static str) -> bool {
        let at = *self.away_at.lock().unwrap();
        at == Some(call) || at == Some("all")
    }

    fn holds(&self, turn: &Turn) -> bool {
        let held = self.turn.lock().unwrap();
        held.as_ref()
            .is_some_and(|(known, ends)| known == turn && Instant::now() < *ends)
    }

    /// What somebody puts there.
    pub(super) fn put(&self, token: &str, fetched_ago: u64, life: u64) {
        let now = self.clock.now();
        let fetched_at = UnixTime(now.0 - fetched_ago);
        let token = Bearer::new(Secret::new(token.to_owned())).unwrap();
        let entry = entry(&token, fetched_at, Duration::from_secs(life), now).unwrap();
        let ends = Instant::now() + entry.remaining;
        *self.kept.lock().unwrap() = Some((entry, ends));
    }
}

impl Store for Shelf {
    fn find<'s>(&'s self, _label: &'s Label) -> Boxed<'s, Result<Option<Entry>, Away>> {
        Box::pin(async {
            if self.is_away("find") {
                return Err(Away);
            }
            let kept = self.kept.lock().unwrap().clone();
            Ok(kept.and_then(|(entry, ends)| {
                let remaining = ends.saturating_duration_since(Instant::now());
                (!remaining.is_zero()).then_some(Entry { remaining, ..entry })
            }))
        })
    }

    fn elect<'s>(&'s self, _label: &'s Label) -> Boxed<'s, Result<Option<Turn>, Away>> {
        Box::pin(async {
            if self.is_away("elect") {
                return Err(Away);
            }
            let mut held = self.turn.lock().unwrap();
            if held
                .as_ref()
                .is_some_and(|(_, ends)| Instant::now() < *ends)
            {
                return Ok(None);
            }
            let number = self.turns.fetch_add(1, Ordering::SeqCst);
            let turn = Turn(number.to_string());
            *held = Some((turn.clone(), Instant::now() + self.turn()));
            Ok(Some(turn))
        })
    }

    fn prolong<'s>(&'s self, _label: &'s Label, turn: &'s Turn) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(async {
            if self.is_away("prolong") {
                return Err(Away);
            }
            let holds = self.holds(turn);
            if holds {
                *self.turn.lock().unwrap() = Some((turn.clone(), Instant::now() + self.turn()));
            }
            Ok(holds)
        })
    }

    fn keep<'s>(
        &'s self,
        _label: &'s Label,
        turn: &'s Turn,
        entry: Entry,
    ) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(async move {
            if self.is_away("keep") {
                return Err(Away);
            }
            let holds = self.holds(turn);
            if holds {
                let ends = Instant::now() + entry.remaining;
                *self.kept.lock().unwrap() = Some((entry, ends));
                *self.turn.lock().unwrap() = None;
            }
            Ok(holds)
        })
    }

    fn resign<'s>(&'s self, _label: &'s Label, turn: &'s Turn) -> Boxed<'s, ()> {
        Box::pin(async {
            if !self.is_away("resign") && self.holds(turn) {
                *self.turn.lock().unwrap() = None;
            }
        })
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn report(&self) -> Value {
        Value::Null
    }
}
