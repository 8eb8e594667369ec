//! A scripted fetch under paused time.

mod bounds;
mod unclear;

use std::collections::HashMap;

use tokio::time::{Instant, sleep};

use super::*;
use crate::client::token::{LifeFrom, user};
use crate::clock::PausedClock;

const SECOND: Duration = Duration::from_secs(1);

/// Answers after a time (100 ms) with `<token>-1`, `<token>-2`… of `life`; refuses the tokens in
/// `refusals`.
#[derive(Debug)]
struct Scripted {
    life: u64,
    takes: Mutex<Duration>,
    asked: Mutex<HashMap<String, usize>>,
    refusals: Mutex<HashMap<String, &'static str>>,
}

impl Scripted {
    fn asked(&self, token: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(token).copied().unwrap_or_default()
    }

    /// How long an answer takes from now on.
    fn slow(&self, takes: Duration) {
        *self.takes.lock().unwrap() = takes;
    }

    /// What is said to this token from now on; empty: nothing is wrong.
    fn refuse(&self, token: &str, code: &'static str) {
        let mut refusals = self.refusals.lock().unwrap();
        refusals.insert(token.to_owned(), code);
    }
}

impl FetchFor<String> for Scripted {
    fn fetch_for<'f>(
        &'f self,
        subject: &'f SubjectToken,
        _now: UnixTime,
    ) -> Boxed<'f, Result<Granted<String>, FetchError>> {
        Box::pin(async move {
            let token = subject.expose();
            let number = {
                let mut asked = self.asked.lock().unwrap();
                let number = asked.entry(token.to_owned()).or_default();
                *number += 1;
                *number
            };
            let takes = *self.takes.lock().unwrap();
            sleep(takes).await;
            let code = self.refusals.lock().unwrap().get(token).copied();
            match code.filter(|code| !code.is_empty()) {
                Some("panic") => panic!("a bug"),
                // a status and a code: `429 access_denied`, `401 `
                Some(said) => {
                    let (status, code) = said.split_once(' ').unwrap_or(("400", said));
                    Err(FetchError::Refused {
                        status: status.parse().unwrap(),
                        code: (!code.is_empty()).then(|| code.to_owned()),
                        retry_after: None,
                    })
                }
                None => Ok(Granted {
                    credential: format!("{token}-{number}"),
                    life: Duration::from_secs(self.life),
                    life_from: LifeFrom::ExpiresIn,
                    scope: None,
                }),
            }
        })
    }
}

struct Bench {
    script: Arc<Scripted>,
    clock: Arc<dyn Clock>,
    subjects: Arc<Subjects<String>>,
    background: Background,
}

fn bench(life: u64, most: usize) -> Bench {
    bench_of(life, most, String::len)
}

fn bench_of(life: u64, most: usize, size: fn(&String) -> usize) -> Bench {
    let script = Arc::new(Scripted {
        life,
        takes: Mutex::new(SECOND / 10),
        asked: Mutex::default(),
        refusals: Mutex::default(),
    });
    let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
    let telemetry = Telemetry::to_writer(Box::new(std::io::sink()), Arc::clone(&clock));
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let subjects = Subjects::new(Setup {
        name: Arc::from("orders"),
        kind: "token_exchange",
        most,
        size,
        freshness: Freshness {
            refresh_before: None,
            max_reuse: None,
        },
        fetch: Arc::clone(&script) as Arc<dyn FetchFor<String>>,
        clock: &clock,
        telemetry: &telemetry,
        background: &background,
    });
    Bench {
        script,
        clock,
        subjects: Arc::new(subjects),
        background,
    }
}

impl Bench {
    /// Somebody whose token is called like them and lives this long from now.
    fn user(&self, name: &str, lives: u64) -> User {
        user(name, name, self.clock.now().plus(lives))
    }

