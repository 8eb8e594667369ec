//! Which target a request is for, and who may ask at all.

use std::net::IpAddr;

use http::header::ORIGIN;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Uri};
use url::Url;

use crate::client::egress::{Target, Targets};
use crate::reason::Denial;
use crate::request::headers::SEC_FETCH_SITE;
use crate::request::{Host, Path};

/// `Host: <target>.egress.localhost`
const SUFFIX: &str = ".egress.localhost";

/// What this listener answers itself: no target can have this name.
const OURS: &str = "/.gatepost/";

/// What a request is for.
#[derive(Debug)]
pub(super) enum Found<'w> {
    /// A target.
    Target(Directed<'w>),
    /// This listener itself: the path behind `/.gatepost/`.
    Ours(String),
}

/// A target, and what to ask it for.
#[derive(Debug)]
pub(super) struct Directed<'w> {
    pub(super) target: &'w Target,
    pub(super) path_and_query: PathAndQuery,
    /// Whether the app named it in the path, not in the host.
    pub(super) by_path: bool,
}

/// Only the app may ask: a loopback peer, unless the listener was opened wider on purpose.
pub(super) fn admit_peer(peer: IpAddr, listener: IpAddr) -> Result<(), Denial> {
    if peer.to_canonical().is_loopback() || !listener.to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(Denial::PeerUntrusted)
    }
}

/// No browser may ask: a page it shows could spend the app's credentials. `none` is an address
/// typed by a person.
pub(super) fn refuse_browsers(headers: &HeaderMap) -> Result<(), Denial> {
    let from_page = headers
        .get_all(SEC_FETCH_SITE)
        .iter()
        .any(|site| site != "none");
    if headers.contains_key(ORIGIN) || from_page {
        return Err(Denial::EgressTargetRefused);
    }
    Ok(())
}

/// `CONNECT` would tunnel past us, `TRACE` would echo the credential.
pub(super) fn refuse_methods(method: &Method) -> Result<(), Denial> {
    let name = method.as_str();
    if name.eq_ignore_ascii_case("CONNECT") || name.eq_ignore_ascii_case("TRACE") {
        return Err(Denial::MethodNotAllowed(vec![
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ]));
    }
    Ok(())
}

/// Finds the target by the absolute form of an `http://` target's own URL, by
/// `Host: <target>.egress.localhost`, or by the first path segment on a loopback host.
pub(super) fn find<'w>(
    targets: &'w Targets,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Found<'w>, Denial> {
    let host = Host::of(uri, headers)?;
    let path = Path::parse(uri.path())?;
    let path = path.as_str();
    let mut by_path = false;
    let (target, path) = if let Some(target) = by_url(targets, uri, host.as_str(), path) {
        (Some(target), path.to_owned())
    } else if let Some(name) = host.as_str().strip_suffix(SUFFIX) {
        let target = targets.find(name);
        (target, target.map(|t| t.path_of(path)).unwrap_or_default())
    } else if host.is_loopback() {
        if let Some(rest) = path.strip_prefix(OURS) {
            return Ok(Found::Ours(rest.to_owned()));
        }
        by_path = true;
        let inner = path.strip_prefix('/').unwrap_or(path);
        let (name, rest) = inner.split_at(inner.find('/').unwrap_or(inner.len()));
        let target = targets.find(name);
        (target, target.map(|t| t.path_of(rest)).unwrap_or_default())
    } else {
        (None, String::new())
    };
    let target = target.ok_or(Denial::EgressTargetRefused)?;
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    Ok(Found::Target(Directed {
        target,
        path_and_query: whole.parse().map_err(|_unsendable| Denial::PathAmbiguous)?,
        by_path,
    }))
}

/// Whether this listener answers to this name.
pub(super) fn is_ours(host: &Host<'_>) -> bool {
    host.is_loopback() || host.as_str().ends_with(SUFFIX)
}

/// Whether an app whose proxy this listener is would call another target than this one there.
pub(super) fn is_others(targets: &Targets, target: &Target, to: &Url) -> bool {
    let host = to.host_str().and_then(|host| Host::parse(host).ok());
    let path = Path::parse(to.path());
    let (Some(host), Ok(path), "http") = (host, path, to.scheme()) else {
        return false;
    };
    let port = to.port_or_known_default().unwrap_or(80);
    targets
        .find_by_url(host.as_str(), port, path.as_str())
        .is_some_and(|found| found.definition().name != target.definition().name)
}

fn by_url<'w>(targets: &'w Targets, uri: &Uri, host: &str, path: &str) -> Option<&'w Target> {
    if uri.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let port = uri.authority()?.port_u16().unwrap_or(80);
    targets.find_by_url(host, port, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_ask_unless_the_listener_was_opened_wider() {
        for (peer, listener, admitted) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("::1", "::1", true),
            ("10.0.0.7", "127.0.0.1", false),
            ("::ffff:10.0.0.7", "::1", false),
            ("10.0.0.7", "0.0.0.0", true),
            ("fd00::7", "::", true),
        ] {
            let outcome = admit_peer(peer.parse().unwrap(), listener.parse().unwrap());
            assert_eq!(outcome.is_ok(), admitted, "{peer} {listener}");
        }
    }
}
