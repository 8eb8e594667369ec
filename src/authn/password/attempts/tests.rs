//! Who is locked out, who is only slowed, and who is neither.

use super::*;

const LIMITS: Limits = Limits {
    attempts: 10,
    window: Duration::from_secs(900),
    duration: Duration::from_secs(600),
};
const SECOND: Duration = Duration::from_secs(1);

fn source(address: &str) -> Source {
    Source::of(address.parse().unwrap())
}

fn nth(number: u32) -> Source {
    Source::of(IpAddr::from(number.to_be_bytes()))
}

/// Fails as often as it may without a wait, at one moment; how often that was.
fn fail(attempts: &Attempts, user: &str, from: Source, now: Duration) -> u32 {
    let mut failed = 0;
    while failed < 1000
        && let Ok(attempt) = attempts.begin(user, from, now)
        && attempt.wait.is_zero()
    {
        attempt.end(Ended::Wrong, now);
        failed += 1;
    }
    failed
}

#[test]
fn a_source_is_one_ipv4_address_or_one_ipv6_network() {
    assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
    assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
}

#[test]
fn a_source_is_locked_out_of_a_user_after_so_many_failures_and_of_no_other() {
    let attempts = Attempts::new(LIMITS, 64);
    let (bad, good) = (source("192.0.2.1"), source("198.51.100.1"));
    assert_eq!(fail(&attempts, "ada", bad, SECOND), 10);
    let held = attempts.begin("ada", bad, SECOND * 11).unwrap_err();
    let retry_after = SECOND * 590;
    assert_eq!(held, Held::LockedOut { retry_after });
    assert_eq!(attempts.locked("ada", bad, SECOND * 11), Some(retry_after));
    // not another user from there, nor the user from elsewhere
    assert!(attempts.begin("bob", bad, SECOND).unwrap().wait.is_zero());
    assert_eq!(attempts.locked("bob", bad, SECOND), None);
    assert!(attempts.begin("ada", good, SECOND).is_ok());
    assert_eq!(attempts.locked("ada", good, SECOND), None);
    // and not for ever
    assert_eq!(attempts.locked("ada", bad, SECOND * 601), None);
    assert!(attempts.begin("ada", bad, SECOND * 601).is_ok());
}

#[test]
fn a_name_in_another_case_is_the_same() {
    let attempts = Attempts::new(LIMITS, 64);
    let from = source("192.0.2.1");
    for name in ["åsa", "Åsa", " ÅSA ", "åsa", "åsA"]
        .into_iter()
        .cycle()
        .take(10)
    {
        let attempt = attempts.begin(name, from, SECOND).unwrap();
        attempt.end(Ended::Wrong, SECOND);
    }
    assert!(attempts.locked("ÅsA", from, SECOND).is_some());
    assert!(attempts.locked("asa", from, SECOND).is_none());
}

#[test]
fn failures_are_counted_for_a_window_and_forgotten_by_the_right_password() {
    let attempts = Attempts::new(LIMITS, 64);
    let from = source("192.0.2.1");
    let times = |count: u32, now: Duration| {
        for _each in 0..count {
            attempts
                .begin("ada", from, now)
                .unwrap()
                .end(Ended::Wrong, now);
        }
    };
    times(9, SECOND);
    times(9, SECOND * 901);
    let right = attempts.begin("ada", from, SECOND * 902).unwrap();
    right.end(Ended::Right, SECOND * 902);
    times(9, SECOND * 903);
    // what nobody could tell is no failure
    for _each in 0..20 {
        drop(attempts.begin("ada", from, SECOND * 904).unwrap());
        let unanswered = attempts.begin("ada", from, SECOND * 904).unwrap();
        unanswered.end(Ended::Unanswered, SECOND * 904);
    }
    times(1, SECOND * 905);
    assert!(attempts.begin("ada", from, SECOND * 905).is_err());
}

#[test]
fn no_more_run_at_once_than_may_fail_and_whoever_comes_then_is_not_refused_for_them() {
    let attempts = Attempts::new(LIMITS, 64);
    let from = source("192.0.2.1");
    let retry_after = RUNNING;
    let full = Held::Running { retry_after };
    let mut running: Vec<Attempt> = (0..10)
        .map(|_each| attempts.begin("ada", from, SECOND).unwrap())
        .collect();
    assert_eq!(attempts.begin("ada", from, SECOND).unwrap_err(), full);
    // what ends right makes room, and what ends wrong does not
    running.pop().unwrap().end(Ended::Right, SECOND);
    running.push(attempts.begin("ada", from, SECOND).unwrap());
    running.pop().unwrap().end(Ended::Wrong, SECOND);
    assert_eq!(attempts.begin("ada", from, SECOND).unwrap_err(), full);
    drop(running);
    assert!(attempts.begin("ada", from, SECOND).is_ok());
    // a source with users of all kinds
    let begin = |number| attempts.begin(&format!("user-{number}"), nth(7), SECOND);
    let running: Vec<Attempt> = (0..50).map(|number| begin(number).unwrap()).collect();
    assert!(running.iter().all(|attempt| attempt.wait.is_zero()));
    assert_eq!(begin(50).unwrap_err(), full);
    for attempt in running {
        attempt.end(Ended::Right, SECOND);
    }
    assert!(begin(50).unwrap().wait.is_zero());
}

