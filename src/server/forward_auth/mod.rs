//! Forward auth: a proxy asks about a request it holds, in its own dialect (DESIGN §8).
//!
//! | path | who asks | where the original request is |
//! |---|---|---|
//! | `/auth/nginx` | NGINX `auth_request`, ingress-nginx | `X-Original-Method`, `X-Original-URL` or `-URI` |
//! | `/auth/traefik`, `/auth/caddy`, `/auth/haproxy` | these | `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` |
//! | `/auth/envoy/…` | Envoy `ext_authz` over HTTP | the request line after the prefix, `Host` |
//! | `/envoy.service.auth.v3.Authorization/Check` | Envoy `ext_authz` over gRPC | the message |
//! | `/api/v1/validate` | anybody | nowhere: it is about the token |
//!
//! Each dialect reads its own headers only: another family's may be the client's, and are counted.

mod envoy;
#[cfg(feature = "grpc")]
mod ext_authz;
mod forwarded;
mod nginx;
mod validate;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::authz::decision::Proven;
use crate::authz::{Decision, Permit};
use crate::config;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::{Host, Path, RequestFacts};
use crate::server::World;
use crate::server::accept::Downstream;
use crate::server::account::Account;
use crate::server::body::Body;
use crate::server::respond::{Responder, X_AUTH_REASON, status_of};
use crate::telemetry::Plane;
use crate::telemetry::metrics::Dialect;

/// The original request, as its dialect states it.
#[derive(Debug)]
struct Asked<'r> {
    method: Method,
    host: Host<'r>,
    /// As sent, without query.
    path: &'r str,
}

/// What a path on this listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call<'r> {
    Nginx,
    Forwarded,
    /// The original path.
    Envoy(&'r str),
    #[cfg(feature = "grpc")]
    Grpc,
    Validate,
}

impl<'r> Call<'r> {
    fn at(path: &'r str) -> Option<Self> {
        match path {
            "/auth/nginx" => Some(Self::Nginx),
            "/auth/traefik" | "/auth/caddy" | "/auth/haproxy" => Some(Self::Forwarded),
            "/api/v1/validate" => Some(Self::Validate),
            #[cfg(feature = "grpc")]
            ext_authz::CHECK => Some(Self::Grpc),
            _other => path
                .strip_prefix("/auth/envoy")
                .filter(|original| original.starts_with('/'))
                .map(Self::Envoy),
        }
    }
}

/// Answers one call that came by `downstream`. Any method; a body is ignored.
pub async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
    downstream: Arc<Downstream>,
) -> Response<Body> {
    #[cfg(feature = "grpc")]
    if Call::at(request.uri().path()) == Some(Call::Grpc) {
        // boxed: its large future takes no room in the other dialects
        return Box::pin(ext_authz::answer(world, request, downstream)).await;
    }
    let (head, _ignored) = request.into_parts();
    let responder = || Responder::new(&world.config.errors, &head.method, &head.headers);
    let Some(config) = &world.config.forward_auth else {
        return responder().fail(&Failure::InternalError);
    };
    let mut account = Account::open(
        &world,
        Plane::ForwardAuth,
        &head,
        downstream.peer.ip(),
        &config.trusted_proxies,
    );
    let call = Call::at(head.uri.path());
    let answered = match call {
        None => Err(Denial::NoRoute.into()),
        Some(Call::Validate) => validate::answer(&world, &head, &mut account).await,
        Some(call) => judge(&world, config, call, &head, &downstream, &mut account).await,
    };
    let response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            account.refused(&refusal);
            let responder = responder().on(&world.config, account.route());
            refuse(&world, &responder, call, &refusal)
        }
    };
    account.close_after(&world, response, ())
}

async fn judge(
    world: &World,
    config: &config::ForwardAuth,
    call: Call<'_>,
    head: &Parts,
    downstream: &Downstream,
    account: &mut Account,
) -> Result<Response<Body>, Refusal> {
    if !config.trusted_proxies.trusts(downstream.peer.ip()) {
        return Err(Denial::PeerUntrusted.into());
    }
    let (dialect, asked) = match call {
        Call::Nginx => (Dialect::Nginx, nginx::asked(&head.uri, &head.headers)),
        Call::Forwarded => (Dialect::Forwarded, forwarded::asked(&head.headers)),
        Call::Envoy(path) => (Dialect::Envoy, envoy::asked(head, path)),
        // these do not come here
        #[cfg(feature = "grpc")]
        Call::Grpc => return Err(Failure::InternalError.into()),
        Call::Validate => return Err(Failure::InternalError.into()),
    };
    count_foreign(world, dialect, &head.headers);
    let permit = decide(world, asked?, None, &head.headers, account).await?;
    Ok(allow(world, permit.proven()))
}

