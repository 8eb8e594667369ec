//! Whether somebody whom we ask is known to be down: then nobody asks for a while, and then one at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::jitter::between;

const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// What a source asks for is heeded up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Whom a failure concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerns {
    /// Whoever asks: nobody is there, or we are not let in.
    Everyone,
    /// Whom it was asked about: the answer is of no use. Others are asked about as before.
    One,
    /// Perhaps one, perhaps everyone: two different ones in a row count as everyone.
    Unclear,
}

/// What is known of one source.
#[derive(Debug, Default)]
pub struct Health {
    /// How often in a row it was found down.
    failures: u32,
    /// Who met the last failure that may have been theirs alone.
    doubted_by: Option<u64>,
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    /// Since when.
    since: Instant,
    /// Nobody asks before.
    rest_until: Instant,
    /// Whether somebody is asking.
    probed: bool,
}

impl Health {
    /// Whether a look-up may begin; if so, it must end by [`Self::succeeded`], [`Self::failed`] or
    /// [`Self::unasked`]. Else how long it is left alone.
    pub fn begin(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(down) = &mut self.down else {
            return Ok(());
        };
        let rest = down.rest_until.saturating_duration_since(now);
        if rest > Duration::ZERO {
            return Err(rest);
        }
        if down.probed {
            return Err(FIRST_REST);
        }
        down.probed = true;
        Ok(())
    }

    /// What is left of the rest, for a look-up that waited for its turn.
    pub fn rest(&self, began: Instant, now: Instant) -> Option<Duration> {
        let down = self.down.as_ref().filter(|down| began < down.since)?;
        Some(
            down.rest_until
                .saturating_duration_since(now)
                .max(FIRST_REST),
        )
    }

    /// Whether the source is known to be down.
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// A look-up had an answer. Whether the source was down until now.
    pub fn succeeded(&mut self) -> bool {
        let was_down = self.down.is_some();
        *self = Self::default();
        was_down
    }

    /// A look-up that began then was not carried out.
    pub fn unasked(&mut self, began: Instant) {
        // who began before the rest was over is not the one who finds out
        if let Some(down) = &mut self.down
            && began >= down.rest_until
        {
            down.probed = false;
        }
    }

    /// A look-up about `whom` that began then failed. Whether everyone's would.
    pub fn failed(
        &mut self,
        concerns: Concerns,
        retry_after: Option<Duration>,
        whom: u64,
        began: Instant,
    ) -> bool {
        let is_everyones = match concerns {
            Concerns::Everyone => true,
            // whom a source that was down answers with nonsense may still be the only one
            Concerns::One => false,
            Concerns::Unclear => {
                self.down.is_some() || self.doubted_by.is_some_and(|other| other != whom)
            }
        };
        if concerns == Concerns::Unclear {
            self.doubted_by = Some(whom);
        }
        if !is_everyones {
            self.unasked(began);
            return false;
        }
        // what began before is the same outage
        if self.down.as_ref().is_some_and(|down| began < down.since) {
            return true;
        }
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(10);
        let rest = FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST);
        let asked = retry_after.unwrap_or_default();
        let now = Instant::now();
        self.down = Some(Down {
            since: now,
            rest_until: now + between(rest / 2, rest).max(asked.min(LONGEST_RETRY_AFTER)),
            probed: false,
        });
        true
    }
}
