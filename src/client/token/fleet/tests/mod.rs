//! Sidecars of one fleet over a store in memory, under paused time.

mod shelf;

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use self::shelf::Shelf;
use super::*;
use crate::client::outgoing;
use crate::client::token::{Bearer, Fetch, FetchError, Granted, LifeFrom};
use crate::clock::Clock;
use crate::config::Freshness;
use crate::secret::Secret;

/// A token endpoint: `t-1`, `t-2`… of `life` seconds, each after `takes`.
#[derive(Debug)]
struct Endpoint {
    asked: AtomicUsize,
    is_down: AtomicBool,
    /// Never answers the first.
    swallows_first: AtomicBool,
    takes: Duration,
    life: u64,
}

impl Fetch<Bearer> for Endpoint {
    fn fetch(&self, _now: UnixTime) -> Boxed<'_, Result<Granted<Bearer>, FetchError>> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            if number == 1 && self.swallows_first.load(Ordering::SeqCst) {
                pending::<()>().await;
            }
            sleep(self.takes).await;
            if self.is_down.load(Ordering::SeqCst) {
                return Err(outgoing::FetchError::Timeout.into());
            }
            let token = Secret::new(format!("t-{number}"));
            Ok(Granted {
                credential: Bearer::new(token).unwrap(),
                life: Duration::from_secs(self.life),
                life_from: LifeFrom::ExpiresIn,
                scope: None,
            })
        })
    }
}

struct World {
    shelf: Arc<Shelf>,
    endpoint: Arc<Endpoint>,
    freshness: Freshness,
}

impl World {
    fn new() -> Self {
        Self::taking(Duration::from_millis(300))
    }

    fn taking(takes: Duration) -> Self {
        Self {
            shelf: Arc::new(Shelf::new()),
            endpoint: Arc::new(Endpoint {
                asked: AtomicUsize::new(0),
                is_down: AtomicBool::new(false),
                swallows_first: AtomicBool::new(false),
                takes,
                life: 3600,
            }),
            freshness: Freshness::default(),
        }
    }

    fn sidecar(&self) -> Sidecar {
        self.sidecar_wrong_by(0)
    }

    fn sidecar_wrong_by(&self, seconds: i64) -> Sidecar {
        let clock: Arc<dyn Clock> = Arc::new(self.shelf.clock.wrong_by(seconds));
        let store: Arc<dyn Store> = Arc::<Shelf>::clone(&self.shelf);
        let label = Label {
            credential: Arc::from("billing"),
            definition: [1; 32],
        };
        let fetch: Arc<dyn Fetch<Bearer>> = Arc::<Endpoint>::clone(&self.endpoint);
        Sidecar {
            shared: Shared::new(
                label,
                self.freshness,
                fetch,
                Some(&store),
                Arc::clone(&clock),
            ),
            clock,
        }
    }

    fn asked(&self) -> usize {
        self.endpoint.asked.load(Ordering::SeqCst)
    }

    fn away_at(&self, call: Option<&'static str>) {
        *self.shelf.away_at.lock().unwrap() = call;
    }
}

struct Sidecar {
    shared: Shared<Bearer>,
    clock: Arc<dyn Clock>,
}

impl Sidecar {
    async fn granted(&self) -> Result<Granted<Bearer>, FetchError> {
        self.shared.fetch(self.clock.now()).await
    }

    async fn token(&self) -> String {
        self.granted().await.unwrap().credential.text().to_owned()
    }

