//! Answers from before a plane has seen the request: there is no configured format yet, or not even
//! a request. They say `problem` (RFC 9457).

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::format::{body, told};
use crate::config::ErrorFormat;
use crate::server::body::Body;

/// The response to a request whose handling panicked: what it asked for is gone with it.
#[must_use]
pub(in crate::server) fn panicked() -> Response<Body> {
    respond(StatusCode::INTERNAL_SERVER_ERROR)
}

fn respond(status: StatusCode) -> Response<Body> {
    let (content_type, body) = body(ErrorFormat::Problem, told(status, true), status, None);
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
