//! A token's life: fetched, refreshed ahead, through an outage.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{advance, sleep};

use super::super::{Fetch, Grant, Granted, LifeFrom};
use super::*;
use crate::clock::UnixTime;

#[tokio::test(start_paused = true)]
async fn a_hundred_first_requests_cause_one_fetch() {
    let world = World::new(3600);
    let credentials = Arc::new(world.start(&grant(definition()), None));
    let mut callers = tokio::task::JoinSet::new();
    for _caller in 0..100 {
        let credentials = Arc::clone(&credentials);
        callers.spawn(async move { token(&credentials).await });
    }
    for found in callers.join_all().await {
        assert_eq!(found.as_deref(), Ok("Bearer t-1"));
    }
    assert_eq!(world.endpoint.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_does_not_break_the_fetch() {
    let world = World::new(3600);
    let credentials = world.start(&grant(definition()), None);
    let impatient = tokio::time::timeout(Duration::from_millis(10), token(&credentials)).await;
    assert!(impatient.is_err());
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-1"));
    assert_eq!(world.endpoint.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_somebody_asks_and_nothing_refreshed_for_nobody() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    sleep(Duration::from_secs(500)).await;
    assert_eq!(world.endpoint.calls(), 0);
    assert!(token(&credentials).await.is_ok());
    // refreshed while used within one lifetime, then left alone
    sleep(Duration::from_secs(10_000)).await;
    assert_eq!(world.endpoint.calls(), 2);
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-3"));
}

#[tokio::test(start_paused = true)]
async fn a_used_token_is_refreshed_ahead_and_nobody_waits() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    assert!(token(&credentials).await.is_ok());
    let mut seen = std::collections::BTreeSet::new();
    for _second in 0..5000 {
        advance(Duration::from_secs(1)).await;
        // `now_or_never`: the hot path does not wait
        let found = futures_util::FutureExt::now_or_never(token(&credentials));
        seen.insert(found.expect("waited").unwrap());
        sleep(Duration::from_millis(1)).await;
    }
    // 200 to 220 s before the end of each
    assert!((6..=7).contains(&world.endpoint.calls()), "{seen:?}");
    assert_eq!(seen.len(), world.endpoint.calls());
}

#[tokio::test(start_paused = true)]
async fn through_an_outage_the_old_token_serves_until_exp_and_never_after() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-1"));
    world.endpoint.down(true);
    sleep(Duration::from_secs(998)).await;
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-1"));
    assert!(world.endpoint.calls() > 3, "it kept trying");
    sleep(Duration::from_secs(2)).await;
    let retry_after = token(&credentials).await.unwrap_err();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    // requests do not turn into fetches during an outage
    let before = world.endpoint.calls();
    for _request in 0..200 {
        assert!(token(&credentials).await.is_err());
    }
    assert!(world.endpoint.calls() <= before + 1);
    world.endpoint.down(false);
    sleep(Duration::from_secs(61)).await;
    assert!(token(&credentials).await.is_ok(), "recovered");
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_the_endpoint_is_honoured() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    world.endpoint.then(429, "", Some(120));
    let retry_after = token(&credentials).await.unwrap_err();
    assert!((119..=132).contains(&retry_after), "{retry_after}");
    sleep(Duration::from_secs(119)).await;
    assert!(token(&credentials).await.is_err());
    assert_eq!(world.endpoint.calls(), 1);
    sleep(Duration::from_secs(14)).await;
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-2"));
}

#[tokio::test(start_paused = true)]
async fn max_reuse_ends_a_token_before_its_exp() {
    let world = World::new(86_400);
    let credentials = world.start(
        &grant(ClientCredentials {
            freshness: Freshness {
                max_reuse: Some(Duration::from_secs(100)),
                ..Freshness::default()
            },
            ..definition()
        }),
        None,
    );
    assert!(token(&credentials).await.is_ok());
    world.endpoint.down(true);
    sleep(Duration::from_secs(99)).await;
    assert!(token(&credentials).await.is_ok());
    sleep(Duration::from_secs(1)).await;
    assert!(token(&credentials).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_refetched_once_for_everybody_and_once_in_30_s() {
    let world = World::new(1000);
    let credentials = Arc::new(world.start(&grant(definition()), None));
    let first = attach(&credentials, &["billing"]).await.unwrap();
    let replace = |refused: &Attached| {
        let (credentials, refused) = (Arc::clone(&credentials), refused.clone());
        async move { replace(&credentials, &refused).await.as_ref().map(text) }
    };
    let replaced = futures_util::future::join_all((0..100).map(|_request| replace(&first))).await;
    assert!(
        replaced
            .iter()
            .all(|found| found.as_deref() == Some("Bearer t-2"))
    );
    assert_eq!(world.endpoint.calls(), 2);
    let second = attach(&credentials, &["billing"]).await.unwrap();
    assert_eq!(replace(&second).await, None, "30 s have not passed");
    assert_eq!(replace(&first).await.as_deref(), Some("Bearer t-2"));
    assert_eq!(world.endpoint.calls(), 2);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(replace(&second).await.as_deref(), Some("Bearer t-3"));
}

/// Seconds of a day.
const DAY: u64 = 86_400;

#[tokio::test(start_paused = true)]
async fn a_day_of_steady_traffic_needs_a_token_every_55_minutes_and_never_sends_a_bad_one() {
    let world = World::new(3600);
    let credentials = world.start(&grant(definition()), None);
    // the number of a token → when it was first seen
    let mut seen = std::collections::BTreeMap::new();
    assert!(token(&credentials).await.is_ok());
    let started = Instant::now();
    while started.elapsed().as_secs() < DAY {
        let found = futures_util::FutureExt::now_or_never(token(&credentials));
        let sent = found.expect("a request waited").expect("without a token");
        let at = started.elapsed().as_secs();
        let first = *seen.entry(sent).or_insert(at);
        assert!(at - first < 3600, "an expired token was sent");
        // two requests in a second, and the driver between them
        sleep(Duration::from_millis(500)).await;
    }
    // each is refreshed 300 to 330 s ahead: 3270 to 3300 s apart
    let calls = world.endpoint.calls();
    assert!(calls == 27, "{calls}");
    assert_eq!(seen.len(), calls, "a token was fetched and not used");
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_a_token_endpoint_end_when_it_is_back() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    assert!(token(&credentials).await.is_ok());
    let started = Instant::now();
    let at = || started.elapsed().as_secs();
    let mut without = 0;
    let mut fetches = 0;
    // away around the refresh, which is due after 780 to 800 s, and past the token's end
    while at() < 1400 {
        if at() == 700 {
            world.endpoint.down(true);
        }
        if at() == 1300 {
            fetches = world.endpoint.calls();
            world.endpoint.down(false);
        }
        let found = token(&credentials).await;
        match at() {
            0..1000 => assert!(found.is_ok(), "a token that lives was not used"),
            1000..1300 => {
                assert!(found.is_err(), "a token came from nowhere");
                without += 1;
            }
            1300..1303 => {}
            _later => assert_eq!(
                found.as_deref(),
                Ok(format!("Bearer t-{}", fetches + 1).as_str())
            ),
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(without > 100);
    // seven minutes of backing off, then one fetch in two seconds at most
    assert!(fetches < 250, "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_ended_when_it_comes_is_not_asked_for_by_every_call() {
    let world = World::new(3600);
    let freshness = Freshness {
        max_reuse: Some(Duration::from_millis(500)),
        ..Freshness::default()
    };
    let credentials = world.start(
        &grant(ClientCredentials {
            freshness,
            ..definition()
        }),
        None,
    );
    for _call in 0..50 {
        assert!(token(&credentials).await.is_err());
    }
    assert_eq!(world.endpoint.calls(), 1);
}

#[derive(Debug, Default)]
struct Fickle(std::sync::atomic::AtomicUsize);

impl Fetch<u8> for Fickle {
    fn fetch(&self, _now: UnixTime) -> Boxed<'_, Result<Granted<u8>, super::super::FetchError>> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(number > 0, "the first one panics");
        Box::pin(async {
            Ok(Granted {
                credential: 7,
                life: Duration::from_secs(60),
                life_from: LifeFrom::ExpiresIn,
                scope: None,
            })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_fetch_does_not_end_the_next() {
    let world = World::new(3600);
    let grant = Arc::new(Grant::new(
        Arc::from("fickle"),
        "fickle",
        Freshness::default(),
        Arc::new(Fickle::default()),
        Arc::clone(&world.clock),
        Telemetry::quiet(),
    ));
    let drive = Arc::clone(&grant).drive(world.background.stop.clone());
    world.background.tasks.spawn(drive);
    assert!(grant.find().await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*grant.find().await.unwrap().credential, 7);
}

/// Gives what ends, and then what does not.
#[derive(Debug, Default)]
struct Rotated(Mutex<u32>);

impl Fetch<u32> for Rotated {
    fn fetch(&self, _now: UnixTime) -> Boxed<'_, Result<Granted<u32>, super::super::FetchError>> {
        let mut given = self.0.lock().unwrap();
        *given += 1;
        let (credential, life_from) = match *given {
            1 => (1, LifeFrom::Expiration),
            more => (more, LifeFrom::Endless),
        };
        Box::pin(async move {
            Ok(Granted {
                credential,
                life: Duration::from_secs(3600),
                life_from,
                scope: None,
            })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_while_somebody_says_so_and_no_longer() {
    let world = World::new(3600);
    let telemetry = Telemetry::quiet();
    let grant = Arc::new(Grant::new(
        Arc::from("rotated"),
        "aws",
        Freshness::default(),
        Arc::new(Rotated::default()),
        Arc::clone(&world.clock),
        Arc::clone(&telemetry),
    ));
    let drive = Arc::clone(&grant).drive(world.background.stop.clone());
    world.background.tasks.spawn(drive);
    let tells_end = || {
        let text = telemetry.metrics.render();
        let shown = grant.report()["token"]["expires_at"].is_string();
        let counted =
            text.contains("gatepost_credential_expiry_timestamp_seconds{credential=\"rotated\"}");
        assert_eq!(shown, counted);
        counted
    };
    assert_eq!(*grant.find().await.unwrap().credential, 1);
    assert!(tells_end());
    assert_eq!(*grant.replace(|one| *one == 1).await.unwrap().credential, 2);
    assert!(!tells_end());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_refusals_that_nobody_waits_on_keeps_a_bounded_number_of_tasks() {
    let world = World::new(1000);
    let credentials = Arc::new(world.start(&grant(definition()), None));
    let billing = names(&["billing"]);
    let call = For {
        headers: &HeaderMap::new(),
        user: None,
        guarded: false,
    };
    let tasks = world.background.tasks.clone();
    let others = tasks.len();
    for expected in ["Bearer t-2", "Bearer t-3"] {
        let refused = credentials.attach(&billing, &call).await.unwrap();
        for _request in 0..1000 {
            credentials.doubt(refused.clone(), None);
        }
        assert_eq!(tasks.len() - others, DOUBTS_AT_ONCE);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(tasks.len(), others);
        let found = attach(&credentials, &["billing"]).await.unwrap();
        assert_eq!(text(&found), expected);
        sleep(Duration::from_secs(30)).await;
    }
}
