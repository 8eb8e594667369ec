//! The headers that end at the next hop.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::listed;
use super::owned::folds;
use crate::request::forwarded::states_origin;

/// Whether a header ends at the next hop (RFC 9110 7.6.1) and is never forwarded. So does every
/// other spelling of one, and of `Content-Length`: an app that folds names would be told a framing
/// that is not its message's.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    let text = name.as_str();
    // the lengths of the names below: most others are told apart by that alone
    if !matches!(text.len(), 2 | 7 | 10 | 14 | 16..=19) {
        return false;
    }
    if folds(text.as_bytes()) {
        let folded = text.replace(['_', '.'], "-");
        return ends_here(&folded) || folded == "content-length";
    }
    ends_here(text)
}

fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The names `Connection` lists, less those that are end-to-end whatever it says: a client may not
/// make us drop the credential we judged, the host, cookies, the body's description, or where a
/// trusted proxy says that it came from.
#[must_use]
pub fn connection_listed(headers: &HeaderMap) -> Vec<HeaderName> {
    // the usual option names a header that ends here anyway
    let usual = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    if headers.get_all(header::CONNECTION).iter().all(usual) {
        return Vec::new();
    }
    listed(headers, &header::CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| {
            !matches!(*name, header::HOST | header::AUTHORIZATION | header::COOKIE)
                && !name.as_str().starts_with("content-")
                && !states_origin(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn connection_cannot_name_away_what_is_end_to_end() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::CONNECTION,
            HeaderValue::from_static("close, X-Thing,Authorization, cookie ,content-length, host"),
        );
        headers.append(
            header::CONNECTION,
            HeaderValue::from_static("X-Forwarded-For, x-real-ip, forwarded"),
        );
        headers.append(header::CONNECTION, HeaderValue::from_static("x-other"));
        assert_eq!(
            connection_listed(&headers),
            [name("close"), name("x-thing"), name("x-other")]
        );
    }

    #[test]
    fn every_spelling_of_a_hops_own_header_ends_there() {
        for text in [
            "connection",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "transfer_encoding",
            "Content_Length",
            "Keep.Alive",
            "proxy_authorization",
        ] {
            assert!(is_hop_by_hop(&name(text)), "{text}");
        }
        for text in [
            "content-length",
            "content_type",
            "mlflow_tracking_token",
            "t_e",
        ] {
            assert!(!is_hop_by_hop(&name(text)), "{text}");
        }
    }
}
