//! The fleet's store in Redis (DESIGN §9).
//!
//! Two keys for each credential: `…:token`, sealed ([`seal`]), with the token's own end; `…:turn`,
//! the name of who is elected to ask for the next ([`turns`]), for a few seconds. Everything read is
//! doubted: what was not sealed by one of our keys for this very credential is no token, and is
//! counted and told. One [`connection`], one deadline for each exchange, and after the first failure
//! nobody waits for Redis until a probe has found it again.

mod connection;
mod deny_list;
mod seal;
mod turns;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio_util::sync::DropGuard;

use self::connection::Connection;
pub use self::deny_list::FleetDenyList;
use self::seal::{LARGEST_SEALED, NotOurs, Seals};
use crate::client::tls::Trust;
use crate::client::token::fleet::{Away, Entry, Label, Store, Turn};
use crate::clock::Clock;
use crate::config;
use crate::gate::Boxed;
use crate::store::Means;
use crate::telemetry::Telemetry;

/// An entry and how long it has left, in ms; a key of another type is an entry nobody believes.
/// Never more than an entry can have, whatever was put there.
const READ: &str = "\
local sealed = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[1])
if type(sealed) ~= 'string' then sealed = 'not a string' end
return {sealed, redis.call('PTTL', KEYS[1])}";

/// The store.
#[derive(Debug)]
pub struct Redis {
    config: config::Redis,
    trust: Trust,
    seals: Seals,
    connection: Arc<Connection>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    /// What was not believed last: it is told once, however often it is looked at.
    refused: Mutex<Option<(Label, Vec<u8>)>>,
    /// Ends the probe with the last world that holds this.
    _probing: DropGuard,
}

impl Redis {
    /// Connects in the background. Must be called inside a runtime.
    pub fn start(config: &config::Redis, means: &Means<'_>) -> io::Result<Arc<Self>> {
        let connection = Arc::new(Connection::new(config, means)?);
        let stop = means.background.stop.child_token();
        means
            .background
            .tasks
            .spawn(Arc::clone(&connection).probe(turns::probe(config), stop.clone()));
        Ok(Arc::new(Self {
            config: config.clone(),
            trust: means.trust.clone(),
            seals: Seals::new(&config.sealing_keys).map_err(io::Error::other)?,
            connection,
            clock: Arc::clone(means.clock),
            telemetry: Arc::clone(means.telemetry),
            refused: Mutex::default(),
            _probing: stop.drop_guard(),
        }))
    }

    /// Whether this config and these roots would make the same store.
    #[must_use]
    pub fn is_same(&self, config: &config::Redis, trust: &Trust) -> bool {
        self.config == *config && self.trust == *trust
    }

    /// The name of a key. The braces keep both keys of a credential on one node.
    fn key(&self, label: &Label, what: &str) -> String {
        let mut of = label.definition.to_vec();
        of.extend_from_slice(label.credential.as_bytes());
        let hash = digest(&SHA256, &of);
        let hash = hash
            .as_ref()
            .first_chunk()
            .map_or(0, |head| u128::from_be_bytes(*head));
        let (prefix, name) = (&self.config.prefix, &label.credential);
        format!("{prefix}{{{hash:032x}}}:{name}:{what}")
    }

    async fn read(&self, label: &Label) -> Result<Option<Entry>, Away> {
        let keys = [self.key(label, "token")];
        let most = LARGEST_SEALED.to_string();
        let (sealed, left): (Vec<u8>, i64) = self
            .connection
            .ask(&turns::eval(READ, &keys, &[most.as_bytes()]))
            .await?;
        if sealed.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let opened = match self.seals.open(label, &sealed) {
            Ok(opened) => opened,
            Err(why) => {
                self.refuse(label, &sealed, why);
                return Ok(None);
            }
        };
        // clocks differ: the store counts down, ours tells the end; whichever is earlier
        let by_store = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let by_clock = Duration::from_secs(opened.expires_at.since(now));
        let remaining = by_store.min(by_clock);
        Ok((!remaining.is_zero()).then_some(Entry {
            content: opened.content,
            expires_at: opened.expires_at,
            remaining,
        }))
    }

    fn refuse(&self, label: &Label, sealed: &[u8], why: NotOurs) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |(of, what): &(Label, Vec<u8>)| of == label && what == sealed;
        if refused.as_ref().is_some_and(told) {
            return;
        }
        *refused = Some((label.clone(), sealed.to_vec()));
        self.telemetry.metrics.redis_entry_refused();
        tracing::warn!(
            credential = &*label.credential,
            "an entry in redis is not believed: {why}"
        );
    }
}

impl Store for Redis {
    fn find<'s>(&'s self, label: &'s Label) -> Boxed<'s, Result<Option<Entry>, Away>> {
        Box::pin(self.read(label))
    }

    fn elect<'s>(&'s self, label: &'s Label) -> Boxed<'s, Result<Option<Turn>, Away>> {
        Box::pin(self.take_turn(label))
    }

    fn prolong<'s>(&'s self, label: &'s Label, turn: &'s Turn) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(self.prolong_turn(label, turn))
    }

    fn keep<'s>(
        &'s self,
        label: &'s Label,
        turn: &'s Turn,
        entry: Entry,
    ) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(self.keep_and_end(label, turn, entry))
    }

    fn resign<'s>(&'s self, label: &'s Label, turn: &'s Turn) -> Boxed<'s, ()> {
        Box::pin(self.end_turn(label, turn))
    }

    fn turn(&self) -> Duration {
        turns::TURN
    }

    fn report(&self) -> Value {
        let ids: Vec<&str> = self
            .config
            .sealing_keys
            .iter()
            .map(|key| &*key.id)
            .collect();
        let (state, error) = self.connection.report();
        json!({
            "address": self.config.endpoint.to_string(),
            "tls": self.config.tls.is_some(),
            "state": state,
            "last_error": error,
            "sealing_keys": ids,
        })
    }
}
