//! `[deny_list]` with the real binary: a file that changes, and a set in a real Redis that comes and goes.

use serde_json::{Value, json};

use crate::support::counterparts::or_skip;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::redis::Redis;
use crate::support::sidecar;
use crate::support::upstream::Upstream;
use crate::support::{eventually, issuer};

async fn get(gatepost: &Gatepost, token: &str) -> Reply {
    let ingress = gatepost.listener("ingress").await;
    Call::get(ingress, "/").bearer(token).send().await
}

/// Until the status of a request with this token is this.
async fn until(gatepost: &Gatepost, token: &str, status: u16) -> Reply {
    eventually("another status", || async {
        let reply = get(gatepost, token).await;
        (reply.status == status).then_some(reply)
    })
    .await
}

fn token(user: &str, jti: &str) -> String {
    sidecar::token(&json!({"sub": user, "jti": jti, "iat": issuer::now() - 10}))
}

#[tokio::test]
async fn a_changed_file_denies_known_tokens_and_a_broken_one_changes_nothing() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("denied.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("");
    let config = sidecar::config(&upstream.url(), "");
    let config = format!(
        "{config}[deny_list]\nfile = {:?}",
        file.display().to_string()
    );
    let gatepost = Gatepost::start(&config).await;
    let (ada, bob) = (token("ada", "t1"), token("bob", "t2"));
    for token in [&ada, &bob] {
        assert_eq!(get(&gatepost, token).await.status, 200);
    }

    write("[[denied]]\nsub = \"ada\"\n");
    let denied = until(&gatepost, &ada, 401).await;
    assert_eq!(gatepost.line_of(&denied).await["reason"], "token_revoked");
    let challenge = denied.header("www-authenticate");
    assert!(challenge.contains("invalid_token"), "{challenge}");
    assert_eq!(get(&gatepost, &bob).await.status, 200);
    gatepost
        .counts("gatepost_deny_list_entries{source=\"file\"} 1")
        .await;

    // a slip does not let anybody in again
    write("[[denied]]\nsubject = \"ada\"\n");
    gatepost.reloads("rejected", 1).await;
    assert_eq!(get(&gatepost, &ada).await.status, 401);
    let said = gatepost.output();
    assert!(
        said.contains("denied.toml:2:1: denied[0].subject: unknown key"),
        "{said}"
    );

    // who signs in again is let in
    let now = issuer::now();
    write(&format!(
        "[[denied]]\nsub = \"ada\"\nissued_before = \"{now}\"\n[[denied]]\njti = \"t2\"\n"
    ));
    until(&gatepost, &bob, 401).await;
    assert_eq!(get(&gatepost, &ada).await.status, 401);
    let fresh = sidecar::token(&json!({"sub": "ada", "jti": "t3", "iat": now}));
    assert_eq!(get(&gatepost, &fresh).await.status, 200);
    write("");
    until(&gatepost, &ada, 200).await;
}

/// A sidecar whose route lets `batch` act for users, and whose egress calls `orders` for the user and
/// `plain` for the app.
fn acting(app: &Upstream, orders: &Upstream, file: &std::path::Path) -> String {
    let target = |name: &str, more: &str| {
        format!(
            "[[egress_targets]]\nname = \"{name}\"\nurl = \"{}\"\ncredential = \"key\"\n{more}\n",
            orders.url()
        )
    };
    format!(
        "{}
         [[routes]]\npath = \"/acting/**\"\nupstream = \"app\"\non_behalf_of = {{ clients = [\"batch\"] }}
         [deny_list]\nfile = {:?}
         [egress]\nlisten = \"127.0.0.1:0\"
         [credentials.key]\nkind = \"static_token\"\ntoken = {{ insecure_literal = \"k3y\" }}
         {}{}",
        sidecar::config(&app.url(), ""),
        file.display().to_string(),
        target("orders", "forward_user = true"),
        target("plain", ""),
    )
}

#[tokio::test]
async fn nobody_acts_or_calls_for_a_user_who_is_denied() {
    let (app, orders) = (Upstream::start().await, Upstream::start().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("denied.toml");
    std::fs::write(&file, "").unwrap();
    let gatepost = Gatepost::start(&acting(&app, &orders, &file)).await;
    let [ingress, egress] = [
        gatepost.listener("ingress").await,
        gatepost.listener("egress").await,
    ];
    let batch = sidecar::token(&json!({"sub": "batch", "client_id": "batch"}));
    let act = |user: &'static str| {
        let call = Call::get(ingress, "/acting/x").bearer(&batch);
        call.header("x-user-id", user).send()
    };
    let call = |target: &str, handle: &str| {
        let call = Call::get(egress, &format!("/{target}/x"));
        call.header("x-auth-handle", handle).send()
    };
    assert_eq!(get(&gatepost, &token("ada", "t1")).await.status, 200);
    let ada = app.last().header("x-auth-handle").to_owned();
    assert_eq!(get(&gatepost, &token("bob", "t2")).await.status, 200);
    let bob = app.last().header("x-auth-handle").to_owned();
    assert_eq!(act("ada").await.status, 200);
    assert_eq!(app.last().header("x-user-id"), "ada");
    assert_eq!(call("orders", &ada).await.status, 200);

    std::fs::write(&file, "[[denied]]\nsub = \"ada\"\nissuer = \"partner\"\n").unwrap();
    let refused = eventually("ada is denied", || async {
        let reply = act("ada").await;
        (reply.status != 200).then_some(reply)
    });
    let refused = refused.await;
    assert_eq!(refused.status, 403);
    assert_eq!(gatepost.line_of(&refused).await["reason"], "token_revoked");
    assert_eq!(act("bob").await.status, 200);
    // another issuer's
    assert_eq!(call("orders", &ada).await.status, 200);

    std::fs::write(&file, "[[denied]]\nsub = \"ada\"\n").unwrap();
    let refused = eventually("her handle is dead", || async {
        let reply = call("orders", &ada).await;
        (reply.status != 200).then_some(reply)
    });
    let refused = refused.await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("x-auth-reason"), "egress_token_unavailable");
    assert_eq!(call("orders", &bob).await.status, 200);
    // what needs no user is the app's own call
    assert_eq!(call("plain", &ada).await.status, 200);
}

