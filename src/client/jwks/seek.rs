//! The search for a `kid` the current set lacks.
//!
//! A `kid` is absent only if a fetch begun after it was first seen lacked it. Searches share such a
//! fetch; who finds none to share pays for one from the budget; who finds the budget spent is told
//! so at once.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::client::jwks::state::IssuerKeys;
use crate::gate::{KeysNow, Sought};

/// Where one search stands.
#[derive(Debug, Default)]
struct Search {
    /// Only a fetch with a higher number proves the `kid` absent.
    since: Option<u64>,
    /// The fetch that was waited for, 0 if none.
    waited_for: u64,
    /// An earlier fetch has proved it absent, some time ago.
    was_absent: bool,
}

enum Turn {
    Answer(Sought),
    /// Wait until the fetch of this number has ended.
    Wait(u64),
}

impl IssuerKeys {
    /// Looks for `key_id`, waiting for two fetches at most.
    pub(super) async fn seek(&self, key_id: &str) -> Sought {
        if !self.is_remote() {
            return self.seek_local(key_id);
        }
        let mut search = Search::default();
        let mut ended = self.ended.subscribe();
        // a fetch ends by its deadline; the second on top is for a worker that could not say so
        let longest = self.definition.policy.fetch_timeout + Duration::from_secs(1);
        loop {
            let number = match self.turn(key_id, &mut search) {
                Turn::Answer(sought) => return sought,
                Turn::Wait(number) => number,
            };
            let wait = ended.wait_for(|ended| ended.stopped || ended.number >= number);
            match timeout(longest, wait).await {
                Ok(Ok(ended)) if !ended.stopped => search.waited_for = number,
                Ok(Ok(_) | Err(_)) | Err(_) => {
                    return Sought::Unknown {
                        retry_after: Duration::from_secs(1),
                    };
                }
            }
        }
    }

    /// Nothing to fetch: what the file or secret lacks is absent.
    fn seek_local(&self, key_id: &str) -> Sought {
        match self.find() {
            KeysNow::Usable(set) if set.holds(key_id) => Sought::Found(set),
            KeysNow::Usable(_) => Sought::Absent,
            KeysNow::Unavailable { retry_after } => Sought::Unknown { retry_after },
        }
    }

    fn turn(&self, key_id: &str, search: &mut Search) -> Turn {
        let now = Instant::now();
        // the book first: a success is booked after its set was published, so the set seen from
        // here on is no older than `book.succeeded`
        let mut book = self.book();
        let usable = self.usable();
        let is_usable = usable.is_some();
        if let Some(set) = usable
            && set.holds(key_id)
        {
            return Turn::Answer(Sought::Found(set));
        }
        let since = if let Some(since) = search.since {
            since
        } else {
            let first_seen = book.first_seen(key_id);
            let mut since = first_seen;
            if is_usable && book.succeeded > first_seen {
                // proven absent before; asked again only once that is a while ago, so that a key
                // published late is found without a wait for the schedule
                let recheck = self.definition.policy.unknown_kid_cooldown * 2;
                let age = book
                    .succeeded_at
                    .map(|at| now.saturating_duration_since(at));
                if age.is_some_and(|age| age < recheck) {
                    return Turn::Answer(Sought::Absent);
                }
                search.was_absent = true;
                since = book.begun;
            }
            *search.since.insert(since)
        };
        if is_usable && book.succeeded > since {
            return Turn::Answer(Sought::Absent);
        }
        let awaited_failed = search.waited_for > book.succeeded;
        let in_flight = book.begun > book.ended;
        if !awaited_failed {
            if in_flight && book.begun > since {
                return Turn::Wait(book.begun);
            }
            if book.wanted {
                return Turn::Wait(book.begun + 1);
            }
            // one begun too early may still find it; if not, another must be affordable
            if in_flight && book.budget.has_one(now) {
                return Turn::Wait(book.begun);
            }
            if !in_flight && book.budget.take(now) {
                book.wanted = true;
                self.wake.notify_one();
                return Turn::Wait(book.begun + 1);
            }
        }
        Turn::Answer(if search.was_absent && is_usable {
            Sought::Absent
        } else {
            let retry_after = book.retry_after(now);
            Sought::Unknown { retry_after }
        })
    }
}
