//! Redis killed, back, or hung: each sidecar goes on by itself, says so once, and comes back.

use super::*;
use crate::support::counterparts::or_skip;

#[tokio::test]
async fn without_redis_each_goes_on_by_itself_and_with_it_back_all_share_again() {
    let mut redis = or_skip!(Redis::start().await);
    let world = World::new(SHORT).await;
    let three = world.three(&redis).await;
    common_token(&three, 1).await;
    redis.kill();
    for sidecar in &three {
        sidecar.redis_up(0).await;
        sidecar.warned_once("redis is away").await;
    }
    // refreshed all the same, each for itself: no call fails (`sends` asserts 200)
    let alone = eventually_sends(&three, |sent| sent.len() == 3).await;
    assert_eq!(alone.len(), 3);
    redis.revive().await;
    for sidecar in &three {
        sidecar.redis_up(1).await;
        sidecar.warned_once("redis is away").await;
    }
    common_token(&three, highest(&alone) + 1).await;
    assert_eq!(three[0].status().await["redis"]["state"], "up");
}

#[tokio::test]
async fn a_redis_that_hangs_holds_no_request() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(SHORT).await;
    let running = world.sidecar(&redis).await;
    running.redis_up(1).await;
    let before = running.sends().await;
    redis.hang().await;
    // it takes connections and says nothing, for ever: who waited for it would not end
    let starting = world.sidecar(&redis).await;
    starting.sends().await;
    starting.redis_up(0).await;
    let three = [running, starting, world.sidecar(&redis).await];
    eventually_sends(&three, |sent| sent.len() == 3 && !sent.contains(&before)).await;
    redis.resume();
    for sidecar in &three {
        sidecar.redis_up(1).await;
    }
    common_token(&three, 4).await;
}

#[tokio::test]
async fn what_is_no_redis_is_away() {
    let world = World::new(3600).await;
    let http = Upstream::start().await;
    let config = world.config(&format!(
        "[redis]\nurl = \"redis://{}\"\nsealing_keys = [{{ id = \"k\", secret = {{ insecure_literal = \"{KEY}\" }} }}]",
        http.address
    ));
    let sidecar = Sidecar(Gatepost::start(&config).await);
    assert_eq!(sidecar.sends().await, "s3cret-billing-1");
    sidecar.redis_up(0).await;
    sidecar.warned_once("redis is away").await;
}
