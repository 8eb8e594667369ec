//! Sources that make their credential from a user's token: whose they send, and what a reload keeps.

use super::*;
use crate::client::token::{User, user};
use crate::config::{ACCESS_TOKEN_TYPE, ExchangeProfile, Rfc8693, TokenExchange};

fn exchange() -> CredentialKind {
    CredentialKind::TokenExchange(Box::new(TokenExchange {
        client: client(ClientAuthentication::SecretPost(secret())),
        profile: ExchangeProfile::EntraOnBehalfOf,
        scopes: vec!["orders".to_owned()],
        freshness: Freshness::default(),
        max_subjects: 10,
    }))
}

/// Somebody of the issuer `users`.
fn ada(world: &World) -> User {
    user("ada", "ada's", world.clock.now().plus(9000))
}

async fn attach_as(
    credentials: &Credentials,
    list: &[&str],
    user: &User,
) -> Result<String, Refusal> {
    let call = For {
        headers: &HeaderMap::new(),
        user: Some(user),
        guarded: false,
    };
    let attached = credentials.attach(&names(list), &call).await?;
    Ok(text(&attached))
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_issuer_that_the_source_does_not_name_is_sent_to_nobody() {
    let world = World::new(1000);
    let ada = ada(&world);
    let token = SecretSource::Literal(Secret::new("own".to_owned()));
    let own = source("own", CredentialKind::StaticToken { token });
    for (kind, sent) in [
        (exchange(), "Bearer t-1"),
        (CredentialKind::PassThrough, "Bearer ada's"),
    ] {
        for (issuers, expected) in [
            (&[][..], None),
            (&["staff"][..], None),
            (&["staff", "users"][..], Some(sent)),
        ] {
            let theirs = CredentialSource {
                issuers: names(issuers),
                ..source("theirs", kind.clone())
            };
            let credentials = world.start(&[theirs, own.clone()], None);
            let before = world.endpoint.calls();
            let found = attach_as(&credentials, &["theirs", "own"], &ada).await;
            if let Some(expected) = expected {
                assert_eq!(found.as_deref(), Ok(expected), "{issuers:?}");
            } else {
                let refused = found.unwrap_err();
                assert!(
                    matches!(refused, Refusal::Denied(Denial::EgressUserUnavailable(_))),
                    "{refused:?}"
                );
                assert_eq!(world.endpoint.calls(), before, "{issuers:?}");
            }
            let mut certified = ada.clone();
            certified.token = None;
            assert!(
                attach_as(&credentials, &["theirs"], &certified)
                    .await
                    .is_err()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_user_is_denied_only_if_no_source_is_out_of_order() {
    let world = World::new(1000);
    let file = SecretSource::File("/nonexistent/token".into());
    let sources = [
        source("caller", CredentialKind::PassThrough),
        source("own", CredentialKind::StaticToken { token: file }),
    ];
    let credentials = world.start(&sources, None);
    for list in [&["caller", "own"][..], &["own", "caller"], &["own"]] {
        let refused = attach(&credentials, list).await.unwrap_err();
        assert!(
            matches!(
                refused,
                Refusal::Failed(Failure::EgressTokenUnavailable { .. })
            ),
            "{list:?}: {refused:?}"
        );
    }
    let refused = attach(&credentials, &["caller"]).await.unwrap_err();
    assert!(matches!(
        refused,
        Refusal::Denied(Denial::EgressUserUnavailable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_token_exchanged_in_one_actors_name_is_not_sent_in_anothers() {
    let world = World::new(1000);
    let sources = |actor: &str| acting(SecretSource::Literal(Secret::new(actor.to_owned())));
    for number in 1..=3 {
        exchanges(&world, number);
    }
    let (ada, bob) = (
        ada(&world),
        user("bob", "bob's", world.clock.now().plus(9000)),
    );
    let as_who = |credentials: Credentials, user: User| async move {
        let found = attach_as(&credentials, &["theirs"], &user).await;
        (credentials, found.unwrap())
    };
    let first = world.start(&sources("a"), None);
    let (first, token) = as_who(first, ada.clone()).await;
    assert_eq!(token, "Bearer x-1");
    let second = world.start(&sources("a"), Some(&first));
    let (second, token) = as_who(second, ada.clone()).await;
    assert_eq!(token, "Bearer x-1", "the same actor: kept");
    // a reload that never goes live
    drop(world.start(&sources("b"), Some(&second)));
    let (second, token) = as_who(second, bob).await;
    assert_eq!(token, "Bearer x-2");
    let third = world.start(&sources("b"), Some(&second));
    let (_third, token) = as_who(third, ada).await;
    assert_eq!(token, "Bearer x-3");
    assert_eq!(actors(&world), ["a", "a", "b"]);
}

/// An exchange by the actor `robot`, whose token is kept there.
fn acting(token: SecretSource) -> [CredentialSource; 2] {
    let CredentialKind::TokenExchange(mut definition) = exchange() else {
        panic!("an exchange")
    };
    definition.profile = ExchangeProfile::Rfc8693(Rfc8693 {
        subject_token_type: ACCESS_TOKEN_TYPE.to_owned(),
        requested_token_type: None,
        audiences: vec![],
        resources: vec![],
        actor: Some("robot".into()),
    });
    // the actor may stand after those it acts for
    [
        source("theirs", CredentialKind::TokenExchange(definition)),
        source("robot", CredentialKind::StaticToken { token }),
    ]
}

/// The next exchange brings `x-NUMBER`.
fn exchanges(world: &World, number: usize) {
    let answer = format!(
        r#"{{"access_token":"x-{number}","issued_token_type":"{ACCESS_TOKEN_TYPE}","token_type":"Bearer","expires_in":3600}}"#
    );
    world.endpoint.then(200, &answer, None);
}

/// The actors' tokens of all exchanges.
fn actors(world: &World) -> Vec<String> {
    let seen = world.endpoint.seen.lock().unwrap();
    seen.iter()
        .flat_map(|(form, _)| form.iter().filter(|(name, _)| name == "actor_token"))
        .map(|(_, value)| value.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_actor_in_secrets_manager_is_read_again_when_an_exchange_is_refused_and_kept_by_a_reload()
 {
    let world = World::new(1000);
    *world.endpoint.versions.lock().unwrap() = vec!["v-1", "v-2", "v-3"];
    let sources = acting(elsewhere());
    let end = world.clock.now().plus(9000);
    let who = |name: &str| user(name, &format!("{name}'s"), end);
    for number in 1..=2 {
        exchanges(&world, number);
    }
    let first = world.start(&sources, None);
    for (name, token) in [("ada", "Bearer x-1"), ("bob", "Bearer x-2")] {
        let found = attach_as(&first, &["theirs"], &who(name)).await;
        assert_eq!(found.as_deref(), Ok(token));
    }
    assert_eq!(actors(&world), ["v-1", "v-1"], "nobody refused it");

    let second = world.start(&sources, Some(&first));
    let found = attach_as(&second, &["theirs"], &who("ada")).await;
    assert_eq!(found.as_deref(), Ok("Bearer x-1"), "kept");

    world
        .endpoint
        .then(400, r#"{"error":"invalid_request"}"#, None);
    exchanges(&world, 3);
    let found = attach_as(&second, &["theirs"], &who("eve")).await;
    assert_eq!(found.as_deref(), Ok("Bearer x-3"));
    assert_eq!(actors(&world), ["v-1", "v-1", "v-1", "v-2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_attached_is_good_until_its_source_says_and_not_a_moment_longer() {
    let world = World::new(1000);
    let key = SecretSource::Literal(Secret::new("own".to_owned()));
    let sources = [
        source(
            "granted",
            CredentialKind::ClientCredentials(Box::new(definition())),
        ),
        source("theirs", exchange()),
        source("caller", CredentialKind::PassThrough),
        source("own", CredentialKind::StaticToken { token: key }),
    ];
    let credentials = world.start(&sources, None);
    let started = world.clock.now();
    let ada = user("ada", "ada's", started.plus(500));
    let headers = HeaderMap::from_iter([(
        http::header::AUTHORIZATION,
        HeaderValue::from_static("the app's"),
    )]);
    for (name, user, until) in [
        ("granted", None, Some(1000)),
        // the user's own ends before it
        ("theirs", Some(&ada), Some(500)),
        ("caller", Some(&ada), Some(500)),
        ("caller", None, None),
        ("own", Some(&ada), None),
    ] {
        let call = For {
            headers: &headers,
            user,
            guarded: false,
        };
        let attached = credentials.attach(&names(&[name]), &call).await.unwrap();
        let good_until = until.unwrap_or(u64::MAX / 2);
        assert_eq!(
            attached.check(started.plus(good_until - 1)),
            Ok(()),
            "{name}"
        );
        let at_the_end = attached.check(started.plus(good_until));
        assert_eq!(at_the_end.is_err(), until.is_some(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_is_counted_with_its_source_whatever_the_kind() {
    let world = World::new(1000);
    let literal = |value: &str| SecretSource::Literal(Secret::new(value.to_owned()));
    let kinds = [
        CredentialKind::ClientCredentials(Box::new(definition())),
        exchange(),
        CredentialKind::StaticToken {
            token: literal("t"),
        },
        CredentialKind::ApiKey {
            header: HeaderName::from_static("x-key"),
            scheme: None,
            value: SecretSource::File("/nonexistent/key".into()),
        },
        CredentialKind::Basic {
            username: "u".to_owned(),
            password: literal("p"),
        },
        CredentialKind::PassThrough,
    ];
    let sources: Vec<_> = kinds
        .iter()
        .map(|kind| source(kind.as_str(), kind.clone()))
        .collect();
    let credentials = world.start(&sources, None);
    let ada = ada(&world);
    let stranger = {
        let mut user = ada.clone();
        let mut principal = (*user.proven.principal).clone();
        principal.issuer = "strangers".into();
        user.proven.principal = Arc::new(principal);
        user
    };
    for user in [None, Some(&ada), Some(&stranger)] {
        for source in &sources {
            let call = For {
                headers: &HeaderMap::new(),
                user,
                guarded: false,
            };
            let list = [Arc::clone(&source.name)];
            if let Ok(attached) = credentials.attach(&list, &call).await {
                drop(credentials.replace(&attached, &call).await);
            }
        }
    }
    let metrics = world.telemetry.metrics.render();
    for (kind, expected) in [
        (
            "client_credentials",
            &[("attached", 3), ("replaced", 1)][..],
        ),
        (
            "token_exchange",
            &[
                ("attached", 1),
                ("replaced", 1),
                ("no_user", 1),
                ("refused", 1),
            ],
        ),
        ("static_token", &[("attached", 3)]),
        ("api_key", &[("unavailable", 3)]),
        ("basic", &[("attached", 3)]),
        (
            "pass_through",
            &[("attached", 1), ("no_user", 1), ("refused", 1)],
        ),
    ] {
        for outcome in ["attached", "replaced", "unavailable", "no_user", "refused"] {
            let count = expected.iter().find(|(known, _)| *known == outcome);
            let count = count.map_or(0, |(_, count)| *count);
            let line = format!(
                r#"gatepost_credential_calls_total{{credential="{kind}",kind="{kind}",outcome="{outcome}"}} {count}"#
            );
            assert!(
                metrics.lines().any(|known| known == line),
                "{line}\n{metrics}"
            );
        }
    }
    // a value that is read is one that is fetched
    for expected in [
        r#"gatepost_credential_fetch_total{credential="basic",result="success"} 4"#,
        r#"gatepost_credential_fetch_total{credential="api_key",result="error"} 4"#,
        r#"gatepost_credential_fetched_timestamp_seconds{credential="static_token"} 1700000000"#,
    ] {
        assert!(
            metrics.lines().any(|known| known == expected),
            "{expected}\n{metrics}"
        );
    }
}
