//! What we keep outside this process: the fleet's tokens (DESIGN §9), memberships and users with their passwords.

pub mod memberships;
pub mod passwords;
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
use crate::gate::Revocations;
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
    #[cfg(feature = "redis")]
    denied: Option<Arc<redis::FleetDenyList>>,
}

#[cfg(feature = "redis")]
impl Fleet {
    /// Connects in the background. The connection of an unchanged `[redis]` is kept, and what was read of an
    /// unchanged deny-list. Must be called inside a runtime.
    pub fn start(
        config: Option<&config::Redis>,
        denied: Option<&config::SharedDenyList>,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let Some(config) = config else {
            return Ok(Self::default());
        };
        let known = previous
            .and_then(|previous| previous.redis.as_ref())
            .filter(|redis| redis.is_same(config, means.trust));
        let before = previous.and_then(|old| old.denied.as_ref());
        let kept = before.filter(|_| known.is_some());
        let redis = match known {
            Some(redis) => Arc::clone(redis),
            None => redis::Redis::start(config, means)?,
        };
        let denied = denied.map(|denied| {
            let kept = kept.filter(|kept| kept.is_same(denied)).cloned();
            kept.unwrap_or_else(|| {
                let before = before.map(|before| &**before);
                redis::FleetDenyList::start(denied, Arc::clone(&redis), means, before)
            })
        });
        let redis = Some(redis);
        Ok(Self { redis, denied })
    }

    /// Whom the fleet lets in no more, if it keeps a list.
    #[must_use]
    pub fn revocations(&self) -> Option<Arc<dyn Revocations>> {
        let denied = self.denied.as_ref()?;
        Some(Arc::<redis::FleetDenyList>::clone(denied))
    }

    /// Whether that list was read once; `None` if there is none.
    #[must_use]
    pub fn deny_list_read(&self) -> Option<bool> {
        self.denied.as_ref().map(|denied| denied.is_known())
    }

    /// Waits until it was.
    pub async fn was_ready(&self) {
        if let Some(denied) = &self.denied {
            denied.was_known().await;
        }
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
        _denied: Option<&config::SharedDenyList>,
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

    /// None.
    #[must_use]
    pub fn revocations(&self) -> Option<Arc<dyn Revocations>> {
        None
    }

    /// There is none.
    #[must_use]
    pub fn deny_list_read(&self) -> Option<bool> {
        None
    }

    /// There is nothing to wait for.
    pub fn was_ready(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}
