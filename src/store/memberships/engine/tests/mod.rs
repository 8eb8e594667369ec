//! The engine with a scripted source and paused time.

mod passing;

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;
use crate::authn::membership::Sets;
use crate::authn::principal::Names;
use crate::client::health::Concerns;
use crate::gate::Boxed;
use crate::store::memberships::source::AT_ONCE;
use crate::telemetry::Telemetry;

const POLICY: LookUps = LookUps {
    cache: Duration::from_secs(60),
    negative_cache: Duration::from_secs(10),
    max_stale: Duration::from_secs(600),
    timeout: Duration::from_secs(2),
    max_entries: 100,
};

/// What a look-up comes to.
#[derive(Clone, Copy, Debug)]
enum Script {
    Groups(&'static [&'static str]),
    After(Duration, &'static str),
    Fail(Concerns),
    Hang,
    Panic,
}

#[derive(Debug)]
struct Scripted {
    script: Mutex<Script>,
    /// For users whose name begins so another one.
    but: Mutex<Option<(&'static str, Script)>>,
    asked: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Scripted {
    fn new(script: Script) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(script),
            but: Mutex::default(),
            asked: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn set(&self, script: Script) {
        *lock(&self.script) = script;
    }

    fn asked(&self) -> usize {
        lock(&self.asked).len()
    }
}

fn groups(names: &[&str]) -> Sets {
    Sets {
        groups: Names::Known(names.iter().map(|&name| name.to_owned()).collect()),
        ..Sets::NONE
    }
}

/// Counts itself as running while it lives.
struct Running<'r>(&'r AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source for Scripted {
    type Answer = Sets;
    type With = ();

    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        _with: &'l (),
    ) -> Boxed<'l, Result<Sets, LookUpError>> {
        let but = *lock(&self.but);
        let script = match but {
            Some((user, script)) if subject.user_id.starts_with(user) => script,
            Some(_) | None => *lock(&self.script),
        };
        lock(&self.asked).push(subject.user_id.to_owned());
        Box::pin(async move {
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(running, Ordering::Relaxed);
            let _running = Running(&self.running);
            match script {
                Script::Groups(names) => Ok(groups(names)),
                Script::After(time, name) => {
                    tokio::time::sleep(time).await;
                    Ok(groups(&[name]))
                }
                Script::Fail(Concerns::Everyone) => Err(LookUpError::everyones("scripted")),
                Script::Fail(Concerns::One) => Err(LookUpError::of_one("scripted")),
                Script::Fail(Concerns::Unclear) => Err(LookUpError::unclear("scripted")),
                Script::Hang => std::future::pending().await,
                Script::Panic => panic!("scripted"),
            }
        })
    }
}

fn engine_of(source: &Arc<Scripted>, policy: LookUps) -> Arc<Engine<Scripted>> {
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let metrics = Telemetry::quiet().metrics.memberships("main");
    let source = Arc::clone(source);
    Arc::new(Engine::new(
        &Arc::from("main"),
        policy,
        source,
        metrics,
        &background,
    ))
}

fn subject(user_id: &str) -> Subject<'_> {
    Subject {
        issuer: "users",
        user_id,
        tenant: None,
        client_id: None,
    }
}

/// What is answered for a user: how it is known, and the first group.
async fn ask(engine: &Arc<Engine<Scripted>>, user_id: &str) -> Result<(Learnt, String), Duration> {
    let known = engine.ask(subject(user_id), || ()).await?;
    let first = known.answer.groups.known().first().cloned();
    Ok((known.how, first.unwrap_or_default()))
}

fn is(how: Learnt, group: &str) -> (Learnt, String) {
    (how, group.to_owned())
}

