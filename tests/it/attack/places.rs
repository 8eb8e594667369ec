//! Paths, hosts and methods that two readers would take for different ones.

use std::sync::Arc;

use bytes::Bytes;
use gatepost::authz::Route;
use gatepost::authz::route::{Access, HostPattern};
use http::{Method, Request};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{first_status, talk, with};
use crate::support::world::{World, public, route};

use super::recorder::Recorder;

/// Public files, keys with slashes in them, and an admin corner.
async fn corner() -> (World, Recorder) {
    let keys = Route {
        allow_encoded_slashes: true,
        ..public("keys", "/keys/**")
    };
    let routes = vec![
        public("open", "/public/**"),
        keys,
        route("admin", "/admin/**"),
    ];
    with(routes, |_config| {}).await
}

/// Each would be `/admin` to some reader.
const TRICKS: [&str; 46] = [
    "/public/../admin",
    "/public/./../admin",
    "/public/..",
    "/public/.",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/.%2e/admin",
    "/public/%2e./admin",
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public%2f..%2fadmin",
    "/public/%2e%2e%2fadmin",
    "/public/%252e%252e/admin",
    "/public/..%252fadmin",
    "/public/%25%32%65%25%32%65/admin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public\\..\\admin",
    "/public/%5c..%5cadmin",
    "/public//../admin",
    "//admin",
    "//public/../admin",
    "/public//admin",
    "/./admin",
    "/public/..;/admin",
    "/public/..;x=y/admin",
    "/public/;/admin",
    "/admin;/",
    "/public/a;b",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%c0%af",
    "/public/%e0%80%ae",
    "/public/%ff",
    "/public/%00",
    "/public/x%0d%0aX-User-ID:%20root",
    "/public/%7f",
    "/public/%",
    "/public/%2",
    "/public/%zz",
    "/public/%u002e%u002e/admin",
    "/keys/..%2fadmin",
    "/keys/..%2F..%2Fadmin",
    "/keys/a%2f..%2f..%2fadmin",
    "/keys/a%2f..",
    "/keys/%2e%2e%2fadmin",
    "/keys/a/.%2fx",
];

#[tokio::test]
async fn an_ambiguous_path_is_refused_on_ingress_and_in_every_dialect() {
    let (world, upstream) = corner().await;
    for path in TRICKS {
        for target in [path.to_owned(), format!("{path}?x=/public")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = talk(world.ingress(), request.as_bytes()).await;
            assert_eq!(first_status(&answer), Some(400), "{target} {answer}");
            for (dialect, answer) in dialects(&world, &target).await {
                let status = if dialect == "nginx" { 403 } else { 400 };
                assert_eq!(
                    first_status(&answer),
                    Some(status),
                    "{dialect} {target} {answer}"
                );
                assert!(
                    answer.contains("path_ambiguous"),
                    "{dialect} {target} {answer}"
                );
            }
        }
    }
    assert!(upstream.heard().is_empty(), "{:?}", upstream.heard());
}

async fn dialects(world: &World, target: &str) -> Vec<(&'static str, String)> {
    let forwarded = |name: &str| {
        format!(
            "GET /auth/{name} HTTP/1.1\r\nHost: g\r\nX-Forwarded-Method: GET\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Uri: {target}\r\n"
        )
    };
    let mut answers = Vec::new();
    for (dialect, request) in [
        (
            "nginx",
            format!(
                "GET /auth/nginx HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\n\
                 X-Original-URL: https://a{target}\r\n"
            ),
        ),
        (
            "nginx",
            format!(
                "GET /auth/nginx HTTP/1.1\r\nHost: a\r\nX-Original-Method: GET\r\n\
                 X-Original-URI: {target}\r\n"
            ),
        ),
        ("traefik", forwarded("traefik")),
        ("caddy", forwarded("caddy")),
        ("haproxy", forwarded("haproxy")),
        (
            "envoy",
            format!("GET /auth/envoy{target} HTTP/1.1\r\nHost: a\r\n"),
        ),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        answers.push((
            dialect,
            talk(world.forward_auth(), request.as_bytes()).await,
        ));
    }
    answers
}

