//! The admin listener, on loopback: what is in force. Nothing here holds a secret or a token.
//!
//! A web page the operator visits can send requests to loopback too. Its browser says where they
//! come from: in `Host` (DNS rebinding), in `Origin` and in `Sec-Fetch-Site`.

mod status;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;

use crate::request::{Host, headers};
use crate::server::World;
use crate::server::body::Body;
use crate::server::plain::Plain;

/// Answers one `GET`, all in JSON:
///
/// - `/`: these paths
/// - `/jwks`: keys in force, per issuer
/// - `/status`: version, generation, issuers, credentials, routes, connections, recent refusals
/// - `/config`: the configuration in force, with secrets replaced by where they come from
#[must_use]
pub fn answer<B>(world: &World, request: &Request<B>) -> Response<Body> {
    let scheme = match world.config.admin.tls {
        Some(_) => "https://",
        None => "http://",
    };
    reply(request, scheme, |page| match page {
        Page::Index => json!({ "paths": ["/config", "/jwks", "/status"] }),
        Page::Keys => world.keys.report(),
        Page::Status => status::report(world),
        Page::Config => world.config.redacted.clone(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Index,
    Keys,
    Status,
    Config,
}

fn reply<B>(
    request: &Request<B>,
    scheme: &str,
    show: impl FnOnce(Page) -> serde_json::Value,
) -> Response<Body> {
    let method = request.method();
    let plain = if is_from_here(request, scheme) {
        let page = match request.uri().path() {
            "/" => Some(Page::Index),
            "/jwks" => Some(Page::Keys),
            "/status" => Some(Page::Status),
            "/config" => Some(Page::Config),
            _other => None,
        };
        match page {
            Some(page) if method == Method::GET => Plain::json(StatusCode::OK, &show(page)),
            Some(_page) => Plain::method_not_allowed("GET"),
            None => Plain::not_found(),
        }
    } else {
        Plain::text(
            StatusCode::FORBIDDEN,
            "this listener serves localhost only, and no other site's pages\n",
        )
    };
    plain.respond(method)
}

/// Whether the request names this machine, and no other site's page sent it.
fn is_from_here<B>(request: &Request<B>, scheme: &str) -> bool {
    let Ok(host) = Host::of(request.uri(), request.headers()) else {
        return false;
    };
    host.is_loopback() && is_own_origin(request, scheme) && is_own_site(request.headers())
}

/// No `Origin`, or this listener's own. [`Host::of`] saw to it that `Host` and the target agree.
fn is_own_origin<B>(request: &Request<B>, scheme: &str) -> bool {
    let headers = request.headers();
    match headers::single(headers, &header::ORIGIN) {
        Ok(None) => true,
        Ok(Some(origin)) => {
            let target = request
                .uri()
                .authority()
                .map(|name| name.as_str().as_bytes());
            let host = headers.get_all(header::HOST).iter().next();
            let own = target.or(host.map(HeaderValue::as_bytes));
            own.is_some() && origin.as_bytes().strip_prefix(scheme.as_bytes()) == own
        }
        Err(_twice) => false,
    }
}

/// No `Sec-Fetch-Site`, or one that says the user or a page of ours asked.
fn is_own_site(headers: &HeaderMap) -> bool {
    match headers::single(headers, &headers::SEC_FETCH_SITE) {
        Ok(None) => true,
        Ok(Some(site)) => site == "none" || site == "same-origin",
        Err(_twice) => false,
    }
}

#[cfg(test)]
mod tests;
