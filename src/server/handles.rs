//! `X-Auth-Handle`: how an egress call names the user behind it (DESIGN §6).
//!
//! Ingress writes a handle to the app, the app passes it on, egress reads it back. A handle is 128
//! random bits: it cannot be guessed, and it ends with its request. A request always gets one, even
//! where it cannot be kept: such a handle is dead from the start, and egress refuses it. An app
//! without a handle might be taken to call for itself.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::token::{Credentials, User};
use crate::config::Config;

/// The header a handle travels in.
pub const HANDLE: HeaderName = HeaderName::from_static("x-auth-handle");

/// How long a handle outlives its request: time for work the app does after it answered.
const LINGER: Duration = Duration::from_secs(60);

/// Most handles kept: some 20 MB, a thousand requests per second for a minute.
const MOST: usize = 65_536;

/// Most bytes of tokens kept with them.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What the config needs to know of a request's user. What it does not need is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: there are no handles.
    Nobody,
    /// Who it is: a target has `forward_user`.
    Name,
    /// The token too: a target's credential is made from it.
    Token,
}

impl Wanted {
    /// What this config needs.
    #[must_use]
    pub fn by(config: &Config, credentials: &Credentials) -> Self {
        let targets = match &config.egress {
            Some(_egress) => config.egress_targets.as_slice(),
            None => &[],
        };
        let endpoint = config.egress.as_ref();
        let endpoint = endpoint.and_then(|egress| egress.token_endpoint.as_ref());
        let handed = endpoint.map_or(&[][..], |endpoint| &endpoint.credentials);
        let mut lists = targets.iter().map(|target| &*target.credentials);
        if lists.any(|names| credentials.need_user(names)) || credentials.need_user(handed) {
            Self::Token
        } else if targets.iter().any(|target| target.forward_user) {
            Self::Name
        } else {
            Self::Nobody
        }
    }
}

type Key = [u8; 16];

/// Live handles. Bounded; each valid for its request and 60 s after.
#[derive(Clone, Default)]
pub struct Handles {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Known>,
    /// Handles whose request ended, with the moment they stop being valid: in that order, since
    /// all of them linger equally long.
    ended: VecDeque<(Instant, Key)>,
    /// Of the tokens in `known`.
    bytes: usize,
}

struct Known {
    user: User,
    /// `None` while the request runs.
    until: Option<Instant>,
}

