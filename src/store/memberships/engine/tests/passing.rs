//! Look-ups that a request can do without.

use super::*;

/// What is answered in passing, and how long that took.
async fn ask(
    engine: &Arc<Engine<Scripted>>,
    user_id: &str,
) -> (Option<(Learnt, String)>, Duration) {
    let began = Instant::now();
    let known = engine.ask_in_passing(subject(user_id), || ()).await;
    let told = known.map(|known| {
        let first = known.answer.groups.known().first().cloned();
        (known.how, first.unwrap_or_default())
    });
    (told, began.elapsed())
}

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn only_a_first_answer_is_waited_for_and_no_longer_than_a_look_up_may_take() {
    let source = Scripted::new(Script::After(Duration::from_secs(1), "a"));
    let engine = engine_of(&source, POLICY);
    let first = ask(&engine, "ada").await;
    assert_eq!(
        first,
        (Some(is(Learnt::Asked, "a")), Duration::from_secs(1))
    );
    assert_eq!(
        ask(&engine, "ada").await,
        (Some(is(Learnt::Cached, "a")), AT_ONCE)
    );
    // what is known is used while it is asked for again
    source.set(Script::After(Duration::from_secs(1), "b"));
    pass(60).await;
    assert_eq!(
        ask(&engine, "ada").await,
        (Some(is(Learnt::Stale, "a")), AT_ONCE)
    );
    assert_eq!(
        ask(&engine, "ada").await,
        (Some(is(Learnt::Stale, "a")), AT_ONCE)
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        ask(&engine, "ada").await,
        (Some(is(Learnt::Cached, "b")), AT_ONCE)
    );
    assert_eq!(source.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_away_is_not_waited_for_again() {
    let source = Scripted::new(Script::Hang);
    let engine = engine_of(&source, POLICY);
    let waited = (None, Duration::from_secs(2));
    assert_eq!(ask(&engine, "ada").await, waited);
    assert_eq!(ask(&engine, "bob").await, waited);
    for _ in 0..30 {
        for user in ["ada", "bob", "cy"] {
            assert_eq!(ask(&engine, user).await, (None, AT_ONCE), "{user}");
        }
        pass(1).await;
    }
    // who asks meanwhile does so for who comes later
    source.set(Script::Groups(&["a"]));
    let mut asked = 0;
    let told = loop {
        let (told, waited) = ask(&engine, "cy").await;
        assert_eq!(waited, AT_ONCE);
        if let Some(told) = told {
            break told;
        }
        asked += 1;
        assert!(asked < 60, "never asked again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(told, is(Learnt::Cached, "a"));
}

#[tokio::test(start_paused = true)]
async fn one_whose_look_ups_fail_is_not_looked_up_for_each_request() {
    let source = Scripted::new(Script::Fail(Concerns::One));
    let engine = engine_of(&source, POLICY);
    for _ in 0..100 {
        assert_eq!(ask(&engine, "ada").await, (None, AT_ONCE));
    }
    assert_eq!(source.asked(), 1);
    // and less and less often
    for _ in 0..600 {
        pass(1).await;
        assert_eq!(ask(&engine, "ada").await, (None, AT_ONCE));
        tokio::task::yield_now().await;
    }
    let asked = source.asked();
    assert!((20..=50).contains(&asked), "{asked}");
}
