//! Credential sources (DESIGN §9): what an egress request, or a route's
//! `authorization = { replace = … }`, carries.

pub mod fleet;

mod answer;
mod attached;
mod bearer;
mod client_auth;
mod client_credentials;
mod fetch;
mod grant;
mod granting;
mod handed;
mod kept;
mod pass_through;
mod refresh_token;
mod request;
mod schedule;
mod signing;
mod source;
mod subject;
#[cfg(test)]
mod tests;
mod token_exchange;
mod user;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

pub use self::answer::{NOT_BEARER, Peek, peek};
pub(in crate::client) use self::answer::{error_code, exp, refused};
use self::attached::Attachment;
pub use self::attached::{Attached, For};
pub use self::bearer::Bearer;
use self::client_credentials::Asking;
pub use self::fetch::{Fetch, FetchError, Granted, Lent, LifeFrom, UNSTATED_LIFE};
use self::fleet::Store;
pub use self::grant::Grant;
pub use self::handed::{Handed, HandedWhat};
use self::refresh_token::Refreshing;
pub(in crate::client) use self::request::{ANSWER_WITHIN, LARGEST_ANSWER, Requester};
pub use self::request::{Endpoint, Refused};
use self::source::{Absent, Means, Source};
pub use self::subject::{FetchFor, Setup, Subjects, Without};
use self::token_exchange::{Exchange, acts_by};
#[cfg(test)]
pub(crate) use self::user::tests::user;
pub use self::user::{Proof, SubjectToken, User};
use crate::client::aws::{AskingKeys, AwsKeys, Process};
use crate::client::jwks::Background;
use crate::client::through::Through;
use crate::clock::{Clock, UnixTime};
use crate::config;
use crate::reason::{Denial, Failure, Refusal};
use crate::secret::Secret;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{Asked, CredentialCalls};

/// Most refused credentials of one source that are looked into at once while nobody waits for another:
/// each keeps its user and token until a fetch has ended.
const DOUBTS_AT_ONCE: usize = 64;

/// What a failure suggests when no source knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the app is told of a call that nobody stands behind.
const NO_USER: &str = "This target is called for a user: pass on the X-Auth-Handle of the request that is \
                       being answered.";

/// What the app is told of a user whose token is not for the source's endpoint or service.
const OTHER_ISSUER: &str = "The user's token comes from an issuer that this credential source does not \
                            name: it is sent to nobody.";

/// All `[credentials.X]`, with the tokens they hold.
#[derive(Debug)]
pub struct Credentials {
    sources: Vec<Listed>,
    by_name: HashMap<Arc<str>, usize>,
    /// What they ask AWS as.
    process: Option<Arc<Process>>,
    telemetry: Arc<Telemetry>,
    background: Background,
    runtime: Handle,
    /// Ends this world's drivers; a source kept by the next world is driven from there.
    _stop: DropGuard,
}

/// A source, and what is known of it beside.
#[derive(Debug)]
struct Listed {
    name: Arc<str>,
    /// The config's word.
    kind: &'static str,
    /// Whose users' tokens it may send.
    issuers: Vec<Arc<str>>,
    source: Source,
    calls: CredentialCalls,
    doubts: Arc<Semaphore>,
}

impl Listed {
    /// Whether the token of the user behind the call, if there is one, comes from an issuer that this
    /// source is for: nobody else's endpoint or service ever sees it.
    fn may_send(&self, call: &For<'_>) -> bool {
        let user = call.user.filter(|user| user.token.is_some());
        user.is_none_or(|user| self.issuers.contains(&user.proven.principal.issuer))
    }

    /// The credential for this call.
    async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        let found = if self.source.needs_user() && !self.may_send(call) {
            Err(Absent::Ends(
                Denial::EgressUserUnavailable(OTHER_ISSUER).into(),
            ))
        } else {
            self.source.attach(call).await
        };
        self.calls.count(match &found {
            Ok(_attachment) => Asked::Attached,
            Err(absent) => absent.asked(),
        });
        found
    }
}

impl Credentials {
    /// Builds the sources; tokens are fetched when first needed and refreshed ahead while used. A
    /// source whose definition and secret are the same in `previous` keeps its token; `previous` goes
    /// on as it did until [`Self::go_into_force`]. Reads the disk: call it at start and on reload only.
    /// `store` is where the fleet shares tokens.
    pub fn start(
        sources: &[config::CredentialSource],
        through: &Through,
        store: Option<&Arc<dyn Store>>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let endpoint: Arc<dyn Endpoint> = Arc::new(through.clone());
        let started = Self::start_with(
            sources, &endpoint, store, clock, telemetry, background, previous,
        );
        Self {
            process: through.process().cloned(),
            ..started
        }
    }

