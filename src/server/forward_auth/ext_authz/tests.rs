use std::collections::HashMap;

use envoy_types::ext_authz::v3::pb::{CheckRequest, HeaderAppendAction, HttpResponse};
use envoy_types::pb::envoy::config::core::v3::{
    Address, HeaderMap as RawHeaders, HeaderValue as Raw, SocketAddress, address,
};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest, Peer};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tonic::Code;

use super::asked::Original;
use super::told;
use crate::config::Listener;
use crate::reason::Denial;
use crate::request::{IdentityNames, OwnedHeaders};

fn get() -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        path: "/a?b".to_owned(),
        host: "api.test".to_owned(),
        scheme: "https".to_owned(),
        headers: strings(&[
            (":method", "GET"),
            (":path", "/a?b"),
            (":authority", "api.test"),
            (":scheme", "https"),
            ("authorization", "Bearer x"),
        ]),
        ..HttpRequest::default()
    }
}

fn strings(list: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
    owned.collect()
}

fn raw(list: &[(&str, &str, &str)]) -> RawHeaders {
    let headers = list.iter().map(|(key, value, raw_value)| Raw {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        raw_value: raw_value.as_bytes().to_vec(),
    });
    RawHeaders {
        headers: headers.collect(),
    }
}

fn about(http: HttpRequest) -> CheckRequest {
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(attribute_context::Request {
                http: Some(http),
                ..attribute_context::Request::default()
            }),
            ..AttributeContext::default()
        }),
    }
}

fn listener() -> Listener {
    Listener::at(([127, 0, 0, 1], 0).into())
}

fn read(http: HttpRequest) -> Result<Original, Denial> {
    Original::read(about(http), &listener())
}

fn changed(change: impl FnOnce(&mut HttpRequest)) -> Option<Denial> {
    let mut http = get();
    change(&mut http);
    read(http).err()
}

