//! A database that goes and comes back, under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::{config, outcome, token};
use super::{apply_schema, store};
use crate::support::counterparts::or_skip;
use crate::support::databases::{Database, Kind};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::upstream::Upstream;

const CONTENT: &str = "\
insert into gatepost_groups (id, name) values (1, 'admins'), (2, 'banned');
insert into gatepost_group_members (group_id, issuer, user_id)
  values (1, 'users', 'ada'), (1, 'users', 'carol'), (2, 'users', 'mallory');";

/// An answer is fresh for a moment, and used for four seconds in all.
const SHORT: &str = "cache = \"300ms\"\nnegative_cache = \"300ms\"\nmax_stale = \"4s\"\n";

/// What one path answered one user: status, reason, and where the memberships were from.
type Outcomes = BTreeSet<(u16, String, String)>;

/// Asks again and again until it is told to stop.
async fn load(gatepost: &Gatepost, path: &str, token: &str, stop: &AtomicBool) -> Outcomes {
    let mut outcomes = Outcomes::new();
    while !stop.load(Ordering::Relaxed) {
        outcomes.insert(once(gatepost, path, token).await);
    }
    outcomes
}

async fn once(gatepost: &Gatepost, path: &str, token: &str) -> (u16, String, String) {
    let reply = gatepost.get(path).await.bearer(token).send().await;
    if reply.status == 503 {
        let after = reply.header("retry-after").parse::<u32>();
        assert!(after.is_ok_and(|seconds| seconds >= 1), "{reply:?}");
    }
    let line = gatepost.line_of(&reply).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        reply.status.as_u16(),
        text(&line["reason"]),
        text(&line["memberships"]),
    )
}

#[tokio::test]
async fn postgres_stopped_under_load_lets_nobody_in_who_is_not_known_and_comes_back() {
    let mut database = or_skip!(Database::start(Kind::Postgres).await);
    apply_schema(&database);
    database.execute(CONTENT);
    let upstream = Upstream::start().await;
    // one that is stopped is found to be away at once
    let table = store(&database.url(), &format!("{SHORT}timeout = \"5s\"\n"));
    let gatepost = Gatepost::start(&config(&upstream.url(), &table)).await;
    let user = |name: &str| token("users", name, &json!({}));
    let (ada, bob, carol, mallory) = (user("ada"), user("bob"), user("carol"), user("mallory"));
    // carol is never asked about before
    for (path, token, expected) in [
        ("/admins/1", &ada, "200"),
        ("/admins/1", &bob, "403 group_missing"),
        ("/unbanned/1", &mallory, "403 group_missing"),
        ("/unbanned/1", &bob, "200"),
    ] {
        assert_eq!(outcome(&gatepost, path, token).await, expected);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let during = async {
        database.kill();
        // carol may, but nobody can tell
        let unknown = outcome(&gatepost, "/admins/1", &carol).await;
        assert_eq!(unknown, "503 memberships_unavailable");
        eventually("ada is let in by a stale answer", async || {
            let answer = once(&gatepost, "/admins/1", &ada).await;
            (answer.2 == "stale" && answer.0 == 200).then_some(())
        })
        .await;
        for token in [&ada, &bob] {
            eventually("what was known is too old", async || {
                let answer = once(&gatepost, "/admins/1", token).await;
                (answer.1 == "memberships_unavailable").then_some(())
            })
            .await;
        }
        eventually("of those who are banned too", async || {
            let answer = once(&gatepost, "/unbanned/1", &mallory).await;
            (answer.1 == "memberships_unavailable").then_some(())
        })
        .await;
        gatepost.ready().await;
        database.revive().await;
        // what changed meanwhile counts
        database.execute("delete from gatepost_group_members where user_id = 'carol'");
        eventually("the database is found again", async || {
            (once(&gatepost, "/admins/1", &ada).await.0 == 200).then_some(())
        })
        .await;
        assert_eq!(
            outcome(&gatepost, "/admins/1", &carol).await,
            "403 group_missing"
        );
        stop.store(true, Ordering::Relaxed);
    };
    let (allowed, refused, banned, unbanned, ()) = tokio::join!(
        load(&gatepost, "/admins/1", &ada, &stop),
        load(&gatepost, "/admins/1", &bob, &stop),
        load(&gatepost, "/unbanned/1", &mallory, &stop),
        load(&gatepost, "/unbanned/1", &bob, &stop),
        during
    );
    let decided = |outcomes: &Outcomes| -> BTreeSet<String> {
        let shown = outcomes
            .iter()
            .map(|(status, reason, _)| format!("{status} {reason}"));
        shown.map(|text| text.trim_end().to_owned()).collect()
    };
    let set = |outcomes: [&str; 2]| BTreeSet::from(outcomes.map(str::to_owned));
    let (no_group, unknown) = ("403 group_missing", "503 memberships_unavailable");
    assert_eq!(decided(&allowed), set(["200", unknown]));
    assert_eq!(decided(&refused), set([no_group, unknown]));
    assert_eq!(decided(&banned), set([no_group, unknown]));
    assert_eq!(decided(&unbanned), set(["200", unknown]));
}

#[tokio::test]
async fn a_database_that_hangs_answers_nobody_and_is_found_when_it_answers_again() {
    let database = or_skip!(Database::start(Kind::MariaDb).await);
    apply_schema(&database);
    database.execute(CONTENT);
    let upstream = Upstream::start().await;
    let table = store(&database.url(), &format!("{SHORT}timeout = \"1s\"\n"));
    let gatepost = Gatepost::start(&config(&upstream.url(), &table)).await;
    let (ada, carol) = (
        token("users", "ada", &json!({})),
        token("users", "carol", &json!({})),
    );
    assert_eq!(outcome(&gatepost, "/admins/1", &ada).await, "200");
    database.hang().await;
    assert_eq!(
        outcome(&gatepost, "/admins/1", &carol).await,
        "503 memberships_unavailable"
    );
    // requests that ask nobody are none the worse
    let claimed = token("users", "dan", &json!({ "groups": ["admins"] }));
    assert_eq!(outcome(&gatepost, "/claims/1", &claimed).await, "200");
    database.resume();
    for token in [&ada, &carol] {
        eventually("the database is found again", async || {
            (outcome(&gatepost, "/admins/1", token).await == "200").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_start_without_the_database_is_a_start() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let upstream = Upstream::start().await;
    let table = store(
        &format!("postgres://app@{address}/app"),
        "timeout = \"300ms\"",
    );
    let gatepost = Gatepost::start(&config(&upstream.url(), &table)).await;
    gatepost.ready().await;
    let ada = token("users", "ada", &json!({}));
    assert_eq!(
        outcome(&gatepost, "/admins/1", &ada).await,
        "503 memberships_unavailable"
    );
    let claimed = token("users", "dan", &json!({ "groups": ["admins"] }));
    assert_eq!(outcome(&gatepost, "/claims/1", &claimed).await, "200");
}
