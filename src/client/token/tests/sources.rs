//! Definitions: client authentication, static values, lists, reloads.

use std::time::Duration;

use http::{HeaderName, header};
use tokio::time::sleep;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_client_authenticates_by_body_or_by_form_encoded_basic() {
    let world = World::new(1000);
    let basic = ClientCredentials {
        client: client(ClientAuthentication::SecretBasic(secret())),
        scopes: vec![],
        audience: Some("orders".to_owned()),
        resources: vec!["urn:r".to_owned(), "urn:s".to_owned()],
        ..definition()
    };
    for definition in [definition(), basic] {
        assert!(token(&world.start(&grant(definition), None)).await.is_ok());
    }
    let seen = world.endpoint.seen.lock().unwrap();
    let pairs = |list: &[(&str, &str)]| {
        list.iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        seen[0],
        (
            pairs(&[
                ("grant_type", "client_credentials"),
                ("scope", "a/read b"),
                ("client_id", "my client"),
                ("client_secret", "hunter2+&"),
            ]),
            None
        )
    );
    // base64 of my+client:hunter2%2B%26
    assert_eq!(
        seen[1],
        (
            pairs(&[
                ("grant_type", "client_credentials"),
                ("audience", "orders"),
                ("resource", "urn:r"),
                ("resource", "urn:s"),
            ]),
            Some("Basic bXkrY2xpZW50Omh1bnRlcjIlMkIlMjY=".to_owned())
        )
    );
}

