//! What proxies that pass Gatepost's answer on have in common.

use http::StatusCode;
use serde_json::json;

use super::{Kind, Places};
use crate::support::counterparts::or_skip;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::programs::{curl, text};
use crate::support::sidecar::{config, token};
use crate::support::upstream::{Upstream, status};

/// A Gatepost that answers the status in the path.
async fn answering() -> Upstream {
    Upstream::answering(|request| {
        let path = request.header("x-forwarded-uri").trim_start_matches('/');
        let code: u16 = path.parse().expect("a status");
        let mut answer = status(StatusCode::from_u16(code).expect("a status"));
        let headers = answer.headers_mut();
        for (name, value) in [
            ("retry-after", "17"),
            ("content-type", "text/x-reason"),
            ("www-authenticate", "Bearer"),
            ("www-authenticate", "ApiKey"),
        ] {
            headers.append(name, value.parse().expect("a value"));
        }
        if code != 204 {
            *answer.body_mut() = "because".into();
        }
        answer
    })
    .await
}

/// The client is told Gatepost's status, headers and body: of what Gatepost answers, and of these.
pub(super) async fn answers<K: Kind>(more: &[u16]) {
    let (gatepost, app) = (answering().await, Upstream::start().await);
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    for code in [400, 401, 403, 404, 405, 413, 429, 431, 503]
        .iter()
        .chain(more)
    {
        let reply = Call::get(proxy.address, &format!("/{code}")).send().await;
        assert_eq!(reply.status, *code, "{reply:?}");
        assert_eq!(reply.text(), "because");
        assert_eq!(reply.header("retry-after"), "17", "{code}");
        assert_eq!(reply.header("content-type"), "text/x-reason");
        let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
        assert_eq!(challenges, ["Bearer", "ApiKey"], "{code}");
    }
    assert_eq!(app.requests().len(), 0, "{:?}", app.requests());
}

/// Of these the client is told 503, and nothing of them.
pub(super) async fn unknown<K: Kind>(codes: &[u16]) {
    let (gatepost, app) = (answering().await, Upstream::start().await);
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    for code in codes {
        let reply = Call::get(proxy.address, &format!("/{code}")).send().await;
        assert_eq!(reply.status, 503, "{code} {reply:?}");
        assert_eq!((reply.header("retry-after"), reply.text()), ("1", ""));
        assert_eq!(reply.header("www-authenticate"), "", "{code}");
    }
    assert_eq!(app.requests().len(), 0, "{:?}", app.requests());
}

/// Gatepost that judges tokens of [`token`] for forward auth.
async fn gatepost() -> Gatepost {
    let own = config("http://127.0.0.1:9", "");
    let forward_auth =
        "[forward_auth]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    Gatepost::start(&format!("{own}\n{forward_auth}")).await
}

/// HTTP/2 without TLS, by prior knowledge.
pub(super) async fn http2<K: Kind>() {
    let gatepost = gatepost().await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.listener("forward_auth").await,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    let authorization = format!("authorization: Bearer {}", token(&json!({})));
    let upload = "x".repeat(100_000);
    for (path, more, told, arrived) in [
        ("/own?a=b", &[][..], "2 401", 0),
        ("/own?a=b", &[authorization.as_str()], "2 200", 1),
        (
            "/own",
            &[&authorization, "x_user_id: root", "x-user.id: root"],
            "2 200",
            2,
        ),
        (
            "/own",
            &["x-forwarded-uri: /public/x", "x-forwarded-method: GET"],
            "2 401",
            2,
        ),
        (
            "/editors/x",
            &[&authorization, "x-user-groups: editors"],
            "2 403",
            2,
        ),
        ("/public/../own", &[&authorization], "2 400", 2),
    ] {
        let mut curl = or_skip!(curl());
        curl.args([
            "--http2-prior-knowledge",
            "--path-as-is",
            "--output",
            "/dev/null",
        ]);
        curl.args(["--write-out", "%{http_version} %{http_code}"]);
        for header in more {
            curl.args(["--header", header]);
        }
        if told == "2 200" {
            curl.args(["--data", &upload]);
        }
        curl.arg(format!("http://{}{path}", proxy.address));
        assert_eq!(text(curl).await, told, "{path} {more:?}");
        assert_eq!(app.requests().len(), arrived, "{path} {more:?}");
        if told == "2 200" {
            let seen = app.last();
            assert_eq!(seen.uri, path);
            assert_eq!(seen.body.len(), upload.len());
            assert_eq!(seen.header("x-user-id"), "ada");
            assert!(!seen.headers.contains_key("x_user_id"), "{seen:?}");
            assert!(!seen.headers.contains_key("x-user.id"), "{seen:?}");
        }
    }
}

/// Whether they are allowed, refused, or come with a body.
pub(super) async fn shared<K: Kind>() {
    let gatepost = gatepost().await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.listener("forward_auth").await,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    let token = token(&json!({}));
    let mut client = Connection::open(proxy.address).await;
    for path in ["/own", "/editors/x", "/public/x"].repeat(10) {
        let call = Call::post(proxy.address, path).bearer(&token);
        client.send(call.body(vec![b'x'; 2000])).await;
    }
    let open = gatepost
        .metric::<u32>(r#"gatepost_connections{listener="forward_auth"}"#)
        .await;
    // one for each of its threads, or two at a time, but not one for each question
    assert!((1..15).contains(&open.expect("a gauge")), "{open:?}");
}

/// No spelling of a header that is not the client's to say reaches the app: not where Gatepost, which
/// writes no identity here, leaves it alone.
pub(super) async fn no_spelling<K: Kind>() {
    let gatepost = Upstream::answering(|_| status(StatusCode::OK)).await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(K::start(&places).await);
    for name in OWNED {
        let mut call = Call::get(proxy.address, "/");
        for spelling in spellings(name) {
            call = call.header(&spelling, "root");
        }
        call = call.header("mlflow_tracking_token", "mine");
        assert_eq!(call.send().await.status, 200, "{name}");
        let seen = app.last();
        for (other, value) in &seen.headers {
            // what the proxy says itself is another value, but no name of one
            assert!(value != "root", "{other}: {seen:?}");
            assert!(!value.as_bytes().starts_with(b"{"), "{other}: {seen:?}");
        }
        assert_eq!(seen.header("mlflow_tracking_token"), "mine");
    }
}

/// One name of each kind.
const OWNED: &[&str] = &[
    "x-user-id",
    "x-user-name",
    "x-user-email",
    "x-user-groups",
    "x-user-roles",
    "x-user-permissions",
    "x-request-id",
    "x-tenant-id",
    "x-client-id",
    "x-principal-kind",
    "x-auth-issuer",
    "x-auth-handle",
    "x-auth-reason",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
    "x-real-ip",
    "x-method-override",
    "x-http-method",
    "x-http-method-override",
];

/// The name with each of its separators replaced by each other, and those that frame a message.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (at, word) in name.split('-').enumerate() {
        let separators = if at == 0 { &[""][..] } else { &["-", "_", "."] };
        all = all
            .iter()
            .flat_map(|begun| {
                separators
                    .iter()
                    .map(move |by| format!("{begun}{by}{word}"))
            })
            .collect();
    }
    all.extend(
        [
            "content_length",
            "content.length",
            "transfer_encoding",
            "transfer.encoding",
        ]
        .map(str::to_owned),
    );
    all
}
