//! `deploy/nginx` in NGINX.

use http::{HeaderValue, StatusCode};

use super::matrix::matrix;
use super::{Kind, Places, Proxy, Sees, Stage, shipped};
use crate::support::counterparts::{or_skip, skipped};
use crate::support::eventually;
use crate::support::http::{Call, Connection};
use crate::support::programs::find;
use crate::support::upstream::{Answer, Recorded, Upstream, status};

pub(super) const CONFIG: &str = include_str!("../../../deploy/nginx/nginx.conf");

pub(super) struct Nginx;

matrix!(Nginx);

impl Kind for Nginx {
    const SEES: Sees = Sees {
        outage: 503,
        gone: 503,
        method: 405,
    };

    async fn start(places: &Places) -> Option<Proxy> {
        run(CONFIG, places).await
    }
}

/// NGINX with this config.
pub(super) async fn run(config: &str, places: &Places) -> Option<Proxy> {
    let program = find("nginx").or_else(|| skipped("nginx"))?;
    Proxy::run(&program, |directory, address| {
        let at = |name: &str| directory.join(name).display().to_string();
        // the packages' own places need root
        let kept = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .concat();
        let config = shipped(
            config,
            &[
                ("http {\n", &format!("http {{\n{kept}")),
                ("/var/log/nginx/access.log", &at("access.log")),
                ("127.0.0.1:7401", &places.gatepost.to_string()),
                ("127.0.0.1:3000", &places.app.to_string()),
                ("0.0.0.0:8080", &address.to_string()),
            ],
        );
        std::fs::write(directory.join("nginx.conf"), config).expect("written");
        let global = format!("daemon off; pid {}; error_log stderr;", at("pid"));
        vec![
            "-p".to_owned(),
            directory.display().to_string(),
            "-c".to_owned(),
            at("nginx.conf"),
            "-g".to_owned(),
            global,
        ]
    })
    .await
}

