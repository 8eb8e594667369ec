//! The fleet's deny-list: a set in Redis, read in turns and kept, so that no request waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::DropGuard;

use super::Redis;
use crate::authn::deny_list::DenyList;
use crate::authn::principal::Principal;
use crate::clock::UnixTime;
use crate::config::{SharedDenyList, denied_in_json};
use crate::gate::Revocations;
use crate::store::Means;

/// The most entries that are read. More is an error: a list that is cut short denies too little.
const MOST: usize = 10_000;

/// The members, unless they are too many: `-1` then, `-2` if the key holds something else, or is not ours
/// to read.
const READ: &str = "\
local count = redis.pcall('SCARD', KEYS[1])
if type(count) ~= 'number' then return -2 end
if count > tonumber(ARGV[1]) then return -1 end
return redis.call('SMEMBERS', KEYS[1])";

/// What was read last.
struct Read {
    list: DenyList,
    at: UnixTime,
    /// Members that are no entry.
    unreadable: usize,
}

/// The list as it was read last.
pub struct FleetDenyList {
    config: SharedDenyList,
    read: Arc<ArcSwapOption<Read>>,
    /// Whether it was read once.
    known: watch::Receiver<bool>,
    /// Ends the reading with the last world that holds this.
    _reading: DropGuard,
}

impl FleetDenyList {
    /// Reads in the background, at once and in turns. What `previous` read of the same key holds until then.
    /// Must be called inside a runtime.
    pub fn start(
        config: &SharedDenyList,
        redis: Arc<Redis>,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Arc<Self> {
        let stop = means.background.stop.child_token();
        let previous = previous.filter(|old| old.config.key == config.key);
        let before = previous.and_then(|old| old.read.load_full());
        let (told, known) = watch::channel(before.is_some());
        let read = Arc::new(ArcSwapOption::new(before));
        let reading = keep_reading(config.clone(), redis, Arc::clone(&read), told);
        let until = stop.clone();
        means.background.tasks.spawn(async move {
            until.run_until_cancelled(reading).await;
        });
        Arc::new(Self {
            config: config.clone(),
            read,
            known,
            _reading: stop.drop_guard(),
        })
    }

    /// Whether this config would make the same list.
    #[must_use]
    pub fn is_same(&self, config: &SharedDenyList) -> bool {
        self.config == *config
    }

    /// Whether it was read once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        *self.known.borrow()
    }

    /// Waits until it was read once.
    pub async fn was_known(&self) {
        // it ends with the reading, after which nothing more will be known
        drop(self.known.clone().wait_for(|known| *known).await);
    }
}

impl Revocations for FleetDenyList {
    fn denies(&self, principal: &Principal, now: UnixTime) -> Result<bool, Duration> {
        let read = self.read.load();
        match &*read {
            Some(read) if now.since(read.at) <= self.config.max_stale.as_secs() => {
                Ok(read.list.denies(principal, now))
            }
            Some(_) | None => Err(self.config.refresh),
        }
    }
}

impl fmt::Debug for FleetDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetDenyList")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

async fn keep_reading(
    config: SharedDenyList,
    redis: Arc<Redis>,
    kept: Arc<ArcSwapOption<Read>>,
    told: watch::Sender<bool>,
) {
    let metrics = &redis.telemetry.metrics;
    // an outage is told once, not in turns
    let mut failed = None;
    loop {
        let at = redis.clock.now();
        match members(&redis, &config.key).await {
            Ok(members) => {
                failed = None;
                let entries = members.iter().map(|member| denied_in_json(member));
                let (entries, unreadable): (Vec<_>, Vec<_>) = entries.partition(Option::is_some);
                let list: DenyList = entries.into_iter().flatten().collect();
                metrics.deny_list_read(Some(list.len()));
                let before = kept.load_full();
                if unreadable.len() > before.map_or(0, |read| read.unreadable) {
                    tracing::error!(
                        key = config.key,
                        unreadable = unreadable.len(),
                        "the deny-list in redis has members that are no entries: they deny nobody"
                    );
                }
                kept.store(Some(Arc::new(Read {
                    list,
                    at,
                    unreadable: unreadable.len(),
                })));
                told.send_replace(true);
            }
            Err(why) => {
                metrics.deny_list_read(None);
                if failed.replace(why) != Some(why) {
                    let key = &config.key;
                    tracing::error!(
                        key,
                        "the deny-list in redis was not read, and new entries deny nobody: {why}"
                    );
                }
            }
        }
        sleep(config.refresh).await;
    }
}

async fn members(redis: &Redis, key: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let most = MOST.to_string();
    let command = super::turns::eval(READ, &[key.to_owned()], &[most.as_bytes()]);
    let answer: redis::Value = redis
        .connection
        .ask(&command)
        .await
        .map_err(|_away| "redis is away")?;
    if let redis::Value::Int(code) = answer {
        return Err(match code {
            -1 => "it has more than 10,000 members",
            _other => "the key holds no set, or may not be read",
        });
    }
    redis::from_redis_value(answer).map_err(|_kind| "it is no list of texts")
}
