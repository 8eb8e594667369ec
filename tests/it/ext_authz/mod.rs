//! Envoy's gRPC `ext_authz` over real sockets, asked by a gRPC client of our own; the real Envoy is in
//! `proxies/envoy.rs`.

mod broken;
mod let_through;

use std::collections::HashMap;
use std::sync::Arc;

use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse, HttpResponse};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use gatepost::authz::Route;
use gatepost::config::{Config, KeyLocation};
use http::Method;
use serde_json::json;
use tonic::Code;

use crate::support::wire::{ask, body, status, values};
use crate::support::world::{World, proxies, public, route, token};

fn bearer() -> String {
    let token = token(json!({"sub": "ada", "email": "ada@example.test", "groups": ["ops"]}));
    format!("Bearer {token}")
}

async fn world(change: impl FnOnce(&mut Config)) -> World {
    let read = Route {
        methods: vec![Method::GET],
        forward: None,
        ..route("read", "/read/**")
    };
    let nobody = ([127, 0, 0, 1], 9).into();
    World::with(nobody, vec![read, public("open", "/open")], change).await
}

/// What Envoy says of `GET` of a path with these headers.
fn get(path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let pseudo = [
        (":method", "GET"),
        (":authority", "api.test"),
        (":path", path),
    ];
    let owned = headers
        .iter()
        .chain(&pseudo)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    HttpRequest {
        method: "GET".to_owned(),
        path: path.to_owned(),
        host: "api.test".to_owned(),
        scheme: "http".to_owned(),
        headers: owned.collect(),
        ..HttpRequest::default()
    }
}

fn about(http: HttpRequest, extensions: &[(&str, &str)]) -> CheckRequest {
    let owned = extensions
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(attribute_context::Request {
                http: Some(http),
                ..attribute_context::Request::default()
            }),
            context_extensions: owned.collect(),
            ..AttributeContext::default()
        }),
    }
}

async fn check(world: &World, request: CheckRequest) -> Result<CheckResponse, tonic::Status> {
    let url = format!("http://{}", world.forward_auth());
    let mut client = AuthorizationClient::connect(url).await.unwrap();
    client.check(request).await.map(tonic::Response::into_inner)
}

/// What the client is told: status, headers, body.
type Told = (i32, HashMap<String, String>, String);

