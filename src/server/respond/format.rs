//! The body of an error response: which format, and what it says.

use std::fmt::Write as _;

use http::{HeaderMap, StatusCode, header};

use crate::config::ErrorFormat;

/// How a status is told, in every format.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) title: &'static str,
    /// `MLflow`'s name of the status: its client reports an unknown one as an internal error.
    pub(super) error_code: &'static str,
    pub(super) message: &'static str,
    /// What the `simple` and `detail` bodies say.
    pub(super) simple: &'static str,
}

/// The format the client prefers by `Accept`: the first of ours it names, else the configured one.
/// Wildcards choose nothing; plain JSON is `simple` unless `detail` is configured.
pub(super) fn accepted(headers: &HeaderMap, configured: ErrorFormat) -> ErrorFormat {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next()?;
            let refused = parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            (!refused).then_some(media_type)
        })
        .find_map(|media_type| {
            let is = |name| media_type.eq_ignore_ascii_case(name);
            if is("application/problem+json") {
                Some(ErrorFormat::Problem)
            } else if is("application/vnd.api+json") {
                Some(ErrorFormat::JsonApi)
            } else if is("application/json") {
                Some(match configured {
                    ErrorFormat::Detail => ErrorFormat::Detail,
                    ErrorFormat::Problem | ErrorFormat::JsonApi | ErrorFormat::Simple => {
                        ErrorFormat::Simple
                    }
                })
            } else {
                None
            }
        })
        .unwrap_or(configured)
}

pub(super) fn told(status: StatusCode, presented: bool) -> Told {
    let (title, error_code, message, simple) = match status.as_u16() {
        400 => (
            "Bad Request",
            "BAD_REQUEST",
            "The request cannot be read in one way only.",
            "Bad request",
        ),
        401 => (
            "Unauthorized",
            "UNAUTHENTICATED",
            "A valid credential is required.",
            if presented {
                "Authentication failed"
            } else {
                "Authentication required"
            },
        ),
        403 => (
            "Forbidden",
            "PERMISSION_DENIED",
            "The credential does not permit this request.",
            "Insufficient permissions",
        ),
        404 => (
            "Not Found",
            "ENDPOINT_NOT_FOUND",
            "Nothing is served here.",
            "Not found",
        ),
        405 => (
            "Method Not Allowed",
            "BAD_REQUEST",
            "This method is not served here.",
            "Method not allowed",
        ),
        408 => (
            "Request Timeout",
            "BAD_REQUEST",
            "The request did not arrive in time.",
            "Request timeout",
        ),
        413 => (
            "Content Too Large",
            "BAD_REQUEST",
            "The body is too large.",
            "Content too large",
        ),
        414 => (
            "URI Too Long",
            "BAD_REQUEST",
            "The request's path and query are too long.",
            "URI too long",
        ),
        429 => (
            "Too Many Requests",
            "REQUEST_LIMIT_EXCEEDED",
            "There are too many attempts or connections from this address.",
            "Too many requests",
        ),
        431 => (
            "Request Header Fields Too Large",
            "BAD_REQUEST",
            "The request's header fields are too large or too many.",
            "Header fields too large",
        ),
        502 => (
            "Bad Gateway",
            "TEMPORARILY_UNAVAILABLE",
            "The service did not answer as expected.",
            "Service communication failed",
        ),
        503 => (
            "Service Unavailable",
            "TEMPORARILY_UNAVAILABLE",
            "The service is temporarily unavailable.",
            "Service unavailable",
        ),
        504 => (
            "Gateway Timeout",
            "TEMPORARILY_UNAVAILABLE",
            "The service did not answer in time.",
            "Service communication failed",
        ),
        _other => (
            "Internal Server Error",
            "INTERNAL_ERROR",
            "The request could not be processed.",
            "Internal error",
        ),
    };
    Told {
        title,
        error_code,
        message,
        simple,
    }
}

/// Media type and body. Every text is ours and needs no JSON escape.
pub(super) fn body(
    format: ErrorFormat,
    told: Told,
    status: StatusCode,
    reason: Option<&'static str>,
) -> (&'static str, String) {
    let Told {
        title,
        error_code,
        message,
        simple,
    } = told;
    let code = status.as_u16();
    let mut body = String::with_capacity(192);
    // writing to a String cannot fail
    let (content_type, _infallible) = match format {
        ErrorFormat::Problem => (
            "application/problem+json",
            write!(
                body,
                r#"{{"type":"about:blank","title":"{title}","status":{code},"detail":"{message}","error_code":"{error_code}","message":"{message}""#
            )
            .and_then(|()| member(&mut body, reason))
            .and_then(|()| body.write_char('}')),
        ),
        ErrorFormat::JsonApi => (
            "application/vnd.api+json",
            write!(body, r#"{{"errors":[{{"status":"{code}""#)
                .and_then(|()| match reason {
                    Some(reason) => write!(body, r#","code":"{reason}""#),
                    None => Ok(()),
                })
                .and_then(|()| write!(body, r#","title":"{title}","detail":"{message}"}}]}}"#)),
        ),
        ErrorFormat::Simple => (
            "application/json",
            write!(body, r#"{{"error":"{simple}""#)
                .and_then(|()| member(&mut body, reason))
                .and_then(|()| body.write_char('}')),
        ),
        ErrorFormat::Detail => (
            "application/json",
            write!(body, r#"{{"detail":"{simple}""#)
                .and_then(|()| member(&mut body, reason))
                .and_then(|()| body.write_char('}')),
        ),
    };
    (content_type, body)
}

fn member(body: &mut String, reason: Option<&'static str>) -> std::fmt::Result {
    match reason {
        Some(reason) => write!(body, r#","reason":"{reason}""#),
        None => Ok(()),
    }
}