    fn start_with(
        sources: &[config::CredentialSource],
        endpoint: &Arc<dyn Endpoint>,
        store: Option<&Arc<dyn Store>>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        background: &Background,
        previous: Option<&Self>,
    ) -> Self {
        let stop = background.stop.child_token();
        let means = Means {
            endpoint,
            store,
            clock,
            telemetry,
            background,
            stop: &stop,
        };
        let known = |name: &str| previous.and_then(|previous| previous.find(name));
        let by_name: HashMap<Arc<str>, usize> = sources
            .iter()
            .enumerate()
            .map(|(at, source)| (Arc::clone(&source.name), at))
            .collect();
        // who acts for users is there before those they act for
        let mut order: Vec<_> = sources.iter().enumerate().collect();
        order.sort_by_key(|(_at, source)| acts_by(source).is_some());
        let mut built: Vec<(usize, Source)> = Vec::with_capacity(order.len());
        for (at, source) in order {
            let actor = acts_by(source).and_then(|name| by_name.get(name));
            let actor = actor.and_then(|actor| built.iter().find(|(at, _)| at == actor));
            let actor = actor.and_then(|(_at, actor)| actor.actor());
            built.push((
                at,
                Source::start(source, &means, known(&source.name), actor),
            ));
        }
        built.sort_by_key(|(at, _source)| *at);
        let list = |(definition, (_at, source)): (&config::CredentialSource, _)| Listed {
            name: Arc::clone(&definition.name),
            kind: definition.kind.as_str(),
            issuers: definition.issuers.clone(),
            source,
            calls: telemetry
                .metrics
                .credential_calls(&definition.name, definition.kind.as_str()),
            doubts: Arc::new(Semaphore::new(DOUBTS_AT_ONCE)),
        };
        Self {
            sources: sources.iter().zip(built).map(list).collect(),
            by_name,
            process: None,
            telemetry: Arc::clone(telemetry),
            background: background.clone(),
            runtime: Handle::current(),
            _stop: stop.clone().drop_guard(),
        }
    }

    /// These are in force, and `previous` is not any more: what was kept is asked for and shared through
    /// what these were started with.
    pub fn go_into_force(&self) {
        if let Some(process) = &self.process {
            process.go_into_force();
        }
        for listed in &self.sources {
            listed.source.go_into_force();
        }
        let own = self.process.iter().flat_map(|process| process.names());
        let sources = self.sources.iter();
        let sources = sources.map(|listed| (Arc::clone(&listed.name), listed.kind));
        let metrics = &self.telemetry.metrics;
        metrics.credentials_in_force(sources.chain(own.map(|name| (name, "aws"))).collect());
    }

