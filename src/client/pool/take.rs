//! A connection for a request: one that is kept, or a new one, from one address to the next.

use std::error::Error;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::addresses::Address;
use super::connection::Connection;
use super::dial::DialError;
use super::http2::Http2;
use super::lane::Lane;
use super::limit::Room;
use super::{Chain, Pool};

/// A connection for one request.
pub(super) struct Taken {
    pub(super) connection: Connection,
    /// Whether it has been used before.
    pub(super) kept: bool,
}

/// What became of a request so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Addresses that failed it.
    pub(super) tried: Vec<Arc<Address>>,
    /// And how.
    failures: String,
    /// Set once a kept connection failed it: only those opened since will do.
    pub(super) fresh: Option<Instant>,
    /// Only HTTP/1.1 will do.
    pub(super) http1: bool,
}

impl Attempts {
    /// Counts a failure of this address, which is not tried again.
    pub(super) fn failed(&mut self, address: &Arc<Address>, error: &dyn Error) {
        address.failed();
        self.passed_by(address, error);
    }

    /// This address is not tried again, and is not to blame.
    fn passed_by(&mut self, address: &Arc<Address>, error: &dyn Error) {
        let before = if self.failures.is_empty() { "" } else { "; " };
        let failure = format!("{before}{}: {}", address.at(), Chain(error));
        self.failures.push_str(&failure);
        self.tried.push(Arc::clone(address));
    }

    /// Whether this address has not failed the request.
    fn may_try(&self, address: &Arc<Address>) -> bool {
        !self.tried.iter().any(|tried| Arc::ptr_eq(tried, address))
    }

    /// What became of each address, if any was tried.
    pub(super) fn failures(&self) -> Option<&str> {
        Some(&*self.failures).filter(|failures| !failures.is_empty())
    }

    fn kept(&self, lane: &Lane, address: &Arc<Address>, now: Instant) -> Option<Taken> {
        let connection = match self.fresh {
            None if self.http1 => lane.kept_http1(address, now)?,
            None => lane.kept(address, now)?,
            Some(_) => return None,
        };
        Some(Taken {
            connection,
            kept: true,
        })
    }
}

impl Pool {
    /// A kept connection, unless a fresh one is asked for, or a new one. `now` is about now.
    pub(super) async fn take(
        &self,
        lane: &Arc<Lane>,
        attempts: &mut Attempts,
        now: Instant,
    ) -> Result<Taken, DialError> {
        let turn = lane.turn();
        let mut picked = None;
        if let Some(address) = self.0.addresses.now().pick(turn, &attempts.tried) {
            if let Some(kept) = attempts.kept(lane, address, now) {
                return Ok(kept);
            }
            picked = Some(Arc::clone(address));
        }
        // opening is rare and its future large: it takes no room in every request's
        Box::pin(self.open(lane, turn, picked, attempts)).await
    }

    /// Whether there is an address that has not failed this request.
    pub(super) fn has_another(&self, attempts: &Attempts) -> bool {
        self.0.addresses.now().left(&attempts.tried) > 0
    }

    /// Opens a connection to `picked`, then to the addresses not yet tried, all within
    /// `connect_timeout`: each in turn gets an equal share of what is left of it.
    async fn open(
        &self,
        lane: &Arc<Lane>,
        turn: usize,
        mut picked: Option<Arc<Address>>,
        attempts: &mut Attempts,
    ) -> Result<Taken, DialError> {
        let shared = &self.0;
        let deadline = Instant::now() + shared.server.connect_timeout;
        shared.addresses.known(deadline).await?;
        loop {
            let (address, left) = {
                let set = shared.addresses.now();
                let next = || set.pick(turn, &attempts.tried).cloned();
                (picked.take().or_else(next), set.left(&attempts.tried))
            };
            let now = Instant::now();
            let Some(address) = address.filter(|_| now < deadline) else {
                return Err(DialError::NoAddress);
            };
            if let Some(kept) = attempts.kept(lane, &address, now) {
                return Ok(kept);
            }
            let share = (deadline - now) / u32::try_from(left).unwrap_or(u32::MAX).max(1);
            let opened = self
                .open_to(&address, lane, attempts, deadline, now + share)
                .await;
            match opened {
                Ok(taken) => return Ok(taken),
                Err(DialError::Full) => return Err(DialError::Full),
                Err(DialError::NoTurn) => attempts.passed_by(&address, &DialError::NoTurn),
                Err(error) => attempts.failed(&address, &error),
            }
            if self.has_another(attempts) {
                shared.metrics.retried();
            }
        }
    }

    async fn open_to(
        &self,
        address: &Arc<Address>,
        lane: &Arc<Lane>,
        attempts: &Attempts,
        deadline: Instant,
        give_up: Instant,
    ) -> Result<Taken, DialError> {
        let shared = &self.0;
        let &Attempts { fresh, http1, .. } = attempts;
        let kept = |http2| Taken {
            connection: Connection::Http2(http2),
            kept: true,
        };
        let mut turn = None;
        if !http1 && shared.dial.expects_http2() {
            turn = Some(address.opening(give_up).await.ok_or(DialError::NoTurn)?);
            if let Some(http2) = lane.shared(address, fresh, Http2::has_room) {
                return Ok(kept(http2));
            }
        }
        // a stream can wait on a connection that has too many, if it cannot have one of its own
        let crowded = lane.shared(address, fresh, Http2::is_open).or_else(|| {
            let mut lanes = shared.lanes.iter();
            lanes.find_map(|lane| lane.shared(address, fresh, Http2::is_open))
        });
        let crowded = crowded.filter(|_http2| !http1);
        let patience = crowded.as_ref().map_or(deadline, |_crowded| Instant::now());
        let fits = |address: &_| fresh.is_none() && attempts.may_try(address);
        let limit = &shared.limit;
        let room = limit.room(address, lane, &shared.lanes, fits, patience);
        let slot = match room.await {
            Some(Room::Open(slot)) => slot,
            Some(Room::Returned(connection)) => {
                return Ok(Taken {
                    connection,
                    kept: true,
                });
            }
            None => return crowded.map(kept).ok_or(DialError::Full),
        };
        let connection = timeout_at(give_up.max(Instant::now()), shared.dial.open(slot, http1))
            .await
            .map_err(|_late| DialError::Late)??;
        if let Connection::Http2(http2) = &connection {
            lane.share(http2);
        }
        drop(turn);
        Ok(Taken {
            connection,
            kept: false,
        })
    }
}
