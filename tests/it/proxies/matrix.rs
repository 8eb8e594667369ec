//! What must be true of every proxy.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::spoofed::{as_another, as_public, identity, overrides, send};
use super::{Kind, Places, Stage};
use crate::support::counterparts::{self, or_skip};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection, Reply};

/// One test for each of these sentences, of this [`Kind`].
macro_rules! matrix {
    ($kind:ty) => {
        #[tokio::test]
        async fn a_permitted_request_arrives_whole_and_says_who_it_is() {
            crate::proxies::matrix::permitted::<$kind>().await;
        }

        #[tokio::test]
        async fn a_refused_request_never_arrives_and_its_client_learns_why() {
            crate::proxies::matrix::refused::<$kind>().await;
        }

        #[tokio::test]
        async fn nobody_arrives_as_another() {
            crate::proxies::matrix::as_themselves::<$kind>().await;
        }

        #[tokio::test]
        async fn no_request_is_judged_as_another() {
            crate::proxies::matrix::as_it_is::<$kind>().await;
        }

        #[tokio::test]
        async fn requests_on_one_connection_and_a_hundred_at_once_are_judged_each() {
            crate::proxies::matrix::many::<$kind>().await;
        }

        #[tokio::test]
        async fn a_websocket_is_judged_first_and_then_carried() {
            crate::proxies::matrix::websocket::<$kind>().await;
        }

        #[tokio::test]
        async fn without_the_issuers_keys_nothing_is_allowed_and_nothing_is_a_401() {
            crate::proxies::matrix::without_keys::<$kind>().await;
        }

        #[tokio::test]
        async fn without_gatepost_nothing_is_allowed_until_it_is_back() {
            crate::proxies::matrix::without_gatepost::<$kind>().await;
        }
    };
}
pub(super) use matrix;

pub(super) async fn permitted<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    let (ada, bob) = (&stage.ada.access, &stage.bob.access);
    let reply = stage
        .get("/admin/users?all=1&x=%2F")
        .bearer(ada)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(identity(&reply.headers).is_empty(), "{reply:?}");
    let seen = stage.app.last();
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.uri.to_string(), "/admin/users?all=1&x=%2F");
    let who = identity(&seen.headers);
    for (name, value) in [
        ("x-user-id", stage.ada.sub.as_str()),
        ("x-user-groups", "admins"),
        ("x-principal-kind", "user"),
    ] {
        assert_eq!(who.get(name), Some(&vec![value.to_owned()]), "{name}");
    }
    assert!(who.contains_key("x-client-id"), "{who:?}");
    assert!(who.contains_key("x-auth-issuer"), "{who:?}");
    assert_eq!(seen.header("authorization"), format!("Bearer {ada}"));
    // the app's log and Gatepost's are of the same request
    let line = stage.gatepost.line(seen.header("x-request-id")).await;
    assert_eq!(
        (&line["method"], &line["path"], &line["user_id"]),
        (
            &"GET".into(),
            &"/admin/users".into(),
            &stage.ada.sub.as_str().into()
        )
    );

    // bodies are carried past the question, and no byte of one is left over for the next request
    let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = Connection::open(stage.proxy.address).await;
    for (method, expect) in [(Method::POST, ""), (Method::PUT, "100-continue")] {
        let mut call = Call::new(method.clone(), stage.proxy.address, "/upload").bearer(bob);
        if !expect.is_empty() {
            call = call.header("expect", expect);
        }
        let reply = client.send(call.body(body.clone())).await;
        assert_eq!(reply.status, 200, "{method} {reply:?}");
        let seen = stage.app.last();
        assert_eq!(seen.method, method);
        assert!(seen.body == body, "{} bytes arrived", seen.body.len());
        let who = identity(&seen.headers);
        assert_eq!(who["x-user-id"], [stage.bob.sub.as_str()]);
        assert_eq!(who.get("x-user-groups"), None, "{who:?}");
    }
    let lines = "Transfer-Encoding: chunked\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
                 5\r\nhello\r\n6\r\n world\r\n0\r\n";
    let status = send(stage.proxy.address, "POST /upload", ada, lines).await;
    assert_eq!(
        (status, &stage.app.last().body[..]),
        (200, &b"hello world"[..])
    );

    for method in [Method::HEAD, Method::OPTIONS, Method::DELETE, Method::PATCH] {
        let call = Call::new(method.clone(), stage.proxy.address, "/any").bearer(ada);
        assert_eq!(call.send().await.status, 200, "{method}");
        assert_eq!(stage.app.last().method, method);
    }
    let public = stage.get("/public/page").send().await;
    assert_eq!(public.status, 200);
    assert!(identity(&stage.app.last().headers).is_empty());
}

