//! What a client offers to switch to (`Upgrade`, RFC 9110 7.8).

use http::{HeaderMap, HeaderValue, Version, header};

use super::headers::listed;

/// The protocols one request offers, those that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer(HeaderValue);

impl Offer {
    /// What a request offers. `None` if it offers nothing: only HTTP/1.1 has `Upgrade`, and only
    /// with a `Connection` that lists it.
    ///
    /// Protocols that would carry HTTP again are left out: their requests would reach the upstream
    /// unjudged.
    #[must_use]
    pub fn of(version: Version, headers: &HeaderMap) -> Option<Self> {
        if version != Version::HTTP_11 || !headers.contains_key(header::UPGRADE) {
            return None;
        }
        let named = listed(headers, &header::CONNECTION)
            .any(|option| option.eq_ignore_ascii_case("upgrade"));
        let passing: Vec<&str> = listed(headers, &header::UPGRADE)
            .filter(|protocol| !carries_http(protocol))
            .collect();
        if !named || passing.is_empty() {
            return None;
        }
        HeaderValue::from_str(&passing.join(", ")).ok().map(Self)
    }

    /// `Upgrade` for the upstream.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// The protocol that the headers of a `101` name, if it was offered. Of several layers each must
    /// have been.
    #[must_use]
    pub fn accepted(&self, response: &HeaderMap) -> Option<HeaderValue> {
        let mut chosen = Vec::new();
        for protocol in listed(response, &header::UPGRADE) {
            let mut offered = self.0.to_str().unwrap_or_default().split(", ");
            if !offered.any(|offered| offered.eq_ignore_ascii_case(protocol)) {
                return None;
            }
            chosen.push(protocol);
        }
        if chosen.is_empty() {
            return None;
        }
        HeaderValue::from_str(&chosen.join(", ")).ok()
    }
}

/// `h2c` (RFC 7540 3.2) and its drafts, `HTTP/2.0`, and TLS (RFC 2817), under which HTTP goes on.
fn carries_http(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    matches!(&*name, "http" | "tls" | "h2" | "h2c" | "h3")
        || name.starts_with("h2-")
        || name.starts_with("h2c-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect::<Vec<_>>()
            .into_iter()
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    #[test]
    fn an_offer_needs_http_1_1_and_both_headers_and_never_carries_http() {
        for (connection, upgrade, expected) in [
            ("upgrade", "websocket", Some("websocket")),
            ("keep-alive, Upgrade", "WebSocket", Some("WebSocket")),
            ("Upgrade, HTTP2-Settings", "h2c", None),
            ("upgrade", "h2c, websocket", Some("websocket")),
            ("upgrade", "h2c-14, H2, HTTP/2.0, http, TLS/1.0", None),
            ("upgrade", "chat/2, ,x", Some("chat/2, x")),
            ("upgrade", "", None),
            ("keep-alive", "websocket", None),
            ("upgraded", "websocket", None),
        ] {
            let asked = headers(&[("connection", connection), ("upgrade", upgrade)]);
            let offer = Offer::of(Version::HTTP_11, &asked);
            let value = offer.as_ref().map(|offer| offer.value().to_str().unwrap());
            assert_eq!(value, expected, "{connection} {upgrade}");
            assert_eq!(Offer::of(Version::HTTP_10, &asked), None);
            assert_eq!(Offer::of(Version::HTTP_2, &asked), None);
        }
        let without = headers(&[("upgrade", "websocket")]);
        assert_eq!(Offer::of(Version::HTTP_11, &without), None);
    }

    #[test]
    fn only_an_offered_protocol_is_accepted() {
        let asked = headers(&[("connection", "upgrade"), ("upgrade", "websocket, chat/2")]);
        let offer = Offer::of(Version::HTTP_11, &asked).unwrap();
        for (named, expected) in [
            (Some("WebSocket"), Some("WebSocket")),
            (Some("chat/2, websocket"), Some("chat/2, websocket")),
            (Some("chat"), None),
            (Some("websocket, h2c"), None),
            (Some(""), None),
            (None, None),
        ] {
            let response: Vec<_> = named.map(|named| ("upgrade", named)).into_iter().collect();
            let accepted = offer.accepted(&headers(&response));
            let accepted = accepted.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(accepted, expected, "{named:?}");
        }
    }
}
