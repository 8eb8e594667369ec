//! The request Envoy holds, as the message states it.

use std::net::IpAddr;

use bytes::Bytes;
use envoy_types::ext_authz::v3::CheckRequestExt as _;
use envoy_types::ext_authz::v3::pb::CheckRequest;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::config::Listener;
use crate::reason::Denial;
use crate::server::forward_auth::method;

/// Key of `context_extensions` that names a route.
const ROUTE: &str = "route";

/// The original request, read but not yet judged. Its body, if Envoy sent one, is not kept.
#[derive(Debug)]
pub(super) struct Original {
    /// Method and headers; what else a head has is not set.
    pub(super) head: Parts,
    pub(super) host: String,
    /// As sent, with its query.
    pub(super) path: String,
    /// The route that Envoy says it is for.
    pub(super) route: Option<String>,
    /// Who sent it, if Envoy says so.
    pub(super) client: Option<IpAddr>,
}

impl Original {
    /// Reads a message. What the listener refuses of a request of its own it refuses of this one.
    pub(super) fn read(message: CheckRequest, limits: &Listener) -> Result<Self, Denial> {
        let client = message
            .get_client_address()
            .and_then(|address| address.parse().ok());
        let mut attributes = message.attributes.ok_or(Denial::RequestMalformed)?;
        let http = attributes
            .request
            .and_then(|request| request.http)
            .ok_or(Denial::RequestMalformed)?;
        if http.path.len() > limits.max_uri_bytes {
            return Err(Denial::UriTooLong);
        }
        let mut head = Request::new(()).into_parts().0;
        head.method = method(&http.method)?;
        let raw = http.header_map.map(|map| map.headers).unwrap_or_default();
        let mut fields = Fields {
            stated: [
                (":method", &http.method),
                (":path", &http.path),
                (":authority", &http.host),
                ("host", &http.host),
            ],
            limits,
            bytes: 0,
            // what is beyond the limit is refused below, and more than 24,576 would panic here
            map: HeaderMap::with_capacity((http.headers.len() + raw.len()).min(limits.max_headers)),
        };
        // two lists could say different things
        if !http.headers.is_empty() && !raw.is_empty() {
            return Err(Denial::RequestMalformed);
        }
        for (name, value) in http.headers {
            fields.add(&name, value.into())?;
        }
        for field in raw {
            if !field.value.is_empty() && !field.raw_value.is_empty() {
                return Err(Denial::RequestMalformed);
            }
            let value = if field.raw_value.is_empty() {
                field.value.into()
            } else {
                field.raw_value.into()
            };
            fields.add(&field.key, value)?;
        }
        head.headers = fields.map;
        Ok(Self {
            head,
            host: http.host,
            path: http.path,
            route: attributes.context_extensions.remove(ROUTE),
            client,
        })
    }
}

/// The headers of the original request as they are read.
struct Fields<'m> {
    /// What the message says elsewhere too, in fields of its own.
    stated: [(&'static str, &'m str); 4],
    limits: &'m Listener,
    /// Of names and values so far.
    bytes: usize,
    map: HeaderMap,
}

impl Fields<'_> {
    fn add(&mut self, name: &str, value: Bytes) -> Result<(), Denial> {
        let stated = self.stated.iter().find(|(known, _said)| *known == name);
        if stated.is_some_and(|(_known, said)| !value.eq_ignore_ascii_case(said.as_bytes())) {
            return Err(Denial::RequestMalformed);
        }
        // Envoy lists HTTP/2's pseudo-headers among the others
        if name.starts_with(':') {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        if self.map.len() >= self.limits.max_headers || self.bytes > self.limits.max_header_bytes {
            return Err(Denial::HeadersTooLarge);
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_maybe_shared(value);
        match (name, value) {
            (Ok(name), Ok(value)) => self
                .map
                .try_append(name, value)
                .map(|_appended| ())
                .map_err(|_too_many| Denial::HeadersTooLarge),
            (Err(_), _) | (_, Err(_)) => Err(Denial::RequestMalformed),
        }
    }
}
