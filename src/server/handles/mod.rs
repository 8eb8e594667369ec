//! `X-Auth-Handle`: how an egress call names the user behind it (DESIGN §6).
//!
//! Ingress writes a handle to the app, the app passes it on, egress reads it back. A handle is 128
//! random bits: it cannot be guessed, and it ends with its request. A request always gets one, even
//! where it cannot be kept: such a handle is dead from the start, and egress refuses it. An app
//! without a handle might be taken to call for itself.

mod live;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::live::{Holder, Key, Live};
use crate::client::token::{Credentials, Proof, User};
use crate::config::Config;
use crate::telemetry::Telemetry;

/// The header a handle travels in.
pub const HANDLE: HeaderName = HeaderName::from_static("x-auth-handle");

/// How long a handle outlives its request: time for work the app does after it answered.
const LINGER: Duration = Duration::from_secs(60);

/// Most bytes held by live handles: their own, their users' tokens and what is known of those users,
/// which all handles of one token share.
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

/// Live handles. Bounded; each valid for its request and 60 s after.
#[derive(Clone)]
pub struct Handles {
    live: Arc<Mutex<Live>>,
    telemetry: Arc<Telemetry>,
}

impl Handles {
    /// None yet. Those that are lost for want of room are counted.
    #[must_use]
    pub fn new(telemetry: Arc<Telemetry>) -> Self {
        Self::bounded(MOST_BYTES, telemetry)
    }

    fn bounded(most_bytes: usize, telemetry: Arc<Telemetry>) -> Self {
        Self {
            live: Arc::new(Mutex::new(Live::new(most_bytes))),
            telemetry,
        }
    }

    /// A handle for the user of one request, and the guard that ends it: keep it for as long as the
    /// request runs, response body included. The handle is dead, and names nobody, if those of
    /// running requests fill [`MOST_BYTES`], or the system has no random bits.
    pub fn issue(&self, proof: &Proof<'_>) -> (HeaderValue, HandleGuard) {
        let mut key = Key::default();
        let random = SystemRandom::new().fill(&mut key);
        let mut value = HeaderValue::from_str(&URL_SAFE_NO_PAD.encode(key))
            .unwrap_or(HeaderValue::from_static("-"));
        value.set_sensitive(true);
        let guard = HandleGuard {
            live: Arc::clone(&self.live),
            key,
        };
        if random.is_ok() {
            let known = {
                let mut live = self.lock();
                live.forget_ended(Instant::now());
                live.holder(proof).map(|holder| live.keep(key, holder))
            };
            let kept = known.unwrap_or_else(|| {
                let holder = Holder::of(proof);
                self.lock().keep(key, holder)
            });
            let metrics = &self.telemetry.metrics;
            if kept.evicted > 0 {
                metrics.handles_evicted(kept.evicted);
            }
            if !kept.is_live {
                metrics.handle_unkept();
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
        self.lock().find(&key, Instant::now())
    }

    /// How many are held, those that ended within the last minute or two included, and about how many
    /// bytes they take.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let live = self.lock();
        (live.len(), live.bytes())
    }

    /// Forgets handles as they end, where no other request does it, until `stop`: no token outlives
    /// its handle by more than a minute.
    pub async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut every = tokio::time::interval(LINGER);
        stop.run_until_cancelled(async {
            loop {
                every.tick().await;
                while self.lock().forget_ended(Instant::now()) {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        lock(&self.live)
    }
}

fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Handles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handles({} held)", self.held().0)
    }
}

/// Ends a handle: 60 s after this is dropped it is no longer valid.
#[must_use = "the handle ends when its guard is dropped"]
pub struct HandleGuard {
    live: Arc<Mutex<Live>>,
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
        let mut live = lock(&self.live);
        live.end(&self.key, now + LINGER);
        live.forget_ended(now);
    }
}

#[cfg(test)]
mod tests;