/// A sidecar that reads the set `gatepost:deny-list` ten times a second.
async fn started(upstream: &Upstream, redis: &Redis, max_stale: &str) -> Gatepost {
    let config = format!(
        "{}[deny_list]\nredis_key = \"deny-list\"\nrefresh = \"100ms\"\nmax_stale = \"{max_stale}\"\n\
         [redis]\nurl = \"{}\"\nsealing_keys = [{{ id = \"k\", secret = {{ insecure_literal = \"{}\" }} }}]",
        sidecar::config(&upstream.url(), ""),
        redis.url(),
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    Gatepost::start(&config).await
}

fn add(redis: &Redis, member: &Value) {
    let said = redis.cli(&["SADD", "gatepost:deny-list", &member.to_string()]);
    assert_eq!(said.trim_ascii(), b"1");
}

#[tokio::test]
async fn what_the_fleet_denies_is_denied_and_stays_so_while_redis_is_away() {
    let mut redis = or_skip!(Redis::start().await);
    let upstream = Upstream::start().await;
    let gatepost = started(&upstream, &redis, "1h").await;
    gatepost.ready().await;
    let (ada, bob) = (token("ada", "t1"), token("bob", "t2"));
    for token in [&ada, &bob] {
        assert_eq!(get(&gatepost, token).await.status, 200);
    }
    add(&redis, &json!({"sub": "ada"}));
    let denied = until(&gatepost, &ada, 401).await;
    assert_eq!(gatepost.line_of(&denied).await["reason"], "token_revoked");
    assert_eq!(get(&gatepost, &bob).await.status, 200);

    // what is no entry denies nobody, and is told; the others count
    add(&redis, &json!({"sub": 1}));
    add(&redis, &json!({"client_id": "b", "x": 1}));
    add(&redis, &json!({"jti": "t2"}));
    until(&gatepost, &bob, 401).await;
    gatepost
        .counts("gatepost_deny_list_entries{source=\"redis\"} 2")
        .await;
    let told = eventually("the unreadable are told", || async {
        let errors = gatepost.events("ERROR");
        errors
            .into_iter()
            .find(|event| event["fields"]["unreadable"] == 2)
    });
    assert_eq!(told.await["fields"]["key"], "gatepost:deny-list");

    redis.kill();
    eventually("it is away", || async {
        let failed = "gatepost_deny_list_reads_total{result=\"error\"}";
        (gatepost.metric::<u64>(failed).await? > 0).then_some(())
    })
    .await;
    assert_eq!(get(&gatepost, &ada).await.status, 401);
    let carol = token("carol", "t4");
    assert_eq!(get(&gatepost, &carol).await.status, 200);
    // one that holds no set is not an empty one
    redis.revive().await;
    redis.cli(&["SET", "gatepost:deny-list", "ada"]);
    let failed = "gatepost_deny_list_reads_total{result=\"error\"}";
    let before: u64 = gatepost.metric(failed).await.unwrap();
    eventually("it is read in vain", || async {
        (gatepost.metric::<u64>(failed).await? > before).then_some(())
    })
    .await;
    assert_eq!(get(&gatepost, &ada).await.status, 401);
    redis.cli(&["DEL", "gatepost:deny-list"]);
    until(&gatepost, &ada, 200).await;
}

#[tokio::test]
async fn a_list_that_was_never_read_or_too_long_ago_lets_nobody_in() {
    let mut redis = or_skip!(Redis::start().await);
    let upstream = Upstream::start().await;
    redis.kill();
    let gatepost = started(&upstream, &redis, "1s").await;
    let ada = token("ada", "t1");
    let reply = until(&gatepost, &ada, 503).await;
    assert_eq!(
        gatepost.line_of(&reply).await["reason"],
        "revocations_unavailable"
    );
    assert_eq!(reply.header("retry-after"), "1");
    let ready = gatepost.health("/readyz").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["deny_list_read"]),
        (503, &json!(false))
    );
    // nobody is proven on a public route
    let ingress = gatepost.listener("ingress").await;
    assert_eq!(Call::get(ingress, "/public/").send().await.status, 200);

    redis.revive().await;
    until(&gatepost, &ada, 200).await;
    gatepost.ready().await;
    redis.kill();
    until(&gatepost, &ada, 503).await;
    // still ready: it was read once, and the outage is Redis's
    assert_eq!(gatepost.health("/readyz").await.status, 200);
    redis.revive().await;
    until(&gatepost, &ada, 200).await;
}
