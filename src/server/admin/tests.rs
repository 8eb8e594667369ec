use http_body_util::BodyExt as _;

use super::*;

fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn status(request: &Request<()>) -> u16 {
    reply(request, "http://", |_page| json!({}))
        .status()
        .as_u16()
}

#[test]
fn only_requests_that_name_loopback_are_answered() {
    for (host, expected) in [
        ("localhost", 200),
        ("LOCALHOST:7403", 200),
        ("127.0.0.1:7403", 200),
        ("[::1]:9999", 200),
        ("evil.example", 403),
        ("evil.example:7403", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("127.0.0.2", 403),
        ("0.0.0.0:7403", 403),
        ("", 403),
    ] {
        let request = request(Method::GET, "/status", &[("host", host)]);
        assert_eq!(status(&request), expected, "{host}");
    }
    assert_eq!(status(&request(Method::GET, "/status", &[])), 403);
    let two = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(status(&request(Method::GET, "/status", &two)), 403);
    let absolute = "http://evil.example/status";
    assert_eq!(
        status(&request(Method::GET, absolute, &[("host", "localhost")])),
        403
    );
    assert_eq!(status(&request(Method::GET, absolute, &[])), 403);
}

#[test]
fn no_other_sites_page_is_answered() {
    for (name, value, expected) in [
        ("origin", "http://localhost:7403", 200),
        ("origin", "http://localhost:3000", 403),
        ("origin", "https://localhost:7403", 403),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("sec-fetch-site", "none", 200),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "cross-site", 403),
    ] {
        let request = request(
            Method::GET,
            "/config",
            &[("host", "localhost:7403"), (name, value)],
        );
        assert_eq!(status(&request), expected, "{name}: {value}");
    }
}

#[test]
fn admin_is_read_only_and_has_four_pages() {
    let host = [("host", "localhost")];
    for (method, path, expected) in [
        (Method::GET, "/", 200),
        (Method::GET, "/jwks", 200),
        (Method::GET, "/status", 200),
        (Method::GET, "/config", 200),
        (Method::POST, "/config", 405),
        (Method::HEAD, "/status", 405),
        (Method::OPTIONS, "/status", 405),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/config/", 404),
    ] {
        assert_eq!(
            status(&request(method.clone(), path, &host)),
            expected,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn pages_are_json_that_nobody_stores() {
    let request = request(Method::GET, "/jwks", &[("host", "127.0.0.1:7403")]);
    let response = reply(
        &request,
        "http://",
        |page| json!({ "page": format!("{page:?}") }),
    );
    let value = |name| {
        headers::single(response.headers(), &name)
            .unwrap()
            .unwrap()
            .clone()
    };
    assert_eq!(value(header::CONTENT_TYPE), "application/json");
    assert_eq!(value(header::CACHE_CONTROL), "no-store");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"page":"Keys"}"#);
}