#[tokio::test]
async fn another_spelling_of_a_guarded_path_is_guarded() {
    let (world, upstream) = corner().await;
    for target in [
        "/admin",
        "/admin/",
        "/%61dmin",
        "/%61%64%6d%69%6E",
        "/admin?/public/",
        "/admin/?x=/../public",
        "/admin/x%20",
        "/admin/%2525",
    ] {
        let expected = if target.ends_with("%2525") { 400 } else { 401 };
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = talk(world.ingress(), request.as_bytes()).await;
        assert_eq!(first_status(&answer), Some(expected), "{target} {answer}");
        for (dialect, answer) in dialects(&world, target).await {
            let expected = if dialect == "nginx" && expected == 400 {
                403
            } else {
                expected
            };
            assert_eq!(
                first_status(&answer),
                Some(expected),
                "{dialect} {target} {answer}"
            );
        }
    }
    assert!(upstream.heard().is_empty());
    for (target, seen) in [
        (
            "/public/%61?x=/../admin&%2e%2e",
            "/public/a?x=/../admin&%2e%2e",
        ),
        ("/public/a%20b", "/public/a%20b"),
        ("/public?", "/public?"),
        ("/keys/a%2fb", "/keys/a%2Fb"),
        ("/keys/a%2F%2fb..c", "/keys/a%2F%2Fb..c"),
        ("http://a/public/x?y", "/public/x?y"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = talk(world.ingress(), request.as_bytes()).await;
        assert_eq!(first_status(&answer), Some(200), "{target} {answer}");
        assert_eq!(upstream.last().target, seen);
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
}

fn hosts() -> Vec<Route> {
    let strong = Route {
        hosts: vec![HostPattern::Exact("api.test".to_owned())],
        ..route("strong", "/**")
    };
    vec![strong, public("weak", "/**")]
}

#[tokio::test]
async fn a_host_is_named_once_and_plainly() {
    let (world, upstream) = with(hosts(), |_config| {}).await;
    for (target, hosts, expected) in [
        ("/", "Host: api.test", 401),
        ("/", "Host: API.Test", 401),
        ("/", "Host: api.test:80", 401),
        ("/", "Host: api.test.", 401),
        ("/", "Host: api.test:", 401),
        ("http://api.test/", "Host: api.test", 401),
        ("/", "Host: weak.test\r\nX-Forwarded-Host: api.test", 200),
        ("/", "X-Host: api.test", 400),
        ("/", "Host:", 400),
        ("/", "Host: weak.test\r\nHost: api.test", 400),
        ("/", "Host: api.test\r\nHost: api.test", 400),
        ("/", "Host: weak.test, api.test", 400),
        ("/", "Host: weak.test api.test", 400),
        ("/", "Host: weak.test@api.test", 400),
        ("/", "Host: weak.test:80@api.test", 400),
        ("/", "Host: weak.test/api.test", 400),
        ("/", "Host: weak.test?api.test", 400),
        ("/", "Host: weak.test#api.test", 400),
        ("/", "Host: weak.test\\api.test", 400),
        ("/", "Host: weak.test:8x", 400),
        ("/", "Host: weak.test:80:80", 400),
        ("/", "Host: [::1", 400),
        ("/", "Host: caf\u{e9}.test", 400),
        ("http://weak.test/", "Host: api.test", 400),
        ("http://api.test/", "Host: weak.test", 400),
        ("http://weak.test@api.test/", "Host: api.test", 400),
        ("http://api.test:80/", "Host: api.test", 400),
        ("//weak.test/x", "Host: api.test", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}\r\nConnection: close\r\n\r\n");
        let answer = talk(world.ingress(), request.as_bytes()).await;
        assert_eq!(first_status(&answer), Some(expected), "{request} {answer}");
    }
    assert_eq!(upstream.heard().len(), 1);
    assert_eq!(upstream.last().folded("x-forwarded-host"), ["weak.test"]);
}

#[tokio::test]
async fn over_http2_too() {
    let (world, upstream) = with(hosts(), |_config| {}).await;
    let stream = TcpStream::connect(world.ingress()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    for (authority, hosts, expected) in [
        ("api.test", vec![], 401),
        ("API.test:443", vec![], 401),
        ("api.test", vec!["api.test"], 401),
        ("weak.test", vec![], 200),
        ("weak.test", vec!["api.test"], 400),
        ("api.test", vec!["weak.test"], 400),
        ("weak.test", vec!["weak.test", "api.test"], 400),
        ("weak.test@api.test", vec![], 400),
    ] {
        let mut request = Request::get(format!("http://{authority}/"));
        for host in &hosts {
            request = request.header("host", *host);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let status = sender.send_request(request).await.unwrap().status();
        assert_eq!(status, expected, "{authority} {hosts:?}");
    }
    assert_eq!(upstream.heard().len(), 1);
}

#[tokio::test]
async fn a_method_has_one_spelling_and_no_override() {
    let reading = Route {
        methods: vec![Method::GET],
        ..public("read", "/x")
    };
    let deleting = Route {
        methods: vec![Method::DELETE],
        ..route("delete", "/x")
    };
    let any = |name: &str| Route {
        methods: vec![],
        access: Access::Public,
        name: Arc::from(name),
        ..route("", "/any")
    };
    let (world, upstream) = with(vec![reading, deleting, any("any")], |_config| {}).await;
    for (line, more, expected) in [
        ("GET /x", "", 200),
        ("HEAD /x", "", 200),
        ("DELETE /x", "", 401),
        ("POST /x", "", 405),
        ("get /x", "", 405),
        ("Delete /x", "", 405),
        ("delete /any", "", 405),
        ("pOST /any", "", 405),
        ("trace /any", "", 405),
        ("Connect /any", "", 405),
        ("TRACE /any", "", 405),
        ("PROPFIND /any", "", 200),
        ("m-search /any", "", 200),
        ("GET /x", "X-HTTP-Method-Override: DELETE\r\n", 200),
        (
            "GET /x?_method=DELETE",
            "X_Method_Override: DELETE\r\n",
            200,
        ),
        ("CONNECT a:443", "", 405),
    ] {
        let host = if line.starts_with("CONNECT") {
            "a:443"
        } else {
            "a"
        };
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
        let answer = talk(world.ingress(), request.as_bytes()).await;
        assert_eq!(first_status(&answer), Some(expected), "{request} {answer}");
        if expected == 200 {
            let heard = upstream.last();
            assert!(line.starts_with(&format!("{} ", heard.method)), "{heard:?}");
            assert!(heard.folded("x-http-method-override").is_empty());
            assert!(heard.folded("x-method-override").is_empty());
        }
        if !line.starts_with("CONNECT") {
            let (method, path) = line.split_once(' ').unwrap();
            let request = format!(
                "GET /auth/caddy HTTP/1.1\r\nHost: g\r\nX-Forwarded-Method: {method}\r\n{more}\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\nX-Forwarded-Uri: {path}\r\n\
                 Connection: close\r\n\r\n"
            );
            let answer = talk(world.forward_auth(), request.as_bytes()).await;
            assert_eq!(first_status(&answer), Some(expected), "{request} {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_of_nginx_cannot_name_another_host() {
    let (world, _upstream) = with(hosts(), |_config| {}).await;
    // NGINX states the URI and passes the client's own `X-Original-URL` on
    let request = "GET /auth/nginx HTTP/1.1\r\nHost: api.test\r\nX-Original-Method: GET\r\n\
                   X-Original-URI: /x\r\nX-Original-URL: http://weak.test/x\r\n\
                   Connection: close\r\n\r\n";
    let answer = talk(world.forward_auth(), request.as_bytes()).await;
    assert_eq!(first_status(&answer), Some(403), "{answer}");
    assert!(answer.contains("request_malformed"), "{answer}");
}
