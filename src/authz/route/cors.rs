//! `cors`: which pages of other sites may use a route (WHATWG Fetch 3.2).

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::request::headers::{listed, single};

/// What becomes of preflights, and of the responses that pages ask for.
#[derive(Clone, Debug)]
pub enum Cors {
    /// `"pass"`: the app answers preflights, which reach it without a credential.
    Pass,
    /// Ingress answers preflights, and says who may read a response where the app does not.
    Answer(Arc<Sharing>),
}

/// With whom a route is shared, as header values.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Whose pages.
    pub origins: Origins,
    /// `Access-Control-Allow-Methods`
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`
    pub headers: HeaderValue,
    /// `Access-Control-Expose-Headers`
    pub expose: Option<HeaderValue>,
    /// Whether the browser sends cookies and client certificates along. Never with every origin.
    pub credentials: bool,
    /// `Access-Control-Max-Age`
    pub max_age: HeaderValue,
}

/// `origins`
#[derive(Clone, Debug)]
pub enum Origins {
    /// `*`: every site's pages.
    Any,
    /// Exactly these, as browsers write them.
    These(Vec<HeaderValue>),
}

/// What is said of the response to one request.
#[derive(Clone, Debug)]
pub struct Readers {
    sharing: Arc<Sharing>,
    /// `Access-Control-Allow-Origin`, if whoever asks may read it.
    origin: Option<HeaderValue>,
}

impl Sharing {
    /// Who may read the response to a request with these headers.
    #[must_use]
    pub fn readers(self: &Arc<Self>, request: &HeaderMap) -> Readers {
        let origin = match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::These(known) => single(request, &ORIGIN)
                .ok()
                .flatten()
                .and_then(|origin| known.iter().find(|known| *known == origin))
                .cloned(),
        };
        Readers {
            sharing: Arc::clone(self),
            origin,
        }
    }
}

impl Readers {
    /// The headers of the answer to a preflight, less those of [`Self::mark`]. A page that may not
    /// read the response may not ask either: it is told nothing.
    #[must_use]
    pub fn preflight(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(8);
        if self.origin.is_some() {
            let sharing = &self.sharing;
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, sharing.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, sharing.headers.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, sharing.max_age.clone());
        }
        headers
    }

    /// Says in a response's headers who may read it, unless they say so already.
    pub fn mark(&self, response: &mut HeaderMap) {
        if response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        // what one page may read a cache must not hand to another
        if matches!(self.sharing.origins, Origins::These(_)) && !varies_by_origin(response) {
            response.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = &self.origin else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.sharing.credentials {
            let yes = HeaderValue::from_static("true");
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        } else {
            // the app's, without an origin of its own, would count for ours
            response.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        }
        if let Some(expose) = &self.sharing.expose {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

/// Whether `Vary` names `Origin`, or everything.
fn varies_by_origin(response: &HeaderMap) -> bool {
    listed(response, &VARY).any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn sharing(origins: Origins, credentials: bool) -> Arc<Sharing> {
        Arc::new(Sharing {
            origins,
            methods: HeaderValue::from_static("GET, PUT"),
            headers: HeaderValue::from_static("authorization"),
            expose: Some(HeaderValue::from_static("retry-after")),
            credentials,
            max_age: HeaderValue::from_static("600"),
        })
    }

    fn these() -> Origins {
        Origins::These(
            ["https://app.example", "http://localhost:5173"]
                .map(HeaderValue::from_static)
                .into(),
        )
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let mut shown: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        shown.sort();
        shown
    }

    const ALLOWED: [&str; 4] = [
        "access-control-allow-credentials: true",
        "access-control-allow-origin: https://app.example",
        "access-control-expose-headers: retry-after",
        "vary: origin",
    ];

    #[test]
    fn only_exactly_a_listed_origin_may_read() {
        let sharing = sharing(these(), true);
        for (origins, allowed) in [
            (vec!["https://app.example"], true),
            (vec!["https://app.example."], false),
            (vec!["https://app.example:443"], false),
            (vec!["https://APP.example"], false),
            (vec!["http://app.example"], false),
            (vec!["https://app.example.evil.example"], false),
            (vec!["https://evilapp.example"], false),
            (vec!["null"], false),
            (vec![""], false),
            (vec![], false),
            (vec!["https://app.example", "https://app.example"], false),
            (vec!["https://app.example, https://evil.example"], false),
        ] {
            let request: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
            let readers = sharing.readers(&headers(&request));
            let mut response = HeaderMap::new();
            readers.mark(&mut response);
            let expected = if allowed {
                &ALLOWED[..]
            } else {
                &["vary: origin"]
            };
            assert_eq!(shown(&response), expected, "{origins:?}");
            let asked = shown(&readers.preflight());
            let expected: &[&str] = if allowed {
                &[
                    "access-control-allow-headers: authorization",
                    "access-control-allow-methods: GET, PUT",
                    "access-control-max-age: 600",
                ]
            } else {
                &[]
            };
            assert_eq!(asked, expected, "{origins:?}");
        }
    }

    #[test]
    fn every_origin_is_a_star_that_varies_by_nothing() {
        for request in [headers(&[("origin", "https://any.example")]), headers(&[])] {
            let mut response = HeaderMap::new();
            sharing(Origins::Any, false)
                .readers(&request)
                .mark(&mut response);
            assert_eq!(
                shown(&response),
                [
                    "access-control-allow-origin: *",
                    "access-control-expose-headers: retry-after"
                ]
            );
        }
    }

    #[test]
    fn what_the_app_says_itself_stands() {
        let readers =
            sharing(these(), true).readers(&headers(&[("origin", "https://app.example")]));
        let own = [("access-control-allow-origin", "https://other.example")];
        let mut response = headers(&own);
        readers.mark(&mut response);
        assert_eq!(response, headers(&own));
        for vary in ["Origin", "accept, ORIGIN", "*"] {
            let mut response = headers(&[("vary", "x")]);
            response.append(VARY, HeaderValue::from_static(vary));
            readers.mark(&mut response);
            assert_eq!(response.get_all(VARY).iter().count(), 2, "{vary}");
        }
        let mut response = headers(&[("vary", "accept, x-origin")]);
        readers.mark(&mut response);
        assert_eq!(response.get_all(VARY).iter().count(), 2);
    }
}
