//! `X-Request-ID`: kept when a trusted peer sent a good one, else the edge makes one.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The id of one request, ready to be written as a header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id a peer sent, if there is exactly one and it is 1–128 visible ASCII characters.
    #[must_use]
    pub fn accept(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        let good = values.next().is_none()
            && (1..=128).contains(&value.len())
            && value.as_bytes().iter().all(u8::is_ascii_graphic);
        good.then(|| Self(value.clone()))
    }

    /// An id the edge made (UUID version 7). `None` if it is not a header value.
    #[must_use]
    pub fn made(id: &str) -> Option<Self> {
        HeaderValue::from_str(id).ok().map(Self)
    }

    /// The id of a request for which none could be made: the system has no random bits.
    #[must_use]
    pub fn unknown() -> Self {
        Self(HeaderValue::from_static("-"))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header value; cloning it shares the bytes.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_short_visible_id_is_accepted() {
        let name = HeaderName::from_static("x-request-id");
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&name, HeaderValue::from_str(value).unwrap());
            }
            RequestId::accept(&headers, &name).map(|id| id.as_str().to_owned())
        };
        assert_eq!(with(&["abc-123"]), Some("abc-123".to_owned()));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["a", "b"]), None);
        assert_eq!(with(&[""]), None);
        assert_eq!(with(&["a b"]), None);
        assert_eq!(with(&[&"x".repeat(129)]), None);
    }
}
