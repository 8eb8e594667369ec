//! Carrying a judged request to its upstream: pooled connections, streaming both ways.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use serde_json::{Map, Value};

use crate::authz::{Permit, Route};
use crate::client::pool::{Means, Payload, Pool, Reply, SendError};
use crate::config;
use crate::telemetry::Plane;

/// Connection pools, one per `[upstreams.X]`.
#[derive(Debug)]
pub struct Upstreams {
    by_name: BTreeMap<Arc<str>, Upstream>,
}

/// An upstream with its connections.
#[derive(Clone, Debug)]
pub struct Upstream {
    timeout: Duration,
    pool: Pool,
}

impl Upstream {
    /// `Host`, base path.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Upstreams {
    /// Builds the pools, or takes them over from `previous` where nothing has changed.
    pub fn new(
        upstreams: &[config::Upstream],
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let mut by_name = BTreeMap::new();
        for config::Upstream { name, server } in upstreams {
            let kept = previous.and_then(|previous| previous.by_name.get(name));
            let upstream = Upstream {
                timeout: server.timeout,
                pool: means.pool(Plane::Ingress, name, server, kept.map(|kept| &kept.pool))?,
            };
            by_name.insert(Arc::clone(name), upstream);
        }
        Ok(Self { by_name })
    }

    /// What `/status` shows: per upstream its addresses and connections.
    #[must_use]
    pub fn report(&self) -> Value {
        let mut report = Map::new();
        for (name, upstream) in &self.by_name {
            report.insert(name.to_string(), upstream.pool.report());
        }
        Value::Object(report)
    }

    /// The upstream of a route; `None` if the route only answers forward auth.
    #[must_use]
    pub fn of(&self, route: &Route) -> Option<&Upstream> {
        self.by_name.get(&route.forward.as_ref()?.upstream)
    }

    /// Carries a request to the upstream of the route it was permitted for, and spends the permit.
    /// Waits for the response head as long as the route, or else the upstream, says. `head` writes
    /// the request's head for this permit; `still_good` says once there is a connection whether what the
    /// head carries may be sent.
    pub async fn forward<E>(
        &self,
        permit: Permit,
        worker: usize,
        body: Payload,
        head: impl Fn(&Permit) -> Result<Request<()>, E> + Send + Sync,
        still_good: impl Fn() -> Result<(), E> + Send,
    ) -> Result<Response<Reply>, E>
    where
        E: From<SendError>,
    {
        let route = permit.route();
        let Some((forward, upstream)) = route.forward.as_ref().zip(self.of(route)) else {
            return Err(SendError::Unreachable.into());
        };
        let timeout = forward.timeout.unwrap_or(upstream.timeout);
        let pool = &upstream.pool;
        let head = || head(&permit);
        pool.send(worker, body, timeout, head, still_good).await
    }
}