/// What is answered for each of these users, who ask at once.
async fn ask_all(
    engine: &Arc<Engine<Scripted>>,
    users: impl Iterator<Item = String>,
) -> Vec<Result<(Learnt, String), Duration>> {
    let mut asking = JoinSet::new();
    for user in users {
        let engine = Arc::clone(engine);
        asking.spawn(async move { ask(&engine, &user).await });
    }
    asking.join_all().await
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_while_it_is_fresh_and_then_asked_for_again() {
    let source = Scripted::new(Script::Groups(&["a"]));
    let engine = engine_of(&source, POLICY);
    assert!(engine.find(&subject("ada")).is_none());
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "a")));
    let first = engine.find(&subject("ada")).unwrap().answer;
    pass(59).await;
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Cached, "a")));
    pass(1).await;
    assert!(engine.find(&subject("ada")).is_none());
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "a")));
    // what says the same is the same
    let second = engine.find(&subject("ada")).unwrap().answer;
    assert!(Arc::ptr_eq(&first, &second));
    source.set(Script::Groups(&["b"]));
    pass(60).await;
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "b")));
    assert_eq!(source.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_asked_for_again_sooner() {
    let source = Scripted::new(Script::Groups(&[]));
    let engine = engine_of(&source, POLICY);
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "")));
    pass(9).await;
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Cached, "")));
    source.set(Script::Groups(&["a"]));
    pass(1).await;
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "a")));
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_share_one_look_up_and_whoever_leaves_ends_it_for_none() {
    let source = Scripted::new(Script::After(Duration::from_secs(1), "a"));
    let engine = engine_of(&source, POLICY);
    let mut asking = JoinSet::new();
    let first_engine = Arc::clone(&engine);
    let first = asking.spawn(async move { ask(&first_engine, "ada").await });
    tokio::task::yield_now().await;
    for _ in 0..50 {
        let engine = Arc::clone(&engine);
        asking.spawn(async move { ask(&engine, "ada").await });
    }
    tokio::task::yield_now().await;
    first.abort();
    let mut answered = 0;
    while let Some(asked) = asking.join_next().await {
        let Ok(told) = asked else { continue };
        assert_eq!(told, Ok(is(Learnt::Asked, "a")));
        answered += 1;
    }
    assert_eq!(answered, 50);
    assert_eq!(source.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_issuer_tenant_or_client_is_another_subject() {
    let source = Scripted::new(Script::Groups(&["a"]));
    let engine = engine_of(&source, POLICY);
    let plain = subject("ada");
    let others = [
        Subject {
            issuer: "staff",
            ..plain
        },
        Subject {
            tenant: Some("acme"),
            ..plain
        },
        Subject {
            client_id: Some("acme"),
            ..plain
        },
        Subject {
            tenant: Some(""),
            ..plain
        },
        Subject {
            issuer: "user",
            user_id: "sada",
            ..plain
        },
    ];
    engine.ask(plain, || ()).await.unwrap();
    for other in others {
        assert!(engine.find(&other).is_none(), "{other:?}");
        engine.ask(other, || ()).await.unwrap();
        assert!(engine.find(&other).is_some(), "{other:?}");
    }
    assert_eq!(source.asked(), 1 + others.len());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_down_what_it_said_is_used_for_so_long_and_then_nobody_can_tell() {
    let source = Scripted::new(Script::Groups(&["a"]));
    let engine = engine_of(&source, POLICY);
    ask(&engine, "ada").await.unwrap();
    source.set(Script::Fail(Concerns::Everyone));
    pass(60).await;
    for _ in 0..5 {
        assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Stale, "a")));
        assert!(ask(&engine, "bob").await.is_err());
        pass(107).await;
    }
    // 595 s old
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Stale, "a")));
    pass(5).await;
    let retry_after = ask(&engine, "ada").await.unwrap_err();
    assert!(retry_after > Duration::ZERO && retry_after <= LONGEST_PAUSE);
    // back again
    source.set(Script::Groups(&["b"]));
    pass(60).await;
    assert_eq!(ask(&engine, "ada").await, Ok(is(Learnt::Asked, "b")));
    assert_eq!(ask(&engine, "bob").await, Ok(is(Learnt::Asked, "b")));
}

