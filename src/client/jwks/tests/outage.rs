//! What goes wrong at the issuer, and what readiness and the report say of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_cold_start_in_an_outage_is_unavailable_and_recovers() {
    let bench = Bench::new([status_500()]);
    assert!(bench.is_unavailable());
    sleep(SECOND / 10).await;
    assert!(!bench.engine.is_ready());
    match bench.engine.find(0) {
        KeysNow::Unavailable { retry_after } => {
            assert!(retry_after >= SECOND && retry_after <= 60 * SECOND);
        }
        KeysNow::Usable(_) => panic!("no keys were ever had"),
    }
    sleep(600 * SECOND).await;
    // 1, 2, 4, … 60 s, each halved at most: a bounded number of attempts
    let attempts = bench.script.fetches();
    assert!((12..=34).contains(&attempts), "{attempts}");
    assert_eq!(bench.report()["state"], "unavailable");
    assert_eq!(bench.report()["last_error"], "status 500");
    bench.script.play(set_of(&[jwk("k1")]));
    sleep(61 * SECOND).await;
    assert!(bench.engine.is_ready());
    assert!(bench.holds("k1"));
    assert_eq!(bench.report()["state"], "fresh");
}

#[tokio::test(start_paused = true)]
async fn stale_keys_serve_until_max_stale() {
    let bench = Bench::new([set_of(&[jwk("k1")]), status_500()]);
    sleep(SECOND).await;
    bench.pass(Duration::from_secs(86_300)).await;
    assert!(bench.holds("k1"));
    assert_eq!(bench.report()["state"], "stale");
    bench.pass(Duration::from_secs(101)).await;
    assert!(bench.is_unavailable());
    assert_eq!(bench.report()["state"], "unavailable");
    assert!(bench.engine.is_ready(), "it had keys once");
    bench.script.play(set_of(&[jwk("k1")]));
    bench.pass(61 * SECOND).await;
    assert!(bench.holds("k1"));
}

#[tokio::test(start_paused = true)]
async fn junk_leaves_the_old_keys_in_force() {
    let twice = jwk("twice");
    let junk = [
        ("html", "<html>maintenance</html>".to_owned()),
        ("nothing", String::new()),
        ("cut off", r#"{"keys":[{"kty":"#.to_owned()),
        ("no keys", r#"{"keys":[]}"#.to_owned()),
        ("no member", "{}".to_owned()),
        ("keys no list", r#"{"keys":{}}"#.to_owned()),
        ("one kid twice", json!({"keys": [twice, jwk("twice")]}).to_string()),
        (
            "a shared secret",
            r#"{"keys":[{"kty":"oct","kid":"k1","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}"#
                .to_owned(),
        ),
    ];
    for (what, body) in junk {
        let bench = Bench::new([set_of(&[jwk("k1")]), Reply::Body(body)]);
        sleep(SECOND).await;
        let sought = bench.seek("k2").await;
        assert!(
            matches!(sought, Sought::Unknown { .. }),
            "{what}: {sought:?}"
        );
        assert!(bench.holds("k1"), "{what}");
        let report = bench.report();
        assert_eq!(report["state"], "stale", "{what}");
        assert!(report["last_error"].is_string(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_is_left_out_and_reported() {
    let bench = Bench::new([set_of(&[
        jwk("good"),
        json!({"kty": "EC", "crv": "P-256", "kid": "bad", "x": "AA", "y": "AA"}),
    ])]);
    sleep(SECOND).await;
    assert!(bench.holds("good"));
    assert_eq!(bench.report()["skipped"][0]["kid"], "bad");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_fetching_is_one_failed_fetch() {
    let bench = Bench::new([Reply::Panic, set_of(&[jwk("k1")])]);
    sleep(2 * SECOND).await;
    assert!(bench.holds("k1"));
}

#[tokio::test(start_paused = true)]
async fn refreshes_follow_the_interval_and_max_age() {
    let bench = Bench::new([set_of(&[jwk("k1")])]);
    sleep(3600 * 10 * SECOND).await;
    let fetches = bench.script.fetches();
    assert!((19..=23).contains(&fetches), "{fetches}");

    let body = json!({ "keys": [jwk("k1")] }).to_string();
    let bench = Bench::new([Reply::Cached(body, 1)]);
    sleep(3600 * SECOND).await;
    let fetches = bench.script.fetches();
    assert!((55..=67).contains(&fetches), "{fetches}");
}

#[tokio::test(start_paused = true)]
async fn readiness_asks_required_issuers_only() {
    let keys = || at("https://issuer.example/jwks");
    let optional = IssuerConfig {
        required: false,
        ..issuer_named("optional", keys())
    };
    let required = issuer_named("required", keys());
    let lenient = Jwks {
        readiness_strict: false,
        ..policy()
    };
    let down = || Script::new([status_500()]);
    let cases = [
        (vec![optional.clone()], policy(), true),
        (vec![optional, required.clone()], policy(), false),
        (vec![required], lenient, true),
    ];
    for (issuers, jwks, ready) in cases {
        let bench = Bench::with(down(), &issuers, &jwks);
        sleep(SECOND).await;
        assert_eq!(bench.engine.is_ready(), ready, "{issuers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_tells_when_keys_came_and_went() {
    let (k1, k2) = (jwk("k1"), jwk("k2"));
    let bench = Bench::new([set_of(&[k1, k2.clone()])]);
    sleep(SECOND).await;
    bench.clock.advance(100 * SECOND);
    bench.script.play(set_of(&[k2]));
    bench.seek("x").await;
    let report = bench.report();
    let [start, later] = [START, START + 100].map(|at| UnixTime(at).to_string());
    assert_eq!(report["state"], "fresh");
    assert_eq!(report["url"], "https://issuer.example/jwks");
    assert_eq!(
        report["keys"],
        json!([{"kid": "k2", "algorithms": ["ES256"], "first_seen": start, "last_seen": later}])
    );
    assert_eq!(
        report["withdrawn"],
        json!([{"kid": "k1", "first_seen": start, "last_seen": start}])
    );
    assert_eq!(report["last_success"], later);
    assert!(report["next_refresh"].is_string());
    assert_eq!(report["consecutive_failures"], 0);
    assert_eq!(report["from_snapshot"], false);
}
