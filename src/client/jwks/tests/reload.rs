//! Reloads: what is kept, who works on, who ends.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_did_not_change() {
    let same = issuer_named("same", at("https://same.example/jwks"));
    let moved = issuer_named("moved", at("https://moved.example/jwks"));
    let first = Script::new([set_of(&[jwk("k1")])]);
    let mut bench = Bench::with(first, &[same.clone(), moved], &policy());
    sleep(SECOND).await;
    assert_eq!(bench.script.fetches(), 2);
    // spends the budget of issuer 0
    for number in 0..4 {
        bench.seek(&format!("random-{number}")).await;
    }
    assert_eq!(bench.script.fetches(), 6);
    let KeysNow::Usable(before) = bench.engine.find(0) else {
        panic!("no keys");
    };

    let second = Script::new([set_of(&[jwk("k2")])]);
    let elsewhere = issuer_named("moved", at("https://elsewhere.example/jwks"));
    bench.reload(&second, &[same, elsewhere], &policy());
    let KeysNow::Usable(after) = bench.engine.find(0) else {
        panic!("the keys were lost");
    };
    assert!(Arc::ptr_eq(&before, &after));
    assert!(matches!(bench.engine.find(1), KeysNow::Unavailable { .. }));
    assert!(matches!(bench.seek("more").await, Sought::Unknown { .. }));
    assert!(matches!(bench.seek("random-0").await, Sought::Absent));
    sleep(SECOND).await;
    assert_eq!(second.fetches(), 1, "only the issuer that moved");

    // the kept worker goes on after the old engine is gone, with the new client; others end
    sleep(2000 * SECOND).await;
    assert_eq!(bench.script.fetches(), 6);
    assert_eq!(second.fetches(), 3);
    assert!(bench.holds("k2"));
    assert_eq!(bench.background.tasks.len(), 2);

    bench.background.stop.cancel();
    bench.background.tasks.close();
    bench.background.tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_came_into_force_leaves_the_old_one_working() {
    let issuer = issuer_named("a", at("https://issuer.example/jwks"));
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    let script = Script::new([set_of(&[jwk("k2")])]);
    let (clock, old) = (&bench.clock, Some(&*bench.engine));
    let new = engine(&script, &[issuer], &policy(), clock, &bench.background, old);
    drop(new);
    sleep(2000 * SECOND).await;
    assert_eq!((bench.script.fetches(), script.fetches()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn another_policy_starts_with_the_keys_there_are() {
    let issuer = issuer_named("a", at("https://issuer.example/jwks"));
    let mut bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    let hasty = Jwks {
        refresh_interval: 60 * SECOND,
        ..policy()
    };
    let down = Script::new([status_500()]);
    bench.reload(&down, &[issuer], &hasty);
    assert!(bench.holds("k1"));
    sleep(SECOND).await;
    assert!(bench.holds("k1"));
    assert!(down.fetches() >= 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_engine_ends_its_workers() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    let tasks = bench.background.tasks.clone();
    drop(bench);
    tasks.close();
    tasks.wait().await;
}