#[tokio::test(start_paused = true)]
async fn a_store_known_to_be_down_is_waited_for_by_one_at_a_time() {
    let source = Scripted::new(Script::Hang);
    let engine = engine_of(&source, POLICY);
    let began = Instant::now();
    assert!(ask(&engine, "u0").await.is_err());
    assert!(ask(&engine, "u1").await.is_err());
    assert!(began.elapsed() >= POLICY.timeout * 2);
    // two of them in a row: from now on nobody waits
    let began = Instant::now();
    for user in ["u2", "u3", "u4"] {
        assert!(ask(&engine, user).await.is_err());
    }
    assert_eq!((began.elapsed(), source.asked()), (Duration::ZERO, 2));
    // after a rest one asks for all
    pass(1).await;
    let crowd = (5..25).map(|number| format!("u{number}"));
    for asked in ask_all(&engine, crowd).await {
        assert!(asked.is_err());
    }
    assert_eq!(source.asked(), 3);
    // and finds it up again, for all
    source.set(Script::Groups(&["a"]));
    pass(30).await;
    for user in ["u1", "u2", "u99"] {
        assert_eq!(
            ask(&engine, user).await,
            Ok(is(Learnt::Asked, "a")),
            "{user}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_answer_is_of_no_use_is_nobody_elses_trouble() {
    for script in [
        Script::Fail(Concerns::One),
        Script::Fail(Concerns::Unclear),
        Script::Hang,
        Script::Panic,
    ] {
        let source = Scripted::new(Script::Groups(&["a"]));
        let engine = engine_of(&source, POLICY);
        *lock(&source.but) = Some(("odd", script));
        for round in 0..20 {
            assert!(ask(&engine, "odd").await.is_err(), "{script:?}");
            // not asked again at once
            let before = source.asked();
            assert!(ask(&engine, "odd").await.is_err(), "{script:?}");
            assert_eq!(source.asked(), before, "{script:?}");
            let user = format!("u{round}");
            assert_eq!(ask(&engine, &user).await, Ok(is(Learnt::Asked, "a")));
            pass(31).await;
        }
        *lock(&source.but) = None;
        pass(31).await;
        assert_eq!(ask(&engine, "odd").await, Ok(is(Learnt::Asked, "a")));
    }
}

#[tokio::test(start_paused = true)]
async fn those_whose_look_ups_fail_again_and_again_close_the_door_for_nobody_else() {
    let source = Scripted::new(Script::Groups(&["admins"]));
    *lock(&source.but) = Some(("broken", Script::Fail(Concerns::Unclear)));
    let engine = engine_of(&source, POLICY);
    let mut shut = 0;
    for number in 0..20 {
        for broken in ["broken-1", "broken-2"] {
            assert!(ask(&engine, broken).await.is_err());
        }
        let other = ask(&engine, &format!("user-{number}")).await;
        shut += usize::from(other.is_err());
        pass(31).await;
    }
    // the first time nobody could know
    assert_eq!(shut, 1);
    // what meets all of them is still seen
    source.set(Script::Fail(Concerns::Unclear));
    for new in ["new-1", "new-2"] {
        assert!(ask(&engine, new).await.is_err());
    }
    let asked = source.asked();
    assert!(ask(&engine, "new-3").await.is_err());
    assert_eq!(source.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_opens_a_bounded_number_of_look_ups_and_entries() {
    let source = Scripted::new(Script::After(Duration::from_millis(10), "a"));
    let engine = engine_of(&source, POLICY);
    let crowd = UNDER_WAY + 500;
    let crowd = (0..crowd).map(|number| format!("u{number}"));
    let mut refused = 0;
    for asked in ask_all(&engine, crowd).await {
        match asked {
            Ok(told) => assert_eq!(told, is(Learnt::Asked, "a")),
            Err(retry_after) => {
                assert_eq!(retry_after, RETRY_AFTER);
                refused += 1;
            }
        }
    }
    assert_eq!((refused, source.asked()), (500, UNDER_WAY));
    assert_eq!(source.most.load(Ordering::Relaxed), AT_ONCE);
    assert!(engine.len() <= POLICY.max_entries, "{}", engine.len());
    assert!(lock(&engine.memory.flights).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_store_of_the_next_world_knows_what_this_one_knew() {
    let source = Scripted::new(Script::Groups(&["a"]));
    let engine = engine_of(&source, POLICY);
    ask(&engine, "ada").await.unwrap();
    let next = Scripted::new(Script::Groups(&["b"]));
    let next_engine = Arc::into_inner(engine_of(&next, POLICY)).unwrap();
    let next_engine = Arc::new(next_engine.succeeding(&engine));
    assert_eq!(ask(&next_engine, "ada").await, Ok(is(Learnt::Cached, "a")));
    assert_eq!(ask(&next_engine, "bob").await, Ok(is(Learnt::Asked, "b")));
    assert_eq!((source.asked(), next.asked()), (1, 1));
}
