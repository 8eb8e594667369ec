//! What we keep outside this process: the fleet's tokens (DESIGN §9), memberships and users in databases.

#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sql")]
pub mod sql;

use std::io;
use std::sync::Arc;

use crate::client::jwks::Background;
use crate::client::tls::Trust;
use crate::client::token::fleet::Store;
use crate::clock::Clock;
use crate::config;
use crate::telemetry::Telemetry;

/// What a store is built with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'m> {
    /// Whose certificates are believed.
    pub trust: &'m Trust,
    /// Wall time.
    pub clock: &'m Arc<dyn Clock>,
    /// Metrics.
    pub telemetry: &'m Arc<Telemetry>,
    /// Where the connection's tasks run.
    pub background: &'m Background,
}

/// Where this sidecar shares tokens with its fleet, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    #[cfg(feature = "redis")]
    redis: Option<Arc<redis::Redis>>,
}

#[cfg(feature = "redis")]
impl Fleet {
    /// Connects in the background. The connection of an unchanged `[redis]` is kept. Must be called
    /// inside a runtime.
    pub fn start(
        config: Option<&config::Redis>,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let known = previous
            .and_then(|previous| previous.redis.as_ref())
            .filter(|redis| redis.is_same(config, means.trust));
        let redis = match known {
            Some(redis) => Arc::clone(redis),
            None => redis::Redis::start(config, means)?,
        };
        Ok(Self { redis: Some(redis) })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        let redis = self.redis.as_ref()?;
        Some(Arc::<redis::Redis>::clone(redis))
    }
}

#[cfg(not(feature = "redis"))]
impl Fleet {
    /// There is none in this build; the config says so.
    pub fn start(
        _config: Option<&config::Redis>,
        _means: &Means<'_>,
        _previous: Option<&Self>,
    ) -> io::Result<Self> {
        Ok(Self::default())
    }

    /// None.
    #[must_use]
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }
}