/// Decides on the original request, whose `headers` hold its credentials. With a name, its proxy
/// says which route it is for.
async fn decide(
    world: &World,
    asked: Asked<'_>,
    route: Option<&str>,
    headers: &HeaderMap,
    account: &mut Account,
) -> Result<Permit, Refusal> {
    account.concerns(&asked.method, asked.path);
    let facts = RequestFacts {
        method: &asked.method,
        host: asked.host,
        path: Path::parse(asked.path)?,
        headers,
        client: Some(account.client()),
        // the connection's is the proxy's, which is not who asks
        certificate: None,
    };
    let now = account.arrived();
    let judgement = match route {
        Some(name) => world.gate.check_named(name, &facts, now, &mut ()).await,
        None => world.gate.check(&facts, now, &mut ()).await,
    };
    account.judged(judgement.evidence);
    match judgement.outcome? {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(denial.into()),
    }
}

/// Counts headers of another dialect beside what this one states.
fn count_foreign(world: &World, dialect: Dialect, headers: &HeaderMap) {
    let foreign = match dialect {
        Dialect::Nginx => forwarded::states(headers),
        Dialect::Forwarded => nginx::states(headers),
        Dialect::Envoy => nginx::states(headers) || forwarded::states(headers),
    };
    if foreign {
        world.telemetry.metrics.foreign_headers(dialect);
    }
}

/// Exactly 200, no body.
fn allow(world: &World, proven: Option<&Proven>) -> Response<Body> {
    let make = || {
        let mut headers = identity(world, proven);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers
    };
    let headers = match proven {
        Some(proven) => proven.headers.answer(make),
        None => make(),
    };
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers;
    response
}

/// Every configured identity header: an empty one makes the proxy overwrite what its client sent.
fn identity(world: &World, proven: Option<&Proven>) -> HeaderMap {
    let written = || proven.iter().flat_map(|proven| proven.headers.iter());
    let mut headers = HeaderMap::with_capacity(world.config.identity.iter().count() + 1);
    for name in world.config.identity.iter() {
        if !written().any(|(known, _value)| known == name) {
            headers.append(name, HeaderValue::from_static(""));
        }
    }
    for (name, value) in written() {
        headers.append(name, value.clone());
    }
    headers
}

/// NGINX makes a 500 of all but 401 and 403, so an outage is one on purpose and the rest is 403,
/// with the reason beside it; it never shows our response to the client. The others pass it on.
fn refuse(
    world: &World,
    responder: &Responder<'_>,
    call: Option<Call<'_>>,
    refusal: &Refusal,
) -> Response<Body> {
    let nginx = call == Some(Call::Nginx);
    let mut response = match refusal {
        Refusal::Denied(denial) => {
            let status = match status_of(denial) {
                StatusCode::UNAUTHORIZED => StatusCode::UNAUTHORIZED,
                _other if nginx => StatusCode::FORBIDDEN,
                StatusCode::NOT_FOUND if asks(call) => StatusCode::FORBIDDEN,
                other => other,
            };
            responder.deny_as(denial, status)
        }
        Refusal::Failed(failure) if nginx => {
            responder.fail_as(failure, StatusCode::INTERNAL_SERVER_ERROR)
        }
        Refusal::Failed(failure) => responder.fail(failure),
    };
    if nginx || world.config.errors.expose_reason {
        let reason = HeaderValue::from_static(refusal.reason());
        response.headers_mut().insert(X_AUTH_REASON, reason);
    }
    response
}

/// Whether a call is about a request, which is refused (403) rather than not found.
fn asks(call: Option<Call<'_>>) -> bool {
    match call {
        Some(Call::Nginx | Call::Forwarded | Call::Envoy(_)) => true,
        #[cfg(feature = "grpc")]
        Some(Call::Grpc) => true,
        Some(Call::Validate) | None => false,
    }
}

/// A header that states a part of the original request: exactly one, ASCII, not empty.
fn stated<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, Denial> {
    optional(headers, name)?.ok_or(Denial::RequestMalformed)
}

/// The same, where it may be absent.
fn optional<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Denial> {
    match crate::request::headers::single(headers, name)? {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok(text) if !text.is_empty() => Ok(Some(text)),
            Ok(_) | Err(_) => Err(Denial::RequestMalformed),
        },
    }
}

/// A method as a header states it.
fn method(text: &str) -> Result<Method, Denial> {
    Method::from_bytes(text.as_bytes()).map_err(|_malformed| Denial::RequestMalformed)
}

/// The path of `path?query`. A fragment is never sent, so it is somebody's trick.
fn without_query(target: &str) -> Result<&str, Denial> {
    if target.contains('#') {
        return Err(Denial::PathAmbiguous);
    }
    Ok(target.split_once('?').map_or(target, |(path, _query)| path))
}

#[cfg(test)]
mod tests;
