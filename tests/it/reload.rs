//! Reloads of the running binary: nothing fails, nothing is lost, mistakes change nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Connection};
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Upstream, json, status};
use crate::support::wire::Wire;

/// The table of an issuer whose keys are at this server.
fn issuer(name: &str, keys: &Upstream) -> String {
    format!(
        r#"
        [issuers.{name}]
        kind = "jwt"
        issuer = "https://{name}.example"
        jwks_url = "{}/{name}"
        audiences = ["app"]
        algorithms = ["RS256"]
        "#,
        keys.url()
    )
}

/// One protected route for these issuers, with more keys of its own.
fn route(upstream: SocketAddr, issuers: &[&str], more: &str) -> String {
    format!(
        r#"
        [upstreams.app]
        url = "http://{upstream}"
        [[routes]]
        name = "all"
        path = "/**"
        upstream = "app"
        issuers = {issuers:?}
        {more}
        "#
    )
}

fn token(signer: &Signer, issuer: &str) -> String {
    signer.mint(&json!({
        "iss": format!("https://{issuer}.example"), "aud": "app", "sub": "ada", "exp": now() + 600,
    }))
}

async fn keys_of(signer: &Signer) -> Upstream {
    let keys = json!({ "keys": [signer.jwk()] });
    Upstream::answering(move |_request| json(&keys)).await
}

/// Sends requests one after the other until told to stop; how many, and the statuses but 200.
async fn load(to: SocketAddr, token: String, stop: Arc<AtomicBool>) -> (u64, Vec<StatusCode>) {
    let mut connection = Connection::open(to).await;
    let (mut sent, mut others) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let reply = connection.send(Call::get(to, "/").bearer(&token)).await;
        sent += 1;
        if reply.status != 200 {
            others.push(reply.status);
        }
    }
    (sent, others)
}

