//! `[login]`: a user name and password are handed on to whoever issues tokens, and the tokens handed back.
//! Nothing of either is kept.
//!
//! Who may try is counted as for passwords of our own ([`Guesses`]). What was handed on is told to its
//! end though nobody waits for it: else who goes away early would not be counted.

mod cognito;

mod password_grant;
mod service;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::authn::password::attempts::{Ended, Held};
use crate::authn::password::{Source, UserPassword};
use crate::client::guesses::{Guess, Guesses};
use crate::client::jwks::Background;
use crate::client::outgoing::FetchError;
use crate::client::through::Through;
use crate::client::token::{Endpoint, Requester};
use crate::clock::Clock;
use crate::config::{self, LoginKind};
use crate::gate::Boxed;
use crate::reason::{Denial, Failure, Refusal};
use crate::secret::Secret;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::LoginResult;

/// When to try again what found no room or no answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What whoever issues tokens answers, in the one shape that clients get. `Debug` shows nothing of it.
#[derive(Serialize)]
pub struct Tokens {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// As JSON, wiped when dropped.
    #[must_use]
    pub fn json(&self) -> Option<Secret> {
        serde_json::to_string(self).ok().map(Secret::new)
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.access_token.zeroize();
        self.id_token.zeroize();
        self.refresh_token.zeroize();
    }
}

/// Why there are no tokens.
#[derive(Debug)]
enum Without {
    /// No such user, or not the password, or an account that cannot be used.
    Refused,
    /// The password is right, and something else is asked for.
    Challenged,
    /// Nobody answers, or wants to be left alone.
    Away {
        retry_after: Option<Duration>,
        why: String,
    },
    /// An answer that nobody can use, or a refusal of us.
    Unusable(String),
}

/// Asks whoever issues tokens.
trait Asks: fmt::Debug + Send + Sync {
    fn ask<'a>(&'a self, presented: &'a UserPassword) -> Boxed<'a, Result<Tokens, Without>>;
}

/// `[login]`, brought to life. Clones share everything.
#[derive(Clone, Debug)]
pub struct Login(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: config::Login,
    asks: Arc<dyn Asks>,
    guesses: Guesses,
    room: Arc<Semaphore>,
    telemetry: Arc<Telemetry>,
    background: Background,
    runtime: Handle,
}

impl Login {
    /// Asks nobody yet. What was counted is kept while `[basic.lockout]`'s like says the same. Must be
    /// called inside a runtime.
    #[must_use]
    pub fn start(
        config: &config::Login,
        through: &Through,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let endpoint: Arc<dyn Endpoint> = Arc::new(through.clone());
        let asks: Arc<dyn Asks> = match &config.kind {
            LoginKind::Cognito {
                endpoint: url,
                client_id,
                client_secret,
            } => Arc::new(cognito::Cognito {
                url: url.clone(),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                endpoint,
            }),
            LoginKind::PasswordGrant { client, scopes } => {
                Arc::new(password_grant::PasswordGrant {
                    requester: Requester::new(client.clone(), endpoint),
                    scopes: scopes.join(" "),
                    clock: Arc::clone(clock),
                })
            }
            LoginKind::Http { url } => Arc::new(service::Service {
                url: url.clone(),
                endpoint,
            }),
        };
        Self(Arc::new(Inner {
            asks,
            guesses: Guesses::start(
                config.lockout,
                of_source_at_once(config.max_concurrent),
                previous.map(|old| &old.0.guesses),
            ),
            room: Arc::new(Semaphore::new(config.max_concurrent)),
            config: config.clone(),
            telemetry: Arc::clone(telemetry),
            background: background.clone(),
            runtime: Handle::current(),
        }))
    }