#[test]
fn of_one_source_a_share_runs_at_once_and_who_was_right_from_there_has_as_much_again() {
    let attempts = Attempts::new(LIMITS, 2);
    let from = source("192.0.2.1");
    let begin = |user| attempts.begin(user, from, SECOND);
    for user in ["ada", "bob"] {
        begin(user).unwrap().end(Ended::Right, SECOND);
    }
    let _two = (begin("eve").unwrap(), begin("mallory").unwrap());
    assert!(matches!(begin("trent"), Err(Held::Running { .. })));
    let _four = (begin("ada").unwrap(), begin("bob").unwrap());
    assert!(matches!(begin("ada"), Err(Held::Running { .. })));
    assert!(attempts.begin("trent", nth(7), SECOND).is_ok());
}

#[test]
fn a_user_that_many_sources_guess_at_is_slowed_and_never_locked() {
    let attempts = Attempts::new(LIMITS, 64);
    let home = source("203.0.113.7");
    attempts
        .begin("ada", home, SECOND)
        .unwrap()
        .end(Ended::Right, SECOND);
    let mut now = SECOND;
    let mut made = 0;
    for number in 0..10_000 {
        now += Duration::from_millis(1);
        match attempts.begin("ada", nth(number), now) {
            Ok(attempt) => {
                assert!(attempt.wait <= LONGEST_WAIT);
                made += 1;
                let then = now + attempt.wait;
                attempt.end(Ended::Wrong, then);
            }
            Err(held) => assert!(matches!(held, Held::UserBusy { .. }), "{held:?}"),
        }
    }
    // in ten seconds, and the ten that those in line wait yet
    assert!((20..60).contains(&made), "{made}");
    // who was right from there before is not in that line
    assert!(attempts.begin("ada", home, now).unwrap().wait.is_zero());
    // who comes from somewhere new waits, and is let in
    let mut waited = Duration::ZERO;
    let attempt = loop {
        match attempts.begin("ada", source("203.0.113.8"), now + waited) {
            Ok(attempt) => break attempt,
            Err(Held::UserBusy { retry_after }) => {
                waited += retry_after.saturating_sub(LONGEST_WAIT);
            }
            Err(held) => panic!("{held:?}"),
        }
    };
    assert!(waited + attempt.wait < LONGEST_WAIT * 2);
    attempt.end(Ended::Right, now);
    // and nobody else is slowed
    assert!(attempts.begin("bob", nth(1), now).unwrap().wait.is_zero());
}

#[test]
fn a_source_that_guesses_at_many_users_is_slowed() {
    let attempts = Attempts::new(LIMITS, 64);
    let from = source("192.0.2.1");
    let (mut made, mut held_back) = (0, 0);
    for number in 0..1000 {
        match attempts.begin(&format!("user-{number}"), from, SECOND) {
            Ok(attempt) => {
                made += 1;
                attempt.end(Ended::Wrong, SECOND);
            }
            Err(held) => {
                assert!(matches!(held, Held::SourceBusy { .. }), "{held:?}");
                held_back += 1;
            }
        }
    }
    assert!((50..150).contains(&made), "{made}");
    assert_eq!(made + held_back, 1000);
    // others are not
    assert!(
        attempts
            .begin("user-1", nth(7), SECOND)
            .unwrap()
            .wait
            .is_zero()
    );
}

#[test]
fn a_source_whom_nobody_answers_is_slowed_until_one_is_right_and_nobody_is_locked() {
    let attempts = Attempts::new(LIMITS, 64);
    let from = source("192.0.2.1");
    let begin = |now| attempts.begin("ada", from, now);
    for _each in 0..50 {
        let attempt = begin(SECOND).unwrap();
        assert!(attempt.wait.is_zero());
        attempt.end(Ended::Unanswered, SECOND);
    }
    let mut slowed = 0;
    let held = loop {
        match begin(SECOND) {
            Ok(attempt) => attempt.end(Ended::Unanswered, SECOND),
            Err(held) => break held,
        }
        slowed += 1;
    };
    assert!((20..100).contains(&slowed), "{slowed}");
    assert!(matches!(held, Held::Unanswered { .. }), "{held:?}");
    assert!(
        attempts
            .begin("ada", nth(7), SECOND)
            .unwrap()
            .wait
            .is_zero()
    );
    // and not for long
    let right = begin(SECOND * 20).unwrap();
    assert!(right.wait < SECOND * 3, "{right:?}");
    right.end(Ended::Right, SECOND * 20);
    let attempts_now = attempts.begin("bob", from, SECOND * 20).unwrap();
    assert!(attempts_now.wait.is_zero());
}

#[test]
fn a_crowd_of_names_or_sources_takes_no_more_room_and_unlocks_nobody() {
    let attempts = Attempts::new(LIMITS, 64);
    let bad = source("192.0.2.1");
    fail(&attempts, "ada", bad, SECOND);
    for number in 0..80_000 {
        let attempt = attempts.begin(&format!("user-{number}"), nth(number), SECOND);
        attempt.unwrap().end(Ended::Wrong, SECOND);
    }
    let state = attempts.state();
    for count in [state.pairs.len(), state.users.len(), state.sources.len()] {
        assert_eq!(count, MOST);
    }
    drop(state);
    assert!(attempts.locked("ada", bad, SECOND).is_some());
    assert!(!format!("{attempts:?}").contains("ada"));
}
