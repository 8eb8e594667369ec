//! What one verification costs, whom it serves, and who is not let try. The clock is paused; hashes are
//! real, and small.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::authn::password::hash::Cost;
use crate::config::{BasicUsers, Lockout};

/// bcrypt of "open sesame", "pässwörd:1".
const SESAME: &str = "$2a$04$qjmSjUMGOTx.9tvU.xQA8uwXQStajA3z8NoOZChjf78WwiSazIw.u";
const OTHER: &str = "$2b$05$PUtUMv5nNi1YCcJiu7iece48mGmmUbKaH/.26eiFYykTZATi.Nhby";
const LOCKOUT: Lockout = Lockout {
    attempts: 10,
    window: Duration::from_secs(900),
    duration: Duration::from_secs(600),
};

/// Users whose stored passwords a test changes, and that count how often they are looked for.
#[derive(Debug, Default)]
struct Scripted {
    users: Mutex<HashMap<String, Arc<PasswordHash>>>,
    asked: AtomicUsize,
    away: std::sync::atomic::AtomicBool,
    slow: Duration,
}

impl Scripted {
    fn of(users: &[(&str, &str)]) -> Arc<Self> {
        let scripted = Self::default();
        for (name, hash) in users {
            scripted.set(name, hash);
        }
        Arc::new(scripted)
    }

    fn set(&self, name: &str, hash: &str) {
        let hash = Arc::new(PasswordHash::parse(hash).unwrap());
        self.users.lock().unwrap().insert(name.to_owned(), hash);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Users for Scripted {
    fn find<'u>(
        &'u self,
        user: &'u str,
    ) -> Boxed<'u, Result<Option<Arc<PasswordHash>>, Unavailable>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::time::sleep(self.slow).await;
            if self.away.load(Ordering::Relaxed) {
                let retry_after = Duration::from_secs(7);
                return Err(Unavailable { retry_after });
            }
            Ok(self.users.lock().unwrap().get(user).cloned())
        })
    }

    fn is_current(&self, user: &str, stored: Option<&Arc<PasswordHash>>) -> bool {
        self.users.lock().unwrap().get(user) == stored
    }

    fn nobody(&self) -> Arc<PasswordHash> {
        Arc::new(PasswordHash::of_nobody(Cost::Bcrypt { cost: 4 }))
    }
}

fn config() -> config::Basic {
    let none = crate::authn::password::UsersFile::parse("").unwrap();
    config::Basic {
        users: BasicUsers::File(Arc::new(none)),
        challenge: http::HeaderValue::from_static("Basic realm=\"gatepost\""),
        hash_threads: NonZeroUsize::new(1),
        cache: Duration::from_secs(300),
        max_entries: 100,
        lockout: LOCKOUT,
    }
}

fn start(users: &Arc<Scripted>, previous: Option<&PasswordStore>) -> PasswordStore {
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let users: Arc<dyn Users> = Arc::<Scripted>::clone(users);
    PasswordStore::start(&config(), users, &Telemetry::quiet(), &background, previous).unwrap()
}

fn source(address: &str) -> Source {
    Source::of(address.parse().unwrap())
}

/// The tag is the gate's; here any that tells pairs apart.
async fn verify(store: &PasswordStore, user: &str, password: &str, from: &str) -> Verified {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (user, password).hash(&mut hasher);
    let tag = u128::from(hasher.finish()).to_be_bytes();
    let presented = UserPassword::new(user, password).unwrap();
    store.verify(tag, presented, Some(source(from))).await
}

fn refused() -> Verified {
    Err(Denial::PasswordRefused.into())
}

const HOME: &str = "192.0.2.1";

