//! Ingress: whose headers reach the upstream, and what is refused.

use std::sync::Arc;

use gatepost::authn::principal::PrincipalKind;
use gatepost::authz::Route;
use gatepost::authz::route::{Access, Authorization, Cors, Forward, HostRewrite, Mode, Protected};
use gatepost::config::{RequestIdTrust, Server};
use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::support::wire::{Wire, ask, body, send, status, values};
use crate::support::world::{World, bearer, forward, protected, proxies, public, route, token};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn ada() -> String {
    token(json!({
        "sub": "ada", "tenant": "t1", "client_id": "web", "name": "Ada L", "email": "ada@example.test",
        "groups": ["ops", "dev"], "roles": ["r"], "permissions": ["p"],
    }))
}

fn forwarding(name: &str, path: &str, change: impl FnOnce(&mut Forward)) -> Route {
    let mut forward = forward();
    change(&mut forward);
    Route {
        forward: Some(forward),
        ..route(name, path)
    }
}

#[tokio::test]
async fn identity_headers_are_ours_and_all_others_pass_in_order() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![route("all", "/**")]).await;
    let authorization = bearer(&ada());
    let answer = ask(
        world.ingress(),
        &[
            "GET /a/%62?q=%2F&x HTTP/1.1",
            "Host: api.example.test:8080",
            "X-First: 1",
            "X-User-ID: root",
            "x_user_id: root",
            "X.User.Id: root",
            "X-Tenant_ID: root",
            "X-Auth-Handle: stolen",
            "x-amzn-oidc-data: forged",
            "X-Original-URL: /admin",
            "X-HTTP-Method-Override: DELETE",
            "MLFLOW_TRACKING_TOKEN: under_score",
            "X-Repeated: a",
            &authorization,
            "X-Repeated: b",
            "X-Amz-Security-Token: kept",
            "X-Request-ID: chosen-by-client",
            "X-Hop: gone",
            "X-Forwarded-For: 6.6.6.6",
            "x_forwarded_for: 6.6.6.6",
            "X-Real-IP: 6.6.6.6",
            "Forwarded: for=6.6.6.6",
            "Keep-Alive: timeout=5",
            "Proxy-Authorization: Basic eA==",
            "TE: trailers",
            "Upgrade: websocket",
            "Connection: X-User-ID, X-Hop, authorization, X-Principal-Kind",
            "Cookie: a=1; b=2",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "Accept: */*",
        ],
    )
    .await;
    assert_eq!(status(&answer), 200, "{answer}");
    let id = values(&answer, "x-request-id")[0].to_owned();
    assert_ne!(id, "chosen-by-client");
    assert!(upstream.heard()[0].starts_with("GET /a/b?q=%2F&x HTTP/1.1\r\n"));
    assert_eq!(
        upstream.last_headers(),
        [
            &format!("host: {}", upstream.address),
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-forwarded-host: api.example.test:8080",
            &format!("x-request-id: {id}"),
            "x-user-id: ada",
            "x-tenant-id: t1",
            "x-user-name: Ada%20L",
            "x-user-email: ada@example.test",
            "x-user-groups: ops,dev",
            "x-user-roles: r",
            "x-user-permissions: p",
            "x-auth-issuer: legacy",
            "x-client-id: web",
            "x-principal-kind: user",
            "x-first: 1",
            "mlflow_tracking_token: under_score",
            "x-repeated: a",
            "x-repeated: b",
            &authorization.replacen('A', "a", 1),
            "x-amz-security-token: kept",
            "cookie: a=1; b=2",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "accept: */*",
            "connection: te",
            "te: trailers",
        ]
    );
    let line = world.log(1).await.remove(0);
    assert_eq!(line["request_id"], json!(id));
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["user_id"], "ada");
    assert_eq!(line["status"], 200);
}

#[tokio::test]
async fn a_public_route_states_nobody() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let lines = [
        "GET / HTTP/1.1",
        "Host: a",
        "X-User-ID: root",
        "X_User_Groups: admin",
    ];
    assert_eq!(status(&ask(world.ingress(), &lines).await), 200);
    let headers = upstream.last_headers();
    assert!(
        !headers
            .iter()
            .any(|line| line.starts_with("x-user") || line.starts_with("x_user")),
        "{headers:?}"
    );
}

