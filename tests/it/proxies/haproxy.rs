//! `deploy/haproxy` in `HAProxy`.

use super::matrix::matrix;
use super::stated::{self, Stated};
use super::{Kind, Places, Proxy, Sees, passed, shipped};
use crate::support::counterparts::{or_skip, skipped};
use crate::support::eventually;
use crate::support::http::Call;
use crate::support::programs::find;
use crate::support::upstream::{Upstream, status};

const CONFIG: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");
const ACTION: &str = include_str!("../../../deploy/haproxy/gatepost.lua");

struct HaProxy;

matrix!(HaProxy);

impl Kind for HaProxy {
    const SEES: Sees = Sees {
        outage: 503,
        gone: 503,
        method: 405,
    };

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, CONFIG, ACTION).await
    }
}

async fn start(places: &Places, config: &str, action: &str) -> Option<Proxy> {
    let program = find("haproxy").or_else(|| skipped("haproxy"))?;
    Proxy::run(&program, |directory, address| {
        let at = |name: &str| directory.join(name).display().to_string();
        let config = shipped(
            config,
            &[
                ("/etc/haproxy/gatepost.lua", &at("gatepost.lua")),
                // one name space for all of the machine
                (
                    "abns@gatepost",
                    &format!("abns@gatepost-{}", address.port()),
                ),
                ("127.0.0.1:7401", &places.gatepost.to_string()),
                ("127.0.0.1:3000", &places.app.to_string()),
                (":8080", &address.to_string()),
            ],
        );
        std::fs::write(directory.join("haproxy.cfg"), config).expect("written");
        std::fs::write(directory.join("gatepost.lua"), action).expect("written");
        // in the foreground, one process
        vec!["-db".to_owned(), "-f".to_owned(), at("haproxy.cfg")]
    })
    .await
}

#[tokio::test]
async fn what_gatepost_says_is_what_the_client_hears() {
    passed::answers::<HaProxy>(&[]).await;
    // what is neither an allow nor a refusal: nobody knows what it means
    passed::unknown::<HaProxy>(&[201, 204, 302, 500, 502, 504]).await;
}

#[tokio::test]
async fn it_states_the_request_and_passes_what_it_is_judged_by() {
    let Stated {
        plain,
        upload,
        websocket,
    } = or_skip!(stated::by::<HaProxy>().await);
    assert_eq!(plain.uri, "/auth/haproxy");
    assert_eq!(upload.uri, "/auth/haproxy");
    assert_eq!(websocket.header("upgrade"), "");
}

#[tokio::test]
async fn a_client_of_http2_is_judged_like_any_other() {
    passed::http2::<HaProxy>().await;
}

#[tokio::test]
async fn an_error_in_the_action_allows_nothing() {
    let gatepost = Upstream::start().await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let broken = shipped(ACTION, &[("txn.sf:src()", "txn.sf:no_such_fetch()")]);
    let proxy = or_skip!(start(&places, CONFIG, &broken).await);
    for _again in 0..2 {
        let reply = Call::get(proxy.address, "/").send().await;
        assert_eq!(reply.status, 503, "{reply:?}");
    }
    assert_eq!(gatepost.requests().len() + app.requests().len(), 0);
    eventually("it is logged", || async {
        proxy.written().contains("no_such_fetch").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_identity_that_has_no_room_is_no_anonymous_request() {
    let gatepost = Upstream::answering(|request| {
        let length = request.header("x-length").parse().expect("a number");
        let mut answer = status(http::StatusCode::OK);
        let groups = "g".repeat(length).parse().expect("a value");
        answer.headers_mut().insert("x-user-groups", groups);
        answer
    })
    .await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(HaProxy::start(&places).await);
    for (length, filled, told) in [(7000, 20_000, 200), (20_000, 0, 200), (20_000, 20_000, 431)] {
        let call = Call::get(proxy.address, "/").header("x-length", &length.to_string());
        let reply = call.header("cookie", &"c".repeat(filled)).send().await;
        assert_eq!(reply.status, told, "{length} {reply:?}");
        if told == 200 {
            assert_eq!(app.last().header("x-user-groups").len(), length);
        }
    }
    assert_eq!(app.requests().len(), 2);
}

#[tokio::test]
async fn more_headers_than_it_can_ask_about_are_refused_before() {
    let gatepost = Upstream::start().await;
    let app = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: app.address,
    };
    let proxy = or_skip!(HaProxy::start(&places).await);
    for (count, told) in [
        (80, 200),
        (91, 431),
        (95, 431),
        (98, 431),
        (300, 400),
        (80, 200),
    ] {
        let mut call = Call::get(proxy.address, "/");
        for number in 0..count {
            call = call.header(&format!("h-{number}"), "");
        }
        assert_eq!(call.send().await.status, told, "{count}");
    }
    assert_eq!((gatepost.requests().len(), app.requests().len()), (2, 2));
}

#[tokio::test]
async fn the_request_that_was_judged_is_carried_and_no_other() {
    stated::is_carried::<HaProxy>().await;
}

#[tokio::test]
async fn a_client_cannot_have_the_identity_dropped() {
    stated::connection_drops_nothing::<HaProxy>().await;
}

#[tokio::test]
async fn the_questions_of_many_requests_share_connections() {
    passed::shared::<HaProxy>().await;
}

#[tokio::test]
async fn no_spelling_of_what_clients_may_not_say_passes() {
    passed::no_spelling::<HaProxy>().await;
}
