//! The reverse proxy: judge the request, rewrite its headers, carry it to the upstream, stream the
//! answer back.

pub(crate) mod acting;
mod cors;
mod headers;
mod target;
mod user;

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::authz::route::{Access, Authorization, Readers};
use crate::authz::{Decision, Permit};
use crate::client::pool::{Limits, Payload};
use crate::client::token::{Attached, For};
use crate::clock::UnixTime;
use crate::config;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::headers::{connection_listed, is_hop_by_hop, same_folded};
use crate::request::{Host, Path, RequestFacts, RequestTrailers};
use crate::server::World;
use crate::server::accept::Downstream;
use crate::server::account::Account;
use crate::server::body::Body;
use crate::server::handles::{HANDLE, HandleGuard, Wanted};
use crate::server::hop::{Hop, Terms};
use crate::server::login;
use crate::server::respond::Responder;
use crate::telemetry::Plane;

/// Answers one request that came by `downstream`.
pub async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
    downstream: Arc<Downstream>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let responder = || Responder::new(&world.config.errors, &head.method, &head.headers);
    let Some(ingress) = &world.config.ingress else {
        return responder().fail(&Failure::InternalError);
    };
    let mut account = Account::open(
        &world,
        Plane::Ingress,
        &head,
        downstream.peer.ip(),
        &ingress.trusted_proxies,
    );
    let mut readers = None;
    // awaited where it is made: in a place of its own the future would be held twice
    let carried = carry(
        &world,
        ingress,
        &head,
        body,
        &downstream,
        &mut account,
        &mut readers,
    )
    .await;
    let (mut response, handle) = match carried {
        Ok((response, handle)) => (response, handle),
        Err(refusal) => {
            account.refused(&refusal);
            let responder = responder().on(&world.config, account.route());
            (responder.refuse(&refusal), None)
        }
    };
    if let Some(readers) = readers {
        readers.mark(response.headers_mut());
    }
    account.close_after(&world, response, handle)
}