#[test]
fn the_original_request_stands_in_the_message() {
    let mut message = about(get());
    let attributes = message.attributes.as_mut().unwrap();
    attributes.context_extensions = strings(&[("route", "read"), ("other", "x")]);
    attributes.source = Some(Peer {
        address: Some(Address {
            address: Some(address::Address::SocketAddress(SocketAddress {
                address: "2001:db8::1".to_owned(),
                ..SocketAddress::default()
            })),
        }),
        ..Peer::default()
    });
    let original = Original::read(message, &listener()).unwrap();
    assert_eq!(original.head.method, "GET");
    assert_eq!((&*original.host, &*original.path), ("api.test", "/a?b"));
    assert_eq!(original.route.as_deref(), Some("read"));
    assert_eq!(original.client, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(original.head.headers.len(), 1, "{original:?}");
    assert_eq!(original.head.headers["authorization"], "Bearer x");

    let original = read(get()).unwrap();
    assert_eq!((original.route, original.client), (None, None));
}

#[test]
fn raw_headers_keep_duplicates_apart() {
    let mut http = get();
    http.headers.clear();
    http.header_map = Some(raw(&[
        (":path", "", "/a?b"),
        ("authorization", "", "Bearer x"),
        ("authorization", "Bearer y", ""),
        ("x-latin", "", "\u{e9}"),
    ]));
    let headers = read(http).unwrap().head.headers;
    let credentials: Vec<_> = headers.get_all("authorization").iter().collect();
    assert_eq!(credentials, ["Bearer x", "Bearer y"]);
    assert_eq!(headers.len(), 3);

    // two spellings of one name are two headers, too
    let mut http = get();
    let again = strings(&[("Authorization", "Bearer y")]);
    http.headers.extend(again);
    let headers = read(http).unwrap().head.headers;
    assert_eq!(headers.get_all("authorization").iter().count(), 2);
}

#[test]
fn what_is_missing_or_said_in_two_ways_is_malformed() {
    let malformed = Some(Denial::RequestMalformed);
    let empty = Original::read(CheckRequest::default(), &listener());
    assert_eq!(empty.err(), malformed);
    let mut message = about(get());
    message.attributes.as_mut().unwrap().request = None;
    assert_eq!(Original::read(message, &listener()).err(), malformed);

    assert_eq!(changed(|_http| {}), None);
    for method in ["", "G T", "GET\r\n"] {
        assert_eq!(changed(|http| http.method = method.to_owned()), malformed);
    }
    assert_eq!(changed(|http| http.path = "/public".to_owned()), malformed);
    assert_eq!(changed(|http| http.host = "b.test".to_owned()), malformed);
    assert_eq!(changed(|http| http.method = "PUT".to_owned()), malformed);
    for (name, value) in [
        ("host", "b.test"),
        ("", "x"),
        ("a b", "x"),
        ("x", "a\r\nb: c"),
        ("x", "\0"),
    ] {
        let more = strings(&[(name, value)]);
        assert_eq!(
            changed(|http| http.headers.extend(more)),
            malformed,
            "{name}"
        );
    }
    let one = raw(&[("x", "", "1")]);
    assert_eq!(changed(|http| http.header_map = Some(one)), malformed);
    let two_values = raw(&[("x", "1", "2")]);
    let both = changed(|http| {
        http.headers.clear();
        http.header_map = Some(two_values);
    });
    assert_eq!(both, malformed);
}

#[test]
fn the_listeners_limits_hold_for_the_original_request() {
    let long = format!("/{}", "a".repeat(listener().max_uri_bytes));
    assert_eq!(
        changed(|http| {
            http.headers.remove(":path");
            http.path = long;
        }),
        Some(Denial::UriTooLong)
    );
    let many = (0..listener().max_headers).map(|n| (format!("x-{n}"), String::new()));
    assert_eq!(
        changed(|http| http.headers.extend(many)),
        Some(Denial::HeadersTooLarge)
    );
    let large = strings(&[("x", &"a".repeat(listener().max_header_bytes))]);
    assert_eq!(
        changed(|http| http.headers.extend(large)),
        Some(Denial::HeadersTooLarge)
    );
}

#[test]
fn every_spelling_of_an_owned_header_is_removed_and_no_written_one() {
    let names = IdentityNames::default();
    let owned = OwnedHeaders::new(&names, &[], false);
    let identity = HeaderMap::from_iter([(
        HeaderName::from_static("x-user-id"),
        HeaderValue::from_static("ada"),
    )]);
    let sent = [
        "x-user-id",
        "x_user_id",
        "x.user.id",
        "x-auth-a",
        "x-user-name",
    ];
    let client: HeaderMap = sent
        .iter()
        .chain(&["mlflow_tracking_token", "authorization"])
        .map(|name| (name.parse().unwrap(), HeaderValue::from_static("root")))
        .collect();
    let response = told::allowed(&identity, &client, &owned);
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpResponse::OkResponse(mut ok)) = response.http_response else {
        panic!("not allowed");
    };
    ok.headers_to_remove.sort();
    assert_eq!(
        ok.headers_to_remove,
        ["x-auth-a", "x-user-name", "x.user.id", "x_user_id"]
    );
    let header = ok.headers.remove(0);
    assert_eq!(
        header.append_action,
        i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd)
    );
    assert_eq!(header.header.unwrap().value, "ada");
    assert_eq!(ok.headers.len(), 0);
}

#[test]
fn no_refusal_has_the_code_of_an_allow() {
    for status in 100..=599 {
        let status = StatusCode::from_u16(status).unwrap();
        let code = told::code(status);
        assert_ne!(code, Code::Ok, "{status}");
        let (head, ()) = Response::builder()
            .status(status)
            .body(())
            .unwrap()
            .into_parts();
        let denied = told::denied(&head, b"", "x");
        assert_eq!(denied.status.unwrap().code, i32::from(code));
        assert!(
            matches!(denied.http_response, Some(HttpResponse::DeniedResponse(_))),
            "{status}"
        );
    }
}