#[tokio::test(start_paused = true)]
async fn after_invalid_client_the_secret_is_read_again_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "old").unwrap();
    let world = World::new(1000);
    let file = by_file(&path);
    let credentials = world.start(&grant(file), None);
    let refusal = r#"{"error":"invalid_client"}"#;
    world.endpoint.then(400, refusal, None);
    assert!(token(&credentials).await.is_err());
    assert_eq!(world.endpoint.calls(), 1, "the same secret is not retried");
    sleep(Duration::from_secs(2)).await;
    std::fs::write(&path, "new").unwrap();
    world.endpoint.then(401, refusal, None);
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer t-3"));
    let seen = world.endpoint.seen.lock().unwrap();
    let secrets: Vec<_> = seen.iter().map(|(form, _)| form[3].1.as_str()).collect();
    assert_eq!(secrets, ["old", "old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_as_soon_as_the_clients_secret_can_be_had_again() {
    let world = World::new(1000);
    let by_secret = ClientCredentials {
        client: client(ClientAuthentication::SecretPost(elsewhere())),
        ..definition()
    };
    let credentials = world.start(&grant(by_secret), None);
    world.endpoint.down(true);
    for _second in 0..300 {
        assert!(token(&credentials).await.is_err());
        sleep(Duration::from_secs(1)).await;
    }
    world.endpoint.down(false);
    sleep(Duration::from_secs(2)).await;
    assert!(token(&credentials).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn static_values_are_read_again_when_refused_and_replayed_only_if_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("value");
    let file = SecretSource::File(path.clone());
    let world = World::new(1000);
    let credentials = world.start(
        &[
            source(
                "static",
                CredentialKind::StaticToken {
                    token: file.clone(),
                },
            ),
            source(
                "key",
                CredentialKind::ApiKey {
                    header: HeaderName::from_static("x-metrics-key"),
                    scheme: Some("ApiKey".to_owned()),
                    value: file,
                },
            ),
        ],
        None,
    );
    for (name, header, scheme) in [
        ("static", "authorization", "Bearer"),
        ("key", "x-metrics-key", "ApiKey"),
    ] {
        std::fs::write(&path, "").unwrap();
        assert!(
            attach(&credentials, &[name]).await.is_err(),
            "{name}: empty"
        );
        std::fs::write(&path, "one\n").unwrap();
        let one = attach(&credentials, &[name]).await.unwrap();
        assert_eq!(one.header(), header);
        assert_eq!(text(&one), format!("{scheme} one"));
        assert!(replace(&credentials, &one).await.is_none());
        std::fs::write(&path, "two\n").unwrap();
        let two = replace(&credentials, &one).await.unwrap();
        assert_eq!(
            (two.header().as_str(), text(&two)),
            (header, format!("{scheme} two"))
        );
        // another request was refused with the old one
        assert_eq!(
            text(&replace(&credentials, &one).await.unwrap()),
            text(&two)
        );
        // unreadable now: what is known stays
        std::fs::write(&path, "").unwrap();
        assert!(replace(&credentials, &two).await.is_none());
        assert!(attach(&credentials, &[name]).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_source_that_has_something_is_used() {
    let world = World::new(1000);
    let mut sources = grant(definition());
    sources.push(source("caller", CredentialKind::PassThrough));
    let credentials = world.start(&sources, None);
    let list = names(&["caller", "billing"]);
    let mut original = HeaderMap::new();
    let service = attach_for(&credentials, &list, &original).await.unwrap();
    assert_eq!(text(&service), "Bearer t-1");
    original.append(header::AUTHORIZATION, HeaderValue::from_static("Basic x"));
    let caller = attach_for(&credentials, &list, &original).await.unwrap();
    assert_eq!(text(&caller), "Basic x");
    assert!(replace(&credentials, &caller).await.is_none());
    // two of them are nobody's, and no reason to call as the service
    original.append(header::AUTHORIZATION, HeaderValue::from_static("Basic y"));
    let refused = attach_for(&credentials, &list, &original)
        .await
        .unwrap_err();
    assert_eq!(refused, Refusal::Denied(Denial::RequestMalformed));
    for nothing in [&["caller"][..], &["unknown"], &[]] {
        assert!(
            attach_for(&credentials, &names(nothing), &original)
                .await
                .is_err()
        );
    }
    world.endpoint.down(true);
    sleep(Duration::from_secs(1000)).await;
    let either = names(&["billing", "caller"]);
    original.remove(header::AUTHORIZATION);
    original.append(header::AUTHORIZATION, HeaderValue::from_static("Basic x"));
    let caller = attach_for(&credentials, &either, &original).await.unwrap();
    assert_eq!(text(&caller), "Basic x");
}

#[tokio::test(start_paused = true)]
async fn neither_debug_nor_report_shows_a_secret() {
    let world = World::new(1000);
    let mut sources = grant(definition());
    sources.push(source(
        "static",
        CredentialKind::StaticToken {
            token: SecretSource::Literal(Secret::new("s3cret".to_owned())),
        },
    ));
    let credentials = world.start(&sources, None);
    let attached = attach(&credentials, &["billing"]).await.unwrap();
    let other = attach(&credentials, &["static"]).await.unwrap();
    let report = credentials.report();
    let shown = format!("{credentials:#?} {attached:?} {other:?} {report}");
    for secret in ["hunter2", "s3cret", "t-1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(report[0]["kind"], "client_credentials");
    assert_eq!(report[0]["token"]["expires_in_seconds"], 1000);
    assert_eq!(report[1]["available"], true);
}

#[tokio::test(start_paused = true)]
async fn user_and_password_are_basic_in_utf_8() {
    let world = World::new(1000);
    for (username, password, expected) in [
        // RFC 7617 2 and 2.1
        (
            "Aladdin",
            "open sesame",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        ("test", "123£", Some("Basic dGVzdDoxMjPCow==")),
        ("test", "a:b", Some("Basic dGVzdDphOmI=")),
        ("test", "a\nb", None),
    ] {
        let kind = CredentialKind::Basic {
            username: username.to_owned(),
            password: SecretSource::Literal(Secret::new(password.to_owned())),
        };
        let credentials = world.start(&[source("user", kind)], None);
        let attached = attach(&credentials, &["user"]).await.ok();
        let found = attached.as_ref().map(text);
        assert_eq!(found.as_deref(), expected, "{password}");
    }
}