async fn carry(
    world: &World,
    ingress: &config::Ingress,
    head: &Parts,
    body: Incoming,
    downstream: &Downstream,
    account: &mut Account,
    readers: &mut Option<Readers>,
) -> Result<(Response<Body>, Option<HandleGuard>), Refusal> {
    if head.method == Method::CONNECT {
        return Err(Denial::MethodNotAllowed(Vec::new()).into());
    }
    let path = Path::parse(head.uri.path())?;
    let facts = RequestFacts {
        method: &head.method,
        host: Host::of(&head.uri, &head.headers)?,
        path,
        headers: &head.headers,
        client: Some(account.client()),
        certificate: downstream
            .tls
            .as_ref()
            .and_then(|tls| tls.certificate.as_ref()),
    };
    if let Some(login) = &world.login
        && login.path() == facts.path.as_str()
    {
        // boxed: the large future of the rare case
        let answer = Box::pin(login::answer(login, &ingress.listener, head, body, account));
        return Ok((answer.await?, None));
    }
    let judgement = world.gate.check(&facts, account.arrived(), &mut ()).await;
    *readers = cors::readers(judgement.evidence.route.as_deref(), &head.headers);
    let expires_at = judgement.evidence.expires_at;
    account.judged(judgement.evidence);
    let mut permit = match judgement.outcome? {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => return Err(denial.into()),
    };
    account.allowed();

    if permit.is_preflight()
        && let Some(readers) = readers
    {
        return Ok((cors::preflight(readers), None));
    }
    let route = Arc::clone(permit.route());
    // a route without an upstream only answers forward auth
    let (Some(forward), Some(upstream)) = (&route.forward, world.upstreams.of(&route)) else {
        return Err(Denial::NoRoute.into());
    };
    if let Some(stated) = acting::stated(&permit, &head.headers, &world.config.identity)? {
        account.on_behalf_of(&stated.user);
        world.gate.judge_stated(&stated.user, account.arrived())?;
        permit = permit.with_headers(stated.headers);
    }
    let max_body_bytes = ingress.listener.max_body_bytes;
    if max_body_bytes.is_some_and(|most| declared(&head.headers).is_some_and(|size| size > most)) {
        return Err(Denial::BodyTooLarge.into());
    }
    let attached = match &forward.authorization {
        // our credential is not lent to whom the rule did not let in
        Authorization::Replace(name) if permit.is_granted() => {
            let attached = attach(world, name, &permit, &head.headers, expires_at);
            let attached = Box::pin(attached).await?;
            account.lent(name);
            Some(attached)
        }
        Authorization::Replace(_) | Authorization::Forward | Authorization::Strip => None,
    };
    let handle = match world.wanted {
        Wanted::Nobody => None,
        wanted @ (Wanted::Name | Wanted::Token) => {
            user::proof(&permit, &head.headers, expires_at, wanted)
                .map(|proof| world.handles.issue(&proof))
        }
    };

    let target = target::target(
        &head.uri,
        facts.path.as_str(),
        forward.strip_prefix.as_deref(),
        upstream.pool().base(),
    )?;
    let owned = if route.pass_overrides {
        &world.owned_passing_overrides
    } else {
        &world.owned
    };
    let trailers = || RequestTrailers {
        owned: owned.clone(),
        strip: Arc::clone(&forward.strip),
        credential: attached.as_ref().map(|attached| attached.header().clone()),
    };
    let hop = Hop::of(head, &body, upstream.pool());
    let good_until = permit.proven().map(|proven| proven.until);
    let payload = Payload::streamed(body, || Limits {
        max_bytes: max_body_bytes,
        stall: ingress.listener.idle_timeout,
        trailers: trailers(),
    });
    let request_id = world.config.identity.request_id.as_ref();
    let request_id = request_id.map(|name| (name, account.request_id().value().clone()));
    let trusted = ingress.trusted_proxies.trusts(downstream.peer.ip());
    let write = |permit: &Permit| {
        let plan = headers::Plan {
            owned,
            trailers: &trailers,
            forward,
            hop: &hop,
            token_from: match &route.access {
                Access::Protected(asked) => &asked.token_from,
                Access::Public => &[],
            },
            proven: permit.proven(),
            attached: attached.as_ref().map(Attached::header),
            handle: handle.as_ref().map(|(value, _guard)| value),
            request_id: request_id.as_ref().map(|(name, id)| (*name, id)),
            upstream: upstream.pool(),
            downstream,
            trusted,
            proxies: &ingress.trusted_proxies,
            forwarded_header: ingress.forwarded_header,
        };
        let (mut request, ()) = Request::new(()).into_parts();
        request.method = head.method.clone();
        request.uri = Uri::from(target.clone());
        request.headers = plan.rewrite(&head.headers, &head.uri)?;
        if let Some(attached) = &attached {
            attached.apply(&mut request, None)?;
        }
        Ok::<_, Refusal>(Request::from_parts(request, ()))
    };

    let still_good = || match &attached {
        Some(attached) => Ok(attached.check(world.clock.now())?),
        None => Ok(()),
    };

    let asked = Instant::now();
    let response = world
        .upstreams
        .forward(permit, downstream.worker, payload, write, still_good)
        .await?;
    account.answered(asked);
    let terms = Terms {
        lifetime: hop
            .offer
            .as_ref()
            .and_then(|_offer| lifetime(world, forward.upgrade_lifetime, good_until)),
        idle_timeout: ingress.listener.idle_timeout,
        plane: Plane::Ingress,
        telemetry: &world.telemetry,
    };
    let response = hop.pass_on(response, &terms, answered)?;
    Ok((response, handle.map(|(_value, guard)| guard)))
}

/// How long a connection upgraded now may live: as the route says, else for as long as the
/// credential is good.
fn lifetime(
    world: &World,
    configured: Option<Duration>,
    good_until: Option<UnixTime>,
) -> Option<Duration> {
    configured.or_else(|| {
        let until = Duration::from_secs(good_until?.0);
        Some(until.saturating_sub(world.clock.since_epoch()))
    })
}

/// `Content-Length`; hyper has refused malformed and contradicting ones.
fn declared(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get_all(header::CONTENT_LENGTH).iter().next()?;
    value.to_str().ok()?.parse().ok()
}

/// The credential that replaces `Authorization`, made from the caller's where its source asks for that.
async fn attach(
    world: &World,
    name: &Arc<str>,
    permit: &Permit,
    headers: &HeaderMap,
    expires_at: Option<UnixTime>,
) -> Result<Attached, Refusal> {
    let names = std::slice::from_ref(name);
    let user = if world.credentials.need_user(names) {
        user::proof(permit, headers, expires_at, Wanted::Token).map(|proof| proof.user())
    } else {
        None
    };
    let call = For {
        // what the client wrote itself may be what nobody verified
        headers: &HeaderMap::new(),
        user: user.as_ref(),
        guarded: false,
    };
    world.credentials.attach(names, &call).await
}

/// The upstream's headers, less what ends at this hop and what is never the upstream's to say.
fn answered(mut headers: HeaderMap) -> HeaderMap {
    let listed = connection_listed(&headers);
    headers.remove(header::CONNECTION);
    let ends_here = |name: &&HeaderName| {
        is_hop_by_hop(name) || same_folded(name, &HANDLE) || listed.contains(name)
    };
    while let Some(name) = headers.keys().find(ends_here).cloned() {
        headers.remove(name);
    }
    headers
}
