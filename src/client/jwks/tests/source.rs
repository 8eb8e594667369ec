//! Discovery, and keys on this machine.

use super::*;

#[tokio::test(start_paused = true)]
async fn discovery_must_name_the_issuer_byte_for_byte() {
    let keys = set_of(&[jwk("k1")]);
    let document = |issuer: &str, jwks_uri: &str| {
        Reply::Body(json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
    };
    let good = "https://issuer.example";
    let cases = [
        (good, "https://keys.elsewhere.example/jwks", true),
        (
            "https://issuer.example/",
            "https://issuer.example/jwks",
            false,
        ),
        ("https://evil.example", "https://issuer.example/jwks", false),
        (good, "http://issuer.example/jwks", false),
        (good, "http://127.0.0.1/jwks", false),
        (good, "file:///etc/passwd", false),
        (good, "https://user:pw@issuer.example/jwks", false),
        (good, "/jwks", false),
    ];
    for (issuer, jwks_uri, accepted) in cases {
        let script = Script::new([document(issuer, jwks_uri), keys.clone(), Reply::Hang]);
        let bench = Bench::with(script, &[issuer_named("a", discovery())], &policy());
        sleep(SECOND / 10).await;
        assert_eq!(bench.holds("k1"), accepted, "{issuer} {jwks_uri}");
        let error = bench.report()["last_error"].clone();
        assert_eq!(error.is_null(), accepted, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_is_kept_for_searches_and_repeated_by_the_schedule_and_after_failures() {
    let document = Reply::Body(
        json!({ "issuer": "https://issuer.example", "jwks_uri": "https://issuer.example/jwks" })
            .to_string(),
    );
    let keys = set_of(&[jwk("k1")]);
    let script = Script::new([
        document.clone(), // start
        keys.clone(),
        keys.clone(),     // search: the key set only
        status_500(),     // search: fails
        document.clone(), // the next one does not trust what it knew
        keys.clone(),
        document, // schedule: discovery again
        keys,
        Reply::Hang,
    ]);
    let bench = Bench::with(script, &[issuer_named("a", discovery())], &policy());
    sleep(SECOND).await;
    assert!(matches!(bench.seek("x").await, Sought::Absent));
    assert_eq!(bench.script.fetches(), 3);
    assert!(matches!(bench.seek("y").await, Sought::Unknown { .. }));
    assert_eq!(bench.script.fetches(), 4);
    assert!(matches!(bench.seek("z").await, Sought::Absent));
    assert_eq!(bench.script.fetches(), 6);
    sleep(1981 * SECOND).await;
    assert_eq!(bench.script.fetches(), 8);
    assert_eq!(bench.report()["state"], "fresh");
}

#[tokio::test(start_paused = true)]
async fn keys_on_this_machine_are_loaded_at_once_and_do_not_age() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let file = || KeyLocation::JwksFile(path.clone());
    std::fs::write(&path, json!({ "keys": [jwk("k1")] }).to_string()).unwrap();
    let mut bench = Bench::with(
        Script::new([Reply::Panic]),
        &[issuer_named("a", file())],
        &policy(),
    );
    assert!(bench.holds("k1"));
    assert!(matches!(bench.seek("other").await, Sought::Absent));
    bench.pass(Duration::from_secs(200_000)).await;
    assert!(bench.holds("k1"));

    // a reload reads the file again; a broken one leaves the old keys
    std::fs::write(&path, json!({ "keys": [jwk("k2")] }).to_string()).unwrap();
    let script = Arc::clone(&bench.script);
    bench.reload(&script, &[issuer_named("a", file())], &policy());
    assert!(bench.holds("k2") && !bench.holds("k1"));
    std::fs::write(&path, "broken").unwrap();
    bench.reload(&script, &[issuer_named("a", file())], &policy());
    assert!(bench.holds("k2"));
    assert!(bench.report()["last_error"].is_string());
    assert_eq!(bench.script.fetches(), 0);

    let missing = KeyLocation::JwksFile(folder.path().join("missing.json"));
    let bench = Bench::with(script, &[issuer_named("a", missing)], &policy());
    assert!(bench.is_unavailable());
    assert!(!bench.engine.is_ready());
}
