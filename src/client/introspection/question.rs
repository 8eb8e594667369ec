//! One question about a token, and how its answer is read.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::book::Failing;
use crate::authn::claims::{Claims, Json, Kind};
use crate::client::outgoing::{self, Fetched};
use crate::client::token::{Endpoint, FetchError, Requester, refused};
use crate::clock::UnixTime;
use crate::config::{AskedAt, AskedIssuer, HandedOver, Remote, TokenProtocol, is_loopback};
use crate::secret::Secret;

/// What an issuer says.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Active(Claims),
    Inactive,
}

/// How an issuer is asked.
#[derive(Debug)]
pub(super) enum Question {
    Introspection {
        requester: Box<Requester>,
        at: AskedAt,
        insecure_http: bool,
        /// What discovery found.
        found: Mutex<Option<Url>>,
    },
    Remote {
        remote: Remote,
        endpoint: Mutex<Arc<dyn Endpoint>>,
    },
}

/// What of a discovery document is read.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    introspection_endpoint: Option<String>,
}

impl Question {
    pub(super) fn new(definition: &AskedIssuer, endpoint: &Arc<dyn Endpoint>) -> Self {
        match &definition.protocol {
            TokenProtocol::Introspection { client, at } => Self::Introspection {
                requester: Box::new(Requester::new((**client).clone(), Arc::clone(endpoint))),
                at: at.clone(),
                insecure_http: client.insecure_http,
                found: Mutex::new(None),
            },
            TokenProtocol::Remote(remote) => Self::Remote {
                remote: remote.clone(),
                endpoint: Mutex::new(Arc::clone(endpoint)),
            },
        }
    }

    /// Whether `other` asks as the same client.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Introspection { requester, .. },
                Self::Introspection {
                    requester: other, ..
                },
            ) => requester.is_same(other),
            (Self::Remote { .. }, Self::Remote { .. }) => true,
            (Self::Introspection { .. }, Self::Remote { .. })
            | (Self::Remote { .. }, Self::Introspection { .. }) => false,
        }
    }

    pub(super) fn ask_through(&self, through: &Arc<dyn Endpoint>) {
        match self {
            Self::Introspection { requester, .. } => requester.ask_through(through),
            Self::Remote { endpoint, .. } => *locked(endpoint) = Arc::clone(through),
        }
    }

    /// Where discovery said that the endpoint is may be out of date: it is asked again.
    pub(super) fn forget_endpoint(&self) {
        match self {
            Self::Introspection { found, .. } => *locked(found) = None,
            Self::Remote { .. } => {}
        }
    }

    pub(super) async fn put(&self, token: &Secret, now: UnixTime) -> Result<Answer, Unanswered> {
        match self {
            Self::Introspection {
                requester,
                at,
                insecure_http,
                found,
            } => {
                let url = match at {
                    AskedAt::Url(url) => url.clone(),
                    AskedAt::Discovery { issuer, url } => {
                        let known = locked(found).clone();
                        if let Some(known) = known {
                            known
                        } else {
                            let endpoint = requester.endpoint();
                            let at = discover(&*endpoint, issuer, url, *insecure_http).await;
                            let at = at.map_err(Unanswered::of_issuer)?;
                            locked(found).insert(at).clone()
                        }
                    }
                };
                let form = [
                    ("token", token.expose()),
                    ("token_type_hint", "access_token"),
                ];
                let read = |fetched: &Fetched, _now| introspected(fetched);
                let answer = requester.ask_at(&url, &form, now, read).await;
                answer.map_err(Unanswered::from)
            }
            Self::Remote { remote, endpoint } => {
                let endpoint = Arc::clone(&locked(endpoint));
                let request = asked(remote, token)?;
                Ok(remote_answer(&endpoint.send(request).await?)?)
            }
        }
    }
}

/// Why there is no answer, and what that says.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) error: FetchError,
    pub(super) of: Failing,
}

impl Unanswered {
    /// There is nobody to ask.
    fn of_issuer(error: FetchError) -> Self {
        let of = Failing::Issuer;
        Self { error, of }
    }

    pub(super) fn of_token(why: &'static str) -> Self {
        Self {
            error: FetchError::Unusable(why),
            of: Failing::Token,
        }
    }

    /// Whether the endpoint may have moved.
    pub(super) fn is_of_endpoint(&self) -> bool {
        match &self.error {
            FetchError::Refused { status, .. } => {
                matches!(*status, StatusCode::NOT_FOUND | StatusCode::GONE)
            }
            FetchError::NoAnswer(outgoing::FetchError::Redirect(_)) => true,
            FetchError::NoAnswer(_)
            | FetchError::Unusable(_)
            | FetchError::Secret(_)
            | FetchError::Client(_)
            | FetchError::Actor
            | FetchError::Aws(_) => self.of != Failing::Token,
        }
    }
}

/// Not as of a token endpoint, which [`FetchError`] speaks of.
impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            FetchError::NoAnswer(why) => write!(f, "no answer: {why}"),
            FetchError::Refused { status, code, .. } => {
                let code = code.as_deref().unwrap_or_default();
                write!(f, "answered {status} {code}")
            }
            FetchError::Unusable(why) => write!(f, "the answer is not usable: {why}"),
            other @ (FetchError::Secret(_)
            | FetchError::Client(_)
            | FetchError::Actor
            | FetchError::Aws(_)) => other.fmt(f),
        }
    }
}

