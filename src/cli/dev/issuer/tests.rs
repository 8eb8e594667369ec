use http::Request;

use super::*;
use crate::clock::{ManualClock, UnixTime};

const FORM: &str = "application/x-www-form-urlencoded";

fn issuer() -> Issuer {
    let clock = Arc::new(ManualClock::new(UnixTime(1_790_000_000)));
    Issuer::new("http://127.0.0.1:7408", clock).unwrap()
}

fn ask(
    issuer: &Issuer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let response = issuer.answer(&parts, body.as_bytes());
    (
        response.status(),
        serde_json::from_slice(response.body()).unwrap(),
    )
}

#[test]
fn a_token_request_is_judged_as_rfc_6749_asks() {
    let issuer = issuer();
    let basic = format!(
        "Basic {}",
        STANDARD.encode("dev-service:dev-service-secret")
    );
    let wrong = format!("Basic {}", STANDARD.encode("dev-service:other"));
    let service = "client_id=dev-service&client_secret=dev-service-secret";
    let with = |start: &str| format!("{start}&{service}");
    for (authorization, body, expected) in [
        (None, with("grant_type=client_credentials"), "Bearer"),
        (
            Some(&basic),
            "grant_type=client_credentials".to_owned(),
            "Bearer",
        ),
        (
            None,
            with("grant_type=client_credentials&scope=orders/read"),
            "Bearer",
        ),
        (
            None,
            with("grant_type=client_credentials&scope=orders/delete"),
            "invalid_scope",
        ),
        (
            Some(&basic),
            with("grant_type=client_credentials"),
            "invalid_request",
        ),
        (
            Some(&wrong),
            "grant_type=client_credentials".to_owned(),
            "invalid_client",
        ),
        (
            None,
            "grant_type=client_credentials&client_id=dev-service".to_owned(),
            "invalid_client",
        ),
        (
            None,
            "grant_type=client_credentials&client_id=dev-app".to_owned(),
            "unauthorized_client",
        ),
        (
            None,
            "grant_type=password&client_id=dev-app&username=ada&password=ada".to_owned(),
            "Bearer",
        ),
        (
            None,
            "grant_type=password&client_id=dev-app&username=ada&password=bob".to_owned(),
            "invalid_grant",
        ),
        (
            None,
            "grant_type=password&client_id=dev-app&username=ada".to_owned(),
            "invalid_request",
        ),
        (
            None,
            with("grant_type=password&username=ada&password=ada"),
            "unauthorized_client",
        ),
        (None, with("grant_type=implicit"), "unsupported_grant_type"),
        (None, service.to_owned(), "invalid_request"),
        (
            None,
            with("grant_type=password&grant_type=password"),
            "invalid_request",
        ),
    ] {
        let mut headers = vec![("content-type", FORM)];
        if let Some(authorization) = authorization {
            headers.push(("authorization", authorization));
        }
        let (status, answer) = ask(&issuer, "POST", "/oauth2/token", &headers, &body);
        if expected == "Bearer" {
            assert_eq!(status, StatusCode::OK, "{body}");
            assert_eq!(answer["token_type"], expected, "{body}");
        } else {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
            assert_eq!(answer["error"], expected, "{body}");
        }
    }
}

#[test]
fn discovery_leads_to_the_keys() {
    let issuer = issuer();
    let path = "/us-east-1_GatepostD/.well-known/openid-configuration";
    let (status, discovery) = ask(&issuer, "GET", path, &[], "");
    assert_eq!(status, StatusCode::OK);
    let base = "http://127.0.0.1:7408";
    assert_eq!(discovery["issuer"], format!("{base}/us-east-1_GatepostD"));
    let keys = discovery["jwks_uri"].as_str().unwrap();
    let (status, keys) = ask(&issuer, "GET", keys.strip_prefix(base).unwrap(), &[], "");
    assert_eq!(status, StatusCode::OK);
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
}

#[test]
fn other_paths_and_methods_are_refused() {
    let issuer = issuer();
    let jwks = "/us-east-1_GatepostD/.well-known/jwks.json";
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/us-east-1_Other/.well-known/jwks.json", 404),
        ("POST", jwks, 405),
        ("GET", "/oauth2/token", 405),
    ] {
        let (answered, _body) = ask(&issuer, method, path, &[], "");
        assert_eq!(answered.as_u16(), status, "{method} {path}");
    }
}