impl Handles {
    /// A handle for the user of one request, and the guard that ends it: keep it for as long as the
    /// request runs, response body included. The handle is dead, and names nobody, if [`MOST`]
    /// requests are running, their tokens are [`MOST_BYTES`], or the system has no random bits.
    pub fn issue(&self, user: User) -> (HeaderValue, HandleGuard) {
        let mut key = Key::default();
        let random = SystemRandom::new().fill(&mut key);
        let mut value = HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(key))
            .unwrap_or(HeaderValue::from_static("-"));
        value.set_sensitive(true);
        let guard = HandleGuard {
            state: Arc::clone(&self.state),
            key,
        };
        if random.is_ok() {
            let mut state = self.lock();
            state.forget_ended(Instant::now());
            if state.make_room(size(&user)) {
                state.keep(key, user);
            }
        }
        (value, guard)
    }

    /// Who stands behind a handle, while it is valid.
    #[must_use]
    pub fn find(&self, handle: &HeaderValue) -> Option<User> {
        let mut key = Key::default();
        let written = URL_SAFE_NO_PAD
            .decode_slice(handle.as_bytes(), &mut key)
            .ok()?;
        if written != key.len() {
            return None;
        }
        let state = self.lock();
        let known = state.known.get(&key)?;
        match known.until {
            Some(until) if until <= Instant::now() => None,
            Some(_) | None => Some(known.user.clone()),
        }
    }

    /// Forgets handles as they end, where no other request does it, until `stop`: no token outlives
    /// its handle by more than a minute.
    pub async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut every = tokio::time::interval(LINGER);
        stop.run_until_cancelled(async {
            loop {
                every.tick().await;
                self.lock().forget_ended(Instant::now());
            }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(user: &User) -> usize {
    user.token.as_ref().map_or(0, |token| token.size())
}

impl State {
    fn keep(&mut self, key: Key, user: User) {
        self.bytes += size(&user);
        self.known.insert(key, Known { user, until: None });
    }

    fn forget_ended(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    /// Forgets the handle that has been over for longest; whether there was one.
    fn forget_oldest(&mut self) -> bool {
        let Some((_until, key)) = self.ended.pop_front() else {
            return false;
        };
        if let Some(known) = self.known.remove(&key) {
            self.bytes = self.bytes.saturating_sub(size(&known.user));
        }
        true
    }

    /// Whether there is room for one more with a token of this many bytes.
    fn make_room(&mut self, bytes: usize) -> bool {
        loop {
            if self.known.len() < MOST && self.bytes + bytes <= MOST_BYTES {
                return true;
            }
            if !self.forget_oldest() {
                return false;
            }
        }
    }
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handles({} known)", self.lock().known.len())
    }
}

/// Ends a handle: 60 s after this is dropped it is no longer valid.
#[must_use = "the handle ends when its guard is dropped"]
pub struct HandleGuard {
    state: Arc<Mutex<State>>,
    key: Key,
}

impl fmt::Debug for HandleGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandleGuard")
    }
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        let now = Instant::now();
        let until = now + LINGER;
        let mut state = lock(&self.state);
        if let Some(known) = state.known.get_mut(&self.key) {
            known.until = Some(until);
            state.ended.push_back((until, self.key));
        }
        state.forget_ended(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::client::token::user;
    use crate::clock::UnixTime;

    fn ada() -> User {
        user("ada", "token", UnixTime(9))
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_is_valid_for_its_request_and_a_minute_after() {
        let handles = Handles::default();
        let (value, guard) = handles.issue(ada());
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(
            handles.find(&value).unwrap().proven.principal.user_id,
            "ada"
        );
        drop(guard);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(handles.find(&value).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(handles.find(&value).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn ended_handles_are_forgotten_and_running_ones_are_not_evicted() {
        let handles = Handles::default();
        let running: Vec<_> = (1..MOST).map(|_each| handles.issue(ada())).collect();
        let (ended, guard) = handles.issue(ada());
        let (dead, dead_guard) = handles.issue(ada());
        assert!(handles.find(&dead).is_none(), "every one is running");
        drop(guard);
        assert!(handles.find(&ended).is_some());
        let (newest, _guard) = handles.issue(ada());
        assert!(handles.find(&ended).is_none(), "it made room");
        assert!(handles.find(&newest).is_some());
        drop(dead_guard);
        assert!(
            running
                .iter()
                .all(|(value, _)| handles.find(value).is_some())
        );
        drop(running);
        tokio::time::advance(LINGER).await;
        drop(handles.issue(ada()));
        assert_eq!(handles.lock().known.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_bounded_in_bytes_and_wiped_with_their_handles() {
        let handles = Arc::new(Handles::default());
        let large = || user("ada", &"x".repeat(MOST_BYTES / 2 - 16), UnixTime(9));
        let (first, guard) = handles.issue(large());
        let (second, _guard) = handles.issue(large());
        let (third, _guard) = handles.issue(large());
        assert!(handles.find(&first).is_some() && handles.find(&second).is_some());
        assert!(handles.find(&third).is_none(), "no room for its token");
        drop(guard);
        let (fourth, guard) = handles.issue(large());
        assert!(handles.find(&first).is_none(), "it made room");
        let token = Arc::downgrade(&handles.find(&fourth).unwrap().token.unwrap());
        drop(guard);
        let stop = CancellationToken::new();
        let sweep = TaskTracker::new().spawn(Arc::clone(&handles).sweep(stop.clone()));
        tokio::time::sleep(LINGER * 2).await;
        assert!(
            token.upgrade().is_none(),
            "nobody asked, and yet it is gone"
        );
        stop.cancel();
        sweep.await.unwrap();
    }

    #[test]
    fn a_wrong_handle_names_nobody() {
        let handles = Handles::default();
        let (value, _guard) = handles.issue(ada());
        let text = value.to_str().unwrap();
        for wrong in [
            String::new(),
            "A".repeat(22),
            format!("{text}A"),
            format!("{text}=="),
            text.chars().skip(1).collect(),
            "!".repeat(22),
            "A".repeat(4000),
        ] {
            assert!(
                handles
                    .find(&HeaderValue::from_str(&wrong).unwrap())
                    .is_none(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_handle_is_never_printed() {
        let handles = Handles::default();
        let (value, guard) = handles.issue(ada());
        let text = value.to_str().unwrap();
        assert_eq!(text.len(), 22);
        let shown = format!("{value:?} {guard:?} {handles:?}");
        assert!(!shown.contains(text), "{shown}");
    }
}
