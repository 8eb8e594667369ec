//! Egress: the app's own request → an allow-listed target, with a fresh credential (DESIGN §9).
//!
//! Nothing in a request can move it to another host than a target's, and without a credential
//! nothing is sent.

mod find;
mod rewrite;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use uuid::Uuid;

use self::find::Found;
use crate::authz::decision::Proven;
use crate::client::pool::{BodyError, Limits, Payload, SendError};
use crate::client::token::Attached;
use crate::reason::{Denial, Failure};
use crate::request::headers::single;
use crate::request::id::RequestId;
use crate::server::World;
use crate::server::body::Body;
use crate::server::handles::HANDLE;
use crate::server::respond::{self, Responder};
use crate::telemetry::{Outcome, Plane, RequestLine};

/// What a client that wants a tunnel is told.
const NO_TUNNEL: &str = "Egress opens no tunnels: ask this listener for /<target>/<path> in plain \
                         HTTP, and it calls the target over TLS.";

/// Why a request was not carried.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    Denied(Denial),
    Failed(Failure),
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Self {
        match error.blame() {
            Ok(denial) => Self::Denied(denial),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        SendError::Body(error).into()
    }
}

/// What came to light on the way, for the log.
#[derive(Debug, Default)]
struct Course {
    target: Option<Arc<str>>,
    user: Option<Proven>,
    /// When the credential was there.
    ready: Option<Instant>,
    upstream_time: Option<Duration>,
}

/// Answers one request of the app.
pub async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Body> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let id_name = world.config.identity.request_id.as_ref();
    let Some(id) = request_id(&parts.headers, id_name) else {
        return respond::panicked();
    };
    let mut course = Course::default();
    let carried = carry(&world, &parts, body, peer, &id, &mut course).await;

    let mut responder = Responder::new(&world.config.errors, &parts.method, &parts.headers)
        .with_request_id(id_name, &id);
    if parts.method == Method::CONNECT {
        responder = responder.saying(NO_TUNNEL);
    }
    let (mut response, outcome) = match carried {
        Ok(response) => (response, Outcome::Allow),
        Err(Refusal::Denied(denial)) => (responder.deny(&denial), Outcome::Deny(denial.reason())),
        Err(Refusal::Failed(failure)) => {
            (responder.fail(&failure), Outcome::Fail(failure.reason()))
        }
    };
    if let Some(reason) = outcome.reason() {
        let reason = HeaderValue::from_static(reason);
        response.headers_mut().insert(rewrite::REASON, reason);
    }
    let line = RequestLine {
        trace_id: trace_id(&parts.headers),
        request_id: id,
        plane: Plane::Egress,
        path: parts.uri.path().to_owned(),
        method: parts.method,
        status: response.status(),
        outcome,
        principal: course.user.map(|user| user.principal),
        on_behalf_of: None,
        key_id: None,
        token: None,
        decision_time: course.ready.unwrap_or_else(Instant::now) - began,
        upstream_time: course.upstream_time,
        response_bytes: 0,
        client: peer.ip().to_canonical(),
        user_agent: text_of(&parts.headers, &USER_AGENT),
        route: course.target,
    };
    let (head, body) = response.into_parts();
    let body = body.on_end(move |response_bytes| {
        world.telemetry.record(RequestLine {
            response_bytes,
            ..line
        });
    });
    Response::from_parts(head, body)
}

async fn carry(
    world: &World,
    parts: &Parts,
    body: Incoming,
    peer: SocketAddr,
    id: &RequestId,
    course: &mut Course,
) -> Result<Response<Body>, Refusal> {
    let Some(egress) = &world.config.egress else {
        return Err(Denial::EgressTargetRefused.into());
    };
    find::admit_peer(peer.ip(), egress.listener.listen.ip())?;
    find::refuse_methods(&parts.method)?;
    find::refuse_browsers(&parts.headers)?;
    let Found {
        target,
        path_and_query,
    } = find::find(&world.targets, &parts.uri, &parts.headers)?;
    let definition = target.definition();
    course.target = Some(Arc::clone(&definition.name));
    course.user = single(&parts.headers, &HANDLE)?.and_then(|handle| world.handles.find(handle));

    let limits = Limits {
        max_bytes: egress.listener.max_body_bytes,
        stall: egress.listener.idle_timeout,
        owned: world.owned.clone(),
    };
    let (first, again) = keep(body, limits, egress.replay_body_bytes).await?;
    let attached = world
        .credentials
        .attach(&definition.credentials, &parts.headers)
        .await?;
    course.ready = Some(Instant::now());

    let stripped = definition.forward_user.then_some(&world.owned);
    let mut headers = rewrite::request(&parts.headers, stripped);
    if let (true, Some(user)) = (definition.forward_user, &course.user) {
        rewrite::state_user(&mut headers, user);
    }
    let id_name = world.config.identity.request_id.as_ref();
    rewrite::state_id(&mut headers, id_name, id);

    let mut send = async |attached: &Attached, body: Payload| {
        let mut headers = headers.clone();
        rewrite::attach(&mut headers, &attached.name, &attached.value);
        let sent = Instant::now();
        let response = target
            .send(parts.method.clone(), path_and_query.clone(), headers, body)
            .await;
        course.upstream_time = Some(sent.elapsed());
        response
    };
    let mut response = send(&attached, first).await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        // even if this request cannot be replayed, the next one needs another credential
        let replaced = world.credentials.replace(&attached).await;
        if let (Some(attached), Some(bytes)) = (replaced, again) {
            response = send(&attached, whole(bytes)).await?;
        }
    }
    if response.status().is_informational() {
        // a switch of protocols nobody asked for
        return Err(Failure::UpstreamProtocol.into());
    }
    Ok(passed_on(response, id_name, id))
}

/// The app's body, and the same once more if it is small enough to be kept.
async fn keep(
    body: Incoming,
    limits: Limits,
    most: usize,
) -> Result<(Payload, Option<Bytes>), BodyError> {
    let length = body.size_hint().exact();
    let payload = Payload::streamed(body, limits);
    if length.is_none_or(|length| length > most as u64) {
        return Ok((payload, None));
    }
    let bytes = payload.collect().await?.to_bytes();
    Ok((whole(bytes.clone()), Some(bytes)))
}

fn whole(bytes: Bytes) -> Payload {
    if bytes.is_empty() {
        Payload::Empty
    } else {
        Payload::Full(bytes)
    }
}

fn passed_on(
    response: Response<Incoming>,
    id_name: Option<&HeaderName>,
    id: &RequestId,
) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut response = Response::new(Body::streamed(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = rewrite::response(&parts.headers);
    rewrite::state_id(response.headers_mut(), id_name, id);
    response
}

/// The app's own id if it is a good one: whoever may use this listener is trusted with that.
fn request_id(headers: &HeaderMap, name: Option<&HeaderName>) -> Option<RequestId> {
    name.and_then(|name| RequestId::accept(headers, name))
        .or_else(|| RequestId::made(&Uuid::now_v7().to_string()))
}

/// The trace id of `traceparent` (W3C Trace Context 3.2).
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = text_of(headers, &HeaderName::from_static("traceparent"))?;
    let id = text.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get_all(name).iter().next()?;
    value.to_str().ok().map(str::to_owned)
}
