//! Who gives way, and what is forgotten.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_subject_gives_way_and_is_fetched_anew() {
    let bench = bench(3600, 2);
    let names = ["ada", "bob", "ada", "eve", "ada", "bob"];
    for name in names {
        let found = bench.find(&bench.user(name, 9000)).await.unwrap();
        let times = if name == "bob" && bench.script.asked("eve") > 0 {
            2
        } else {
            1
        };
        assert_eq!(found, format!("{name}-{times}"));
        assert!(bench.subjects.report()["subjects"].as_u64().unwrap() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_good_is_forgotten() {
    let bench = bench(3600, 10);
    bench.find(&bench.user("ada", 100)).await.unwrap();
    bench.find(&bench.user("bob", 9000)).await.unwrap();
    bench.script.refuse("eve", "access_denied");
    assert!(bench.find(&bench.user("eve", 9000)).await.is_err());
    let stop = CancellationToken::new();
    let sweep = Arc::clone(&bench.subjects).sweep(stop.clone());
    let sweep = bench.background.tasks.spawn(sweep);
    sleep(SECOND / 10).await;
    assert_eq!(bench.subjects.report()["subjects"], 3);
    sleep(3 * SWEEP_EVERY).await;
    assert_eq!(bench.subjects.report()["subjects"], 1);
    stop.cancel();
    sweep.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_is_being_fetched_for_does_not_give_way() {
    let bench = bench(600, 2);
    let (ada, bob, eve) = (
        bench.user("ada", 9000),
        bench.user("bob", 9000),
        bench.user("eve", 9000),
    );
    let (first, second, third) = tokio::join!(bench.find(&ada), bench.find(&bob), bench.find(&eve));
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(third, Err(Without::Later(_))), "{third:?}");
    assert_eq!(bench.find(&eve).await.as_deref(), Ok("eve-1"));
    assert_eq!(bench.find(&bob).await.as_deref(), Ok("bob-1"));
}

#[tokio::test(start_paused = true)]
async fn large_credentials_give_way_before_there_are_too_many() {
    let bench = bench_of(600, 100, |_each| MOST_BYTES / 3 - SUBJECT);
    for name in ["ada", "bob", "eve", "ada"] {
        assert!(bench.find(&bench.user(name, 9000)).await.is_ok());
    }
    let shown = || bench.subjects.table().bytes();
    assert!((MOST_BYTES - 3..=MOST_BYTES).contains(&shown()));
    assert!(bench.find(&bench.user("joe", 9000)).await.is_ok());
    assert!(shown() <= MOST_BYTES);
    assert_eq!(
        bench.subjects.table().len(),
        3,
        "the least recently used went"
    );
    for (name, times) in [("ada", 1), ("joe", 1), ("bob", 2)] {
        assert!(bench.find(&bench.user(name, 9000)).await.is_ok());
        assert_eq!(bench.script.asked(name), times, "{name}");
    }
    // another one of the same user takes the place of the first
    sleep(SECOND * 600).await;
    assert!(bench.find(&bench.user("joe", 9000)).await.is_ok());
    assert!((MOST_BYTES - 3..=MOST_BYTES).contains(&shown()));
    sleep(SECOND * 600).await;
    let now = bench.clock.now();
    bench.subjects.table().retain(|slot| slot.is_needed(now));
    assert_eq!(shown(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_it_was_fetched_is_a_failure_that_pauses() {
    let bench = bench(10, 10);
    let ada = bench.user("ada", 9000);
    bench.script.slow(SECOND * 11);
    for _try in 0..3 {
        let found = bench.find(&ada).await;
        assert!(
            matches!(found, Err(Without::Later(rest)) if !rest.is_zero()),
            "{found:?}"
        );
    }
    assert_eq!(bench.script.asked("ada"), 1);
    bench.script.slow(SECOND);
    sleep(SECOND).await;
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-2"));
}
