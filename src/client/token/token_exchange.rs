//! `kind = "token_exchange"`: the user's token for another one (RFC 8693; Entra's on-behalf-of flow).

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::client::token::answer::{self, Expected};
use crate::client::token::attached::Attachment;
use crate::client::token::kept::Kept;
use crate::client::token::request::Requester;
use crate::client::token::source::{Absent, Means};
use crate::client::token::subject::{FetchFor, Setup, Subjects};
use crate::client::token::{Bearer, FetchError, For, Grant, Granted, SubjectToken};
use crate::clock::UnixTime;
use crate::config::{
    ACCESS_TOKEN_TYPE, CredentialKind, CredentialSource, ExchangeProfile, Rfc8693, TokenExchange,
};
use crate::gate::Boxed;
use crate::secret::Secret;

/// RFC 8693 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 2.1.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// One client, and what it exchanges users' tokens for.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) definition: TokenExchange,
    pub(super) requester: Requester,
    actor: Option<Actor>,
}

/// Where the actor's token comes from.
#[derive(Debug)]
pub(super) enum Actor {
    /// Granted to a service, kept fresh.
    Granted(Arc<Grant<Bearer>>),
    /// Issued by somebody else; read for each exchange.
    Kept(Arc<Kept>),
}

impl Actor {
    /// Whether what was exchanged in the one's name is good in the other's: by the same grant, or the
    /// same value. What could not be read is another.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Granted(one), Self::Granted(other)) => Arc::ptr_eq(one, other),
            (Self::Kept(one), Self::Kept(other)) => one.is_same(other),
            (Self::Granted(_), Self::Kept(_)) | (Self::Kept(_), Self::Granted(_)) => false,
        }
    }
}

/// The name of the source that acts for the users of this one.
pub(super) fn acts_by(source: &CredentialSource) -> Option<&Arc<str>> {
    let CredentialKind::TokenExchange(definition) = &source.kind else {
        return None;
    };
    definition.actor()
}

impl Exchange {
    pub(super) fn new(
        definition: TokenExchange,
        requester: Requester,
        actor: Option<Actor>,
    ) -> Self {
        Self {
            definition,
            requester,
            actor,
        }
    }

    /// Whether it asks for the same as `other`, in the same name.
    fn is_same(&self, other: &Self) -> bool {
        let same_actor = match (&self.actor, &other.actor) {
            (Some(one), Some(other)) => one.is_same(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_actor
            && self.definition == other.definition
            && self.requester.is_same(&other.requester)
    }

    /// Another one than `refused`, if that can be had now.
    async fn actors_token(&self, refused: Option<&Secret>) -> Result<Option<Secret>, FetchError> {
        if self.definition.actor().is_none() {
            return Ok(None);
        }
        let token = match self.actor.as_ref().ok_or(FetchError::Actor)? {
            Actor::Granted(grant) => {
                let granted = grant.find().await.map_err(|_pause| FetchError::Actor)?;
                granted.credential.token().clone()
            }
            Actor::Kept(kept) => {
                let is_refused = |token: &Secret| refused == Some(token);
                let endpoint = self.requester.endpoint();
                endpoint.load(kept.source(), Some(&is_refused)).await?
            }
        };
        Ok(Some(token))
    }

    /// Asks for one token.
    pub(super) async fn ask(
        &self,
        subject: &SubjectToken,
        actor: Option<&Secret>,
        now: UnixTime,
    ) -> Result<Granted<Bearer>, FetchError> {
        let scope = self.definition.scopes.join(" ");
        let (mut form, expected) = match &self.definition.profile {
            ExchangeProfile::Rfc8693(parameters) => {
                let requested = parameters.requested_token_type.as_deref();
                (
                    exchange(parameters, subject, actor),
                    Expected::Exchanged { requested },
                )
            }
            ExchangeProfile::EntraOnBehalfOf => (
                vec![
                    ("grant_type", JWT_BEARER),
                    ("assertion", subject.expose()),
                    ("requested_token_use", "on_behalf_of"),
                ],
                Expected::AccessToken,
            ),
        };
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let read = |fetched: &_, now| answer::read_as(&expected, fetched, now);
        self.requester.ask_for(&form, now, read).await
    }
}

fn exchange<'f>(
    parameters: &'f Rfc8693,
    subject: &'f SubjectToken,
    actor: Option<&'f Secret>,
) -> Vec<(&'static str, &'f str)> {
    let mut form = vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", subject.expose()),
        ("subject_token_type", &parameters.subject_token_type),
    ];
    if let Some(requested) = &parameters.requested_token_type {
        form.push(("requested_token_type", requested));
    }
    for audience in &parameters.audiences {
        form.push(("audience", audience));
    }
    for resource in &parameters.resources {
        form.push(("resource", resource));
    }
    if let Some(actor) = actor {
        form.push(("actor_token", actor.expose()));
        form.push(("actor_token_type", ACCESS_TOKEN_TYPE));
    }
    form
}