    async fn find(&self, user: &User) -> Result<String, Without> {
        let found = self.subjects.find(user).await;
        found.map(|lent| (*lent.credential).clone())
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_waiters_of_one_subject_cost_one_fetch_and_others_have_their_own() {
    let bench = bench(3600, 10);
    let (ada, bob) = (bench.user("ada", 9000), bench.user("bob", 9000));
    let waiting = (0..200).map(|number| {
        let user = if number % 2 == 0 { &ada } else { &bob };
        bench.find(user)
    });
    let found = futures_util::future::join_all(waiting).await;
    for (number, found) in found.into_iter().enumerate() {
        let expected = if number % 2 == 0 { "ada-1" } else { "bob-1" };
        assert_eq!(found.as_deref(), Ok(expected));
    }
    assert_eq!(
        (bench.script.asked("ada"), bench.script.asked("bob")),
        (1, 1)
    );
    // another token of the same user is another subject token
    let again = user("ada", "ada's next", bench.clock.now().plus(9000));
    assert_eq!(bench.find(&again).await.as_deref(), Ok("ada's next-1"));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_survives_the_caller_who_gives_up() {
    let bench = bench(3600, 10);
    let ada = bench.user("ada", 9000);
    drop(tokio::time::timeout(SECOND / 100, bench.find(&ada)).await);
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    assert_eq!(bench.script.asked("ada"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_refreshed_when_used_late_in_its_life_and_never_used_after_it() {
    let bench = bench(600, 10);
    let ada = bench.user("ada", 9000);
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    sleep(400 * SECOND).await;
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    assert_eq!(bench.script.asked("ada"), 1);
    // in the last fifth: the old one is still good, a new one is fetched beside it, once
    sleep(120 * SECOND).await;
    for _use in 0..3 {
        assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    }
    sleep(SECOND).await;
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-2"));
    assert_eq!(bench.script.asked("ada"), 2);
    // unused in its refresh window, it just ends
    bench.script.refuse("ada", "server_error");
    sleep(601 * SECOND).await;
    assert!(matches!(bench.find(&ada).await, Err(Without::Later(_))));
}

#[tokio::test(start_paused = true)]
async fn a_credential_ends_with_the_users_token() {
    let bench = bench(3600, 10);
    let ada = bench.user("ada", 100);
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    sleep(98 * SECOND).await;
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    sleep(2 * SECOND).await;
    assert_eq!(bench.find(&ada).await, Err(Without::Expired));
    assert_eq!(
        bench.script.asked("ada"),
        1,
        "a refresh would not live longer"
    );
    let nobody = User {
        token: None,
        ..bench.user("ada", 100)
    };
    assert_eq!(bench.find(&nobody).await, Err(Without::Token));
}

#[tokio::test(start_paused = true)]
async fn a_failure_pauses_its_subject_only_and_is_told_apart_from_a_refusal() {
    let bench = bench(3600, 10);
    let (ada, bob, eve) = (
        bench.user("ada", 9000),
        bench.user("bob", 9000),
        bench.user("eve", 9000),
    );
    bench.script.refuse("ada", "temporarily_unavailable");
    bench.script.refuse("eve", "interaction_required");
    for _try in 0..3 {
        assert!(matches!(bench.find(&ada).await, Err(Without::Later(_))));
        assert!(matches!(bench.find(&eve).await, Err(Without::Refused(_))));
        assert_eq!(bench.find(&bob).await.as_deref(), Ok("bob-1"));
    }
    assert_eq!(
        (bench.script.asked("ada"), bench.script.asked("eve")),
        (1, 1)
    );
    sleep(SECOND).await;
    bench.script.refuse("ada", "");
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-2"));
    let report = bench.subjects.report();
    assert_eq!(report["subjects"], 3);
    assert_eq!(report["available_for"], 2);
    assert!(
        report["last_error"]["error"]
            .as_str()
            .unwrap()
            .contains("interaction_required"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_used_until_its_end_while_refreshing_fails() {
    let bench = bench(600, 10);
    let ada = bench.user("ada", 9000);
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
    bench.script.refuse("ada", "server_error");
    sleep(500 * SECOND).await;
    for _second in 0..90 {
        assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-1"));
        sleep(SECOND).await;
    }
    let asked = bench.script.asked("ada");
    assert!((3..=10).contains(&asked), "the pause doubles: {asked}");
    sleep(10 * SECOND).await;
    assert!(matches!(bench.find(&ada).await, Err(Without::Later(_))));
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_is_replaced_once_in_thirty_seconds() {
    let bench = bench(3600, 10);
    let ada = bench.user("ada", 9000);
    let first = bench.find(&ada).await.unwrap();
    let other = |refused: String| {
        let (subjects, ada) = (Arc::clone(&bench.subjects), ada.clone());
        async move {
            let found = subjects.replace(&ada, |held| *held == refused).await;
            found.map(|lent| (*lent.credential).clone())
        }
    };
    let replaced = futures_util::future::join_all((0..10).map(|_each| other(first.clone()))).await;
    assert!(
        replaced
            .iter()
            .all(|found| found.as_deref() == Some("ada-2"))
    );
    assert_eq!(bench.script.asked("ada"), 2);
    // late, with the old one: the current one is another
    assert_eq!(other(first).await.as_deref(), Some("ada-2"));
    assert_eq!(other("ada-2".to_owned()).await, None, "too soon");
    sleep(30 * SECOND).await;
    assert_eq!(other("ada-2".to_owned()).await.as_deref(), Some("ada-3"));
}

#[tokio::test(start_paused = true)]
async fn waiters_learn_of_a_panic_and_of_the_end() {
    let bench = bench(3600, 10);
    let ada = bench.user("ada", 9000);
    bench.script.refuse("ada", "panic");
    assert!(matches!(bench.find(&ada).await, Err(Without::Later(_))));
    bench.script.refuse("ada", "");
    sleep(2 * SECOND).await;
    assert_eq!(bench.find(&ada).await.as_deref(), Ok("ada-2"));
    bench.background.stop.cancel();
    let before = Instant::now();
    let bob = bench.user("bob", 9000);
    assert!(matches!(bench.find(&bob).await, Err(Without::Later(_))));
    assert!(before.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_the_endpoint_says_to_everyone_holds_every_fetch_off() {
    for said in [
        "429 access_denied",
        "503 temporarily_unavailable",
        "500 invalid_grant",
        "401 invalid_client",
    ] {
        let bench = bench(600, 1000);
        let known = bench.user("known", 9000);
        bench.find(&known).await.unwrap();
        bench.script.refuse("mallory", said);
        let mallory = bench.user("mallory", 9000);
        assert!(
            matches!(bench.find(&mallory).await, Err(Without::Later(_))),
            "{said}"
        );
        for number in 0..100 {
            let name = format!("user-{number}");
            let found = bench.find(&bench.user(&name, 9000)).await;
            assert!(matches!(found, Err(Without::Later(rest)) if !rest.is_zero()));
            assert_eq!(bench.script.asked(&name), 0, "{said}");
        }
        assert_eq!(bench.find(&known).await.as_deref(), Ok("known-1"));
        sleep(SECOND).await;
        let next = bench.user("next", 9000);
        assert_eq!(bench.find(&next).await.as_deref(), Ok("next-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_one_round_of_requests_however_many_users_wait() {
    let bench = bench(600, 1000);
    let names: Vec<String> = (0..500).map(|number| format!("user-{number}")).collect();
    for name in &names {
        bench.script.refuse(name, "503 temporarily_unavailable");
    }
    let users: Vec<_> = names.iter().map(|name| bench.user(name, 9000)).collect();
    let found = futures_util::future::join_all(users.iter().map(|user| bench.find(user))).await;
    assert!(
        found
            .iter()
            .all(|found| matches!(found, Err(Without::Later(_))))
    );
    let asked: usize = names.iter().map(|name| bench.script.asked(name)).sum();
    assert_eq!(asked, FETCHES_AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_users_only_by_its_status_and_code_and_shows_in_status() {
    for (said, is_theirs) in [
        ("400 invalid_grant", true),
        ("401 invalid_grant", true),
        ("403 access_denied", true),
        ("429 access_denied", false),
        ("500 invalid_grant", false),
        ("400 invalid_request", false),
    ] {
        let bench = bench(600, 10);
        bench.script.refuse("ada", said);
        let found = bench.find(&bench.user("ada", 9000)).await;
        assert_eq!(
            matches!(found, Err(Without::Refused(_))),
            is_theirs,
            "{said}"
        );
        let shown = bench.subjects.report()["last_error"]["error"].to_string();
        let (_status, code) = said.split_once(' ').unwrap();
        assert!(shown.contains(code), "{shown}");
    }
}
