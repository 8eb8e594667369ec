//! Headers on the way out and back.

use http::HeaderMap;
use http::header::{self, HeaderName};

use crate::authz::decision::Proven;
use crate::request::headers::{connection_listed, is_hop_by_hop, same_folded, states_place};
use crate::request::id::RequestId;
use crate::request::trailers::announced;
use crate::request::{OwnedHeaders, RequestTrailers};
use crate::server::handles::HANDLE;
use crate::server::respond::X_AUTH_REASON;

/// What the target is sent, but for `Host` and the credential: the app's headers without those of
/// this hop, its handle, any credential of its own, and what would move the request at the target's
/// gateway. `strip` removes the identity headers the
/// app set. What is `written` for the credential replaces the app's; here its other spellings are
/// removed, which some targets read as the same (WSGI, CGI).
pub(super) fn request(
    original: &HeaderMap,
    strip: Option<&OwnedHeaders>,
    written: &[HeaderName],
) -> HeaderMap {
    let respelt = |name: &HeaderName| {
        let mut written = written.iter();
        written.any(|written| name != written && same_folded(name, written))
    };
    copy(original, |name| {
        *name != header::HOST
            && *name != header::AUTHORIZATION
            // answered on this hop, when the body is read
            && *name != header::EXPECT
            && !same_folded(name, &HANDLE)
            && !states_place(name)
            && !strip.is_some_and(|owned| owned.owns(name))
            && !respelt(name)
    })
}

/// Writes the user behind the call.
pub(super) fn state_user(headers: &mut HeaderMap, user: &Proven) {
    for (name, value) in user.headers.iter() {
        headers.insert(name, value.clone());
    }
}

/// Writes the request id, which belongs to the request and not to the user.
pub(super) fn state_id(headers: &mut HeaderMap, name: Option<&HeaderName>, id: &RequestId) {
    if let Some(name) = name {
        headers.insert(name, id.value().clone());
    }
}

/// Announces the trailers of the app's request that pass.
pub(super) fn announce(headers: &mut HeaderMap, original: &HeaderMap, rule: &RequestTrailers) {
    for value in original.get_all(header::TRAILER) {
        if let Some(value) = announced(value, |name| rule.passes(name)) {
            headers.append(header::TRAILER, value);
        }
    }
}

/// What the app is sent: the target's headers without those of this hop, and without a reason that
/// only we may state.
pub(super) fn response(original: &HeaderMap) -> HeaderMap {
    copy(original, |name| *name != X_AUTH_REASON)
}

fn copy(original: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let listed = connection_listed(original);
    let mut copied = HeaderMap::with_capacity(original.len() + 4);
    for (name, value) in original {
        if !is_hop_by_hop(name) && !listed.contains(name) && passes(name) {
            copied.append(name, value.clone());
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::request::IdentityNames;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_belongs_to_this_hop_stays_here() {
        let original = headers(&[
            ("host", "127.0.0.1:7402"),
            ("accept", "a"),
            ("authorization", "Bearer app"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "Basic x"),
            ("expect", "100-continue"),
            ("x-auth-handle", "h"),
            ("X_Auth.Handle", "h"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "elsewhere.test"),
            ("X_Forwarded_Proto", "http"),
            ("forwarded", "host=elsewhere.test"),
            ("x-original-url", "/admin"),
            ("x.rewrite.url", "/admin"),
            ("x-host", "elsewhere.test"),
            ("accept", "b"),
            ("x-user-id", "app says"),
            ("content-length", "3"),
        ]);
        let sent = request(&original, None, &[]);
        assert_eq!(
            names(&sent),
            [
                "accept",
                "cookie",
                "x-forwarded-for",
                "x-user-id",
                "content-length"
            ]
        );
        assert_eq!(sent.get_all("accept").iter().count(), 2);
        let owned = OwnedHeaders::new(&IdentityNames::default(), &[], false);
        let sent = request(&original, Some(&owned), &[]);
        assert_eq!(
            names(&sent),
            ["accept", "cookie", "x-forwarded-for", "content-length"]
        );
    }

    #[test]
    fn a_target_cannot_state_our_reason() {
        let original = headers(&[
            ("x-auth-reason", "egress_token_unavailable"),
            ("connection", "keep-alive"),
            ("set-cookie", "a"),
            ("location", "https://elsewhere.test/"),
            ("set-cookie", "b"),
        ]);
        let sent = response(&original);
        assert_eq!(names(&sent), ["set-cookie", "location"]);
        assert_eq!(sent.get_all("set-cookie").iter().count(), 2);
    }
}