#[tokio::test]
async fn a_reload_under_load_fails_no_request_and_keeps_what_did_not_change() {
    let signer = Signer::new("one");
    let keys = keys_of(&signer).await;
    let app = Upstream::start().await;
    let config = |more: &str| issuer("users", &keys) + &route(app.address, &["users"], more);
    let gatepost = Gatepost::start(&config("")).await;
    gatepost.ready().await;
    let ingress = gatepost.listener("ingress").await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        clients.spawn(load(ingress, token(&signer, "users"), Arc::clone(&stop)));
    }
    for turn in 1..=4 {
        let timeout = format!(r#"timeout = "{turn}0s""#);
        gatepost.reload(&config(&timeout), "accepted", turn).await;
    }
    stop.store(true, Ordering::Relaxed);
    for (sent, others) in clients.join_all().await {
        assert!(sent > 0);
        assert!(others.is_empty(), "{others:?} of {sent}");
    }
    assert_eq!(keys.requests().len(), 1, "keys of an unchanged issuer");
    let metrics = gatepost.health("/metrics").await;
    // two clients, one second of one key: one token, or two; each is verified twice before it is kept
    let misses = metrics.text().lines().find_map(|line| {
        let count = line.strip_prefix(r#"gatepost_token_cache_total{result="miss"} "#)?;
        count.parse::<u32>().ok()
    });
    assert!(misses.is_some_and(|misses| misses <= 4), "{misses:?}");
}

#[tokio::test]
async fn a_new_issuer_has_its_keys_when_it_comes_into_force() {
    let signer = Signer::new("one");
    let keys = json!({ "keys": [signer.jwk()] });
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    // the new issuer's first fetches fail
    let issuers = Upstream::answering(move |request| {
        if request.uri.path() == "/users" || opened.load(Ordering::SeqCst) {
            json(&keys)
        } else {
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    })
    .await;
    let app = Upstream::start().await;
    let one = issuer("users", &issuers) + &route(app.address, &["users"], "");
    let two = issuer("users", &issuers)
        + &issuer("partner", &issuers)
        + "[jwks]\nfetch_timeout = \"20s\"\n"
        + &route(app.address, &["users", "partner"], "");
    let gatepost = Gatepost::start(&one).await;
    gatepost.ready().await;
    gatepost.rewrite(&two);
    gatepost.signal("HUP");
    crate::support::eventually("a fetch", || async {
        let asked = issuers.requests();
        asked
            .iter()
            .any(|one| one.uri.path() == "/partner")
            .then_some(())
    })
    .await;
    let get = async |issuer: &str| {
        let call = gatepost.get("/").await.bearer(&token(&signer, issuer));
        call.send().await.status
    };
    assert_eq!(get("users").await, 200, "the old world goes on");
    assert_eq!(
        get("partner").await,
        401,
        "which does not know the new issuer"
    );
    open.store(true, Ordering::SeqCst);
    gatepost.reloads("accepted", 1).await;
    assert_eq!(get("partner").await, 200);
    assert_eq!(get("users").await, 200);
}

#[tokio::test]
async fn an_issuer_that_stays_down_delays_a_reload_but_does_not_prevent_it() {
    let signer = Signer::new("one");
    let keys = keys_of(&signer).await;
    let down = Upstream::answering(|_request| status(StatusCode::BAD_GATEWAY)).await;
    let app = Upstream::start().await;
    let one = issuer("users", &keys) + &route(app.address, &["users"], "");
    let two = issuer("users", &keys)
        + &issuer("partner", &down)
        + "[jwks]\nfetch_timeout = \"200ms\"\n"
        + &route(app.address, &["users", "partner"], "");
    let gatepost = Gatepost::start(&one).await;
    gatepost.ready().await;
    gatepost.reload(&two, "accepted", 1).await;
    for (issuer, status) in [("users", 200), ("partner", 503)] {
        let call = gatepost.get("/").await.bearer(&token(&signer, issuer));
        assert_eq!(call.send().await.status, status, "{issuer}");
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_reload() {
    let signer = Signer::new("one");
    let keys = keys_of(&signer).await;
    let down = Upstream::answering(|_request| status(StatusCode::BAD_GATEWAY)).await;
    let one = issuer("users", &keys) + &route(keys.address, &["users"], "");
    let two = issuer("users", &keys)
        + &issuer("partner", &down)
        + "[jwks]\nfetch_timeout = \"10m\"\n"
        + &route(keys.address, &["users", "partner"], "");
    let mut gatepost = Gatepost::start(&one).await;
    gatepost.rewrite(&two);
    gatepost.signal("HUP");
    crate::support::eventually("a fetch", || async {
        (!down.requests().is_empty()).then_some(())
    })
    .await;
    gatepost.signal("TERM");
    assert_eq!(gatepost.exit().await, Some(0));
}

#[tokio::test]
async fn a_request_in_flight_finishes_on_the_config_it_began_with() {
    let old = Wire::told().await;
    let new = Upstream::start().await;
    let public = |upstream: SocketAddr| {
        format!(
            r#"
            [upstreams.app]
            url = "http://{upstream}"
            [[routes]]
            path = "/**"
            auth = "none"
            upstream = "app"
            "#
        )
    };
    let gatepost = Gatepost::start(&public(old.address)).await;
    let ingress = gatepost.listener("ingress").await;
    let mut client = TcpStream::connect(ingress).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    crate::support::eventually("the request at the old upstream", || async {
        (!old.heard().is_empty()).then_some(())
    })
    .await;
    gatepost.reload(&public(new.address), "accepted", 1).await;
    assert_eq!(gatepost.get("/").await.send().await.text(), "{}");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold";
    old.tell.send(answer).unwrap();
    let mut heard = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut client, &mut heard)
        .await
        .unwrap();
    assert!(heard.ends_with("\r\n\r\nold"), "{heard}");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told_once() {
    let signer = Signer::new("one");
    let keys = keys_of(&signer).await;
    let good = issuer("users", &keys) + &route(keys.address, &["users"], "");
    let gatepost = Gatepost::start(&good).await;
    gatepost.ready().await;
    let moved = format!("{good}\n[admin]\nheader_timeout = \"3s\"\n");
    let bad = [
        ("this is not TOML", "gatepost.toml"),
        ("[[routes]]\npath = 7\n", "routes"),
        (moved.as_str(), "admin changed"),
    ];
    for (count, (config, named)) in (1..).zip(bad) {
        gatepost.reload(config, "rejected", count).await;
        let told = crate::support::eventually("one error per rejected reload", || async {
            let told = gatepost.events("ERROR");
            (told.len() == gatepost.reloads("rejected", count).await as usize).then_some(told)
        })
        .await;
        let last = told.last().unwrap().to_string();
        assert!(last.contains(named), "{named} in {last}");
        let call = gatepost.get("/").await.bearer(&token(&signer, "users"));
        assert_eq!(call.send().await.status, 200);
        assert_eq!(gatepost.health("/readyz").await.status, 200);
    }
    let metrics = gatepost.health("/metrics").await;
    assert!(metrics.text().contains("gatepost_config_generation 1\n"));
}

#[tokio::test]
async fn a_changed_file_takes_effect_without_a_signal() {
    let signer = Signer::new("one");
    let keys = keys_of(&signer).await;
    let config = |more: &str| issuer("users", &keys) + &route(keys.address, &["users"], more);
    let gatepost = Gatepost::start(&config("")).await;
    gatepost.ready().await;
    let token = token(&signer, "users");
    let get = async || gatepost.get("/").await.bearer(&token).send().await.status;
    assert_eq!(get().await, 200);
    gatepost.rewrite(&config(r#"require = { groups = ["admins"] }"#));
    gatepost.reloads("accepted", 1).await;
    assert_eq!(get().await, 403, "the token is cached, the rule is not");
}
