//! The fleet's deny-list: a set in Redis, read in turns and kept, so that no request waits for it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
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

/// The most entries in force. More is an error: a list that is cut short denies too little.
const MOST: usize = 10_000;
/// The most members that are read: those whose time has passed stay in the set until somebody removes them.
const MOST_MEMBERS: usize = 4 * MOST;
/// Members read without letting others have their turn.
const AT_ONCE: usize = 256;

/// The members, unless they are too many: `-1` then, `-2` if the key holds something else, or is not ours
/// to read.
const READ: &str = "\
local count = redis.pcall('SCARD', KEYS[1])
if type(count) ~= 'number' then return -2 end
if count > tonumber(ARGV[1]) then return -1 end
return redis.call('SMEMBERS', KEYS[1])";

/// What was read last.
struct Read {
    list: Arc<DenyList>,
    at: UnixTime,
}

/// Members → list, which is the same as long as they are.
#[derive(Default)]
struct Reader {
    hashes: RandomState,
    last: Option<(u64, Arc<DenyList>)>,
    /// Members that are no entry.
    unreadable: usize,
}

impl Reader {
    async fn list(
        &mut self,
        members: &[Vec<u8>],
        now: UnixTime,
    ) -> Result<Arc<DenyList>, &'static str> {
        // a set has no order
        let hashes = members.iter().map(|member| self.hashes.hash_one(member));
        let hash = hashes.fold(0, u64::wrapping_add);
        if let Some((known, list)) = &self.last
            && *known == hash
        {
            return Ok(Arc::clone(list));
        }
        let mut entries = Vec::with_capacity(members.len());
        for some in members.chunks(AT_ONCE) {
            entries.extend(some.iter().filter_map(|member| denied_in_json(member)));
            tokio::task::yield_now().await;
        }
        let in_force = entries.iter().filter(|entry| entry.is_in_force(now));
        if in_force.count() > MOST {
            return Err("it has more than 10,000 entries in force");
        }
        self.unreadable = members.len() - entries.len();
        let list = Arc::new(entries.into_iter().collect());
        self.last = Some((hash, Arc::clone(&list)));
        Ok(list)
    }
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

    fn asked(&self, now: UnixTime, ask: impl Fn(&DenyList) -> bool) -> Result<bool, Duration> {
        match &*self.read.load() {
            Some(read) if now.since(read.at) <= self.config.max_stale.as_secs() => {
                Ok(ask(&read.list))
            }
            Some(_) | None => Err(self.config.refresh),
        }
    }

    /// Waits until it was read once.
    pub async fn was_known(&self) {
        // it ends with the reading, after which nothing more will be known
        drop(self.known.clone().wait_for(|known| *known).await);
    }
}

impl Revocations for FleetDenyList {
    fn denies(&self, principal: &Principal, now: UnixTime) -> Result<bool, Duration> {
        self.asked(now, |list| list.denies(principal, now))
    }

    fn denies_stated(&self, user_id: &str, now: UnixTime) -> Result<bool, Duration> {
        self.asked(now, |list| list.denies_stated(user_id, now))
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
    let mut reader = Reader::default();
    loop {
        let at = redis.clock.now();
        let before = reader.unreadable;
        let read = match members(&redis, &config.key).await {
            Ok(members) => reader.list(&members, at).await,
            Err(why) => Err(why),
        };
        match read {
            Ok(list) => {
                failed = None;
                metrics.deny_list_read(Some(list.len()));
                if reader.unreadable > before {
                    tracing::error!(
                        key = config.key,
                        unreadable = reader.unreadable,
                        "the deny-list in redis has members that are no entries: they deny nobody"
                    );
                }
                kept.store(Some(Arc::new(Read { list, at })));
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
    let most = MOST_MEMBERS.to_string();
    let command = super::turns::eval(READ, &[key.to_owned()], &[most.as_bytes()]);
    let answer: redis::Value = redis
        .connection
        .ask(&command)
        .await
        .map_err(|_away| "redis is away")?;
    if let redis::Value::Int(code) = answer {
        return Err(match code {
            -1 => "it has more than 40,000 members",
            _other => "the key holds no set, or may not be read",
        });
    }
    redis::from_redis_value(answer).map_err(|_kind| "it is no list of texts")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn members(number: usize, more: &str) -> Vec<Vec<u8>> {
        let member = |number| format!("{{\"sub\": \"user-{number}\"{more}}}").into_bytes();
        (0..number).map(member).collect()
    }

    #[tokio::test]
    async fn a_set_that_is_the_same_is_not_read_again_in_whatever_order() {
        let mut reader = Reader::default();
        let mut set = members(3, "");
        let first = reader.list(&set, NOW).await.unwrap();
        set.reverse();
        let same = reader.list(&set, NOW).await.unwrap();
        assert!(Arc::ptr_eq(&first, &same));
        set.pop();
        let fewer = reader.list(&set, NOW).await.unwrap();
        assert_eq!((first.len(), fewer.len()), (3, 2));
        set.push(b"ada".to_vec());
        let unreadable = reader.list(&set, NOW).await.unwrap();
        assert_eq!((unreadable.len(), reader.unreadable), (2, 1));
    }

    #[tokio::test]
    async fn members_whose_time_has_passed_take_no_room() {
        let mut reader = Reader::default();
        let mut set = members(MOST, "");
        set.extend(members(MOST, r#", "until": "1799999999""#));
        assert!(reader.list(&set, NOW).await.is_ok());
        set.push(br#"{"sub": "ada", "until": "1800000001"}"#.to_vec());
        assert!(reader.list(&set, NOW).await.is_err());
        // it is by then
        assert!(reader.list(&set, NOW.plus(2)).await.is_ok());
    }
}