/// A 401 says how to do better, and neither it nor a 403 says more than that.
fn challenged(reply: &Reply, error: &str) {
    assert_eq!(reply.status, 401, "{reply:?}");
    let challenges: Vec<_> = reply.headers.get_all("www-authenticate").iter().collect();
    let [challenge] = challenges[..] else {
        panic!("one challenge: {reply:?}")
    };
    let challenge = challenge.to_str().expect("text");
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    assert_eq!(
        challenge.contains("error=\"invalid_token\""),
        !error.is_empty()
    );
}

/// The token with another signature.
fn altered(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a JWS");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let rest: String = signature.chars().skip(1).collect();
    format!("{signed}.{first}{rest}")
}

/// The token with another `kid` in its header.
fn of_another_key(token: &str) -> String {
    let (head, rest) = token.split_once('.').expect("a JWS");
    let head = URL_SAFE_NO_PAD.decode(head).expect("base64url");
    let mut head: Value = serde_json::from_slice(&head).expect("JSON");
    head["kid"] = "another".into();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head.to_string()))
}

pub(super) async fn refused<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    for path in ["/", "/admin/users", "/admin/", "/admin"] {
        let reply = stage.get(path).send().await;
        challenged(&reply, "");
        assert_eq!(identity(&reply.headers).len(), 0, "{reply:?}");
        assert!(!reply.headers.contains_key("x-auth-reason"), "{reply:?}");
    }
    let altered = altered(&stage.ada.access);
    for token in ["x.y.z", &altered, &stage.eve.access, &stage.ada.id] {
        let reply = stage.get("/").bearer(token).send().await;
        challenged(&reply, "invalid_token");
    }
    let twice = stage
        .get("/")
        .bearer(&stage.ada.access)
        .bearer(&stage.ada.access);
    let twice = twice.send().await;
    assert!(twice.status.is_client_error(), "{twice:?}");
    for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS] {
        let call = Call::new(method.clone(), stage.proxy.address, "/admin/users");
        let reply = call.bearer(&stage.bob.access).send().await;
        assert_eq!(reply.status, 403, "{method} {reply:?}");
        assert!(!reply.headers.contains_key("x-auth-reason"), "{reply:?}");
        let call = Call::new(method.clone(), stage.proxy.address, "/admin/users");
        let reply = call.body(vec![b'x'; 10_000]).send().await;
        challenged(&reply, "");
    }
    let post = Call::post(stage.proxy.address, "/read/1").bearer(&stage.ada.access);
    assert_eq!(post.send().await.status, K::SEES.method);
    assert_eq!(stage.arrived(), 0, "{:?}", stage.app.requests());
}

