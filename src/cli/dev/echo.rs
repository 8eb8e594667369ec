//! The echo upstream: answers with what it received, so that one sees what Gatepost sends.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};

/// Characters of a credential that are shown: enough to tell two apart by kind, too few to use.
const SHOWN: usize = 12;

/// Method, path, headers (in the order received) and size of the body, as indented JSON.
pub(super) fn answer(request: &Parts, body_bytes: usize) -> Response<Bytes> {
    let received = json!({
        "method": request.method.as_str(),
        "path": request.uri.path_and_query().map_or("", |path| path.as_str()),
        "headers": lines(&request.headers),
        "body_bytes": body_bytes,
    });
    let mut response = Response::new(Bytes::from(format!("{received:#}\n")));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// One `name: value` per header, without what would let a reader of the terminal act as somebody
/// else.
fn lines(headers: &HeaderMap) -> Vec<Value> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let shown = match name.as_str() {
                "authorization" => shorten(&value),
                "cookie" | "proxy-authorization" | "x-api-key" | "x-auth-handle" => "…".to_owned(),
                _public => value.into_owned(),
            };
            Value::from(format!("{name}: {shown}"))
        })
        .collect()
}

/// The scheme, if there is one, and the first characters.
fn shorten(value: &str) -> String {
    let (scheme, credential) = match value.split_once(' ') {
        Some((scheme, credential)) => (format!("{scheme} "), credential),
        None => (String::new(), value),
    };
    // a short secret would be shown whole
    let shown = if credential.chars().count() < 2 * SHOWN {
        String::new()
    } else {
        credential.chars().take(SHOWN).collect()
    };
    format!("{scheme}{shown}…")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn headers_are_told_in_order_and_credentials_are_shortened() {
        let (parts, ()) = Request::builder()
            .method("PUT")
            .uri("/orders/17?x=1")
            .header("x-user-id", "u-1")
            .header("authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.secret.part")
            .header("cookie", "session=short")
            .header("x-auth-handle", "0123456789abcdef0123456789abcdef")
            .header("accept", "*/*")
            .body(())
            .unwrap()
            .into_parts();
        let answer: Value = serde_json::from_slice(answer(&parts, 3).body()).unwrap();
        assert_eq!(
            answer,
            json!({
                "method": "PUT",
                "path": "/orders/17?x=1",
                "headers": [
                    "x-user-id: u-1",
                    "authorization: Bearer eyJhbGciOiJS…",
                    "cookie: …",
                    "x-auth-handle: …",
                    "accept: */*",
                ],
                "body_bytes": 3,
            })
        );
    }
}
