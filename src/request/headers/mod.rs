//! Which headers are whose: single-valued access, hop-by-hop headers, and the headers Gatepost
//! owns. The only header scrubber.

mod hop_by_hop;
mod owned;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::hop_by_hop::{connection_listed, is_hop_by_hop};
pub use self::owned::{
    IdentityNames, METHOD_OVERRIDES, ORIGINALS, OwnedHeaders, overrides_method, same_folded,
    states_place,
};
use crate::reason::Denial;

/// `Sec-Fetch-Site`: what a browser says of the page behind a request (W3C Fetch Metadata).
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The elements of a list header (RFC 9110 5.6.1), empty ones and unreadable values left out.
pub fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

/// The value of a header that may occur once. Two of them: [`Denial::RequestMalformed`].
pub fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Denial> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Denial::RequestMalformed);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn two_values_of_a_single_header_are_malformed() {
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &header::ORIGIN), Ok(None));
        headers.append(header::ORIGIN, HeaderValue::from_static("a"));
        assert!(single(&headers, &header::ORIGIN).unwrap().is_some());
        headers.append(header::ORIGIN, HeaderValue::from_static("a"));
        assert_eq!(
            single(&headers, &header::ORIGIN),
            Err(Denial::RequestMalformed)
        );
    }
}