pub(super) async fn as_themselves<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    let (bob, to) = (&stage.bob, stage.proxy.address);
    stage.get("/").bearer(&bob.access).send().await;
    let honest = identity(&stage.app.last().headers);
    assert_eq!(honest["x-user-id"], [bob.sub.as_str()]);
    for lines in as_another() {
        for (path, token, who) in [
            ("/own", bob.access.as_str(), &honest),
            ("/public/page", "", &std::collections::BTreeMap::new()),
        ] {
            let before = stage.arrived();
            let status = send(to, &format!("GET {path}"), token, &lines).await;
            if stage.arrived() == before {
                // a proxy may refuse odd names; what is spelt as usual is no error
                assert!((400..500).contains(&status), "{status} {path} {lines}");
                assert!(lines.contains(['_', '.']), "{status} {path} {lines}");
                continue;
            }
            assert_eq!(status, 200, "{path} {lines}");
            let seen = stage.app.last();
            assert_eq!(identity(&seen.headers), *who, "{path} {lines}");
            assert_eq!(
                overrides(&seen.headers).len(),
                0,
                "{path} {lines}: {seen:?}"
            );
        }
        let status = send(to, "GET /admin/users", &bob.access, &lines).await;
        assert!((400..500).contains(&status), "{status} {lines}");
    }
}

pub(super) async fn as_it_is<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    let (bob, to) = (&stage.bob.access, stage.proxy.address);
    for lines in as_public() {
        for (line, token, told) in [
            ("GET /admin/users", "", 401),
            ("GET /admin/users", bob.as_str(), 403),
            ("POST /mixed/thing", "", 401),
        ] {
            let status = send(to, line, token, &lines).await;
            // or it is found malformed
            assert!(status == told || status == 400, "{status} {line} {lines}");
        }
    }
    for path in [
        "/public/../admin/users",
        "/public/%2e%2e/admin/users",
        "/public/..%2fadmin/users",
        "/public%2f..%2fadmin/users",
        "/public/..\\admin/users",
        "//admin/users",
        "/./admin/users",
        "/%61dmin/users",
        "/admin%2fusers",
        "/admin;public/users",
        "/admin/users?/public",
        "/admin/users%3f/public",
        "/public/../admin/users#/public",
    ] {
        let status = send(to, &format!("GET {path}"), "", "").await;
        assert!((400..500).contains(&status), "{status} {path}");
    }
    assert_eq!(stage.arrived(), 0, "{:?}", stage.app.requests());
}

pub(super) async fn many<K: Kind>() {
    let stage = or_skip!(Stage::set::<K>().await);
    let to = stage.proxy.address;
    let (ada, bob) = (&stage.ada, &stage.bob);
    let mut asked = Vec::new();
    for number in 0..20 {
        asked.extend([
            (format!("/admin/{number}"), Some(ada), 200),
            (format!("/admin/{number}/bob"), Some(bob), 403),
            (format!("/own/{number}"), Some(bob), 200),
            (format!("/public/{number}"), None, 200),
            (format!("/own/{number}/nobody"), None, 401),
        ]);
    }
    let mut client = Connection::open(to).await;
    for (path, who, told) in &asked {
        let call = Call::get(to, path);
        let call = match who {
            Some(who) => call.bearer(&who.access),
            None => call,
        };
        assert_eq!(client.send(call).await.status, *told, "{path}");
    }
    let mut all = JoinSet::new();
    for (path, who, told) in asked.clone() {
        let call = Call::get(to, &format!("{path}?at-once"));
        let call = match who {
            Some(who) => call.bearer(&who.access),
            None => call,
        };
        all.spawn(async move { (path, call.send().await.status, told) });
    }
    while let Some(done) = all.join_next().await {
        let (path, status, told) = done.expect("an answer");
        assert_eq!(status, told, "{path}");
    }
    let arrived = stage.app.requests();
    let uris = arrived.iter().map(|seen| seen.uri.to_string());
    assert_eq!(arrived.len(), 2 * 60, "{:?}", uris.collect::<Vec<_>>());
    for seen in arrived {
        let who = identity(&seen.headers);
        let expected = asked
            .iter()
            .find(|(path, _who, told)| path == seen.uri.path() && *told == 200)
            .unwrap_or_else(|| panic!("it was refused: {seen:?}"));
        let expected = expected.1.map(|who| vec![who.sub.clone()]);
        assert_eq!(who.get("x-user-id"), expected.as_ref(), "{seen:?}");
    }
}

