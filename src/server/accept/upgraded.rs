//! A connection after a `101`: hyper is done with it, and it goes on as a tunnel in the same task.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::guard::InFlight;
use crate::server::body::Body;

/// What a connection goes on as; empty until one of its requests was answered `101`.
#[derive(Default)]
pub(super) struct Next(Mutex<Option<Upgraded>>);

/// A request that was answered `101`.
pub(super) struct Upgraded {
    pub(super) client: OnUpgrade,
    /// Holds the tunnel to the upstream, and the request's account.
    pub(super) body: Body,
    /// The connection is not idle: the tunnel has an end of its own.
    pub(super) _in_flight: InFlight,
}

impl Next {
    pub(super) fn set(&self, upgraded: Upgraded) {
        *self.lock() = Some(upgraded);
    }

    /// Goes on, once hyper has sent the head: copies to the end of both sides, or until `stop`.
    pub(super) async fn run(&self, stop: impl Future<Output = ()>) {
        let upgraded = self.lock().take();
        let Some(Upgraded {
            client, mut body, ..
        }) = upgraded
        else {
            return;
        };
        match client.await {
            Ok(client) => body.run_tunnel(TokioIo::new(client), stop).await,
            Err(error) => tracing::debug!(%error, "connection lost as it was upgraded"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Upgraded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
