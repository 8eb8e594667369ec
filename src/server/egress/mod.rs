//! Egress: the app's own request → an allow-listed target, with a fresh credential (DESIGN §9).
//!
//! Nothing in a request can move it to another host than a target's, and without a credential
//! nothing is sent.

mod find;
mod redirect;
mod rewrite;
mod token_endpoint;
mod user;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use url::Url;

use self::find::Found;
use self::redirect::Asked;
use crate::client::egress::Carried;
use crate::client::pool::{Limits, Payload, SendError};
use crate::client::token::{Attached, For};
use crate::reason::{Denial, Refusal};
use crate::request::RequestTrailers;
use crate::server::World;
use crate::server::accept::Downstream;
use crate::server::account::Account;
use crate::server::body::Body;
use crate::server::hop::{Hop, Terms};
use crate::server::respond::{Responder, X_AUTH_REASON};
use crate::telemetry::Plane;

/// What a client that wants a tunnel is told.
const NO_TUNNEL: &str = "Egress opens no tunnels: ask this listener for /<target>/<path> in plain \
                         HTTP, and it calls the target over TLS.";

/// Answers one request of the app.
pub async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
    downstream: Arc<Downstream>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut account = Account::open_egress(&world, &head, downstream.peer.ip());
    let response = match carry(&world, &head, body, &downstream, &mut account).await {
        Ok(response) => response,
        Err(refusal) => {
            account.refused(&refusal);
            refuse(&world, &head, &refusal)
        }
    };
    account.close_after(&world, response, ())
}

/// The app is told the reason in a header: it is no stranger.
fn refuse(world: &World, head: &Parts, refusal: &Refusal) -> Response<Body> {
    let mut responder = Responder::new(&world.config.errors, &head.method, &head.headers);
    if head.method == Method::CONNECT {
        responder = responder.saying(NO_TUNNEL);
    }
    if let Refusal::Denied(Denial::EgressUserUnavailable(why)) = refusal {
        responder = responder.saying(why);
    }
    let mut response = responder.refuse(refusal);
    let reason = HeaderValue::from_static(refusal.reason());
    response.headers_mut().insert(X_AUTH_REASON, reason);
    response
}

async fn carry(
    world: &World,
    head: &Parts,
    body: Incoming,
    downstream: &Downstream,
    account: &mut Account,
) -> Result<Response<Body>, Refusal> {
    let Some(egress) = &world.config.egress else {
        return Err(Denial::EgressTargetRefused.into());
    };
    find::admit_peer(downstream.peer.ip(), egress.listener.listen.ip())?;
    find::refuse_methods(&head.method)?;
    find::refuse_browsers(&head.headers)?;
    let directed = match find::find(&world.targets, &head.uri, &head.headers)? {
        Found::Target(directed) => directed,
        Found::Ours(rest) => {
            let answer = token_endpoint::answer(world, &rest, head, downstream, account);
            return Box::pin(answer).await;
        }
    };
    let target = directed.target;
    let definition = target.definition();
    account.directed(&definition.name);
    let user = user::find(world, definition, &head.headers)?;
    let proven = user.as_ref().map(|user| &user.proven);
    account.for_user(proven);

    let hop = Hop::of(head, &body, target.pool());
    let trailers = RequestTrailers {
        owned: world.owned.clone(),
        strip: Arc::clone(target.credential_headers()),
        credential: None,
    };
    let limits = Limits {
        max_bytes: egress.listener.max_body_bytes,
        stall: egress.listener.idle_timeout,
        trailers: trailers.clone(),
    };
    let announced = head.headers.contains_key(header::TRAILER);
    let (first, again) = keep(body, limits, egress.replay_body_bytes, announced).await?;
    let call = For {
        headers: &head.headers,
        user: user.as_ref(),
        guarded: definition.server.is_guarded(),
    };
    let attached = world
        .credentials
        .attach(&definition.credentials, &call)
        .await?;
    if let Some(name) = world.credentials.name_of(&attached) {
        account.lent(name);
    }
    account.attached();

    let stripped = definition.forward_user.then_some(&world.owned);
    let stated = proven.filter(|_user| definition.forward_user);
    let id_name = world.config.identity.request_id.as_ref();
    let request_id = account.request_id().clone();
    let headers = || {
        let mut headers = rewrite::request(&head.headers, stripped, &trailers.strip);
        if let Some(user) = stated {
            rewrite::state_user(&mut headers, user);
        }
        rewrite::state_id(&mut headers, id_name, &request_id);
        rewrite::announce(&mut headers, &head.headers, &trailers);
        hop.ask(&mut headers);
        headers
    };
    let mut send = async |attached: &Attached, body: Payload, kept: Option<&Bytes>| {
        let asked = Instant::now();
        let response = target
            .send(
                downstream.worker,
                head.method.clone(),
                directed.path_and_query.clone(),
                headers,
                &Carried {
                    attached,
                    body: kept,
                    clock: &*world.clock,
                },
                body,
            )
            .await;
        account.answered(asked);
        response
    };
    let mut again_sent = false;
    let mut response = send(&attached, first, again.as_ref()).await?;
    let refused = match response.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => world.credentials.doubts(&attached),
        _other => false,
    };
    match again {
        Some(bytes) if refused => {
            if let Some(attached) = world.credentials.replace(&attached, &call).await {
                // its connection may be the only one
                drop(response);
                again_sent = true;
                response = send(&attached, whole(bytes.clone()), Some(&bytes)).await?;
            }
        }
        // this request cannot be replayed, but the next one needs another credential
        None if refused => world.credentials.doubt(attached, user),
        Some(_) | None => {}
    }
    if again_sent {
        account.replayed();
    }
    let terms = Terms {
        lifetime: None,
        idle_timeout: egress.listener.idle_timeout,
        plane: Plane::Egress,
        telemetry: &world.telemetry,
    };
    Ok(hop.pass_on(response, &terms, |headers| {
        let mut headers = rewrite::response(&headers);
        if headers.contains_key(header::LOCATION) {
            let asked = Asked::of(&directed, head, egress.listener.listen.port());
            let is_others = |to: &Url| find::is_others(&world.targets, target, to);
            redirect::settle(&mut headers, asked.as_ref(), is_others);
        }
        headers
    })?)
}

/// The app's body, and the same once more if it is small enough to be kept, and no trailers are
/// announced.
async fn keep(
    body: Incoming,
    limits: Limits,
    most: usize,
    announced: bool,
) -> Result<(Payload, Option<Bytes>), SendError> {
    let length = body.size_hint().exact();
    let payload = Payload::streamed(body, || limits);
    if announced || length.is_none_or(|length| length > most as u64) {
        return Ok((payload, None));
    }
    let bytes = payload.collect().await.map_err(SendError::Body)?.to_bytes();
    Ok((whole(bytes.clone()), Some(bytes)))
}

fn whole(bytes: Bytes) -> Payload {
    if bytes.is_empty() {
        Payload::Empty
    } else {
        Payload::Full(bytes)
    }
}
