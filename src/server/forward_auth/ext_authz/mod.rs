//! Envoy `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`.
//!
//! The request Envoy holds stands whole in the message ([`asked`]), what Envoy is to do with it in the
//! answer ([`told`]). tonic reads and writes both; the connection, its limits and its account are
//! those of every other dialect. What cannot be read is a gRPC error, which Envoy treats as an outage.

mod asked;
mod told;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tonic::Status;
use tonic::codegen::Service as _;

use self::asked::Original;
use super::{Asked, Call, count_foreign, decide, identity, refuse};
use crate::authz::Permit;
use crate::config;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::Host;
use crate::server::World;
use crate::server::accept::Downstream;
use crate::server::account::Account;
use crate::server::body::Body;
use crate::server::respond::{Responder, status_of};
use crate::telemetry::Plane;
use crate::telemetry::metrics::Dialect;

/// The path of the one method.
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Most bytes of one message: a head of 64 KiB and the part of a body that Envoy may be told to add,
/// which nobody here reads.
const MAX_MESSAGE: usize = 1 << 20;

/// Answers one call of the method.
pub(super) async fn answer(
    world: Arc<World>,
    request: Request<Incoming>,
    downstream: Arc<Downstream>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(config) = &world.config.forward_auth else {
        return error(Status::internal("forward auth is not configured"));
    };
    let peer = downstream.peer.ip();
    let proxies = &config.trusted_proxies;
    let account = Account::open(&world, Plane::ForwardAuth, &head, peer, proxies);
    if !proxies.trusts(peer) {
        return unheard(&world, account, &Denial::PeerUntrusted);
    }
    let message = match message(body, &config.listener).await {
        Ok(message) => message,
        Err(denial) => return unheard(&world, account, &denial),
    };
    let check = Arc::new(Check {
        world: Arc::clone(&world),
        peer,
        progress: Mutex::new(Progress::Unread(account)),
    });
    let mut service = AuthorizationServer::from_arc(Arc::clone(&check));
    let call = service.call(Request::from_parts(head, Full::new(message)));
    let Ok(response) = call.await;
    let response = whole(response).await;
    match check.progress(Progress::Judging) {
        Progress::Told(account) => account.close_after(&world, response, ()),
        // tonic found no message in it
        Progress::Unread(account) => unheard(&world, account, &Denial::RequestMalformed),
        Progress::Judging => error(Status::internal("not judged")),
    }
}

/// A call's message, with its gRPC frame around it.
async fn message(body: Incoming, limits: &config::Listener) -> Result<Bytes, Denial> {
    let most = limits.max_body_bytes.map_or(MAX_MESSAGE, |most| {
        usize::try_from(most)
            .unwrap_or(MAX_MESSAGE)
            .min(MAX_MESSAGE)
    });
    let read = Limited::new(body, most).collect();
    match tokio::time::timeout(limits.header_timeout, read).await {
        Ok(Ok(message)) => Ok(message.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Denial::BodyTooLarge),
        Ok(Err(_broken_off)) => Err(Denial::RequestMalformed),
        Err(_elapsed) => Err(Denial::RequestTimeout),
    }
}

/// The answer to a call whose message was not read.
fn unheard(world: &World, mut account: Account, denial: &Denial) -> Response<Body> {
    account.refused(&Refusal::Denied(denial.clone()));
    let status = status_of(denial);
    account.tells(status);
    let error = error(Status::new(told::code(status), denial.reason()));
    account.close_after(world, error, ())
}

/// A gRPC error, which has no message.
fn error(status: Status) -> Response<Body> {
    let response: Response<tonic::body::Body> = status.into_http();
    response.map(|_empty| Body::empty())
}

/// A response of tonic's, which has one message or none, as one of ours.
async fn whole(response: Response<tonic::body::Body>) -> Response<Body> {
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            let bytes = collected.to_bytes();
            let body = match trailers {
                Some(trailers) => Body::trailed(bytes, trailers),
                None => Body::full(bytes),
            };
            Response::from_parts(head, body)
        }
        Err(status) => error(status),
    }
}

/// One call.
struct Check {
    world: Arc<World>,
    /// Envoy.
    peer: IpAddr,
    progress: Mutex<Progress>,
}

/// Where a call is, and with it its account.
enum Progress {
    /// The account is still the gRPC request's own.
    Unread(Account),
    /// Whoever judges has the account.
    Judging,
    /// The answer is there.
    Told(Account),
}

impl Check {
    /// Where it was before.
    fn progress(&self, now: Progress) -> Progress {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut progress, now)
    }
}

#[tonic::async_trait]
impl Authorization for Check {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        let world = &*self.world;
        let Some(config) = &world.config.forward_auth else {
            return Err(Status::internal("forward auth is not configured"));
        };
        let Progress::Unread(mut account) = self.progress(Progress::Judging) else {
            return Err(Status::internal("asked twice"));
        };
        let told = match Original::read(request.into_inner(), &config.listener) {
            Ok(original) => {
                let client = original.client.unwrap_or(self.peer);
                account = account.about(world, &original.head, client);
                match judge(world, &original, &mut account).await {
                    Ok(permit) => {
                        let owned = if permit.route().pass_overrides {
                            &world.owned_passing_overrides
                        } else {
                            &world.owned
                        };
                        let mut headers = identity(world, permit.proven());
                        account.identify(world, &mut headers);
                        told::allowed(&headers, &original.head.headers, owned)
                    }
                    Err(refusal) => {
                        let Parts {
                            method, headers, ..
                        } = &original.head;
                        refused(world, method, headers, &refusal, &mut account).await
                    }
                }
            }
            Err(denial) => {
                let refusal = Refusal::Denied(denial);
                refused(
                    world,
                    &Method::GET,
                    &HeaderMap::new(),
                    &refusal,
                    &mut account,
                )
                .await
            }
        };
        self.progress(Progress::Told(account));
        Ok(tonic::Response::new(told))
    }
}

async fn judge(
    world: &World,
    original: &Original,
    account: &mut Account,
) -> Result<Permit, Refusal> {
    let asked = Asked {
        method: original.head.method.clone(),
        host: Host::parse(&original.host)?,
        path: super::without_query(&original.path)?,
    };
    let headers = &original.head.headers;
    count_foreign(world, Dialect::Envoy, headers);
    decide(world, asked, original.route.as_deref(), headers, account).await
}

async fn refused(
    world: &World,
    method: &Method,
    headers: &HeaderMap,
    refusal: &Refusal,
    account: &mut Account,
) -> CheckResponse {
    let responder = Responder::new(&world.config.errors, method, headers);
    let responder = responder.on(&world.config, account.route());
    let mut response = refuse(world, &responder, Some(Call::Grpc), refusal);
    account.refused(refusal);
    account.tells(response.status());
    account.identify(world, response.headers_mut());
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => told::denied(&head, &body.to_bytes(), refusal.reason()),
        Err(_unreadable) => told::denied(&head, &[], Failure::InternalError.reason()),
    }
}

#[cfg(test)]
mod tests;
