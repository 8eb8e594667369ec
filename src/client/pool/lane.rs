//! The connections of one worker to one server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::connection::{Connection, Http1, Http2};
use super::dial::{Dial, DialError};

/// Connections kept for reuse. Only their own worker takes them; the locks are free but for the
/// moment in which [`Lane::sweep`] looks.
#[derive(Debug)]
pub(super) struct Lane {
    /// HTTP/1.1, the latest used last.
    #[expect(clippy::vec_box, reason = "each moves from request to request")]
    idle: Mutex<Vec<Box<Http1>>>,
    /// HTTP/2, shared by all requests.
    shared: Mutex<Option<Http2>>,
    /// Held while a connection that may become the shared one is opened.
    opening: Semaphore,
    idle_timeout: Duration,
    /// Longest life of a connection.
    max_age: Option<Duration>,
}

/// A connection for one request.
pub(super) struct Taken {
    pub(super) connection: Connection,
    /// Whether it has been used before.
    pub(super) kept: bool,
}

impl Lane {
    pub(super) fn new(idle_timeout: Duration, max_age: Option<Duration>) -> Self {
        Self {
            idle: Mutex::default(),
            shared: Mutex::default(),
            opening: Semaphore::new(1),
            idle_timeout,
            max_age,
        }
    }

    /// A kept connection, unless a `fresh` one is asked for, or a new one.
    pub(super) async fn take(&self, dial: &Dial, fresh: bool) -> Result<Taken, DialError> {
        let now = Instant::now();
        if !fresh && let Some(connection) = self.kept(now) {
            return Ok(Taken {
                connection,
                kept: true,
            });
        }
        let mut turn = None;
        if dial.may_be_http2() {
            turn = self.opening.acquire().await.ok();
            if let Some(shared) = self
                .shared(Instant::now())
                .filter(|http2| !fresh || http2.opened > now)
            {
                return Ok(Taken {
                    connection: Connection::Http2(shared),
                    kept: true,
                });
            }
        }
        // boxed: this is rare, and its future is large
        let connection = Box::pin(dial.open()).await?;
        if let Connection::Http2(http2) = &connection {
            *lock(&self.shared) = Some(http2.clone());
        }
        drop(turn);
        Ok(Taken {
            connection,
            kept: false,
        })
    }

    fn kept(&self, now: Instant) -> Option<Connection> {
        if let Some(shared) = self.shared(now) {
            return Some(Connection::Http2(shared));
        }
        let mut idle = lock(&self.idle);
        while let Some(http1) = idle.pop() {
            if self.keeps(&http1, now) {
                return Some(Connection::Http1(http1));
            }
        }
        None
    }

    fn shared(&self, now: Instant) -> Option<Http2> {
        let mut shared = lock(&self.shared);
        let young = |opened| self.max_age.is_none_or(|most| now < opened + most);
        if shared
            .as_ref()
            .is_some_and(|http2| !http2.is_open() || !young(http2.opened))
        {
            *shared = None;
        }
        shared.clone()
    }

    /// Keeps an idle connection for the next request.
    pub(super) fn put(&self, mut http1: Box<Http1>) {
        http1.idle_since = Instant::now();
        if self.keeps(&http1, http1.idle_since) {
            lock(&self.idle).push(http1);
        }
    }

    fn keeps(&self, http1: &Http1, now: Instant) -> bool {
        now < http1.idle_since + self.idle_timeout
            && self.max_age.is_none_or(|most| now < http1.opened + most)
    }

    /// Closes what was closed by the server, has been idle or has lived for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        drop(self.shared(now));
        let mut idle = lock(&self.idle);
        idle.retain_mut(|http1| self.keeps(http1, now) && http1.is_open());
        idle.shrink_to(16);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