#[tokio::test]
async fn trailers_are_scrubbed_and_a_get_may_have_a_body() {
    let upstream = Wire::answering(OK).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    for method in ["POST", "GET"] {
        let answer = send(
            world.ingress(),
            &format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: X-User-ID, X-Checksum\r\nTE: trailers\r\nConnection: close\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-User-ID: root\r\nx_user_id: root\r\nX-Checksum: 7\r\n\r\n"
            ),
        )
        .await;
        assert_eq!(status(&answer), 200, "{answer}");
        let request = upstream.heard().pop().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\ntrailer: x-checksum\r\n"), "{head}");
        assert_eq!(body, "3\r\nabc\r\n0\r\nx-checksum: 7\r\n\r\n");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_where_a_request_came_from() {
    let upstream = Wire::answering(OK).await;
    let world = World::with(upstream.address, vec![public("open", "/**")], |config| {
        let ingress = config.ingress.as_mut().unwrap();
        ingress.trusted_proxies = proxies(&["127.0.0.0/8"]);
        ingress.forwarded_header = true;
    })
    .await;
    let answer = ask(
        world.ingress(),
        &[
            "GET / HTTP/1.1",
            "Host: a.test",
            "X-Forwarded-For: 6.6.6.6, 9.9.9.9",
            "x_forwarded_for: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Port: 443",
            // the proxy writes the other one: this is its client's
            "Forwarded: for=9.9.9.9;host=evil",
            "X-Request-ID: from-the-edge",
        ],
    )
    .await;
    assert_eq!(values(&answer, "x-request-id"), ["from-the-edge"]);
    assert_eq!(
        upstream.last_headers()[1..],
        [
            "x-forwarded-for: 6.6.6.6, 9.9.9.9, 127.0.0.1",
            "x-forwarded-proto: https",
            "x-forwarded-host: a.test",
            "x-request-id: from-the-edge",
            "x-forwarded-port: 443",
            "forwarded: for=127.0.0.1;host=\"a.test\";proto=http",
        ]
    );
    assert_eq!(world.log(1).await[0]["client"], "9.9.9.9");
}

#[tokio::test]
async fn a_route_rewrites_host_path_and_authorization() {
    let upstream = Wire::answering(OK).await;
    let routes = vec![
        forwarding("cut", "/cut/**", |forward| {
            forward.strip_prefix = Some("/cut".to_owned());
            forward.host = HostRewrite::Preserve;
            forward.authorization = Authorization::Strip;
            forward.strip = [HeaderName::from_static("x-internal")].into();
        }),
        forwarding("literal", "/literal", |forward| {
            forward.host = HostRewrite::Literal(HeaderValue::from_static("mlflow.internal"));
        }),
        forwarding("replaced", "/replaced", |forward| {
            forward.authorization = Authorization::Replace(Arc::from("nothing"));
        }),
    ];
    let world = World::with(upstream.address, routes, |config| {
        let url = format!("http://{}/base/", upstream.address);
        config.upstreams[0].server = Server::at(url.parse().unwrap());
        config.request_id_trust = RequestIdTrust::Any;
    })
    .await;
    let authorization = bearer(&ada());
    let lines = [
        "GET /cut/x/y?z HTTP/1.1",
        "Host: Api.test:1",
        "X_Internal: 1",
        "X-Request-ID: mine",
        &authorization,
    ];
    let answer = ask(world.ingress(), &lines).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(values(&answer, "x-request-id"), ["mine"]);
    let heard = upstream.heard().pop().unwrap();
    assert!(
        heard.starts_with("GET /base/x/y?z HTTP/1.1\r\nhost: Api.test:1\r\n"),
        "{heard}"
    );
    assert!(
        !heard.contains("authorization:") && !heard.contains("x_internal"),
        "{heard}"
    );

    let lines = ["GET /literal HTTP/1.1", "Host: a", &authorization];
    assert_eq!(status(&ask(world.ingress(), &lines).await), 200);
    let heard = upstream.heard().pop().unwrap();
    assert!(heard.starts_with("GET /base/literal HTTP/1.1\r\nhost: mlflow.internal\r\n"));
    assert!(heard.contains("\r\nauthorization: Bearer "));

    let asked = upstream.heard().len();
    let lines = ["GET /replaced HTTP/1.1", "Host: a", &authorization];
    let answer = ask(world.ingress(), &lines).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(body(&answer).contains("egress_token_unavailable"));
    assert_eq!(upstream.heard().len(), asked);
}

#[tokio::test]
async fn a_credential_of_ours_is_lent_to_nobody_whom_the_rule_did_not_let_in() {
    let upstream = Wire::answering(OK).await;
    let replaced = |name, path| {
        forwarding(name, path, |forward| {
            forward.authorization = Authorization::Replace(Arc::from("nothing"));
        })
    };
    let shadowed = Route {
        access: Access::Protected(Box::new(Protected {
            mode: Mode::Shadow,
            ..protected()
        })),
        ..replaced("shadowed", "/shadowed")
    };
    let shared = Route {
        cors: Some(Cors::Pass),
        ..replaced("shared", "/shared")
    };
    let world = World::with(upstream.address, vec![shadowed, shared], |_config| {}).await;
    let token = "Authorization: Bearer nonsense";
    let origin = "Origin: https://page.example";
    let asked = "Access-Control-Request-Method: GET";
    for lines in [
        ["GET /shadowed HTTP/1.1", "Host: a", token, asked],
        ["OPTIONS /shared HTTP/1.1", "Host: a", origin, asked],
    ] {
        let answer = ask(world.ingress(), &lines).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let heard = upstream.heard().pop().unwrap();
        assert!(!heard.contains("authorization:"), "{heard}");
    }
    let authorization = bearer(&ada());
    let lines = ["GET /shadowed HTTP/1.1", "Host: a", &authorization];
    assert_eq!(status(&ask(world.ingress(), &lines).await), 503);
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_upstream() {
    let upstream = Wire::answering(OK).await;
    let only_auth = Route {
        forward: None,
        ..public("only-auth", "/only-auth")
    };
    let read = Route {
        methods: vec![http::Method::GET],
        ..route("read", "/read")
    };
    let services = Route {
        access: Access::Protected(Box::new(Protected {
            require: gatepost::authz::Rule {
                principal: Some(PrincipalKind::Service),
                ..gatepost::authz::Rule::default()
            },
            ..protected()
        })),
        ..route("services", "/services")
    };
    let world = World::start(upstream.address, vec![only_auth, read, services]).await;
    let (good, bad) = (bearer(&ada()), bearer("x.y.z"));
    let expired = bearer(&token(json!({"sub": "ada", "exp": 1_000_000_000})));
    for (lines, code, reason) in [
        (
            vec!["GET /read HTTP/1.1", "Host: a"],
            401,
            "credential_missing",
        ),
        (
            vec!["GET /read HTTP/1.1", "Host: a", &bad],
            401,
            "token_malformed",
        ),
        (
            vec!["GET /read HTTP/1.1", "Host: a", &expired],
            401,
            "token_expired",
        ),
        (
            vec!["GET /read HTTP/1.1", "Host: a", &good, &good],
            400,
            "credential_ambiguous",
        ),
        (
            vec!["PUT /read HTTP/1.1", "Host: a", &good],
            405,
            "method_not_allowed",
        ),
        (
            vec!["GET /services HTTP/1.1", "Host: a", &good],
            403,
            "principal_kind_refused",
        ),
        (vec!["GET /only-auth HTTP/1.1", "Host: a"], 404, "no_route"),
        (
            vec!["GET /nowhere HTTP/1.1", "Host: a", &good],
            404,
            "no_route",
        ),
        (
            vec!["GET /x/../read HTTP/1.1", "Host: a", &good],
            400,
            "path_ambiguous",
        ),
        (
            vec!["GET /read HTTP/1.1", "Host: a", "Host: b", &good],
            400,
            "host_invalid",
        ),
        (vec!["GET /read HTTP/1.1", &good], 400, "host_invalid"),
        (
            vec!["GET http://b/read HTTP/1.1", "Host: a", &good],
            400,
            "host_invalid",
        ),
        (
            vec!["CONNECT a:443 HTTP/1.1", "Host: a:443", &good],
            405,
            "method_not_allowed",
        ),
        (
            vec!["TRACE /read HTTP/1.1", "Host: a", &good],
            405,
            "method_not_allowed",
        ),
    ] {
        let answer = ask(world.ingress(), &lines).await;
        assert_eq!(status(&answer), code, "{lines:?} {answer}");
        assert!(body(&answer).contains(reason), "{lines:?} {answer}");
        assert_eq!(values(&answer, "x-request-id").len(), 1);
        assert_eq!(
            values(&answer, "www-authenticate").len(),
            usize::from(code == 401)
        );
    }
    let log = world.log(14).await;
    assert_eq!(log[0]["reason"], "credential_missing");
    assert_eq!(log[2]["user_id"], "ada");
    assert_eq!(upstream.heard(), Vec::<String>::new());
}