#[tokio::test(start_paused = true)]
async fn whoever_asks_the_same_waits_for_one_verification() {
    let users = Arc::new(Scripted {
        slow: Duration::from_secs(1),
        ..Scripted::default()
    });
    users.set("ada", SESAME);
    let store = start(&users, None);
    // the first one goes away while it runs
    let gone = verify(&store, "ada", "open sesame", HOME);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), gone)
            .await
            .is_err()
    );
    let all = (0..50).map(|number| {
        let store = &store;
        async move { verify(store, "ada", "open sesame", &format!("192.0.2.{number}")).await }
    });
    for verified in futures_util::future::join_all(all).await {
        assert_eq!(verified.unwrap().cost(), Cost::Bcrypt { cost: 4 });
    }
    assert_eq!(users.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_repeated_costs_nothing_and_is_no_further_failure() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    for _each in 0..100 {
        assert_eq!(verify(&store, "ada", "wrong", HOME).await, refused());
    }
    assert_eq!(users.asked(), 1);
    // it is looked at again after a while, or once what is stored has changed
    tokio::time::advance(WRONG_FOR).await;
    assert_eq!(verify(&store, "ada", "pässwörd:1", HOME).await, refused());
    assert_eq!(users.asked(), 2);
    users.set("ada", OTHER);
    assert!(verify(&store, "ada", "pässwörd:1", HOME).await.is_ok());
    assert_eq!(verify(&store, "bob", "pässwörd:1", HOME).await, refused());
    users.set("bob", OTHER);
    assert!(verify(&store, "bob", "pässwörd:1", HOME).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_is_locked_out_is_not_helped_by_the_right_password() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    let proven = verify(&store, "ada", "open sesame", HOME).await.unwrap();
    for number in 0..10 {
        let password = format!("guess {number}");
        assert_eq!(verify(&store, "ada", &password, HOME).await, refused());
    }
    let asked = users.asked();
    for password in ["open sesame", "guess 11", "guess 1"] {
        let verified = verify(&store, "ada", password, HOME).await;
        let locked = matches!(verified, Err(Refusal::Denied(Denial::LockedOut { .. })));
        assert!(locked, "{password} {verified:?}");
    }
    assert_eq!(users.asked(), asked);
    // nor by what was proven before
    let standing = |store: &PasswordStore, from| store.standing("ada", &proven, Some(source(from)));
    assert!(matches!(standing(&store, HOME), Standing::LockedOut { .. }));
    assert_eq!(standing(&store, "198.51.100.1"), Standing::Same);
    // another user is
    users.set("bob", SESAME);
    assert!(verify(&store, "bob", "open sesame", HOME).await.is_ok());
    // a reload forgets nothing of it
    let reloaded = start(&users, Some(&store));
    assert!(matches!(
        standing(&reloaded, HOME),
        Standing::LockedOut { .. }
    ));
    tokio::time::advance(LOCKOUT.duration).await;
    assert!(verify(&reloaded, "ada", "open sesame", HOME).await.is_ok());
    assert_eq!(standing(&reloaded, HOME), Standing::Same);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_users_is_counted_and_locked_like_any() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    let mut answers = Vec::new();
    for user in ["ada", "nobody"] {
        let mut told = Vec::new();
        for number in 0..12 {
            let password = format!("guess {number}");
            told.push(verify(&store, user, &password, HOME).await);
        }
        answers.push(told);
    }
    assert_eq!(answers[0].len(), answers[1].len());
    for (known, unknown) in answers[0].iter().zip(&answers[1]) {
        let reason = |verified: &Verified| verified.as_ref().unwrap_err().reason();
        assert_eq!(reason(known), reason(unknown));
    }
    assert_eq!(answers[1][9], refused());
    assert!(answers[1][10] != refused());
}

#[tokio::test(start_paused = true)]
async fn a_changed_or_removed_hash_ends_what_was_proven() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    let proven = verify(&store, "ada", "open sesame", HOME).await.unwrap();
    assert_eq!(
        store.standing("ada", &proven, Some(source(HOME))),
        Standing::Same
    );
    users.set("ada", OTHER);
    assert_eq!(
        store.standing("ada", &proven, Some(source(HOME))),
        Standing::Changed
    );
    assert_eq!(verify(&store, "ada", "open sesame", HOME).await, refused());
    users.users.lock().unwrap().clear();
    assert_eq!(
        store.standing("ada", &proven, Some(source(HOME))),
        Standing::Changed
    );
}

#[tokio::test(start_paused = true)]
async fn users_that_cannot_be_asked_are_an_outage_and_nobodys_failure() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    users.away.store(true, Ordering::Relaxed);
    for _each in 0..50 {
        let retry_after = Duration::from_secs(7);
        let verified = verify(&store, "ada", "open sesame", HOME).await;
        assert_eq!(
            verified,
            Err(Failure::PasswordsUnavailable { retry_after }.into())
        );
    }
    users.away.store(false, Ordering::Relaxed);
    assert!(verify(&store, "ada", "open sesame", HOME).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_user_others_guess_at_is_let_in_from_where_she_was_before() {
    let users = Scripted::of(&[("ada", SESAME)]);
    let store = start(&users, None);
    assert!(verify(&store, "ada", "open sesame", HOME).await.is_ok());
    let guesses = (0..500).map(|number: u32| {
        let store = &store;
        let from = format!("203.0.{}.{}", number / 250, number % 250);
        async move { verify(store, "ada", &format!("guess {number}"), &from).await }
    });
    let answers = futures_util::future::join_all(guesses).await;
    let unavailable = |answer: &&Verified| matches!(answer, Err(Refusal::Failed(_)));
    let held_back = answers.iter().filter(unavailable).count();
    // most are not even looked at; none is told that the user is locked
    assert!((400..500).contains(&held_back), "{held_back}");
    assert!(
        answers
            .iter()
            .all(|answer| *answer == refused() || unavailable(&answer))
    );
    // and she does not wait behind them
    let before = Instant::now();
    let verified = verify(&store, "ada", "open sesame", HOME).await;
    assert!(verified.is_ok() && before.elapsed() < Duration::from_millis(100));
}

/// With the wall clock: a paused one runs ahead while threads hash.
#[tokio::test]
async fn a_crowd_of_right_passwords_behind_one_address_is_let_in() {
    let names: Vec<String> = (0..200).map(|number| format!("user-{number}")).collect();
    let users = Arc::new(Scripted::default());
    for name in &names {
        users.set(name, SESAME);
    }
    let store = start(&users, None);
    let all = names
        .iter()
        .map(|name| verify(&store, name, "open sesame", HOME));
    for verified in futures_util::future::join_all(all).await {
        assert!(verified.is_ok(), "{verified:?}");
    }
    assert_eq!(users.asked(), 200);
}