#[tokio::test]
async fn the_questions_of_many_requests_share_a_connection() {
    let stage = or_skip!(Stage::set::<Nginx>().await);
    let mut client = Connection::open(stage.proxy.address).await;
    for number in 0..20 {
        for (path, token) in [("/own", &stage.bob), ("/admin", &stage.bob)] {
            let call = stage.get(&format!("{path}/{number}")).bearer(&token.access);
            client.send(call).await;
        }
    }
    let open = stage
        .gatepost
        .metric::<u32>(r#"gatepost_connections{listener="forward_auth"}"#);
    assert_eq!(open.await, Some(1));
}

/// What Gatepost would answer, said by the test in its place.
async fn told(answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Option<Told> {
    let gatepost = Upstream::answering(answer).await;
    let app = Upstream::answering(|request| {
        let code = request.uri.path().trim_start_matches('/').parse();
        status(code.unwrap_or(StatusCode::OK))
    })
    .await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    Some(Told {
        proxy: Nginx::start(&places).await?,
        gatepost,
        app,
    })
}

struct Told {
    proxy: Proxy,
    gatepost: Upstream,
    app: Upstream,
}

fn refusal(code: StatusCode, headers: &[(&'static str, &'static str)]) -> Answer {
    let mut answer = status(code);
    for (name, value) in headers {
        answer
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    answer
}

#[tokio::test]
async fn a_reason_that_auth_request_cannot_carry_becomes_the_true_status_again() {
    for (code, reason, more, shown) in [
        (403, "path_ambiguous", None, 400),
        (403, "method_not_allowed", Some(("allow", "GET, HEAD")), 405),
        (403, "rate_limited", Some(("retry-after", "7")), 429),
        (403, "group_missing", None, 403),
        (
            401,
            "token_expired",
            Some(("www-authenticate", "Bearer error=\"invalid_token\"")),
            401,
        ),
        (500, "keys_unavailable", Some(("retry-after", "3")), 503),
        // not Gatepost's, but never an allow
        (404, "", None, 503),
        (302, "", Some(("location", "/elsewhere")), 503),
    ] {
        let code = StatusCode::from_u16(code).expect("a status");
        let more: Vec<_> = more.into_iter().collect();
        let said = more.clone();
        let told = or_skip!(
            told(move |_| {
                let said = [&said[..], &[("x-auth-reason", reason)]].concat();
                refusal(code, &said)
            })
            .await
        );
        let reply = Call::get(told.proxy.address, "/").send().await;
        assert_eq!(reply.status, shown, "{code} {reason}");
        for (name, value) in more {
            let value = if name == "location" { "" } else { value };
            assert_eq!(reply.header(name), value, "{code} {reason}");
        }
        assert!(!reply.headers.contains_key("x-auth-reason"));
        assert!(told.app.requests().is_empty());
    }
}

#[tokio::test]
async fn the_apps_own_refusals_pass_as_they_are() {
    let told = or_skip!(told(|_| status(StatusCode::OK)).await);
    for code in [401, 403, 404, 500, 503] {
        let reply = Call::get(told.proxy.address, &format!("/{code}"))
            .send()
            .await;
        assert_eq!((reply.status.as_u16(), reply.text()), (code, ""));
    }
}

#[tokio::test]
async fn a_user_in_a_thousand_groups_is_no_outage() {
    let groups =
        HeaderValue::try_from(vec!["group-with-a-name"; 1_000].join(",")).expect("a value");
    let said = groups.clone();
    let told = or_skip!(
        told(move |_| {
            let mut answer = status(StatusCode::OK);
            answer.headers_mut().insert("x-user-groups", said.clone());
            answer
        })
        .await
    );
    let reply = Call::get(told.proxy.address, "/").send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(told.app.last().header("x-user-groups"), groups);
}

#[tokio::test]
async fn gatepost_is_asked_without_the_body_and_with_nothing_of_the_clients_own_statements() {
    let told = or_skip!(told(|_| status(StatusCode::OK)).await);
    let call = Call::new(http::Method::PUT, told.proxy.address, "/a%2Fb?c=d#e")
        .header("host", "Api.Example.com:8443")
        .header("x-original-uri", "/public")
        .header("x-original-url", "http://other.test/public")
        .header("x-original-method", "GET")
        .header("x-request-id", "mine")
        .header("x-forwarded-for", "192.0.2.1")
        .header("authorization", "Bearer x")
        .header("cookie", "a=b")
        .body("body");
    assert_eq!(call.send().await.status, 200);
    let asked = told.gatepost.last();
    assert_eq!(
        (asked.method.as_str(), asked.uri.path()),
        ("HEAD", "/auth/nginx")
    );
    assert_eq!(
        (&asked.body[..], asked.header("content-length")),
        (&b""[..], "")
    );
    for (name, value) in [
        ("x-original-method", "PUT"),
        ("x-original-url", "http://api.example.com/a%2Fb?c=d"),
        ("x-forwarded-for", "127.0.0.1"),
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
    ] {
        let values: Vec<_> = asked.headers.get_all(name).iter().collect();
        assert_eq!(values, [value], "{name}");
    }
    assert!(!asked.headers.contains_key("x-original-uri"));
    assert_eq!(asked.header("x-request-id").len(), 32);
    assert_eq!(told.app.last().header("host"), "api.example.com");
}

#[tokio::test]
async fn the_access_log_says_why_and_holds_no_credential() {
    let stage = or_skip!(Stage::set::<Nginx>().await);
    let call = stage.get("/admin/users").bearer(&stage.bob.access);
    assert_eq!(call.send().await.status, 403);
    let log = stage.proxy.directory.path().join("access.log");
    let line = eventually("a line", || async {
        let log = String::from_utf8(std::fs::read(&log).ok()?).expect("text");
        log.ends_with('\n').then_some(log)
    })
    .await;
    assert!(
        line.contains(r#""GET /admin/users HTTP/1.1" 403 "#),
        "{line}"
    );
    assert!(line.contains(r#" reason="group_missing" "#), "{line}");
    assert!(!line.contains(&stage.bob.access), "{line}");
}

#[tokio::test]
async fn no_protocol_but_websocket_is_offered_to_the_app() {
    let stage = or_skip!(Stage::set::<Nginx>().await);
    for (offered, passed) in [
        ("h2c", ""),
        ("foo, websocket", ""),
        ("WebSocket", "websocket"),
    ] {
        let call = stage.get("/public/socket").header("connection", "upgrade");
        call.header("upgrade", offered).send().await;
        let requests = stage.app.requests();
        let last = requests.last().expect("it arrived");
        assert_eq!(last.header("upgrade"), passed, "{offered}");
    }
}
