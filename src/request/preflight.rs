//! CORS preflights (WHATWG Fetch 3.2): what a browser asks before it sends a page's request.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, UPGRADE};
use http::{HeaderMap, Method};

use super::headers::{overrides_method, single};

/// A request that only asks whether another one may be sent. It carries no credentials, and asks the
/// app to do nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The method of the request to come.
    pub method: Method,
}

impl Preflight {
    /// The preflight this request is: `OPTIONS` with one `Origin` and one
    /// `Access-Control-Request-Method`. Not one is a request that could make the app do more than
    /// answer: one that overrides its method or asks to switch protocols, as no browser's does.
    #[must_use]
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<Self> {
        if *method != Method::OPTIONS {
            return None;
        }
        let origin = single(headers, &ORIGIN).ok()??.as_bytes();
        // Envoy tells two headers joined by a comma, which no origin holds
        if origin.is_empty() || origin.contains(&b',') {
            return None;
        }
        let method = single(headers, &ACCESS_CONTROL_REQUEST_METHOD).ok()??;
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        let harmless = !headers.contains_key(UPGRADE) && !overrides_method(headers);
        harmless.then_some(Self { method })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_options_with_one_origin_and_one_method_is_a_preflight() {
        let origin = ("origin", "https://app.example");
        let put = ("access-control-request-method", "PUT");
        for (method, list, expected) in [
            ("OPTIONS", vec![origin, put], Some("PUT")),
            ("OPTIONS", vec![("origin", "null"), put], Some("PUT")),
            (
                "OPTIONS",
                vec![origin, put, ("authorization", "x")],
                Some("PUT"),
            ),
            ("OPTIONS", vec![origin], None),
            ("OPTIONS", vec![put], None),
            ("OPTIONS", vec![], None),
            ("OPTIONS", vec![origin, origin, put], None),
            ("OPTIONS", vec![origin, put, put], None),
            ("OPTIONS", vec![("origin", ""), put], None),
            (
                "OPTIONS",
                vec![("origin", "https://a.example,https://b.example"), put],
                None,
            ),
            (
                "OPTIONS",
                vec![origin, ("access-control-request-method", "")],
                None,
            ),
            (
                "OPTIONS",
                vec![origin, ("access-control-request-method", "A B")],
                None,
            ),
            ("OPTIONS", vec![origin, put, ("upgrade", "x")], None),
            (
                "OPTIONS",
                vec![origin, put, ("x-http-method-override", "DELETE")],
                None,
            ),
            (
                "OPTIONS",
                vec![origin, put, ("X_Method.Override", "DELETE")],
                None,
            ),
            ("options", vec![origin, put], None),
            ("GET", vec![origin, put], None),
            ("POST", vec![origin, put], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &list {
                headers.append(
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_static(value),
                );
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let preflight = Preflight::of(&method, &headers);
            let asked = preflight
                .as_ref()
                .map(|preflight| preflight.method.as_str());
            assert_eq!(asked, expected, "{method} {list:?}");
        }
    }
}
