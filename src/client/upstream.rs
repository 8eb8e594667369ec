//! Carrying a judged request to its upstream: pooled connections, streaming both ways.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use http::{Request, Response};

use crate::authz::{Permit, Route};
use crate::client::jwks::Background;
use crate::client::pool::{Payload, Pool, Reply, SendError};
use crate::config;

/// Connection pools, one per `[upstreams.X]`.
#[derive(Debug)]
pub struct Upstreams {
    by_name: HashMap<Arc<str>, Upstream>,
    client: config::Client,
}

/// An upstream with its connections.
#[derive(Clone, Debug)]
pub struct Upstream {
    definition: config::Upstream,
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
    /// Builds the pools. An upstream whose definition is the same in `previous` keeps its pool,
    /// unless its trust may have changed with `extra_ca_file`.
    pub fn new(
        upstreams: &[config::Upstream],
        client: &config::Client,
        tls: &rustls::ClientConfig,
        workers: usize,
        background: &Background,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let previous = previous.filter(|previous| previous.client == *client);
        let mut by_name = HashMap::with_capacity(upstreams.len());
        for definition in upstreams {
            let keeps = client.extra_ca_file.is_none() || definition.url.scheme() == "http";
            let kept = previous
                .and_then(|previous| previous.by_name.get(&definition.name))
                .filter(|kept| keeps && kept.definition == *definition);
            let upstream = match kept {
                Some(kept) => kept.clone(),
                None => Upstream {
                    definition: definition.clone(),
                    pool: Pool::new(
                        &definition.url,
                        definition.connect_timeout,
                        definition.idle_timeout,
                        tls,
                        workers,
                        background,
                    )?,
                },
            };
            by_name.insert(Arc::clone(&definition.name), upstream);
        }
        Ok(Self {
            by_name,
            client: client.clone(),
        })
    }

    /// The upstream of a route; `None` if the route only answers forward auth.
    #[must_use]
    pub fn of(&self, route: &Route) -> Option<&Upstream> {
        self.by_name.get(&route.forward.as_ref()?.upstream)
    }

    /// Carries a request to the upstream of the route it was permitted for, and spends the permit.
    /// Waits for the response head as long as the route, or else the upstream, says.
    pub async fn forward(
        &self,
        permit: Permit,
        worker: usize,
        request: Request<Payload>,
    ) -> Result<Response<Reply>, SendError> {
        let route = permit.route();
        let Some((forward, upstream)) = route.forward.as_ref().zip(self.of(route)) else {
            return Err(SendError::Unreachable);
        };
        let timeout = forward.timeout.unwrap_or(upstream.definition.timeout);
        upstream.pool.send(worker, request, timeout).await
    }
}
