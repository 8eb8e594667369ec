//! `X-Auth-Handle`: how an egress call names the user behind it (DESIGN §6).
//!
//! Ingress writes a handle to the app, the app passes it on, egress reads it back. A handle is 128
//! random bits: it cannot be guessed, and it ends with its request.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::authz::decision::Proven;

/// The header a handle travels in.
pub const HANDLE: HeaderName = HeaderName::from_static("x-auth-handle");

/// How long a handle outlives its request: time for work the app does after it answered.
const LINGER: Duration = Duration::from_secs(60);

/// Most handles kept: some 20 MB, a thousand requests per second for a minute.
const MOST: usize = 65_536;

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
}

struct Known {
    proven: Proven,
    /// `None` while the request runs.
    until: Option<Instant>,
}

impl Handles {
    /// A handle for the principal of one request, and the guard that ends it: keep it for as long
    /// as the request runs, response body included. `None` if [`MOST`] requests are running or the
    /// system has no random bits; the request then goes on without a handle.
    #[must_use]
    pub fn issue(&self, proven: &Proven) -> Option<(HeaderValue, HandleGuard)> {
        let mut key = Key::default();
        SystemRandom::new().fill(&mut key).ok()?;
        let mut value = HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(key)).ok()?;
        value.set_sensitive(true);
        let mut state = self.lock();
        state.forget_ended(Instant::now());
        if state.known.len() >= MOST {
            // the one that has been over for longest makes room
            let (_until, oldest) = state.ended.pop_front()?;
            state.known.remove(&oldest);
        }
        state.known.insert(
            key,
            Known {
                proven: proven.clone(),
                until: None,
            },
        );
        drop(state);
        let guard = HandleGuard {
            state: Arc::clone(&self.state),
            key,
        };
        Some((value, guard))
    }

    /// Who stands behind a handle, while it is valid.
    #[must_use]
    pub fn find(&self, handle: &HeaderValue) -> Option<Proven> {
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
            Some(_) | None => Some(known.proven.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn forget_ended(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_until, key)) = self.ended.pop_front() {
                self.known.remove(&key);
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
    use super::*;
    use crate::authn::claims::Claims;
    use crate::authn::principal::{Names, Principal, PrincipalKind};

    fn ada() -> Proven {
        Proven {
            principal: Arc::new(Principal {
                kind: PrincipalKind::User,
                issuer: Arc::from("users"),
                user_id: "ada".to_owned(),
                tenant_id: None,
                client_id: None,
                name: None,
                email: None,
                groups: Names::Known(vec![]),
                roles: Names::Known(vec![]),
                permissions: Names::Known(vec![]),
                scopes: vec![],
                claims: Claims::default(),
            }),
            until: crate::clock::UnixTime(0),
            headers: Arc::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_is_valid_for_its_request_and_a_minute_after() {
        let handles = Handles::default();
        let (value, guard) = handles.issue(&ada()).unwrap();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(handles.find(&value).unwrap().principal.user_id, "ada");
        drop(guard);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(handles.find(&value).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(handles.find(&value).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn ended_handles_are_forgotten_and_running_ones_are_not_evicted() {
        let handles = Handles::default();
        let running: Vec<_> = (1..MOST)
            .map(|_each| handles.issue(&ada()).unwrap())
            .collect();
        let (ended, guard) = handles.issue(&ada()).unwrap();
        assert!(handles.issue(&ada()).is_none(), "every one is running");
        drop(guard);
        assert!(handles.find(&ended).is_some());
        let (newest, _guard) = handles.issue(&ada()).unwrap();
        assert!(handles.find(&ended).is_none(), "it made room");
        assert!(handles.find(&newest).is_some());
        assert!(
            running
                .iter()
                .all(|(value, _)| handles.find(value).is_some())
        );
        drop(running);
        tokio::time::advance(LINGER).await;
        drop(handles.issue(&ada()));
        assert_eq!(handles.lock().known.len(), 2);
    }

    #[test]
    fn a_wrong_handle_names_nobody() {
        let handles = Handles::default();
        let (value, _guard) = handles.issue(&ada()).unwrap();
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
        let (value, guard) = handles.issue(&ada()).unwrap();
        let text = value.to_str().unwrap();
        assert_eq!(text.len(), 22);
        let shown = format!("{value:?} {guard:?} {handles:?}");
        assert!(!shown.contains(text), "{shown}");
    }
}
