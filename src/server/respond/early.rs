//! Answers from before a plane has seen the request: there is no configured format yet, or not even
//! a request. They say `problem` (RFC 9457).

use std::fmt::Write as _;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::format::{body, told};
use super::status_of;
use crate::config::ErrorFormat;
use crate::reason::Denial;
use crate::server::body::Body;

/// When a client that has too many connections may try again, in seconds.
const RETRY_AFTER: u32 = 1;

/// The response to a request that no plane gets to see.
#[must_use]
pub(in crate::server) fn early(denial: &Denial) -> Response<Body> {
    respond(status_of(denial))
}

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

/// The same where nobody reads requests: the last bytes of an HTTP/1.1 connection.
#[must_use]
pub(in crate::server) fn early_bytes(denial: &Denial) -> Vec<u8> {
    let status = status_of(denial);
    let (content_type, body) = body(ErrorFormat::Problem, told(status, true), status, None);
    let mut bytes = String::with_capacity(512);
    // writing to a String cannot fail
    let _infallible = write!(
        bytes,
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nconnection: close\r\n",
        body.len()
    )
    .and_then(|()| {
        if *denial == Denial::ConnectionLimit {
            write!(bytes, "retry-after: {RETRY_AFTER}\r\n")
        } else {
            Ok(())
        }
    });
    bytes.push_str("\r\n");
    bytes.push_str(&body);
    bytes.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_a_whole_response_that_ends_its_connection() {
        for (denial, line, retry) in [
            (
                Denial::RequestTimeout,
                "HTTP/1.1 408 Request Timeout\r\n",
                false,
            ),
            (
                Denial::ConnectionLimit,
                "HTTP/1.1 429 Too Many Requests\r\n",
                true,
            ),
        ] {
            let text = String::from_utf8(early_bytes(&denial)).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(line), "{head}");
            assert!(head.contains("\r\nconnection: close"), "{head}");
            assert_eq!(head.contains("\r\nretry-after: 1"), retry, "{head}");
            let length = format!("\r\ncontent-length: {}\r\n", body.len());
            assert!(head.contains(&length), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["status"], status_of(&denial).as_u16());
        }
    }
}
