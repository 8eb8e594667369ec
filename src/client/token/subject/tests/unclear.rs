//! `401` without a code: it may mean the user's token, or us.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_401_without_a_code_stops_nobody_else_while_others_are_given_credentials() {
    let bench = bench(600, 1000);
    for name in ["mallory", "eve"] {
        bench.script.refuse(name, "401 ");
    }
    let (mallory, eve) = (bench.user("mallory", 90_000), bench.user("eve", 90_000));
    // the same one, again and again: nobody else asked meanwhile
    for round in 1..10 {
        let found = bench.find(&mallory).await;
        assert!(matches!(found, Err(Without::Later(_))), "{found:?}");
        assert_eq!(bench.script.asked("mallory"), round);
        assert_eq!(bench.subjects.known.everyone.rest(), None);
        sleep(61 * SECOND).await;
    }
    // others so too, each with somebody in between who is given a credential
    for round in 0..10 {
        let bad = if round % 2 == 0 { &eve } else { &mallory };
        let name = format!("user-{round}");
        let good = bench.user(&name, 9000);
        assert_eq!(bench.find(&good).await, Ok(format!("{name}-1")));
        assert!(bench.find(bad).await.is_err());
        assert_eq!(bench.subjects.known.everyone.rest(), None);
        sleep(61 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_401_without_a_code_to_one_user_after_another_holds_every_fetch_off() {
    let bench = bench(600, 1000);
    let names: Vec<String> = (0..500).map(|number| format!("user-{number}")).collect();
    for name in &names {
        bench.script.refuse(name, "401 ");
    }
    let users: Vec<_> = names.iter().map(|name| bench.user(name, 9000)).collect();
    let asked = || -> usize { names.iter().map(|name| bench.script.asked(name)).sum() };
    let found = futures_util::future::join_all(users.iter().map(|user| bench.find(user))).await;
    assert!(found.iter().all(Result::is_err));
    assert_eq!(asked(), FETCHES_AT_ONCE, "one round");
    // whoever comes first after a pause begins the next one, which is longer
    let mut rests = vec![];
    for user in &users[FETCHES_AT_ONCE..][..6] {
        sleep(bench.subjects.known.everyone.rest().unwrap_or_default()).await;
        let before = asked();
        assert!(bench.find(user).await.is_err());
        assert_eq!(asked(), before + 1);
        rests.push(bench.subjects.known.everyone.rest().unwrap());
    }
    assert!(rests.last().unwrap() > &(10 * SECOND), "{rests:?}");
    // the end of the outage: once somebody is given a credential, one failure is one user's again
    sleep(*rests.last().unwrap()).await;
    let good = bench.user("good", 9000);
    assert_eq!(bench.find(&good).await.as_deref(), Ok("good-1"));
    assert!(bench.find(&bench.user("user-499", 9000)).await.is_err());
    assert_eq!(bench.subjects.known.everyone.rest(), None);
}
