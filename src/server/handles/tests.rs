//! Handles under paused time: how long they are valid, what they hold, who gives way.

use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::*;
use crate::client::token::user;
use crate::clock::{SystemClock, UnixTime};

fn handles(most_bytes: usize) -> Handles {
    let clock = Arc::new(SystemClock);
    Handles::bounded(
        most_bytes,
        Telemetry::to_writer(Box::new(std::io::sink()), clock),
    )
}

/// A user as the gate proves them: the same for all requests with one token.
fn of(name: &str, token: &str) -> User {
    user(name, token, UnixTime(9))
}

fn ada() -> User {
    of("ada", "token")
}

impl Handles {
    fn forget_all(&self) {
        while self.lock().forget_ended(Instant::now()) {}
    }

    fn give(&self, user: &User) -> (HeaderValue, HandleGuard) {
        let token = user.token.as_ref();
        self.issue(&Proof {
            proven: &user.proven,
            token: token.map(|token| token.expose().as_bytes()),
            expires_at: token.map_or(UnixTime(9), |token| token.expires_at()),
        })
    }

    fn is_live(&self, handle: &HeaderValue) -> bool {
        self.find(handle).is_some()
    }

    /// Of ended handles and of new ones, as `/metrics` says.
    fn lost(&self) -> [String; 2] {
        let text = self.telemetry.metrics.render();
        ["ended", "new"].map(|handle| {
            let name = format!("gatepost_handles_evicted_total{{handle=\"{handle}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap().to_owned()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_is_valid_for_its_request_and_a_minute_after() {
    let handles = handles(MOST_BYTES);
    let (value, guard) = handles.give(&ada());
    tokio::time::advance(Duration::from_secs(3600)).await;
    let found = handles.find(&value).unwrap();
    assert_eq!(found.proven.principal.user_id, "ada");
    drop(guard);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(handles.is_live(&value));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!handles.is_live(&value));
}

#[tokio::test(start_paused = true)]
async fn handles_of_one_token_share_it_and_nothing_is_held_after_the_last() {
    let handles = handles(MOST_BYTES);
    let (ada, bob) = (of("ada", "s3cret-ada"), of("bob", "s3cret-bob"));
    let (first, first_guard) = handles.give(&ada);
    let (second, second_guard) = handles.give(&ada);
    let (others, others_guard) = handles.give(&bob);
    let token = |handle| handles.find(handle).unwrap().token.unwrap();
    assert!(Arc::ptr_eq(&token(&first), &token(&second)));
    assert_eq!(token(&others).expose(), "s3cret-bob");
    // a certificate beside it that ends sooner
    let sooner = handles.issue(&Proof {
        proven: &ada.proven,
        token: Some(b"s3cret-ada"),
        expires_at: UnixTime(5),
    });
    assert_eq!(token(&sooner.0).expires_at(), UnixTime(5));
    assert_eq!(token(&first).expires_at(), UnixTime(9));
    // a world that needs no tokens
    let named = handles.issue(&Proof {
        proven: &ada.proven,
        token: None,
        expires_at: UnixTime(9),
    });
    assert!(handles.find(&named.0).unwrap().token.is_none());
    assert_eq!(handles.held().0, 5);

    let weak = Arc::downgrade(&token(&first));
    drop((first_guard, others_guard, sooner, named));
    tokio::time::advance(LINGER).await;
    drop(second_guard);
    assert!(handles.is_live(&second) && weak.upgrade().is_some());
    tokio::time::advance(LINGER).await;
    drop(handles.give(&bob));
    assert!(weak.upgrade().is_none(), "its memory is wiped");
    tokio::time::advance(LINGER).await;
    handles.forget_all();
    assert_eq!(handles.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn two_that_come_first_at_once_share_the_token_all_the_same() {
    let (one, other) = (handles(MOST_BYTES), handles(MOST_BYTES));
    let ada = ada();
    let proof = Proof {
        proven: &ada.proven,
        token: Some(b"token"),
        expires_at: UnixTime(9),
    };
    let (first, second) = (Holder::of(&proof), Holder::of(&proof));
    let keys = [[1; 16], [2; 16]];
    assert!(one.lock().keep(keys[0], first).is_live);
    assert!(one.lock().keep(keys[1], second).is_live);
    let token = |key| one.lock().find(key, Instant::now()).unwrap().token.unwrap();
    assert!(Arc::ptr_eq(&token(&keys[0]), &token(&keys[1])));
    let _guards = (other.issue(&proof), other.issue(&proof));
    assert_eq!(one.held(), other.held());
}

#[tokio::test(start_paused = true)]
async fn what_is_counted_is_what_is_held() {
    let handles = handles(MOST_BYTES);
    let ada = of("ada", &"x".repeat(1000));
    let _first = handles.give(&ada);
    let one = handles.held().1;
    assert!(one >= 1000 + ada.proven.principal.size());
    let _second = handles.give(&ada);
    let two = handles.held().1;
    assert!((1..400).contains(&(two - one)), "a handle: {}", two - one);
    // `on_behalf_of` renders other headers for each request
    let mut stated = ada.clone();
    stated.proven.headers = Arc::default();
    let _third = handles.give(&stated);
    let stated = handles.held().1 - two;
    assert!((1000..2500).contains(&stated), "with its headers: {stated}");
}

/// DESIGN §6: handles outlive their request by a minute. What a minute of requests holds is bounded,
/// and this is how many of them that is.
#[tokio::test(start_paused = true)]
async fn a_minute_of_three_thousand_requests_a_second_fits() {
    let handles = handles(MOST_BYTES);
    let users: Vec<_> = (0..1000)
        .map(|number| of(&format!("user-{number}"), &"x".repeat(2000)))
        .collect();
    let mut guards = Vec::new();
    for number in 0..180_000 {
        guards.push(handles.give(&users[number % users.len()]).1);
    }
    drop(guards);
    let (held, bytes) = handles.held();
    println!("{held} handles, {bytes} bytes");
    assert_eq!(handles.lost(), ["0", "0"]);
    assert_eq!(held, 180_000);
}

#[tokio::test(start_paused = true)]
async fn ended_handles_make_room_and_running_ones_do_not() {
    let measure = handles(MOST_BYTES);
    let _one = measure.give(&ada());
    let handles = handles(measure.held().1 * 3);
    let users = ["ada", "bob", "eve", "joe"].map(|name| of(name, "token"));
    let [(first, guard), (second, _second), (third, _third)] =
        [0, 1, 2].map(|number| handles.give(&users[number]));
    let (dead, dead_guard) = handles.give(&users[3]);
    assert!(!handles.is_live(&dead), "every one is running");
    assert_eq!(handles.lost(), ["0", "1"]);
    drop((guard, dead_guard));
    assert!(handles.is_live(&first));
    let (fourth, _guard) = handles.give(&users[3]);
    assert!(!handles.is_live(&first), "it made room");
    assert!(
        [second, third, fourth]
            .iter()
            .all(|live| handles.is_live(live))
    );
    assert_eq!(handles.lost(), ["1", "1"]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_one_users_requests_ends_no_others_handles() {
    let handles = handles(200_000);
    let few: Vec<_> = (0..20)
        .map(|number| of(&format!("few-{number}"), "t"))
        .collect();
    let theirs: Vec<_> = few.iter().map(|user| handles.give(user)).collect();
    let theirs: Vec<_> = theirs.into_iter().map(|(value, _ended)| value).collect();
    let many = of("many", "t");
    let mut newest = HeaderValue::from_static("-");
    for _each in 0..20_000 {
        newest = handles.give(&many).0;
    }
    let lost = handles.lost();
    assert!(lost[0].parse::<u64>().unwrap() > 19_000, "{lost:?}");
    assert_eq!(lost[1], "0");
    assert!(theirs.iter().all(|value| handles.is_live(value)));
    assert!(handles.is_live(&newest));
    // whom nobody crowds out still ends in a minute
    tokio::time::advance(LINGER).await;
    handles.forget_all();
    assert_eq!(handles.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn where_everybody_has_one_the_oldest_gives_way() {
    let handles = handles(100_000);
    let users: Vec<_> = (0..500)
        .map(|number| of(&format!("{number}"), "t"))
        .collect();
    let values: Vec<_> = users.iter().map(|user| handles.give(user).0).collect();
    let held = handles.held().0;
    assert!((10..200).contains(&held), "{held}");
    let live: Vec<_> = values.iter().map(|value| handles.is_live(value)).collect();
    let (gone, kept) = live.split_at(500 - held);
    assert!(!gone.contains(&true) && !kept.contains(&false), "{live:?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_wiped_with_their_handles_where_nobody_asks() {
    let handles = Arc::new(handles(MOST_BYTES));
    let (value, guard) = handles.give(&ada());
    let token = Arc::downgrade(&handles.find(&value).unwrap().token.unwrap());
    drop(guard);
    let stop = CancellationToken::new();
    let sweep = TaskTracker::new().spawn(Arc::clone(&handles).sweep(stop.clone()));
    tokio::time::sleep(LINGER * 2).await;
    assert!(token.upgrade().is_none());
    stop.cancel();
    sweep.await.unwrap();
}

#[test]
fn a_wrong_handle_names_nobody() {
    let handles = handles(MOST_BYTES);
    let (value, _guard) = handles.give(&ada());
    let text = value.to_str().unwrap();
    for wrong in [
        String::new(),
        "A".repeat(22),
        format!("{text}A"),
        format!("{text}=="),
        text.chars().skip(1).collect(),
        "!".repeat(22),
        "A".repeat(4000),
    ] {
        let wrong = HeaderValue::from_str(&wrong).unwrap();
        assert!(!handles.is_live(&wrong), "{wrong:?}");
    }
}

#[test]
fn a_handle_is_never_printed() {
    let handles = handles(MOST_BYTES);
    let (value, guard) = handles.give(&ada());
    let text = value.to_str().unwrap();
    assert_eq!(text.len(), 22);
    let shown = format!("{value:?} {guard:?} {handles:?}");
    assert!(!shown.contains(text), "{shown}");
}
