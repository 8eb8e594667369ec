//! `deploy/caddy` in Caddy.

use super::matrix::matrix;
use super::stated::{self, Stated};
use super::{Kind, Places, Proxy, Sees, passed, shipped};
use crate::support::counterparts::{free_port, or_skip, skipped};
use crate::support::programs::find;

const CONFIG: &str = include_str!("../../../deploy/caddy/Caddyfile");

struct Caddy;

matrix!(Caddy);

impl Kind for Caddy {
    const SEES: Sees = Sees {
        outage: 503,
        gone: 502,
        method: 405,
    };

    async fn start(places: &Places) -> Option<Proxy> {
        start(places, CONFIG).await
    }
}

async fn start(places: &Places, config: &str) -> Option<Proxy> {
    let caddy = find("caddy").or_else(|| skipped("caddy"))?;
    let env = find("env").or_else(|| skipped("env"))?;
    Proxy::run(&env, |directory, address| {
        let at = |name: &str| directory.join(name).display().to_string();
        let config = shipped(
            config,
            &[
                ("127.0.0.1:2019", &format!("127.0.0.1:{}", free_port())),
                ("127.0.0.1:7401", &places.gatepost.to_string()),
                ("127.0.0.1:3000", &places.app.to_string()),
                // any host, as shipped
                (":8080", &format!(":{}", address.port())),
            ],
        );
        std::fs::write(directory.join("Caddyfile"), config).expect("written");
        let caddy = caddy.display().to_string();
        [
            // what it keeps of its own it keeps there
            &format!("HOME={}", directory.display()),
            &format!("XDG_CONFIG_HOME={}", at("config")),
            &format!("XDG_DATA_HOME={}", at("data")),
            &caddy,
            "run",
            "--config",
            &at("Caddyfile"),
            "--adapter",
            "caddyfile",
        ]
        .map(str::to_owned)
        .to_vec()
    })
    .await
}

#[tokio::test]
async fn what_gatepost_says_is_what_the_client_hears() {
    passed::answers::<Caddy>(&[302, 500, 502, 504]).await;
}

#[tokio::test]
async fn it_states_the_request_and_passes_what_it_is_judged_by() {
    let Stated {
        plain,
        upload,
        websocket,
    } = or_skip!(stated::by::<Caddy>().await);
    assert_eq!(plain.uri, "/auth/caddy?d=%2F&e");
    // a kept connection may be one to the app, which then judges (caddyserver/caddy#7859)
    assert_eq!(plain.header("connection"), "close");
    assert_eq!(upload.uri, "/auth/caddy");
    // it offers the upgrade to Gatepost too (caddyserver/caddy#5430), which does not take it
    assert_eq!(websocket.header("upgrade"), "websocket");
}

/// As it is with TLS, where HTTP/2 is on.
struct Http2;

impl Kind for Http2 {
    const SEES: Sees = Caddy::SEES;

    async fn start(places: &Places) -> Option<Proxy> {
        let config = shipped(
            CONFIG,
            &[(
                "\tadmin ",
                "\tservers {\n\t\tprotocols h1 h2c\n\t}\n\tadmin ",
            )],
        );
        start(places, &config).await
    }
}

#[tokio::test]
async fn a_client_of_http2_is_judged_like_any_other() {
    passed::http2::<Http2>().await;
}

#[tokio::test]
async fn the_request_that_was_judged_is_carried_and_no_other() {
    stated::is_carried::<Caddy>().await;
}

#[tokio::test]
async fn a_client_cannot_have_the_identity_dropped() {
    stated::connection_drops_nothing::<Caddy>().await;
}

#[tokio::test]
async fn no_spelling_of_what_clients_may_not_say_passes() {
    passed::no_spelling::<Caddy>().await;
}
