//! Traefik `forwardAuth`, Caddy `forward_auth`, `HAProxy` `auth-request`: `X-Forwarded-*`, each of
//! the four exactly once.

use http::{HeaderMap, HeaderName};

use super::{Asked, method, stated, without_query};
use crate::reason::Denial;
use crate::request::Host;
use crate::request::forwarded::{X_FORWARDED_HOST, X_FORWARDED_PROTO};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Whether a request is stated here too, in this dialect. `X-Forwarded-Proto` and `-Host` alone state
/// none: proxies of every dialect write them.
pub(super) fn states(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| [METHOD, URI].contains(name))
}

/// The original request.
pub(super) fn asked(headers: &HeaderMap) -> Result<Asked<'_>, Denial> {
    let scheme = stated(headers, &X_FORWARDED_PROTO)?;
    // Traefik says `ws` and `wss` of an upgrade
    if !matches!(scheme, "http" | "https" | "ws" | "wss") {
        return Err(Denial::RequestMalformed);
    }
    Ok(Asked {
        method: method(stated(headers, &METHOD)?)?,
        host: Host::parse(stated(headers, &X_FORWARDED_HOST)?)?,
        path: without_query(stated(headers, &URI)?)?,
    })
}
