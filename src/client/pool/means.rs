//! What a pool is made with, and what is kept of it at a reload.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use http::uri::Scheme;
use tokio::time::sleep;

use super::addresses::Addresses;
use super::dial::Dial;
use super::lane::Lane;
use super::limit::Limit;
use super::{Pool, Shared};
use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::config;
use crate::telemetry::Plane;
use crate::telemetry::metrics::Metrics;

/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What every pool is made with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// Whose certificates are believed.
    pub trust: &'m Trust,
    /// How many workers send requests.
    pub workers: usize,
    /// Where names are resolved, idle connections swept and HTTP/2 ones driven.
    pub background: &'m Background,
    /// Where connections and failures are counted.
    pub metrics: &'m Metrics,
}

impl Means<'_> {
    /// A pool for `server`, called `name` on its plane: `previous`, if nothing it was made from has
    /// changed, else a new one, which opens no connection yet.
    pub fn pool(
        &self,
        plane: Plane,
        name: &str,
        server: &config::Server,
        previous: Option<&Pool>,
    ) -> io::Result<Pool> {
        match previous {
            Some(pool) if pool.0.server == *server && pool.0.trust == *self.trust => {
                Ok(pool.clone())
            }
            Some(_) | None => self.make(plane, name, server),
        }
    }

    fn make(&self, plane: Plane, name: &str, server: &config::Server) -> io::Result<Pool> {
        let url = &server.url;
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {what}"));
        let host = url.host().ok_or_else(|| invalid("no host"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let dial = Dial::new(server, self)?;
        let metrics = self.metrics.server(plane, name);
        let limit = Arc::new(Limit::new(server.max_connections, metrics.clone()));
        let lane = || Arc::new(Lane::new(server.idle_timeout, Arc::clone(&limit)));
        let shared = Arc::new(Shared {
            scheme: if server.is_tls() {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            host: HeaderValue::from_str(&authority).map_err(|_error| invalid("bad host"))?,
            base: url.path().trim_end_matches('/').to_owned(),
            addresses: Addresses::start(
                server,
                // what is sent out there carries a credential of ours
                plane != Plane::Egress,
                metrics.clone(),
                self.background,
            ),
            dial,
            lanes: (0..self.workers.max(1)).map(|_worker| lane()).collect(),
            limit,
            metrics,
            warned: Mutex::default(),
            server: server.clone(),
            trust: self.trust.clone(),
        });
        self.sweep(&shared);
        Ok(Pool(shared))
    }

    /// Looks after idle connections until the pool is dropped.
    fn sweep(&self, shared: &Arc<Shared>) {
        let shared = Arc::downgrade(shared);
        let stop = self.background.stop.clone();
        self.background.tasks.spawn(async move {
            while stop
                .run_until_cancelled(sleep(SWEEP_INTERVAL))
                .await
                .is_some()
                && let Some(shared) = shared.upgrade()
            {
                shared.lanes.iter().for_each(|lane| lane.sweep());
            }
        });
    }
}
