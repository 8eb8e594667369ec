//! NGINX: nothing is stated automatically, so the operator sets `X-Original-Method` and either
//! `X-Original-URL` (`$scheme://$http_host$request_uri`, as ingress-nginx does) or `X-Original-URI`
//! (`$request_uri`) with the original `Host`.

use http::{HeaderMap, HeaderName, Uri};

use super::{Asked, method, optional, stated, without_query};
use crate::reason::Denial;
use crate::request::Host;

const METHOD: HeaderName = HeaderName::from_static("x-original-method");
const URL: HeaderName = HeaderName::from_static("x-original-url");
const URI: HeaderName = HeaderName::from_static("x-original-uri");

/// Whether a request is stated here too, in this dialect.
pub(super) fn states(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| [METHOD, URL, URI].contains(name))
}

/// The original request. `uri` is that of the call itself.
pub(super) fn asked<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Asked<'r>, Denial> {
    let method = method(stated(headers, &METHOD)?)?;
    match (optional(headers, &URL)?, optional(headers, &URI)?) {
        (Some(url), also) => {
            let (authority, target) = split(url)?;
            let host = Host::parse(authority)?;
            // of two statements one may be the client's, passed on: they must say the same
            if also.is_some_and(|also| also != target || Host::of(uri, headers) != Ok(host.clone()))
            {
                return Err(Denial::RequestMalformed);
            }
            Ok(Asked {
                method,
                host,
                path: without_query(target)?,
            })
        }
        (None, Some(target)) => Ok(Asked {
            method,
            host: Host::of(uri, headers)?,
            path: without_query(target)?,
        }),
        (None, None) => Err(Denial::RequestMalformed),
    }
}

/// Authority, and path with query, of an absolute `http` URL. [`Host::parse`] refuses userinfo.
fn split(url: &str) -> Result<(&str, &str), Denial> {
    let (scheme, rest) = url.split_once("://").ok_or(Denial::RequestMalformed)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Denial::RequestMalformed);
    }
    let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    Ok((authority, if target.is_empty() { "/" } else { target }))
}