    /// Where it is taken.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.config.path
    }

    /// The user's tokens, asked for by a client at this address.
    pub async fn tokens(&self, presented: UserPassword, client: IpAddr) -> Result<Tokens, Refusal> {
        let answer = self.asked(presented, client).await;
        self.0.telemetry.metrics.login(result_of(&answer));
        answer
    }

    async fn asked(&self, presented: UserPassword, client: IpAddr) -> Result<Tokens, Refusal> {
        let inner = &self.0;
        let guess = inner
            .guesses
            .begin(&presented.user, Source::of(client))
            .await;
        let guess = guess.map_err(held)?;
        let (tell, told) = oneshot::channel();
        let task = self.clone().run(presented, guess, tell);
        inner.background.tasks.spawn_on(task, &inner.runtime);
        let unavailable = |_dropped| Failure::LoginUnavailable {
            retry_after: RETRY_AFTER,
        };
        told.await.map_err(unavailable)?
    }

    async fn run(
        self,
        presented: UserPassword,
        guess: Guess,
        tell: oneshot::Sender<Result<Tokens, Refusal>>,
    ) {
        let inner = &self.0;
        guess.turn().await;
        let Ok(_room) = inner.room.try_acquire() else {
            let retry_after = RETRY_AFTER;
            let _gone = tell.send(Err(Failure::LoginUnavailable { retry_after }.into()));
            return;
        };
        let answer = inner.asks.ask(&presented).await;
        let ended = match &answer {
            Ok(_) | Err(Without::Challenged) => Ended::Right,
            Err(Without::Refused) => Ended::Wrong,
            Err(Without::Away { .. } | Without::Unusable(_)) => Ended::Unanswered,
        };
        guess.end(ended);
        // whoever asked may have gone
        let _gone = tell.send(answer.map_err(refusal));
    }
}

/// So that no source alone has all room: a quarter of it.
fn of_source_at_once(max_concurrent: usize) -> u32 {
    u32::try_from(max_concurrent / 4).unwrap_or(u32::MAX).max(1)
}

fn held(held: Held) -> Refusal {
    match held {
        Held::LockedOut { retry_after } => Denial::LockedOut { retry_after }.into(),
        Held::SourceBusy { retry_after } | Held::UserBusy { retry_after } => {
            Denial::RateLimited { retry_after }.into()
        }
        Held::Unanswered { retry_after } | Held::Running { retry_after } => {
            Failure::LoginUnavailable { retry_after }.into()
        }
    }
}

fn refusal(without: Without) -> Refusal {
    match without {
        Without::Refused => Denial::PasswordRefused.into(),
        Without::Challenged => Denial::LoginChallenge.into(),
        Without::Away { retry_after, why } => {
            tracing::warn!(why, "nobody issues tokens for a login");
            let retry_after = retry_after.unwrap_or(RETRY_AFTER);
            Failure::LoginUnavailable { retry_after }.into()
        }
        Without::Unusable(why) => {
            tracing::error!(why, "the answer to a login cannot be used");
            Failure::LoginUnusable.into()
        }
    }
}

fn result_of(answer: &Result<Tokens, Refusal>) -> LoginResult {
    match answer {
        Ok(_) => LoginResult::Granted,
        Err(Refusal::Denied(Denial::LockedOut { .. })) => LoginResult::LockedOut,
        Err(Refusal::Denied(Denial::RateLimited { .. })) => LoginResult::RateLimited,
        Err(Refusal::Denied(Denial::LoginChallenge)) => LoginResult::Challenged,
        Err(Refusal::Denied(_)) => LoginResult::Refused,
        Err(Refusal::Failed(Failure::LoginUnusable)) => LoginResult::Unusable,
        Err(Refusal::Failed(_)) => LoginResult::Unavailable,
    }
}

/// Why `who` has not answered.
fn no_answer(who: &str, error: &FetchError) -> Without {
    let why = format!("{who}: {error}");
    match error {
        FetchError::Timeout
        | FetchError::Connect(_)
        | FetchError::Tls(_)
        | FetchError::Protocol(_)
        | FetchError::Status { .. } => Without::Away {
            retry_after: None,
            why,
        },
        FetchError::Redirect(_) | FetchError::TooLarge(_) => Without::Unusable(why),
    }
}

/// A token as somebody states it, if it can be one.
fn token(text: Option<String>) -> Option<String> {
    text.filter(|text| {
        (1..=16 * 1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    })
}