    /// What the process is to AWS, if anything.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_deref()
    }

    fn find(&self, name: &str) -> Option<&Source> {
        let listed = self.sources.get(*self.by_name.get(name)?)?;
        Some(&listed.source)
    }

    /// The credential of the first source in `names` that has something for this call. A user's call
    /// ends at the first source that makes its credential from the user's: what that one has not, no
    /// other stands in for.
    pub async fn attach(&self, names: &[Arc<str>], call: &For<'_>) -> Result<Attached, Refusal> {
        let mut retry_after: Option<Duration> = None;
        let mut out_of_order = false;
        let mut without_user = false;
        for &at in names.iter().filter_map(|name| self.by_name.get(name)) {
            let Some(listed) = self.sources.get(at) else {
                continue;
            };
            match listed.attach(call).await {
                Ok(what) => return Ok(Attached { what, source: at }),
                Err(Absent::Nothing(nothing)) => {
                    out_of_order = true;
                    let sooner = retry_after.into_iter().chain(nothing.retry_after).min();
                    retry_after = sooner;
                }
                Err(Absent::NoUser) => without_user = true,
                Err(Absent::Ends(refusal)) => return Err(refusal),
            }
        }
        if without_user && !out_of_order {
            return Err(Denial::EgressUserUnavailable(NO_USER).into());
        }
        Err(Failure::EgressTokenUnavailable {
            retry_after: retry_after.unwrap_or_default().max(RETRY_AFTER),
        }
        .into())
    }

    /// The name of the source this came from.
    #[must_use]
    pub fn name_of(&self, attached: &Attached) -> Option<&Arc<str>> {
        Some(&self.sources.get(attached.source)?.name)
    }

    /// Whether a target's `403` too may mean that there is another credential by now: servers say it
    /// of a key or static token they do not know (any more).
    #[must_use]
    pub fn doubts(&self, refused: &Attached) -> bool {
        let listed = self.sources.get(refused.source);
        listed.is_some_and(|listed| listed.source.is_key())
    }

    /// The target refused `refused` with 401 (or 403, if [`Self::doubts`]): another credential of the
    /// same source if there is one worth a replay, else `None`. A fetched token is refetched only if it is still the
    /// current one, and at most once per source in 30 s; static values are read again and count
    /// only if they changed; a caller's own token has no other.
    pub async fn replace(&self, refused: &Attached, call: &For<'_>) -> Option<Attached> {
        let listed = self.sources.get(refused.source)?;
        let what = listed.source.replace(&refused.what, call).await?;
        listed.calls.count(Asked::Replaced);
        Some(Attached {
            what,
            source: refused.source,
        })
    }

    /// [`Self::replace`] for a request that is not sent again: nobody waits for the other credential.
    /// Beyond [`DOUBTS_AT_ONCE`] nothing is done: the next refusal says the same.
    pub fn doubt(self: &Arc<Self>, refused: Attached, user: Option<User>) {
        let listed = self.sources.get(refused.source);
        let turn = listed.and_then(|listed| Arc::clone(&listed.doubts).try_acquire_owned().ok());
        let Some(turn) = turn else {
            return;
        };
        let credentials = Arc::clone(self);
        let look = async move {
            let _turn = turn;
            let call = For {
                headers: &HeaderMap::new(),
                user: user.as_ref(),
                guarded: false,
            };
            let replace = credentials.replace(&refused, &call);
            // the next call finds it
            let stop = &credentials.background.stop;
            drop(stop.run_until_cancelled(replace).await);
        };
        self.background.tasks.spawn_on(look, &self.runtime);
    }

    /// The headers these sources write, but for `Authorization`: nobody else may, in trailers or in
    /// another spelling.
    #[must_use]
    pub fn headers(&self, names: &[Arc<str>]) -> Arc<[HeaderName]> {
        let sources = names.iter().filter_map(|name| self.find(name));
        sources.flat_map(Source::own_headers).cloned().collect()
    }

    /// Whether one of these sources makes its credential from the user's.
    #[must_use]
    pub fn need_user(&self, names: &[Arc<str>]) -> bool {
        let mut sources = names.iter().filter_map(|name| self.find(name));
        sources.any(Source::needs_user)
    }

    /// What `/status` shows: per source its kind, age, time to expiry, last error. No secrets.
    #[must_use]
    pub fn report(&self) -> serde_json::Value {
        let sources = self.sources.iter();
        sources.map(|listed| listed.source.report()).collect()
    }
}

/// Asks for AWS keys of our own once, outside any [`Credentials`]: `gatepost token`.
pub async fn fetch_keys_once(
    source: &config::AwsKeySource,
    through: &Through,
    now: UnixTime,
) -> Result<Granted<AwsKeys>, FetchError> {
    let asking = AskingKeys::new(source.clone(), Arc::new(through.clone()));
    asking.fetch(now).await
}

/// Exchanges one token, outside any [`Credentials`]: `gatepost token`.
pub async fn exchange_once(
    definition: &config::TokenExchange,
    through: &Through,
    subject: &SubjectToken,
    actor: Option<&Secret>,
    now: UnixTime,
) -> Result<Granted<Bearer>, FetchError> {
    let endpoint = Arc::new(through.clone());
    let requester = Requester::new(definition.client.clone(), endpoint);
    let exchange = Exchange::new(definition.clone(), requester, None);
    exchange.ask(subject, actor, now).await
}

/// Asks for one token of a client-credentials source, outside any [`Credentials`]:
/// `gatepost token`.
pub async fn fetch_once(
    definition: &config::ClientCredentials,
    through: &Through,
    now: UnixTime,
) -> Result<Granted<Bearer>, FetchError> {
    let endpoint = Arc::new(through.clone());
    Asking::new(definition.clone(), endpoint).fetch(now).await
}

/// Asks for one token of a refresh-token source, outside any [`Credentials`]: `gatepost token`. The
/// refresh token may be spent by it; its successor is kept in `state_file` only.
pub async fn refresh_once(
    name: &Arc<str>,
    definition: &config::RefreshToken,
    through: &Through,
    now: UnixTime,
) -> Result<Granted<Bearer>, FetchError> {
    let endpoint = Arc::new(through.clone());
    let asking = Refreshing::new(Arc::clone(name), definition.clone(), endpoint);
    asking.fetch(now).await
}
