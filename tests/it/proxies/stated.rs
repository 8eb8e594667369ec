//! What a proxy that states the original request in `X-Forwarded-*` asks with.

use http::{Method, StatusCode};

use super::{Kind, Places};
use crate::support::counterparts::or_skip;
use crate::support::http::{Call, raw};
use crate::support::upstream::{Recorded, Upstream, status};

/// What arrived at a Gatepost that allows everything.
pub(super) struct Stated {
    /// For a `GET` without a body.
    pub(super) plain: Recorded,
    /// For a `POST` with one.
    pub(super) upload: Recorded,
    /// For the offer of a WebSocket.
    pub(super) websocket: Recorded,
}

fn once(seen: &Recorded, name: &str, value: &str) {
    let values: Vec<_> = seen.headers.get_all(name).iter().collect();
    assert_eq!(values, [value], "{name}: {seen:?}");
}

/// Fails unless each states the request, whole and once, and passes all credentials on.
pub(super) async fn by<K: Kind>() -> Option<Stated> {
    let gatepost = Upstream::start().await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = K::start(&places).await?;
    let credentials = [
        ("authorization", "Bearer a.b.c"),
        ("cookie", "session=1"),
        ("x-api-key", "gp_key"),
        ("x-amzn-oidc-data", "d.e.f"),
        ("mlflow_tracking_token", "t"),
        ("accept", "application/json"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let sent = |method: Method, path: &str| {
        let call = Call::new(method, proxy.address, path);
        let call = credentials
            .iter()
            .fold(call, |call, (name, value)| call.header(name, value));
        call.header("x-forwarded-for", "10.1.2.3")
            .header("x-forwarded-port", "1")
            .header("x-user-id", "root")
    };
    let asked = |method: &str, uri: &str| {
        let seen = gatepost.last();
        assert_eq!(seen.method, "GET", "{seen:?}");
        assert!(seen.body.is_empty(), "{seen:?}");
        once(&seen, "x-forwarded-method", method);
        once(&seen, "x-forwarded-uri", uri);
        once(&seen, "x-forwarded-proto", "http");
        once(&seen, "x-forwarded-host", "app.test:8443");
        once(&seen, "x-forwarded-for", "127.0.0.1");
        for (name, value) in credentials {
            once(&seen, name, value);
        }
        for name in [
            "content-length",
            "transfer-encoding",
            "expect",
            "x-user-id",
            "x-forwarded-port",
        ] {
            assert_eq!(seen.header(name), "", "{name}: {seen:?}");
        }
        seen
    };

    let call = sent(Method::GET, "/a/b%20c?d=%2F&e").header("host", "app.test:8443");
    assert_eq!(call.send().await.status, 200);
    let plain = asked("GET", "/a/b%20c?d=%2F&e");

    let call = sent(Method::POST, "/upload").header("host", "app.test:8443");
    assert_eq!(call.body(vec![b'x'; 100_000]).send().await.status, 200);
    let upload = asked("POST", "/upload");
    assert_eq!(app.last().body.len(), 100_000);

    let lines = credentials
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .concat();
    let offer = format!(
        "GET http://app.test:8443/chat HTTP/1.1\r\nHost: app.test:8443\r\n{lines}\
         Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    // the app answers it with a page, after which the connection may stay open or not
    let answer = tokio::time::timeout(
        std::time::Duration::from_secs(1),
        raw(proxy.address, offer.as_bytes()),
    );
    drop(answer.await);
    let websocket = asked("GET", "/chat");
    // in the form of a request to a server, not to a proxy
    assert_eq!(app.last().uri, "/chat");
    assert_eq!(app.last().header("upgrade"), "websocket");
    Some(Stated {
        plain,
        upload,
        websocket,
    })
}

/// Requests whose target, host or method somebody might read in another way.
pub(super) const ODD: &[&str] = &[
    "GET http://app.test/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET https://app.test/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://root@app.test/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://app.test:80/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://app.test HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://app.test?a HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://other.test/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET http://app.test/a HTTP/1.1\r\nHost: other.test\r\n",
    "GET /a HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n",
    "GET /a HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n",
    "GET /a HTTP/1.1\r\nHost: app.test, other.test\r\n",
    "GET /a HTTP/1.1\r\nHost: root@app.test\r\n",
    "GET /a HTTP/1.1\r\nHost: APP.test.:80\r\n",
    "GET /a HTTP/1.1\r\nHost:\r\n",
    "GET /a HTTP/1.1\r\n",
    "GET /a HTTP/1.0\r\n",
    "GET /a HTTP/1.0\r\nHost: app.test\r\n",
    "GET //a HTTP/1.1\r\nHost: app.test\r\n",
    "GET ///a//b HTTP/1.1\r\nHost: app.test\r\n",
    "GET //other.test/a HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a/../b HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a/./b HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a/%2e%2e/b HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a%2Fb%2fc HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a%5c..%5Cb HTTP/1.1\r\nHost: app.test\r\n",
    "GET /%61%7e%7E%41 HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a;b=c/d HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a?b#c HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a#/b HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a? HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a?b?c=%2F&d=//e/../f HTTP/1.1\r\nHost: app.test\r\n",
    "GET /{http.request.header.host}/{host}/%{+Q}o HTTP/1.1\r\nHost: app.test\r\n",
    "GET /%[src]/$host/${HOME} HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a|b^c<d>\"e` HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a%zz HTTP/1.1\r\nHost: app.test\r\n",
    "GET /a%00b%0d%0ac HTTP/1.1\r\nHost: app.test\r\n",
    "GET a HTTP/1.1\r\nHost: app.test\r\n",
    "GET * HTTP/1.1\r\nHost: app.test\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: app.test\r\n",
    "get /a HTTP/1.1\r\nHost: app.test\r\n",
    "PURGE /a HTTP/1.1\r\nHost: app.test\r\n",
    "POST /a HTTP/1.1\r\nHost: app.test\r\nX-HTTP-Method-Override: DELETE\r\n",
    "GET /a HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-Uri: /b\r\nX-Forwarded-Host: b.test\r\n",
];

/// The app gets the request that Gatepost was asked about, or none.
pub(super) async fn is_carried<K: Kind>() {
    // as Gatepost does, it takes only what is stated
    let gatepost = Upstream::answering(|request| {
        let stated = ["x-forwarded-host", "x-forwarded-uri"].map(|name| request.header(name));
        status(if stated.contains(&"") || stated[1].contains('#') {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        })
    })
    .await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    let mut carried = 0;
    for request in ODD {
        let whole = format!("{request}Connection: close\r\n\r\n");
        let answer = raw(proxy.address, whole.as_bytes()).await;
        if app.requests().len() == carried {
            assert!(
                !answer.contains(" 200 OK\r\n") || request.contains('*'),
                "{request} {answer}"
            );
            continue;
        }
        carried += 1;
        assert_eq!(app.requests().len(), carried, "{request}");
        let (judged, seen) = (gatepost.last(), app.last());
        once(&judged, "x-forwarded-method", seen.method.as_str());
        once(&judged, "x-forwarded-uri", &seen.uri.to_string());
        once(&judged, "x-forwarded-host", seen.header("host"));
        assert_eq!(seen.header("x-http-method-override"), "", "{request}");
    }
    assert!(carried > 10, "{carried}");
}

/// `Connection` names headers for whoever comes next to drop, and only a WebSocket is opened.
pub(super) async fn connection_drops_nothing<K: Kind>() {
    let gatepost = Upstream::answering(|_| {
        let mut answer = status(StatusCode::OK);
        let ada = "ada".parse().expect("a value");
        answer.headers_mut().insert("x-user-id", ada);
        answer
    })
    .await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    for lines in [
        "Connection: X-User-ID, close\r\n",
        "Connection: x-user-id\r\nConnection: close\r\n",
        "Connection: close, X-User-ID\r\nUpgrade: websocket\r\n",
        "Connection: close, X-User-ID\r\nUpgrade: h2c, websocket\r\n",
        "Connection: close, upgrade, HTTP2-Settings, X-User-ID\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA\r\n",
        "Connection: close, upgrade, X-User-ID\r\nUpgrade: other/1\r\n",
        "Proxy-Connection: X-User-ID\r\nKeep-Alive: X-User-ID\r\nConnection: close\r\n",
    ] {
        let request = format!("GET /a HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n");
        let before = app.requests().len();
        let answer = raw(proxy.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{lines} {answer}");
        assert_eq!(app.requests().len(), before + 1, "{lines}");
        let seen = app.last();
        once(&seen, "x-user-id", "ada");
        let connection = seen.header("connection").to_ascii_lowercase();
        assert!(!connection.contains("x-user-id"), "{lines} {seen:?}");
        assert_eq!(seen.header("upgrade"), "", "{lines} {seen:?}");
    }
}