impl From<FetchError> for Unanswered {
    /// Anybody can send a token that the issuer, or what stands before it, stumbles over, and must not keep
    /// others out with it: an answer that is none is about that token, unless it says that our client is not
    /// let in. 403 is what firewalls say of odd tokens.
    fn from(error: FetchError) -> Self {
        let of = match &error {
            FetchError::Refused { status, .. } => {
                if *status == StatusCode::UNAUTHORIZED || error.is_invalid_client() {
                    Failing::Client
                } else {
                    Failing::Token
                }
            }
            FetchError::NoAnswer(why) => match why {
                outgoing::FetchError::Connect(_) | outgoing::FetchError::Tls(_) => Failing::Issuer,
                outgoing::FetchError::Timeout | outgoing::FetchError::Protocol(_) => {
                    Failing::Unclear
                }
                outgoing::FetchError::Redirect(_)
                | outgoing::FetchError::Status { .. }
                | outgoing::FetchError::TooLarge(_) => Failing::Token,
            },
            FetchError::Unusable(_) => Failing::Token,
            FetchError::Secret(_)
            | FetchError::Client(_)
            | FetchError::Actor
            | FetchError::Aws(_) => Failing::Issuer,
        };
        Self { error, of }
    }
}

impl From<outgoing::FetchError> for Unanswered {
    fn from(error: outgoing::FetchError) -> Self {
        FetchError::from(error).into()
    }
}

fn locked<T>(place: &Mutex<T>) -> MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 7662 2.2. `active` is a boolean, and nothing that looks like one; a signed answer (RFC 9701) is not
/// asked for and not read.
fn introspected(fetched: &Fetched) -> Result<Answer, FetchError> {
    if fetched.status != StatusCode::OK {
        return Err(refused(fetched));
    }
    let claims = claims_of(fetched)?;
    match claims.find("active").map(Json::kind) {
        Some(Kind::Bool(true)) => Ok(Answer::Active(claims)),
        Some(Kind::Bool(false)) => Ok(Answer::Inactive),
        Some(_) | None => Err(FetchError::Unusable("active is missing, or no boolean")),
    }
}

fn remote_answer(fetched: &Fetched) -> Result<Answer, FetchError> {
    match fetched.status {
        StatusCode::OK => claims_of(fetched).map(Answer::Active),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Answer::Inactive),
        _other => Err(refused(fetched)),
    }
}

fn claims_of(fetched: &Fetched) -> Result<Claims, FetchError> {
    Claims::parse(fetched.body.clone())
        .map_err(|_content| FetchError::Unusable("it is no JSON object, or has a name twice"))
}

/// The question to an endpoint of one's own.
fn asked(remote: &Remote, token: &Secret) -> Result<Request<Bytes>, FetchError> {
    let mut request = Request::builder()
        .method(remote.method.clone())
        .uri(remote.url.as_str())
        .header(ACCEPT, "application/json");
    let body = match &remote.handed_over {
        HandedOver::Authorization => {
            let text = Zeroizing::new(format!("Bearer {}", token.expose()));
            let value = HeaderValue::from_str(&text);
            let mut value = value.map_err(|_no_header| unsendable())?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
            Bytes::new()
        }
        HandedOver::Json(name) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Bytes::from(json!({ name.as_str(): token.expose() }).to_string())
        }
        HandedOver::Form(name) => {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let mut form = Serializer::new(String::new());
            Bytes::from(form.append_pair(name, token.expose()).finish())
        }
    };
    request.body(body).map_err(|_malformed| unsendable())
}

fn unsendable() -> FetchError {
    FetchError::Client("the question cannot be written".to_owned())
}

/// `introspection_endpoint` of the issuer's discovery document, whose `issuer` must be this one.
async fn discover(
    endpoint: &dyn Endpoint,
    issuer: &str,
    url: &Url,
    insecure_http: bool,
) -> Result<Url, FetchError> {
    let request = Request::get(url.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_malformed| unsendable())?;
    let fetched = endpoint.send(request).await?;
    if fetched.status != StatusCode::OK {
        return Err(refused(&fetched));
    }
    let document: Document = serde_json::from_slice(&fetched.body)
        .map_err(|_content| FetchError::Unusable("not a discovery document"))?;
    if document.issuer != issuer {
        return Err(FetchError::Unusable(
            "the discovery document is another issuer's",
        ));
    }
    let found = document
        .introspection_endpoint
        .and_then(|text| Url::parse(&text).ok())
        .ok_or(FetchError::Unusable(
            "the discovery document names no introspection_endpoint",
        ))?;
    // a document that came over https does not lead back to plain text, loopback or not
    let guarded = match found.scheme() {
        "https" => true,
        "http" => insecure_http || (url.scheme() == "http" && is_loopback(&found)),
        _other => false,
    };
    if guarded && found.username().is_empty() && found.password().is_none() {
        Ok(found)
    } else {
        Err(FetchError::Unusable("introspection_endpoint is not https"))
    }
}
