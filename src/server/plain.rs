//! Answers of our own listeners, health and admin: a few bytes of text or JSON.

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::server::body::Body;

/// One answer, before it knows whether its body is wanted.
#[derive(Debug)]
pub(super) struct Plain {
    status: StatusCode,
    media_type: &'static str,
    allow: Option<&'static str>,
    body: String,
}

impl Plain {
    /// Text.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            allow: None,
            body: body.into(),
        }
    }

    /// JSON.
    pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self {
            media_type: "application/json",
            ..Self::text(status, body.to_string())
        }
    }

    /// The metrics of Prometheus.
    pub(super) fn metrics(body: String) -> Self {
        Self {
            media_type: "text/plain; version=0.0.4; charset=utf-8",
            ..Self::text(StatusCode::OK, body)
        }
    }

    /// `405` with `Allow`.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
        }
    }

    /// `404`.
    pub(super) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "not found\n")
    }

    /// The response to a request with this method.
    pub(super) fn respond(self, method: &Method) -> Response<Body> {
        let length = HeaderValue::from(self.body.len());
        let mut response = Response::new(if method == Method::HEAD {
            Body::empty()
        } else {
            Body::full(self.body)
        });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.media_type),
        );
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}
