//! Keys that are published one by one.

use super::*;

const KID: &str = "c0ffee00-1111-2222-3333-444455556666";
const OTHER: &str = "c0ffee00-1111-2222-3333-444455556667";

fn pem() -> String {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

fn issuers() -> [IssuerConfig; 1] {
    let base = Url::parse("https://keys.example/prefix").unwrap();
    [issuer_named("edge", KeyLocation::PemByKeyId(base))]
}

fn bench(replies: impl IntoIterator<Item = Reply>) -> Bench {
    Bench::with(Script::new(replies), &issuers(), &policy())
}

fn found(sought: &Sought) -> bool {
    matches!(sought, Sought::Found(set) if set.holds(KID))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_a_token_names_a_key_and_each_key_once() {
    let bench = bench([Reply::Body(pem())]);
    assert!(bench.engine.is_ready() && bench.engine.is_complete());
    assert_eq!(bench.report()["state"], "idle");
    bench.pass(Duration::from_secs(7200)).await;
    assert_eq!(bench.script.fetches(), 0);
    assert!(bench.is_unavailable());
    assert!(found(&bench.seek(KID).await));
    assert!(bench.holds(KID));
    assert!(
        !bench.holds(OTHER),
        "a key of another id serves nobody else"
    );
    assert!(found(&bench.seek(KID).await));
    assert_eq!(bench.script.fetches(), 1);
    let report = bench.report();
    assert_eq!(
        (&report["state"], &report["source"]),
        (&json!("fresh"), &json!("keys_url"))
    );
    assert_eq!(report["keys"][0]["kid"], KID);
}

#[tokio::test(start_paused = true)]
async fn all_who_want_one_key_wait_for_one_fetch() {
    let bench = bench([Reply::Slow(SECOND, Box::new(Reply::Body(pem())))]);
    let all = (0..1000).map(|_| bench.seek(KID));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(found));
    assert_eq!(bench.script.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_issuer_says_is_absent_is_not_asked_for_again_at_once() {
    let bench = bench([Reply::Status(StatusCode::NOT_FOUND)]);
    for _ in 0..50 {
        assert!(matches!(bench.seek(KID).await, Sought::Absent));
    }
    assert_eq!(bench.script.fetches(), 1);
    // a key published late is found
    bench.script.play(Reply::Body(pem()));
    bench.pass(Duration::from_secs(61)).await;
    assert!(found(&bench.seek(KID).await));
}

#[tokio::test(start_paused = true)]
async fn a_million_key_ids_cost_the_budget_and_no_more() {
    let bench = bench([Reply::Status(StatusCode::NOT_FOUND)]);
    let mut absent = 0;
    for number in 0..10_000_u32 {
        let kid = format!("{number:08x}-1111-2222-3333-444455556666");
        match bench.seek(&kid).await {
            Sought::Absent => absent += 1,
            Sought::Unknown { retry_after } => assert!(retry_after >= SECOND),
            Sought::Found(_) => panic!("there is none"),
        }
    }
    assert_eq!((absent, bench.script.fetches()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_an_absent_key() {
    for reply in [
        status_500(),
        Reply::Status(StatusCode::FORBIDDEN),
        Reply::Body("<html>".to_owned()),
        Reply::Body(String::new()),
        Reply::Hang,
        Reply::Panic,
        Reply::Error(FetchError::Redirect(StatusCode::FOUND)),
    ] {
        let bench = bench([reply.clone()]);
        let sought = bench.seek(KID).await;
        assert!(
            matches!(sought, Sought::Unknown { .. }),
            "{reply:?}: {sought:?}"
        );
        assert_eq!(bench.report()["state"], "unavailable", "{reply:?}");
        bench.script.play(Reply::Body(pem()));
        assert!(found(&bench.seek(KID).await), "{reply:?}: tried again");
        assert_eq!(bench.report()["state"], "fresh", "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_used_through_an_outage_and_no_longer_than_max_stale() {
    let bench = bench([Reply::Body(pem()), status_500()]);
    assert!(found(&bench.seek(KID).await));
    bench.pass(Duration::from_secs(3600)).await;
    // the request that finds it due does not wait
    assert!(bench.holds(KID));
    sleep(SECOND).await;
    assert_eq!(bench.script.fetches(), 2);
    assert_eq!(bench.report()["state"], "stale");
    assert!(bench.holds(KID));
    for _ in 0..10 {
        assert!(bench.holds(KID));
    }
    assert_eq!(bench.script.fetches(), 2, "not with every request");
    bench.pass(Duration::from_secs(82_801)).await;
    assert!(!bench.holds(KID), "too old");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_gone_is_withdrawn_when_it_is_looked_at_again() {
    let bench = bench([Reply::Body(pem()), Reply::Status(StatusCode::NOT_FOUND)]);
    assert!(found(&bench.seek(KID).await));
    bench.pass(Duration::from_secs(3600)).await;
    assert!(bench.holds(KID));
    sleep(SECOND).await;
    assert!(!bench.holds(KID));
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded() {
    let bench = bench([Reply::Body(pem())]);
    for number in 0..40_u32 {
        let kid = format!("{number:08x}-1111-2222-3333-444455556666");
        assert!(matches!(bench.seek(&kid).await, Sought::Found(_)));
        bench.pass(Duration::from_secs(31)).await;
    }
    let report = bench.report();
    assert_eq!(report["keys"].as_array().unwrap().len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_keys_whatever_the_policy() {
    let mut bench = bench([Reply::Body(pem())]);
    assert!(found(&bench.seek(KID).await));
    let down = Script::new([status_500()]);
    bench.reload(&down, &issuers(), &policy());
    assert!(bench.holds(KID));
    let other = Jwks {
        refresh_interval: Duration::from_secs(60),
        ..policy()
    };
    bench.reload(&down, &issuers(), &other);
    assert!(bench.holds(KID));
    assert_eq!(down.fetches(), 0);
    // what is sought is sought through the new network
    assert!(!matches!(bench.seek(OTHER).await, Sought::Found(_)));
    assert_eq!(down.fetches(), 1);
}
