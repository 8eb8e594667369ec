//! Somebody who can write to Redis: what they put there is never sent.

use super::*;
use crate::support::counterparts::or_skip;

/// How many entries this sidecar did not believe.
async fn refused(sidecar: &Sidecar) -> u32 {
    let sample = "gatepost_redis_entries_refused_total";
    sidecar.0.metric(sample).await.expect("the metric")
}

#[tokio::test]
async fn garbage_other_types_and_what_another_key_sealed_are_not_believed() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let stranger = world.sidecar_with(&redis, OTHER_KEY).await;
    assert_eq!(stranger.sends().await, "s3cret-billing-1");
    let key = redis.key(":billing:token");
    let large = "x".repeat(100_000);
    for (expected, poison) in (2..).zip([
        &[][..],
        &["SET", key.as_str(), "s3cret-planted", "EX", "3600"],
        &["SET", key.as_str(), large.as_str(), "EX", "3600"],
        &["RPUSH", key.as_str(), "s3cret-planted"],
        &["APPEND", key.as_str(), "x"],
    ]) {
        if !poison.is_empty() {
            if poison[0] == "RPUSH" {
                redis.cli(&["DEL", &key]);
            }
            redis.cli(poison);
        }
        let newcomer = world.sidecar(&redis).await;
        assert_eq!(
            newcomer.sends().await,
            format!("s3cret-billing-{expected}"),
            "{:?}",
            poison.first()
        );
        assert!(refused(&newcomer).await > 0, "{:?}", poison.first());
        newcomer.warned_once("not believed").await;
        assert!(!newcomer.0.output().contains("planted"));
        // and what it kept instead is good
        let next = world.sidecar(&redis).await;
        assert_eq!(next.sends().await, format!("s3cret-billing-{expected}"));
    }
}

#[tokio::test]
async fn a_token_moved_to_another_credential_is_not_sent_there() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let one = world.sidecar(&redis).await;
    assert_eq!(one.sends_to("billing").await, "s3cret-billing-1");
    assert_eq!(one.sends_to("metrics").await, "s3cret-metrics-2");
    let (billing, metrics) = (redis.key(":billing:token"), redis.key(":metrics:token"));
    redis.cli(&["COPY", &billing, "aside"]);
    redis.cli(&["COPY", &metrics, &billing, "REPLACE"]);
    redis.cli(&["COPY", "aside", &metrics, "REPLACE"]);
    let two = world.sidecar(&redis).await;
    assert_eq!(two.sends_to("billing").await, "s3cret-billing-3");
    assert_eq!(two.sends_to("metrics").await, "s3cret-metrics-4");
    assert_eq!(refused(&two).await, 2, "each is told once");
}

#[tokio::test]
async fn an_older_token_put_back_is_not_sent_again() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(SHORT).await;
    let sidecar = world.sidecar(&redis).await;
    assert_eq!(sidecar.sends().await, "s3cret-billing-1");
    let key = redis.key(":billing:token");
    redis.cli(&["COPY", &key, "old"]);
    let mut seen = Vec::new();
    // put back whenever it has been replaced, for as long as the attacker likes
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(SHORT * 2);
    while tokio::time::Instant::now() < end {
        let token = sidecar.sends().await;
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        if seen.len() > 1 {
            redis.cli(&["COPY", "old", &key, "REPLACE"]);
            redis.cli(&["PERSIST", &key]);
            redis.cli(&["PEXPIRE", &key, "60000"]);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(seen.len() > 2, "{seen:?}");
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "none came back: {seen:?}");
}

#[tokio::test]
async fn an_enemys_turn_is_waited_for_briefly_and_a_turn_without_end_is_none() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    world.sidecar(&redis).await.sends().await;
    let turn = redis.key(":billing:token").replace(":token", ":turn");
    for set in [
        &["SET", turn.as_str(), "enemy"][..],
        &["SET", turn.as_str(), "enemy", "EX", "3600"],
        &["RPUSH", turn.as_str(), "enemy"],
        &["SET", turn.as_str(), "enemy", "PX", "2900"],
    ] {
        redis.cli(&["FLUSHALL"]);
        redis.cli(set);
        let before = world.asked();
        world.sidecar(&redis).await.sends().await;
        assert_eq!(world.asked(), before + 1, "{set:?}");
        assert!(
            redis.keys().iter().any(|key| key.ends_with(":token")),
            "{set:?}"
        );
    }
}
