//! Searches for unknown kids: budget, sharing, absence.

use super::*;

#[tokio::test(start_paused = true)]
async fn two_hundred_unknown_kids_cost_four_fetches_and_never_wait() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    assert_eq!(bench.script.fetches(), 1);
    for number in 0..200 {
        let before = tokio::time::Instant::now();
        let sought = bench.seek(&format!("random-{number}")).await;
        assert!(before.elapsed() < SECOND, "waited");
        match (number < 4, sought) {
            (true, Sought::Absent) => {}
            (false, Sought::Unknown { retry_after }) => {
                assert!(retry_after >= SECOND && retry_after <= 30 * SECOND);
            }
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(bench.script.fetches(), 1 + 4);
    assert!(bench.holds("k1"));
}

#[tokio::test(start_paused = true)]
async fn parallel_searches_share_fetches() {
    let bench = Bench::new([
        set_of(&[jwk("k1")]),
        Reply::Slow(SECOND, Box::new(set_of(&[jwk("k1")]))),
    ]);
    sleep(SECOND).await;
    let kids: Vec<String> = (0..200).map(|number| format!("random-{number}")).collect();
    let searches = kids.iter().map(|kid| bench.seek(kid));
    let answers = futures_util::future::join_all(searches).await;
    assert!(bench.script.fetches() <= 1 + 4);
    for answer in answers {
        assert!(
            matches!(answer, Sought::Absent | Sought::Unknown { .. }),
            "{answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_counts_attempts_that_fail() {
    let bench = Bench::new([set_of(&[jwk("k1")]), status_500()]);
    sleep(SECOND).await;
    for number in 0..50 {
        let sought = bench.seek(&format!("random-{number}")).await;
        assert!(matches!(sought, Sought::Unknown { .. }), "{sought:?}");
    }
    assert_eq!(bench.script.fetches(), 1 + 4);
    assert!(bench.holds("k1"));
}

#[tokio::test(start_paused = true)]
async fn known_keys_are_found_while_a_fetch_hangs() {
    let bench = Bench::new([set_of(&[jwk("k1")]), Reply::Hang]);
    sleep(SECOND).await;
    let engine = Arc::clone(&bench.engine);
    let search = bench
        .background
        .tasks
        .spawn(async move { engine.seek(0, "k2").await });
    sleep(SECOND).await;
    assert_eq!(bench.script.fetches(), 2);
    assert!(bench.holds("k1"));
    let sought = search.await.unwrap();
    assert!(matches!(sought, Sought::Unknown { .. }), "{sought:?}");
    assert!(bench.holds("k1"));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_found_by_one_fetch_shared_by_all() {
    let (old, new) = (jwk("old"), jwk("new"));
    let bench = Bench::new([
        set_of(&[old]),
        Reply::Slow(SECOND, Box::new(set_of(&[new]))),
    ]);
    sleep(SECOND).await;
    let searches = (0..100).map(|_| bench.seek("new"));
    for sought in futures_util::future::join_all(searches).await {
        assert!(matches!(sought, Sought::Found(_)), "{sought:?}");
    }
    assert_eq!(bench.script.fetches(), 2);
    // the issuer withdrew it, and so do we
    assert!(!bench.holds("old"));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_begun_before_a_kid_was_seen_does_not_prove_it_absent() {
    let before = set_of(&[jwk("k1")]);
    let bench = Bench::new([
        before.clone(),
        Reply::Slow(2 * SECOND, Box::new(before)),
        set_of(&[jwk("k1"), jwk("late")]),
    ]);
    sleep(SECOND).await;
    let first = bench.seek("random");
    let second = async {
        sleep(SECOND).await; // the fetch for "random" is under way
        bench.seek("late").await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Sought::Absent), "{first:?}");
    assert!(matches!(second, Sought::Found(_)), "{second:?}");
    assert_eq!(bench.script.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_early_fetch_that_finds_the_kid_is_enough() {
    let bench = Bench::new([
        set_of(&[jwk("k1")]),
        Reply::Slow(2 * SECOND, Box::new(set_of(&[jwk("late")]))),
    ]);
    sleep(SECOND).await;
    let second = async {
        sleep(SECOND).await;
        bench.seek("late").await
    };
    let (_, second) = tokio::join!(bench.seek("random"), second);
    assert!(matches!(second, Sought::Found(_)), "{second:?}");
    assert_eq!(bench.script.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_absent_kid_is_answered_without_a_fetch_and_asked_again_later() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    for _ in 0..20 {
        assert!(matches!(bench.seek("gone").await, Sought::Absent));
    }
    assert_eq!(bench.script.fetches(), 2);
    sleep(61 * SECOND).await;
    bench.script.play(set_of(&[jwk("gone")]));
    assert!(matches!(bench.seek("gone").await, Sought::Found(_)));
    assert_eq!(bench.script.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_kid_once_proven_absent_stays_so_while_the_issuer_is_down() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    assert!(matches!(bench.seek("gone").await, Sought::Absent));
    sleep(61 * SECOND).await;
    bench.script.play(status_500());
    assert!(matches!(bench.seek("gone").await, Sought::Absent));
    let other = bench.seek("other").await;
    assert!(matches!(other, Sought::Unknown { .. }), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_set_forgets_what_was_absent() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    assert!(matches!(bench.seek("gone").await, Sought::Absent));
    bench.script.play(set_of(&[jwk("k2")]));
    assert!(matches!(bench.seek("k2").await, Sought::Found(_)));
    assert_eq!(bench.script.fetches(), 3);
    assert!(matches!(bench.seek("gone").await, Sought::Absent));
    assert_eq!(bench.script.fetches(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_kid_too_long_to_remember_is_sought_like_any_other() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    let long = "x".repeat(10_000);
    for _ in 0..10 {
        bench.seek(&long).await;
    }
    assert_eq!(bench.script.fetches(), 1 + 4);
}

#[tokio::test(start_paused = true)]
async fn an_equal_set_keeps_its_place() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    let KeysNow::Usable(before) = bench.engine.find(0) else {
        panic!("no keys");
    };
    bench.seek("other").await;
    let KeysNow::Usable(after) = bench.engine.find(0) else {
        panic!("no keys");
    };
    assert!(Arc::ptr_eq(&before, &after));
}

#[tokio::test(start_paused = true)]
async fn a_search_does_not_wait_for_a_worker_that_was_stopped() {
    let bench = Bench::new([set_of(&[jwk("k1")]), Reply::Hang]);
    sleep(SECOND).await;
    let stop = async {
        sleep(SECOND).await;
        bench.background.stop.cancel();
    };
    let before = tokio::time::Instant::now();
    let (sought, ()) = tokio::join!(bench.seek("x"), stop);
    assert!(matches!(sought, Sought::Unknown { .. }), "{sought:?}");
    assert!(before.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn with_the_budget_spent_only_those_wait_whom_the_fetch_under_way_can_answer() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(SECOND).await;
    for number in 0..3 {
        bench.seek(&format!("random-{number}")).await;
    }
    let slow = Reply::Slow(2 * SECOND, Box::new(set_of(&[jwk("new")])));
    bench.script.play(slow);
    let payer = bench.seek("new");
    let others = async {
        sleep(SECOND).await; // the last fetch of the budget is under way
        let before = tokio::time::Instant::now();
        let stranger = bench.seek("stranger").await;
        assert!(matches!(stranger, Sought::Unknown { .. }), "{stranger:?}");
        assert_eq!(before.elapsed(), Duration::ZERO);
        bench.seek("new").await
    };
    let (payer, joiner) = tokio::join!(payer, others);
    assert!(matches!(payer, Sought::Found(_)), "{payer:?}");
    assert!(matches!(joiner, Sought::Found(_)), "{joiner:?}");
    assert_eq!(bench.script.fetches(), 1 + 4);
}