    async fn age(&self) -> u64 {
        match self.granted().await.unwrap().life_from {
            LifeFrom::Fleet { age } => age.as_secs(),
            own @ (LifeFrom::ExpiresIn
            | LifeFrom::Exp
            | LifeFrom::Expiration
            | LifeFrom::Unstated
            | LifeFrom::Endless) => panic!("{own:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_sidecars_ask_once_and_once_for_each_refresh() {
    let world = World::new();
    let sidecars: Vec<_> = (0..100).map(|_| world.sidecar()).collect();
    for round in 1..=3 {
        let tokens = join_all(sidecars.iter().map(Sidecar::token)).await;
        assert!(tokens.iter().all(|token| *token == format!("t-{round}")));
        assert_eq!(world.asked(), round);
        sleep(Duration::from_secs(3300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_is_still_asked_once() {
    let world = World::taking(Duration::from_secs(4));
    let sidecars = [world.sidecar(), world.sidecar(), world.sidecar()];
    let tokens = join_all(sidecars.iter().map(Sidecar::token)).await;
    assert_eq!((tokens[2].as_str(), world.asked()), ("t-1", 1));
    // longer than a turn: it was prolonged
    assert!(Duration::from_secs(4) > world.shelf.turn());
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_starts_later_takes_what_is_there_with_its_age() {
    let world = World::new();
    world.sidecar().token().await;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(world.sidecar().age().await, 1000);
    sleep(Duration::from_secs(2400)).await;
    // due: a newcomer does not begin with what must be replaced at once
    assert_eq!(world.sidecar().token().await, "t-2");
}

#[tokio::test(start_paused = true)]
async fn an_elected_one_that_dies_is_replaced_after_its_turn() {
    let world = World::new();
    world.endpoint.swallows_first.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let dead = world.sidecar();
    let killed = tokio::time::timeout(Duration::from_millis(100), dead.granted());
    assert!(killed.await.is_err());
    let others = [world.sidecar(), world.sidecar()];
    let tokens = join_all(others.iter().map(Sidecar::token)).await;
    assert_eq!(tokens, ["t-2", "t-2"]);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_its_turn_keeps_nothing_over_the_others_token() {
    let world = World::new();
    let slow = world.sidecar();
    // stopped for longer than a turn: it cannot prolong
    world.away_at(Some("prolong"));
    let world_of_slow = World {
        endpoint: Arc::new(Endpoint {
            takes: Duration::from_secs(4),
            life: 3600,
            asked: AtomicUsize::new(7),
            is_down: AtomicBool::new(false),
            swallows_first: AtomicBool::new(false),
        }),
        shelf: Arc::clone(&world.shelf),
        ..World::new()
    };
    drop(slow);
    let slow = world_of_slow.sidecar();
    let other = world.sidecar();
    let (late, token) = tokio::join!(slow.token(), async {
        sleep(Duration::from_millis(10)).await;
        other.token().await
    });
    assert_eq!((late.as_str(), token.as_str()), ("t-8", "t-1"));
    assert_eq!(world.sidecar().token().await, "t-1");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_goes_away_at_any_moment_costs_nobody_a_token() {
    for call in ["all", "find", "elect", "prolong", "keep", "resign"] {
        let world = World::taking(Duration::from_secs(2));
        world.away_at(Some(call));
        let sidecars = [world.sidecar(), world.sidecar(), world.sidecar()];
        let granted = join_all(sidecars.iter().map(Sidecar::granted)).await;
        assert!(granted.iter().all(Result::is_ok), "{call}");
        // and back
        world.away_at(None);
        sleep(Duration::from_secs(3300)).await;
        let before = world.asked();
        let tokens = join_all(sidecars.iter().map(Sidecar::token)).await;
        assert_eq!(world.asked(), before + 1, "{call}");
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_read_back_and_the_others_take_its_successor() {
    let world = World::new();
    let (one, two) = (world.sidecar(), world.sidecar());
    assert_eq!(
        (one.token().await.as_str(), two.token().await.as_str()),
        ("t-1", "t-1")
    );
    // asked again at once: the target refused it
    assert_eq!(one.token().await, "t-2");
    assert_eq!(two.token().await, "t-2");
    assert_eq!(world.asked(), 2);
    // somebody puts the first one back
    world.shelf.put("t-1", 0, 3600);
    assert_eq!(one.token().await, "t-3");
}

#[tokio::test(start_paused = true)]
async fn an_older_token_put_back_is_not_taken_by_whoever_had_a_newer_one() {
    let world = World::new();
    world.shelf.put("newer", 10, 3600);
    let sidecar = world.sidecar();
    assert_eq!(sidecar.token().await, "newer");
    world.shelf.put("older", 20, 3600);
    assert_eq!(sidecar.token().await, "t-1");
}

#[tokio::test(start_paused = true)]
async fn a_token_soon_due_is_taken_only_if_there_is_no_other() {
    let world = World::new();
    world.shelf.put("last", 3500, 3600);
    world.endpoint.is_down.store(true, Ordering::SeqCst);
    let sidecar = world.sidecar();
    assert_eq!(sidecar.token().await, "last");
    // which it has now: the failure is told, so that it is paused for
    assert!(sidecar.granted().await.is_err());
    world.endpoint.is_down.store(false, Ordering::SeqCst);
    assert_eq!(sidecar.token().await, "t-3");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_never_ends_holds_nobody_for_long() {
    let world = World::new();
    let forever = Instant::now() + Duration::from_secs(1_000_000);
    *world.shelf.turn.lock().unwrap() = Some((Turn("enemy".to_owned()), forever));
    let begun = Instant::now();
    assert_eq!(world.sidecar().token().await, "t-1");
    assert!(begun.elapsed() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn wrong_clocks_make_no_token_last_longer() {
    for (writer, reader) in [
        (0, 900),
        (0, -900),
        (900, 0),
        (-900, 0),
        (900, -900),
        (-900, 900),
    ] {
        let world = World::new();
        world.sidecar_wrong_by(writer).token().await;
        sleep(Duration::from_secs(600)).await;
        let reader = world.sidecar_wrong_by(reader);
        let granted = reader.granted().await.unwrap();
        if let LifeFrom::Fleet { age } = granted.life_from {
            // the shelf counts down as Redis does; clocks are looked at in `store`
            assert_eq!(age.as_secs(), 600);
        }
        // both go on together, whatever their clocks
        assert!(world.asked() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn max_reuse_counts_from_when_a_token_was_fetched() {
    let mut world = World::new();
    world.freshness.max_reuse = Some(Duration::from_secs(600));
    world.shelf.put("old", 601, 3600);
    assert_eq!(world.sidecar().token().await, "t-1");
    world.shelf.put("young", 300, 3600);
    assert_eq!(world.sidecar().age().await, 300);
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nothing_is_shared() {
    let world = World::new();
    let sidecars = [world.sidecar(), world.sidecar()];
    for sidecar in &sidecars {
        sidecar.shared.share_through(None);
        assert!(!sidecar.shared.is_shared());
    }
    join_all(sidecars.iter().map(Sidecar::token)).await;
    assert_eq!(world.asked(), 2);
}
