//! Who asks for the next token: a key with the name of the elected one, for a few seconds. Each
//! step is one script, so that nothing happens between its look and its deed; what a key of another type
//! answers (`pcall`) is nobody's name.

use std::time::Duration;

use redis::Cmd;

use super::Redis;
use crate::client::token::fleet::{Away, Entry, Label, Turn};
use crate::config;

/// A turn that is not prolonged ends after this: whoever died is replaced.
pub(super) const TURN: Duration = Duration::from_secs(3);

/// Elected if nobody is. A turn without an end, or longer than any of ours, is not one.
const TAKE: &str = "\
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1";

const PROLONG: &str = "\
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

const END: &str = "\
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

const KEEP: &str = "\
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[1])";

/// Whether we may do here what we need to: a replica, an ACL without scripts or a full memory answer
/// PING as well as any.
const PROBE: &str = "\
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1";

/// What [`Connection::probe`](super::connection::Connection::probe) asks.
pub(super) fn probe(config: &config::Redis) -> Cmd {
    let keys = [format!("{}probe", config.prefix)];
    eval(PROBE, &keys, &[&milliseconds(Duration::from_secs(1))])
}

impl Redis {
    pub(super) async fn take_turn(&self, label: &Label) -> Result<Option<Turn>, Away> {
        let mut random = [0; 16];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return Err(Away);
        }
        let turn = Turn(format!("{:032x}", u128::from_be_bytes(random)));
        let keys = [self.key(label, "turn")];
        let arguments = [turn.0.as_bytes(), &milliseconds(TURN)];
        let taken = self.script(TAKE, &keys, &arguments).await?;
        Ok(taken.then_some(turn))
    }

    pub(super) async fn prolong_turn(&self, label: &Label, turn: &Turn) -> Result<bool, Away> {
        let keys = [self.key(label, "turn")];
        let arguments = [turn.0.as_bytes(), &milliseconds(TURN)];
        self.script(PROLONG, &keys, &arguments).await
    }

    /// If it cannot be told, the turn ends by itself.
    pub(super) async fn end_turn(&self, label: &Label, turn: &Turn) {
        let keys = [self.key(label, "turn")];
        if self.script(END, &keys, &[turn.0.as_bytes()]).await == Ok(true) {
            tracing::trace!(credential = &*label.credential, "turn ended");
        }
    }

    pub(super) async fn keep_and_end(
        &self,
        label: &Label,
        turn: &Turn,
        entry: Entry,
    ) -> Result<bool, Away> {
        let sealed = self
            .seals
            .seal(label, entry.expires_at, &entry.content)
            .inspect_err(|why| {
                let credential = &*label.credential;
                tracing::error!(credential, "a token is not shared: {why}");
            })
            .ok()
            .filter(|_sealed| !entry.remaining.is_zero());
        let Some(sealed) = sealed else {
            // nothing to keep: let another try
            self.end_turn(label, turn).await;
            return Ok(false);
        };
        let left = milliseconds(entry.remaining);
        let keys = [self.key(label, "turn"), self.key(label, "token")];
        self.script(KEEP, &keys, &[turn.0.as_bytes(), &sealed, &left])
            .await
    }

    /// What a script says: 1 or 0.
    async fn script(
        &self,
        script: &str,
        keys: &[String],
        arguments: &[&[u8]],
    ) -> Result<bool, Away> {
        self.connection.ask(&eval(script, keys, arguments)).await
    }
}

/// A script with its keys and arguments.
pub(super) fn eval(script: &str, keys: &[String], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(keys.len()).arg(keys);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

fn milliseconds(time: Duration) -> Vec<u8> {
    time.as_millis().to_string().into_bytes()
}
