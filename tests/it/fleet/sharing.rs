//! One token for all, over plain and TLS connections, and nothing of it to be read in Redis.

use serde_json::Value;

use super::*;
use crate::support::counterparts::or_skip;
use crate::support::redis::PASSWORD;
use crate::support::secure::authority;

#[tokio::test]
async fn three_sidecars_make_one_token_request_at_first_and_one_for_each_refresh() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(SHORT).await;
    let three = world.three(&redis).await;
    for sidecar in &three {
        sidecar.redis_up(1).await;
    }
    let first = send(&three).await;
    assert_eq!(first, BTreeSet::from(["s3cret-billing-1".to_owned()]));
    assert_eq!(world.asked(), 1);
    // refreshed twice, and in the hands of all three again
    let common = common_token(&three, 3).await;
    assert!(common >= 3);
    // each request was made by one of them, for all
    let mut requests = 0;
    for sidecar in &three {
        let sample = r#"gatepost_credential_fetch_total{credential="billing",result="success"}"#;
        requests += sidecar.0.metric::<usize>(sample).await.unwrap_or(0);
    }
    assert!(requests <= world.asked());
}

#[tokio::test]
async fn status_and_metrics_say_what_is_shared() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let (one, two) = (world.sidecar(&redis).await, world.sidecar(&redis).await);
    one.sends().await;
    two.sends().await;
    let shared = r#"gatepost_credential_shared_total{credential="billing"}"#;
    assert_eq!(one.0.metric::<u32>(shared).await, None);
    assert_eq!(two.0.metric::<u32>(shared).await, Some(1));
    let status = two.status().await;
    assert_eq!(status["redis"]["state"], "up");
    assert_eq!(status["redis"]["sealing_keys"], json!(["k"]));
    assert_eq!(status["credentials"][0]["shared"], true);
    assert_eq!(one.warned("redis") + two.warned("redis"), 0);
    let without = Sidecar(Gatepost::start(&world.config("")).await);
    assert_eq!(without.sends().await, "s3cret-billing-2");
    assert_eq!(without.status().await["redis"], Value::Null);
    assert_eq!(without.status().await["credentials"][0]["shared"], false);
    assert_eq!(without.0.metric::<u32>("gatepost_redis_up").await, None);
}

