//! One connection to Redis: opened when needed, dropped when it fails, and a probe that tells
//! whether it is there.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, RedisResult,
};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::jwks::Background;
use crate::client::token::fleet::Away;
use crate::clock::{Clock, UnixTime};
use crate::config::{self, Endpoint};
use crate::store::Means;
use crate::telemetry::Telemetry;

/// Between two probes of a Redis that is there.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// And of one that is not.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    endpoint: Endpoint,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    login: RedisConnectionInfo,
    deadline: Duration,
    /// Replaced when it fails.
    current: Mutex<Option<Open>>,
    /// Held while a new one is opened, so that there is one.
    opening: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    background: Background,
}

#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    number: u64,
    /// Ends its task with the last of us who uses it, whatever Redis still owes.
    _driven: Arc<DropGuard>,
}

#[derive(Debug, Default)]
struct State {
    /// `None`: not known yet.
    is_up: Option<bool>,
    last_error: Option<(UnixTime, String)>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.endpoint)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(config: &config::Redis, means: &Means<'_>) -> io::Result<Self> {
        let tls = match &config.tls {
            Some((tls, name)) => {
                let client = means.trust.client_config(tls)?;
                Some((TlsConnector::from(Arc::new(client)), name.clone()))
            }
            None => None,
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(config.database.into())
            .set_skip_set_lib_name();
        if let Some(name) = &config.username {
            login = login.set_username(name);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose());
        }
        Ok(Self {
            endpoint: config.endpoint.clone(),
            tls,
            login,
            deadline: config.timeout,
            current: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            clock: Arc::clone(means.clock),
            telemetry: Arc::clone(means.telemetry),
            background: means.background.clone(),
        })
    }

    /// One exchange, within the deadline. Nothing is tried while Redis is known to be away.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        if self.is_up() == Some(false) {
            return Err(Away);
        }
        self.try_now(command).await
    }

    async fn try_now<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let why = match timeout(self.deadline, self.twice(command)).await {
            Ok(Ok(answer)) => {
                self.is_there();
                return Ok(answer);
            }
            Ok(Err(lost)) => lost.to_string(),
            Err(_elapsed) => "timeout".to_owned(),
        };
        *self.current() = None;
        self.is_away(why);
        Err(Away)
    }

    /// A connection that was idle may have been closed: then once more, on a new one.
    async fn twice<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Lost> {
        let known = self.current().clone();
        let mut failed = 0;
        if let Some(mut open) = known {
            match command.query_async(&mut open.connection).await {
                Err(error) if error.is_unrecoverable_error() => failed = open.number,
                outcome => return outcome.map_err(Lost::Redis),
            }
        }
        let mut open = self.open(failed).await?;
        command
            .query_async(&mut open.connection)
            .await
            .map_err(Lost::Redis)
    }

    /// A connection newer than `failed`.
    async fn open(&self, failed: u64) -> Result<Open, Lost> {
        let _one_at_a_time = self.opening.lock().await;
        let known = self.current().clone();
        if let Some(open) = known.filter(|open| open.number > failed) {
            return Ok(open);
        }
        let open = self.connect(failed + 1).await?;
        *self.current() = Some(open.clone());
        Ok(open)
    }

    fn current(&self) -> MutexGuard<'_, Option<Open>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, number: u64) -> Result<Open, Lost> {
        let host = self.endpoint.host.to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.endpoint.port)).await?;
        tcp.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Either::Left(tcp),
            Some((connector, name)) => {
                Either::Right(Box::new(connector.connect(name.clone(), tcp).await?))
            }
        };
        // the deadline is ours
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let opened: RedisResult<_> =
            MultiplexedConnection::new_with_config(&self.login, stream, config).await;
        let (connection, driver) = opened.map_err(Lost::Redis)?;
        let stop = self.background.stop.child_token();
        let guard = Arc::new(stop.clone().drop_guard());
        self.background.tasks.spawn(async move {
            stop.run_until_cancelled(driver).await;
        });
        Ok(Open {
            connection,
            number,
            _driven: guard,
        })
    }

    /// Looks whether Redis takes this command, until `stop`.
    pub(super) async fn probe(self: Arc<Self>, command: Cmd, stop: CancellationToken) {
        let probing = async {
            loop {
                // what came of it is noted
                drop(self.try_now::<redis::Value>(&command).await);
                sleep(if self.is_up() == Some(true) {
                    PROBE_EVERY
                } else {
                    PROBE_AGAIN
                })
                .await;
            }
        };
        stop.run_until_cancelled(probing).await;
    }

    fn is_up(&self) -> Option<bool> {
        self.state().is_up
    }

    fn is_there(&self) {
        let before = self.state().is_up.replace(true);
        self.telemetry.metrics.redis_up(true);
        if before != Some(true) {
            tracing::info!(address = %self.endpoint, "redis is there: tokens are shared with the fleet");
        }
    }

    fn is_away(&self, why: String) {
        let mut state = self.state();
        let before = state.is_up.replace(false);
        self.telemetry.metrics.redis_up(false);
        if before != Some(false) {
            tracing::warn!(
                address = %self.endpoint,
                "redis is away ({why}): this sidecar asks for its own tokens until it is back"
            );
        }
        state.last_error = Some((self.clock.now(), why));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state in a word, and the last error.
    pub(super) fn report(&self) -> (&'static str, Value) {
        let state = self.state();
        let word = match state.is_up {
            None => "unknown",
            Some(true) => "up",
            Some(false) => "away",
        };
        let error = state
            .last_error
            .as_ref()
            .map(|(at, text)| json!({ "at": at.to_string(), "error": text }));
        (word, error.into())
    }
}

/// Why a connection is of no use. Its text holds nothing the server chose freely: it could repeat
/// what we sent.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{}", said(.0))]
    Redis(RedisError),
}

/// The error's kind, and its code if that is a word of the protocol.
fn said(error: &RedisError) -> String {
    let is_word = |code: &&str| {
        code.len() <= 16 && !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    match error.code().filter(is_word) {
        Some(code) => format!("it answered {code}"),
        None => error.category().to_owned(),
    }
}