/// The code and what the client is told; `None` if the request may go on.
async fn told(world: &World, request: CheckRequest) -> (Code, Option<Told>) {
    let response = check(world, request).await.unwrap();
    let code = Code::from(response.status.unwrap().code);
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(_) => (code, None),
        HttpResponse::DeniedResponse(denied) => {
            let headers = denied
                .headers
                .into_iter()
                .filter_map(|option| option.header);
            let headers = headers.map(|header| (header.key, header.value)).collect();
            let status = denied.status.unwrap().code;
            (code, Some((status, headers, denied.body)))
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn an_allow_overwrites_every_identity_header_and_removes_every_alias() {
    let world = world(|_config| {}).await;
    let headers = [
        ("authorization", &*bearer()),
        ("x-user-id", "root"),
        ("x_user_id", "root"),
        ("x.user.id", "root"),
        ("x-auth-role", "root"),
        ("x-request-id", "r-1"),
        ("mlflow_tracking_token", "kept"),
    ];
    let response = check(&world, about(get("/read/1?q", &headers), &[]))
        .await
        .unwrap();
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else {
        panic!("refused: {:?}", response.http_response);
    };
    let headers = ok.headers.iter().map(|option| {
        let header = option.header.as_ref().unwrap();
        assert_eq!(option.append_action, 2, "not an overwrite: {header:?}");
        (header.key.as_str(), header.value.as_str())
    });
    let headers: HashMap<_, _> = headers.collect();
    assert_eq!(
        headers,
        HashMap::from([
            ("x-user-id", "ada"),
            ("x-tenant-id", ""),
            ("x-user-name", ""),
            ("x-user-email", "ada@example.test"),
            ("x-user-groups", "ops"),
            ("x-user-roles", ""),
            ("x-user-permissions", ""),
            ("x-auth-issuer", "legacy"),
            ("x-client-id", ""),
            ("x-principal-kind", "user"),
            ("x-request-id", "r-1"),
        ])
    );
    let mut removed = ok.headers_to_remove;
    removed.sort();
    assert_eq!(removed, ["x-auth-role", "x.user.id", "x_user_id"]);
    assert_eq!(ok.response_headers_to_add.len(), 0);
}

#[tokio::test]
async fn a_refusal_says_what_the_http_dialect_says() {
    let expired = token(json!({"sub": "ada", "exp": 1_000_000_000}));
    let expired = format!("Bearer {expired}");
    let world = world(|config| config.errors.expose_reason = false).await;
    for (path, credential, code) in [
        ("/read/1", None, Code::Unauthenticated),
        ("/read/1", Some(&expired), Code::Unauthenticated),
        ("/nowhere", None, Code::PermissionDenied),
        ("/read//x", None, Code::InvalidArgument),
        ("/read/%2e%2e/x", None, Code::InvalidArgument),
    ] {
        let credential: Vec<_> = credential
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let line = credential
            .first()
            .map(|(name, value)| format!("{name}: {value}"));
        let http = ask(
            world.forward_auth(),
            &[
                &*format!("GET /auth/envoy{path} HTTP/1.1"),
                "Host: api.test",
                line.as_deref().unwrap_or("X-None: 0"),
            ],
        )
        .await;
        let (got, told) = told(&world, about(get(path, &credential), &[])).await;
        let (status_told, headers, text) = told.expect("refused");
        assert_eq!(
            (got, status_told),
            (code, i32::from(status(&http))),
            "{path}"
        );
        assert_eq!(text, body(&http), "{path}");
        for name in ["www-authenticate", "content-type", "cache-control"] {
            let said: Vec<&str> = headers.get(name).into_iter().map(String::as_str).collect();
            assert_eq!(said, values(&http, name), "{path} {name}");
        }
        assert!(headers.contains_key("x-request-id"), "{path}");
        assert!(!headers.contains_key("x-auth-reason"), "{path}");
        assert!(!headers.contains_key("content-length"), "{path}");
    }
    let mut put = get("/read/1", &[]);
    put.method = "PUT".to_owned();
    put.headers.clear();
    let (_code, told) = told(&world, about(put, &[])).await;
    let (status_told, headers, _body) = told.expect("refused");
    assert_eq!((status_told, &*headers["allow"]), (405, "GET, HEAD"));
}

#[tokio::test]
async fn an_outage_is_503_at_the_client_and_no_denial() {
    let world = world(|config| {
        config.issuers[0].keys = KeyLocation::JwksUrl("http://127.0.0.1:9/jwks".parse().unwrap());
        let mut issuer = (*config.issuers[0].issuer).clone();
        issuer.algorithms = vec![gatepost::authn::issuer::Algorithm::RS256];
        config.issuers[0].issuer = Arc::new(issuer);
    })
    .await;
    let rs256 = "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.\
                 eyJpc3MiOiJob2t1c2FpIiwiYXVkIjoiYXBwIiwic3ViIjoiYWRhIiwiZXhwIjo0MDAwMDAwMDAwfQ.AAAA";
    let (code, told) = told(
        &world,
        about(get("/read/1", &[("authorization", rs256)]), &[]),
    )
    .await;
    let (status, headers, _body) = told.expect("refused");
    assert_eq!((code, status), (Code::Unavailable, 503));
    assert_eq!(headers["x-auth-reason"], "keys_unavailable");
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn envoy_may_name_the_route() {
    let world = world(|_config| {}).await;
    let credential = [("authorization", &*bearer())];
    for (name, path, headers, expected) in [
        ("read", "/elsewhere", &credential[..], Code::Ok),
        ("read", "/elsewhere", &[], Code::Unauthenticated),
        ("open", "/read/1", &[], Code::Ok),
        ("nobody", "/open", &credential, Code::PermissionDenied),
        ("", "/open", &credential, Code::PermissionDenied),
        ("open", "/open/../x", &credential, Code::InvalidArgument),
        ("open", "open", &credential, Code::InvalidArgument),
    ] {
        let request = about(get(path, headers), &[("route", name), ("other", "x")]);
        let (code, _told) = told(&world, request).await;
        assert_eq!(code, expected, "{name} {path}");
    }
    let mut post = get("/elsewhere", &credential);
    post.method = "POST".to_owned();
    post.headers.remove(":method");
    let (_code, told) = told(&world, about(post, &[("route", "read")])).await;
    assert_eq!(told.expect("refused").0, 405);
}

#[tokio::test]
async fn bodies_whole_or_in_part_say_nothing() {
    let world = world(|_config| {}).await;
    for partial in ["true", "false"] {
        let mut http = get("/read/1", &[("x-envoy-auth-partial-body", partial)]);
        http.body = "access_token=x".to_owned();
        http.raw_body = vec![0; 100_000];
        http.size = 1 << 30;
        let (code, _told) = told(&world, about(http.clone(), &[])).await;
        assert_eq!(code, Code::Unauthenticated, "{partial}");
        http.headers.insert("authorization".to_owned(), bearer());
        let (code, _told) = told(&world, about(http, &[])).await;
        assert_eq!(code, Code::Ok, "{partial}");
    }
}

#[tokio::test]
async fn a_credential_sent_twice_is_refused_however_envoy_tells_it() {
    let world = world(|_config| {}).await;
    let joined = format!("{},{}", bearer(), bearer());
    let (_code, told_joined) = told(
        &world,
        about(get("/read/1", &[("authorization", &joined)]), &[]),
    )
    .await;
    assert_eq!(told_joined.expect("refused").0, 401);

    let mut apart = get("/read/1", &[("authorization", &*bearer())]);
    apart.headers.insert("Authorization".to_owned(), bearer());
    let (_code, told_apart) = told(&world, about(apart, &[])).await;
    let (status, headers, _body) = told_apart.expect("refused");
    assert_eq!(status, 400);
    assert_eq!(headers["x-auth-reason"], "credential_ambiguous");
}

#[tokio::test]
async fn the_log_tells_of_the_original_request() {
    let world = world(|_config| {}).await;
    let headers = [("x-request-id", "r-2"), ("user-agent", "ua")];
    let mut request = about(get("/read/1?secret", &headers), &[]);
    let attributes = request.attributes.as_mut().unwrap();
    attributes.source = Some(peer("192.0.2.7"));
    told(&world, request).await;
    let line = world.log(1).await.remove(0);
    for (name, value) in [
        ("plane", json!("forward_auth")),
        ("method", json!("GET")),
        ("path", json!("/read/1")),
        ("route", json!("read")),
        ("status", json!(401)),
        ("decision", json!("deny")),
        ("reason", json!("credential_missing")),
        ("client", json!("192.0.2.7")),
        ("request_id", json!("r-2")),
        ("user_agent", json!("ua")),
    ] {
        assert_eq!(line[name], value, "{name} {line}");
    }
}

fn peer(address: &str) -> attribute_context::Peer {
    use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address as kind};
    attribute_context::Peer {
        address: Some(Address {
            address: Some(kind::Address::SocketAddress(SocketAddress {
                address: address.to_owned(),
                ..SocketAddress::default()
            })),
        }),
        ..attribute_context::Peer::default()
    }
}

#[tokio::test]
async fn only_a_trusted_peer_is_listened_to() {
    let world = world(|config| {
        config.forward_auth.as_mut().unwrap().trusted_proxies = proxies(&["10.0.0.0/8"]);
    })
    .await;
    let request = about(get("/open", &[("authorization", &*bearer())]), &[]);
    let refused = check(&world, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "peer_untrusted");
    let line = world.log(1).await.remove(0);
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(403), &json!("peer_untrusted"))
    );
}
