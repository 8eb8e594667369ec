//! CORS on ingress: a preflight is answered here, and what a page may read says so, denials and
//! failures included.

use http::{HeaderMap, Response, StatusCode};

use crate::authz::route::{Cors, Readers, Route};
use crate::server::body::Body;

/// Who may read the response to a request with these headers, on a route where we say so.
pub(super) fn readers(route: Option<&Route>, headers: &HeaderMap) -> Option<Readers> {
    match route?.cors.as_ref()? {
        Cors::Pass => None,
        Cors::Answer(sharing) => Some(sharing.readers(headers)),
    }
}

/// The answer to a preflight.
pub(super) fn preflight(readers: &Readers) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = readers.preflight();
    response
}
