//! Trailer fields (RFC 9110 6.5): which may pass, and how they are announced.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::OwnedHeaders;
use super::forwarded::states_origin;
use super::headers::{is_hop_by_hop, same_folded};

/// Which trailer fields of one request may pass: never one that frames, routes or authenticates,
/// one we own, or one that is removed from its headers too. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestTrailers {
    /// Headers no client may set.
    pub owned: OwnedHeaders,
    /// The route's further headers to remove.
    pub strip: Arc<[HeaderName]>,
    /// The header our credential is written to.
    pub credential: Option<HeaderName>,
}

impl RequestTrailers {
    /// Whether a field of this name may pass.
    #[must_use]
    pub fn passes(&self, name: &HeaderName) -> bool {
        let removed = self.strip.iter().chain(&self.credential);
        !(governs(name)
            || self.owned.owns(name)
            || states_origin(name)
            || removed
                .into_iter()
                .any(|removed| same_folded(name, removed)))
    }
}

/// Whether a trailer field of a response may pass: never one that frames or sets a cookie, and never
/// one that only we may state.
#[must_use]
pub fn response_passes(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    let ours = text.get(..7).is_some_and(|start| {
        matches!(
            start,
            [
                b'x',
                b'-' | b'_' | b'.',
                b'a',
                b'u',
                b't',
                b'h',
                b'-' | b'_' | b'.'
            ]
        )
    });
    !(governs(name) || ours)
}

/// Whether it says how a message is read, where it goes or who sends it.
fn governs(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || matches!(
            *name,
            header::HOST | header::AUTHORIZATION | header::COOKIE | header::SET_COOKIE
        )
        // a digest of the content is what trailers are for (RFC 9530 5)
        || (name.as_str().starts_with("content-") && name != "content-digest")
}

/// The fields that may pass, in their order.
#[must_use]
pub fn scrub(trailers: HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut left = HeaderMap::with_capacity(trailers.len());
    let mut current = None;
    for (name, value) in trailers {
        if let Some(name) = name {
            current = passes(&name).then_some(name);
        }
        if let Some(name) = &current {
            left.append(name.clone(), value);
        }
    }
    left
}

/// A `Trailer` header less the names that may not pass; `None` if none is left.
#[must_use]
pub fn announced(value: &HeaderValue, passes: impl Fn(&HeaderName) -> bool) -> Option<HeaderValue> {
    let names: Vec<HeaderName> = value
        .to_str()
        .ok()?
        .split(',')
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(passes)
        .collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).ok()
}

/// Whether this `TE` lists `trailers`.
#[must_use]
pub fn names_trailers(te: &HeaderValue) -> bool {
    te.as_bytes()
        .split(|byte| *byte == b',')
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::IdentityNames;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    fn trailers(names: &[&str]) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        for text in names {
            trailers.append(name(text), HeaderValue::from_static("1"));
        }
        trailers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.iter().map(|(name, _value)| name.as_str()).collect()
    }

    #[test]
    fn no_request_trailer_states_an_identity_frames_a_message_or_escapes_strip() {
        let rule = RequestTrailers {
            owned: OwnedHeaders::new(&IdentityNames::default(), &[], false),
            strip: Arc::from([name("x-internal")]),
            credential: Some(name("x-metrics-key")),
        };
        let sent = trailers(&[
            "x-checksum",
            "x-user-id",
            "x_user_id",
            "authorization",
            "grpc-status",
            "content-length",
            "content-digest",
            "transfer-encoding",
            "x-forwarded-for",
            "x_internal",
            "X-Internal",
            "x-metrics-key",
            "x_metrics.key",
            "x-checksum",
            "x-auth-handle",
        ]);
        let passed = scrub(sent, |name| rule.passes(name));
        assert_eq!(
            names(&passed),
            ["x-checksum", "x-checksum", "grpc-status", "content-digest"]
        );
        let announced = announced(
            &HeaderValue::from_static("X-Checksum, x-user-id,, Content-Length,X-Internal , b@d"),
            |name| rule.passes(name),
        );
        assert_eq!(announced.unwrap(), "x-checksum");
    }

    #[test]
    fn no_response_trailer_frames_a_message_or_speaks_for_us() {
        let sent = trailers(&[
            "grpc-status",
            "grpc-message",
            "x-why-bin",
            "content-length",
            "transfer_encoding",
            "trailer",
            "set-cookie",
            "x-auth-reason",
            "x_auth.handle",
            "x-author",
        ]);
        assert_eq!(
            names(&scrub(sent, response_passes)),
            ["grpc-status", "grpc-message", "x-why-bin", "x-author"]
        );
    }

    #[test]
    fn te_lists_trailers_or_not() {
        for (te, expected) in [
            ("trailers", true),
            ("deflate;q=0.5, Trailers", true),
            ("gzip", false),
            ("", false),
        ] {
            assert_eq!(
                names_trailers(&HeaderValue::from_static(te)),
                expected,
                "{te}"
            );
        }
    }
}