pub(super) async fn websocket<K: Kind>() {
    let server = or_skip!(counterparts::websocket_server().await);
    let stage = or_skip!(Stage::set::<K>().await);
    let address = server.url.trim_start_matches("http://");
    let places = Places {
        gatepost: stage.gatepost.listener("forward_auth").await,
        app: address.parse().expect("an address"),
    };
    let proxy = or_skip!(K::start(&places).await);
    let order = |token: &str, path: &str| {
        json!({
            "url": format!("ws://{}{path}", proxy.address),
            "headers": {"authorization": format!("Bearer {token}"), "x-user-id": "root"},
            "messages": ["hello", 70_000],
        })
    };
    let order_of_ada = order(&stage.ada.access, "/admin/chat");
    let outcome = or_skip!(counterparts::websocket_client(order_of_ada).await);
    assert_eq!(outcome["status"], 101, "{outcome}");
    assert_eq!(outcome["messages"], json!(["hello", 70_000]));
    let refused = order(&stage.bob.access, "/admin/chat");
    let outcome = or_skip!(counterparts::websocket_client(refused).await);
    assert_eq!(outcome["status"], 403, "{outcome}");
    let mut told = order(&stage.bob.access, "/headers");
    told["messages"] = json!([]);
    let outcome = or_skip!(counterparts::websocket_client(told).await);
    let seen = outcome["messages"][0].as_str().expect("headers");
    let seen: Value = serde_json::from_str(seen).expect("JSON");
    assert_eq!(seen["x-user-id"], stage.bob.sub.as_str(), "{seen}");
}

pub(super) async fn without_keys<K: Kind>() {
    let stage = or_skip!(Stage::set_without_keys::<K>().await);
    for path in ["/", "/admin/users"] {
        for token in [
            &stage.ada.access,
            &stage.bob.access,
            &altered(&stage.ada.access),
        ] {
            let reply = stage.get(path).bearer(token).send().await;
            assert_eq!(reply.status, K::SEES.outage, "{reply:?}");
            assert_ne!(reply.header("retry-after"), "", "{reply:?}");
            assert!(!reply.headers.contains_key("www-authenticate"), "{reply:?}");
        }
    }
    assert_eq!(stage.arrived(), 0);
    assert_eq!(stage.get("/public/page").send().await.status, 200);
    challenged(&stage.get("/").send().await, "");

    // keys once loaded go on serving; only of a token that names another key nobody can tell
    let stage = or_skip!(Stage::set::<K>().await);
    let Stage { cognito, .. } = stage;
    drop(cognito);
    let get = |token: &str| Call::get(stage.proxy.address, "/").bearer(token);
    assert_eq!(get(&stage.ada.access).send().await.status, 200);
    let reply = get(&of_another_key(&stage.ada.access)).send().await;
    assert_eq!(reply.status, K::SEES.outage, "{reply:?}");
    assert!(!reply.headers.contains_key("www-authenticate"), "{reply:?}");
}

pub(super) async fn without_gatepost<K: Kind>() {
    let Stage {
        proxy,
        gatepost,
        app,
        cognito,
        ada,
        config,
        ..
    } = or_skip!(Stage::set::<K>().await);
    let get = |path: &str| Call::get(proxy.address, path);
    assert_eq!(get("/").bearer(&ada.access).send().await.status, 200);
    drop(gatepost);
    for attempt in 0..3 {
        for path in ["/", "/admin/users", "/public/page"] {
            for call in [get(path), get(path).bearer(&ada.access)] {
                let reply = call.send().await;
                assert_eq!(reply.status, K::SEES.gone, "{attempt} {path} {reply:?}");
            }
        }
    }
    assert_eq!(app.requests().len(), 1);
    let gatepost = Gatepost::start(&config).await;
    gatepost.ready().await;
    eventually("the proxy asks again", || async {
        let reply = get("/").bearer(&ada.access).send().await;
        (reply.status == 200).then_some(())
    })
    .await;
    drop(cognito);
}
