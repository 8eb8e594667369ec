//! Identity headers under every name that an app may read as theirs, over HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use gatepost::config::RequestIdTrust;
use http::{HeaderName, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::recorder::{Heard, fold};
use super::{ada, first_status, talk, with, world};
use crate::support::wire::{status, values};
use crate::support::world::{proxies, public};

/// Owned by us, or about the request itself, or about where it came from: never an untrusted
/// client's to say.
const NAMES: [&str; 32] = [
    "x-user-id",
    "x-request-id",
    "x-tenant-id",
    "x-user-name",
    "x-user-email",
    "x-user-groups",
    "x-user-roles",
    "x-user-permissions",
    "x-auth-issuer",
    "x-client-id",
    "x-principal-kind",
    "x-auth-handle",
    "x-auth-request-user",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-real-ip",
    "forwarded",
    "transfer-encoding",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
];

/// The name itself is left out where it would break the message.
fn spellings(name: &str) -> Vec<String> {
    let mixed: String = {
        let mut marks = ['_', '.', '-'].into_iter().cycle();
        name.chars()
            .map(|char| {
                if char == '-' {
                    marks.next().unwrap()
                } else {
                    char
                }
            })
            .collect()
    };
    let mut all = vec![
        name.to_owned(),
        name.to_uppercase(),
        name.replace('-', "_"),
        name.replace('-', ".").to_uppercase(),
        name.replacen('-', "_", 1),
        mixed,
    ];
    if name == "transfer-encoding" {
        all.retain(|spelling| fold(spelling) != spelling.to_lowercase());
    }
    all
}

/// Nothing the client said under a name that folds to this one.
fn assert_ours(heard: &Heard, name: &str, how: &str) {
    let values = heard.folded(name);
    assert!(
        values.len() <= 1 && !values.iter().any(|value| value.contains("evil")),
        "{how} {name}: {heard:?}"
    );
}

#[tokio::test]
async fn no_spelling_of_an_owned_header_passes() {
    let (world, upstream) = world(|_config| {}).await;
    for path in ["/open", "/admin"] {
        for name in NAMES {
            let credential = ada();
            let spellings = spellings(name);
            let sent: String = spellings
                .iter()
                .flat_map(|name| [format!("{name}: evil\r\n"), format!("{name}:evil2\r\n")])
                .collect();
            let listed = spellings.join(", ");
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{credential}\r\n");
            for request in [
                format!("{head}{sent}Connection: close\r\n\r\n"),
                format!("{head}{sent}Connection: close, {listed}\r\n\r\n"),
                format!("{head}Connection: close, {name}\r\n\r\n"),
                format!(
                    "{head}Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: {listed}\r\n\
                     Connection: close\r\n\r\n1\r\nx\r\n0\r\n{sent}\r\n"
                ),
            ] {
                let answer = talk(world.ingress(), request.as_bytes()).await;
                assert_eq!(first_status(&answer), Some(200), "{request} {answer}");
                let seen = upstream.last();
                if name != "transfer-encoding" || !request.contains("Transfer-Encoding: chunked") {
                    assert_ours(&seen, name, &request);
                }
                if path == "/admin" {
                    assert_eq!(seen.folded("x-user-id"), ["ada"], "{request}");
                }
                assert_eq!(seen.folded("x-forwarded-for"), ["127.0.0.1"], "{request}");
                assert!(seen.trailers.is_empty(), "{seen:?}");
            }
        }
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
}

#[tokio::test]
async fn nor_over_http2() {
    let (world, upstream) = world(|_config| {}).await;
    let stream = TcpStream::connect(world.ingress()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let credential = ada();
    let (_name, credential) = credential.split_once(": ").unwrap();
    for name in NAMES {
        for trailing in [false, true] {
            let mut fields = http::HeaderMap::new();
            for spelling in spellings(name) {
                let spelling = HeaderName::from_bytes(spelling.as_bytes()).unwrap();
                if !["keep-alive", "proxy-connection"].contains(&spelling.as_str()) {
                    fields.append(spelling, "evil".parse().unwrap());
                }
            }
            let body = Full::new(Bytes::from_static(b"x"));
            let mut request = Request::post("http://a.test/admin")
                .header("authorization", credential)
                .body(())
                .unwrap();
            let request = if trailing {
                request.map(|()| body.with_trailers(async { Some(Ok(fields)) }).boxed())
            } else {
                request.headers_mut().extend(fields);
                request.map(|()| body.boxed())
            };
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200, "{name}");
            let heard = upstream.last();
            if name != "transfer-encoding" {
                assert_ours(&heard, name, "h2");
            }
            assert_eq!(heard.folded("x-user-id"), ["ada"], "{name}");
            assert!(heard.trailers.is_empty(), "{heard:?}");
        }
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
}

#[tokio::test]
async fn connection_takes_nothing_away_that_was_judged_or_is_a_proxys_word() {
    let (world, upstream) = with(vec![public("open", "/**")], |config| {
        config.ingress.as_mut().unwrap().trusted_proxies = proxies(&["127.0.0.0/8"]);
    })
    .await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\nCookie: a=b\r\n\
                   Content-Type: text/plain\r\nContent-Length: 1\r\nX-Forwarded-For: 9.9.9.9\r\n\
                   X-Forwarded-Proto: https\r\nX-Real-IP: 9.9.9.9\r\nX-Hop: gone\r\n\
                   Connection: close, authorization, COOKIE, host, content-length, content-type\r\n\
                   Connection: x-forwarded-for, X-Forwarded-Proto, x-real-ip, x-hop\r\n\r\nx";
    let answer = talk(world.ingress(), request.as_bytes()).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let heard = upstream.last();
    for (name, value) in [
        ("authorization", "Basic eA=="),
        ("cookie", "a=b"),
        ("content-type", "text/plain"),
        ("content-length", "1"),
        ("x-forwarded-for", "9.9.9.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "9.9.9.9"),
    ] {
        assert_eq!(heard.folded(name), [value], "{name}");
    }
    assert!(heard.folded("x-hop").is_empty());
}

#[tokio::test]
async fn a_request_id_is_one_short_visible_word_or_ours() {
    let long = "x".repeat(129);
    let fits = "x".repeat(128);
    let sent = [
        ("X-Request-ID: a b".to_owned(), None),
        ("X-Request-ID: a\tb".to_owned(), None),
        ("X-Request-ID: caf\u{e9}".to_owned(), None),
        ("X-Request-ID:".to_owned(), None),
        (format!("X-Request-ID: {long}"), None),
        ("X-Request-ID: a\r\nX-Request-ID: b".to_owned(), None),
        ("X_Request_ID: a".to_owned(), None),
        (format!("X-Request-ID: {fits}"), Some(fits)),
        (
            "X-Request-ID: \"},{\"decision\":\"allow".to_owned(),
            Some("\"},{\"decision\":\"allow".to_owned()),
        ),
    ];
    for trust in [RequestIdTrust::Any, RequestIdTrust::TrustedProxies] {
        let believed = trust == RequestIdTrust::Any;
        let (world, upstream) = world(|config| config.request_id_trust = trust).await;
        for (count, (line, kept)) in sent.iter().enumerate() {
            let request =
                format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\nConnection: close\r\n\r\n");
            let answer = talk(world.ingress(), request.as_bytes()).await;
            let ids = values(&answer, "x-request-id");
            assert_eq!(ids.len(), 1, "{line} {answer}");
            match kept.as_ref().filter(|_kept| believed) {
                Some(kept) => assert_eq!(ids, [kept]),
                None => assert_eq!(ids[0].len(), 36, "{line} {answer}"),
            }
            assert_eq!(upstream.last().folded("x-request-id"), ids);
            assert_eq!(world.log(count + 1).await[count]["request_id"], ids[0]);
        }
    }
}
