//! What Envoy is to do with the request it holds.

use envoy_types::ext_authz::v3::pb::{
    CheckResponse, DeniedHttpResponse, HeaderAppendAction, HttpResponse, HttpStatus,
};
use envoy_types::ext_authz::v3::{
    CheckResponseExt as _, DeniedHttpResponseBuilder, OkHttpResponseBuilder,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use crate::request::OwnedHeaders;

/// Send it on: with these identity headers in place of the client's, and without any other header of
/// the client's that an app could take for one of ours.
pub(super) fn allowed(
    identity: &HeaderMap,
    client: &HeaderMap,
    owned: &OwnedHeaders,
) -> CheckResponse {
    let mut ok = OkHttpResponseBuilder::new();
    for (name, value) in identity {
        put(value, |value| {
            let overwrite = Some(HeaderAppendAction::OverwriteIfExistsOrAdd);
            ok.add_header(name.as_str(), value, overwrite, true);
        });
    }
    for name in client.keys() {
        if owned.owns(name) && !identity.contains_key(name) {
            ok.remove_header(name.as_str());
        }
    }
    let mut response = CheckResponse::with_status(Status::ok(""));
    response.set_http_response(ok);
    response
}

/// Answer the client with this status, these headers and this body. An outage is told so too: what
/// Envoy takes for an error of ours it answers in its own words.
pub(super) fn denied(head: &Parts, body: &[u8], reason: &'static str) -> CheckResponse {
    let mut denied = DeniedHttpResponseBuilder::new();
    let mut before = None;
    for (name, value) in &head.headers {
        // Envoy frames the body itself
        if *name != header::CONTENT_LENGTH {
            // several of one name stand together: a challenge for each scheme
            let action = if before == Some(name) {
                HeaderAppendAction::AppendIfExistsOrAdd
            } else {
                HeaderAppendAction::OverwriteIfExistsOrAdd
            };
            before = Some(name);
            put(value, |value| {
                denied.add_header(name.as_str(), value, Some(action), true);
            });
        }
    }
    denied.set_body(String::from_utf8_lossy(body));
    let mut response = CheckResponse::with_status(Status::new(code(head.status), reason));
    let denied = DeniedHttpResponse {
        status: Some(HttpStatus {
            code: i32::from(head.status.as_u16()),
        }),
        ..denied.into()
    };
    response.http_response = Some(HttpResponse::DeniedResponse(denied));
    response
}

/// Ours are all ASCII.
fn put(value: &HeaderValue, add: impl FnOnce(&str)) {
    if let Ok(value) = value.to_str() {
        add(value);
    }
}

/// The gRPC code that says what a status says.
pub(super) fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        400 | 414 | 431 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        408 | 504 => Code::DeadlineExceeded,
        413 | 429 => Code::ResourceExhausted,
        502 | 503 => Code::Unavailable,
        500 => Code::Internal,
        _refused => Code::PermissionDenied,
    }
}