#[tokio::test]
async fn nothing_in_redis_can_be_read_and_all_of_it_ends() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let sidecar = world.sidecar(&redis).await;
    for target in ["billing", "metrics"] {
        sidecar.sends_to(target).await;
    }
    let keys = redis.keys();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in &keys {
        let mut stored = key.clone().into_bytes();
        stored.extend(redis.cli(&["GET", key]));
        assert!(stored.len() > key.len() + 40);
        for secret in ["s3cret", "Bearer", KEY] {
            let found = stored.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} in {key}");
        }
        let left = String::from_utf8(redis.cli(&["TTL", key])).unwrap();
        let left: u32 = left.trim().parse().unwrap();
        assert!((3500..=3600).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn over_tls_with_a_password_and_not_with_an_unknown_certificate() {
    let authority = authority();
    let redis = or_skip!(Redis::secure(&authority).await);
    let world = World::new(3600).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let config = |tls: &str| {
        world.config(&format!(
            r#"
            [redis]
            url = "{}"
            password = {{ env = "REDIS_PASSWORD" }}
            sealing_keys = [{{ id = "k", secret = {{ insecure_literal = "{KEY}" }} }}]
            timeout = "2s"
            {tls}
            "#,
            redis.url()
        ))
    };
    let trusting = config(&format!("tls = {{ ca_file = \"{}\" }}", ca.display()));
    let password = [("REDIS_PASSWORD", PASSWORD)];
    let one = Sidecar(Gatepost::start_with(&trusting, &password).await);
    let two = Sidecar(Gatepost::start_with(&trusting, &password).await);
    assert_eq!(one.sends().await, "s3cret-billing-1");
    assert_eq!(two.sends().await, "s3cret-billing-1");
    assert_eq!(one.status().await["redis"]["tls"], true);
    for (config, password, why) in [
        (config(""), PASSWORD, "certificate"),
        (trusting, "s3cret-wrong", "authentication failed"),
    ] {
        let environment = [("REDIS_PASSWORD", password)];
        let stranger = Sidecar(Gatepost::start_with(&config, &environment).await);
        stranger.redis_up(0).await;
        let before = world.asked();
        stranger.sends().await;
        assert_eq!(world.asked(), before + 1, "it asks for itself");
        stranger.warned_once("redis is away").await;
        stranger.warned_once(why).await;
        assert!(!stranger.0.output().contains("s3cret"));
    }
}

#[tokio::test]
async fn sealing_keys_are_rotated_without_a_further_request() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let with = |keys: &[(&str, &str)]| {
        let keys: Vec<String> = keys
            .iter()
            .map(|(id, key)| {
                format!("{{ id = \"{id}\", secret = {{ insecure_literal = \"{key}\" }} }}")
            })
            .collect();
        let url = redis.url();
        world.config(&format!(
            "[redis]\nurl = \"{url}\"\nsealing_keys = [{}]",
            keys.join(", ")
        ))
    };
    let (old, new) = (("old", KEY), ("new", OTHER_KEY));
    let steps = [
        with(&[old]),
        with(&[old, new]),
        with(&[new, old]),
        with(&[new]),
    ];
    let sidecar = Gatepost::start(&steps[0]).await;
    let sidecar = Sidecar(sidecar);
    assert_eq!(sidecar.sends().await, "s3cret-billing-1");
    for (reloads, step) in steps.iter().enumerate().skip(1) {
        sidecar
            .0
            .reload(step, "accepted", u32::try_from(reloads).unwrap())
            .await;
        assert_eq!(sidecar.sends().await, "s3cret-billing-1");
        if reloads < 3 {
            // what the old one sealed is opened by whoever starts now
            let newcomer = Sidecar(Gatepost::start(step).await);
            assert_eq!(newcomer.sends().await, "s3cret-billing-1");
        }
    }
    assert_eq!(world.asked(), 1);
    assert_eq!(sidecar.warned("not believed"), 0);
}

#[tokio::test]
async fn the_documented_acl_is_enough_and_a_user_that_may_not_write_is_told_of_once() {
    let redis = or_skip!(Redis::start().await);
    let world = World::new(3600).await;
    let docs = include_str!("../../../docs/fleet.md");
    let rights = docs
        .lines()
        .find_map(|line| line.strip_prefix("user gatepost on >… "));
    let rights: Vec<&str> = rights.expect("documented").split(' ').collect();
    let as_user = |name: &str| {
        world.config(&format!(
            r#"
            [redis]
            url = "{}"
            username = "{name}"
            password = {{ env = "REDIS_PASSWORD" }}
            sealing_keys = [{{ id = "k", secret = {{ insecure_literal = "{KEY}" }} }}]
            "#,
            redis.url()
        ))
    };
    let secret = format!(">{PASSWORD}");
    let user = ["ACL", "SETUSER", "gatepost", "on", secret.as_str()];
    redis.cli(&[&user[..], &rights].concat());
    let reader = [
        "ACL",
        "SETUSER",
        "reader",
        "on",
        secret.as_str(),
        "~*",
        "+@read",
    ];
    redis.cli(&[&reader[..], &["+eval", "+select"]].concat());
    let password = [("REDIS_PASSWORD", PASSWORD)];
    let one = Sidecar(Gatepost::start_with(&as_user("gatepost"), &password).await);
    let two = Sidecar(Gatepost::start_with(&as_user("gatepost"), &password).await);
    for sidecar in [&one, &two] {
        sidecar.redis_up(1).await;
        assert_eq!(sidecar.sends().await, "s3cret-billing-1");
        assert_eq!(sidecar.warned("redis"), 0);
    }
    let weak = Sidecar(Gatepost::start_with(&as_user("reader"), &password).await);
    weak.redis_up(0).await;
    assert_eq!(weak.sends().await, "s3cret-billing-2");
    weak.warned_once("redis is away").await;
}
