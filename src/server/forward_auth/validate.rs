//! `/api/v1/validate`: is this token good, and who is it? Verified against every issuer without a
//! rule, or with `?route=NAME` as that route would.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Response, header};
use serde::Serialize;

use crate::authn::principal::{Names, Principal};
use crate::authz::Decision;
use crate::gate::{Judgement, Validation};
use crate::reason::{Denial, Failure, Refusal};
use crate::server::World;
use crate::server::account::Account;
use crate::server::body::Body;

/// Who it is. A part that the token does not carry is `null`.
#[derive(Debug, Default, Serialize)]
struct User<'p> {
    id: Option<&'p str>,
    name: Option<&'p str>,
    email: Option<&'p str>,
    issuer: Option<&'p str>,
    groups: Option<&'p [String]>,
    roles: Option<&'p [String]>,
    permissions: Option<&'p [String]>,
    scopes: Option<&'p [String]>,
    tenant: Option<&'p str>,
    client: Option<&'p str>,
    /// `user`, `service`, or `anonymous` where a route lets one pass.
    kind: &'p str,
    /// `exp`, in seconds since the Unix epoch.
    expiry: Option<u64>,
}

impl<'p> User<'p> {
    fn new(principal: Option<&'p Principal>, expiry: Option<u64>) -> Self {
        let Some(principal) = principal else {
            return Self {
                kind: "anonymous",
                ..Self::default()
            };
        };
        Self {
            id: Some(&principal.user_id),
            name: principal.name.as_deref(),
            email: principal.email.as_deref(),
            issuer: Some(&principal.issuer),
            groups: known(&principal.groups),
            roles: known(&principal.roles),
            permissions: known(&principal.permissions),
            scopes: Some(&principal.scopes),
            tenant: principal.tenant_id.as_deref(),
            client: principal.client_id.as_deref(),
            kind: principal.kind.as_str(),
            expiry,
        }
    }
}

fn known(names: &Names) -> Option<&[String]> {
    match names {
        Names::Known(names) => Some(names),
        Names::Unresolved => None,
    }
}

/// Answers one call.
pub(super) async fn answer(
    world: &World,
    head: &Parts,
    account: &mut Account,
) -> Result<Response<Body>, Refusal> {
    let now = world.clock.now();
    let (principal, expiry) = if let Some(name) = route_asked(head)? {
        let route = world.gate.routes().named(&name).ok_or(Denial::NoRoute)?;
        let Judgement { outcome, evidence } = world
            .gate
            .check_route(route, &head.headers, Some(account.client()), now, &mut ())
            .await;
        let expiry = evidence.expires_at;
        account.judged(evidence);
        match outcome? {
            Decision::Allow(permit) => {
                let principal = permit.proven().map(|proven| Arc::clone(&proven.principal));
                (principal, expiry)
            }
            Decision::Deny(denial) => return Err(denial.into()),
        }
    } else {
        let Validation { outcome, evidence } =
            world.gate.validate(&head.headers, now, &mut ()).await;
        let expiry = evidence.expires_at;
        account.judged(evidence);
        (Some(outcome??.principal), expiry)
    };
    let user = User::new(principal.as_deref(), expiry.map(|at| at.0));
    let json = serde_json::to_vec(&user).map_err(|_unwritable| Failure::InternalError)?;
    let mut response = Response::new(Body::full(json));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `?route=NAME`, at most once.
fn route_asked(head: &Parts) -> Result<Option<String>, Denial> {
    let query = head.uri.query().unwrap_or_default();
    let mut routes = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _value)| key == "route")
        .map(|(_key, value)| value.into_owned());
    let route = routes.next();
    if routes.next().is_some() {
        return Err(Denial::RequestMalformed);
    }
    Ok(route)
}