impl FetchFor<Bearer> for Exchange {
    fn fetch_for<'f>(
        &'f self,
        subject: &'f SubjectToken,
        now: UnixTime,
    ) -> Boxed<'f, Result<Granted<Bearer>, FetchError>> {
        Box::pin(async move {
            let actor = self.actors_token(None).await?;
            let outcome = self.ask(subject, actor.as_ref(), now).await;
            let (
                Err(FetchError::Refused {
                    status: StatusCode::BAD_REQUEST,
                    ..
                }),
                Some(Actor::Kept(_)),
            ) = (&outcome, &self.actor)
            else {
                return outcome;
            };
            // the endpoint does not say whose token it did not take; the actor's may be another by now
            match self.actors_token(actor.as_ref()).await {
                Ok(other) if other != actor => self.ask(subject, other.as_ref(), now).await,
                Ok(_) | Err(_) => outcome,
            }
        })
    }
}

/// An exchange, and the tokens it brought, by user.
#[derive(Debug)]
pub(super) struct Exchanging {
    exchange: Arc<Exchange>,
    subjects: Arc<Subjects<Bearer>>,
}

impl Exchanging {
    /// Keeps the tokens of `previous` if it exchanges for the same.
    pub(super) fn start(
        name: Arc<str>,
        definition: &TokenExchange,
        means: &Means<'_>,
        actor: Option<Actor>,
        previous: Option<&Self>,
    ) -> Self {
        let requester = Requester::new(definition.client.clone(), Arc::clone(means.endpoint));
        let exchange = Arc::new(Exchange::new(definition.clone(), requester, actor));
        let subjects = Subjects::new(Setup {
            name,
            kind: "token_exchange",
            most: definition.max_subjects,
            size: Bearer::size,
            freshness: definition.freshness,
            fetch: Arc::clone(&exchange) as Arc<dyn FetchFor<Bearer>>,
            clock: means.clock,
            telemetry: means.telemetry,
            background: means.background,
        });
        // the live world asks as it did, whatever becomes of this one
        let kept = previous.filter(|previous| previous.exchange.is_same(&exchange));
        let subjects = match kept {
            Some(kept) => subjects.succeeding(&kept.subjects),
            None => subjects,
        };
        let exchanging = Self {
            exchange,
            subjects: Arc::new(subjects),
        };
        let sweep = Arc::clone(&exchanging.subjects).sweep(means.stop.clone());
        means.background.tasks.spawn(sweep);
        exchanging
    }

    pub(super) async fn attach(&self, call: &For<'_>) -> Result<Attachment, Absent> {
        let user = call.user.ok_or(Absent::NoUser)?;
        Ok(Attachment::bearer(&self.subjects.find(user).await?))
    }

    pub(super) async fn replace(&self, refused: &Attachment, call: &For<'_>) -> Option<Attachment> {
        let is_refused = |token: &Bearer| refused.is_header(token.header());
        let other = self.subjects.replace(call.user?, is_refused).await?;
        Some(Attachment::bearer(&other))
    }

    pub(super) fn report(&self) -> Value {
        self.subjects.report()
    }
}
