//! Refresh tokens: rotated, kept through a restart, never used twice.

use super::*;
use crate::config::RefreshToken;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// The configured refresh token is `r-1`.
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.configure("r-1");
        files
    }

    fn configure(&self, refresh_token: &str) {
        std::fs::write(self.folder.path().join("configured"), refresh_token).unwrap();
    }

    fn definition(&self) -> RefreshToken {
        RefreshToken {
            client: client(ClientAuthentication::None),
            refresh_token: SecretSource::File(self.folder.path().join("configured")),
            state_file: Some(self.folder.path().join("state")),
            scopes: vec![],
            resources: vec![],
            freshness: Freshness::default(),
        }
    }
}

fn sources(definition: RefreshToken) -> Vec<CredentialSource> {
    let kind = CredentialKind::RefreshToken(Box::new(definition));
    vec![source("billing", kind)]
}

/// The next answer: this token, and this refresh token in place of the one it was asked with.
fn rotates(world: &World, token: &str, refresh_token: &str) {
    let body = format!(
        r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":1000,"refresh_token":"{refresh_token}"}}"#
    );
    world.endpoint.then(200, &body, None);
}

/// The refresh tokens that were asked with.
fn spent(world: &World) -> Vec<String> {
    let seen = world.endpoint.seen.lock().unwrap();
    seen.iter()
        .map(|(form, authorization)| {
            assert_eq!(*authorization, None);
            assert_eq!(form[0], pair("grant_type", "refresh_token"));
            assert_eq!(form.last(), Some(&pair("client_id", "my client")));
            assert_eq!(form[1].0, "refresh_token");
            form[1].1.clone()
        })
        .collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

const SPENT: &str = r#"{"error":"invalid_grant"}"#;

/// Until the token is over, and everything that may be done for nobody is done.
async fn idle() {
    sleep(Duration::from_secs(10_000)).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_the_next_one_and_a_restart_goes_on_with_it() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    rotates(&world, "a-1", "r-2");
    rotates(&world, "a-2", "r-3");
    assert_eq!(token(&credentials).await.as_deref(), Ok("Bearer a-1"));
    // refreshed ahead, and later once more without another one in its place
    idle().await;
    assert!(token(&credentials).await.is_ok());
    assert_eq!(spent(&world), ["r-1", "r-2", "r-3"]);
    drop(credentials);
    rotates(&world, "a-4", "r-4");
    let restarted = world.start(&sources(files.definition()), None);
    assert_eq!(token(&restarted).await.as_deref(), Ok("Bearer a-4"));
    assert_eq!(spent(&world).last().unwrap(), "r-3");
    // a new one was put in place: what the old one led to is nothing
    drop(restarted);
    files.configure("s-1");
    let renewed = world.start(&sources(files.definition()), None);
    assert!(token(&renewed).await.is_ok());
    assert_eq!(spent(&world).last().unwrap(), "s-1");
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_refresh_token_even_without_a_state_file() {
    let files = Files::new();
    let world = World::new(1000);
    let without = RefreshToken {
        state_file: None,
        ..files.definition()
    };
    let first = world.start(&sources(without.clone()), None);
    rotates(&world, "a-1", "r-2");
    assert!(token(&first).await.is_ok());
    let second = world.start(&sources(without.clone()), Some(&first));
    assert_eq!(token(&second).await.as_deref(), Ok("Bearer a-1"));
    let narrower = RefreshToken {
        scopes: vec!["read".to_owned()],
        ..without
    };
    let third = world.start(&sources(narrower), Some(&second));
    drop((first, second));
    assert!(token(&third).await.is_ok());
    assert_eq!(spent(&world), ["r-1", "r-2"]);
}

#[tokio::test(start_paused = true)]
async fn after_invalid_grant_the_source_is_read_again_once() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    world.endpoint.then(400, SPENT, None);
    assert!(token(&credentials).await.is_err());
    assert_eq!(spent(&world), ["r-1"], "the same one is not tried twice");
    sleep(Duration::from_secs(2)).await;
    // its owner put another one in place
    files.configure("s-1");
    assert!(token(&credentials).await.is_ok());
    assert_eq!(spent(&world), ["r-1", "s-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_spent_refresh_token_is_never_sent_again() {
    for in_file in [true, false] {
        let files = Files::new();
        let world = World::new(1000);
        let mut definition = files.definition();
        definition.state_file = definition.state_file.filter(|_file| in_file);
        let credentials = world.start(&sources(definition), None);
        rotates(&world, "a-1", "r-2");
        assert!(token(&credentials).await.is_ok());
        for _attempt in 0..100 {
            world.endpoint.then(400, SPENT, None);
        }
        idle().await;
        assert!(token(&credentials).await.is_err());
        let mut sent = spent(&world);
        assert_eq!(sent.remove(0), "r-1");
        assert!(
            !sent.is_empty() && sent.iter().all(|one| one == "r-2"),
            "{sent:?}"
        );
        // its owner put another one in place
        files.configure("s-1");
        world.endpoint.script.lock().unwrap().clear();
        world.endpoint.then(400, SPENT, None);
        idle().await;
        assert!(token(&credentials).await.is_ok());
        assert_eq!(spent(&world).last().unwrap(), "s-1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_never_cuts_a_refresh_that_may_rotate() {
    let files = Files::new();
    let same = files.definition();
    let narrower = RefreshToken {
        scopes: vec!["read".to_owned()],
        ..same.clone()
    };
    for (next, expected) in [(same.clone(), "Bearer a-2"), (narrower, "Bearer a-3")] {
        let files = Files::new();
        let at = |mut definition: RefreshToken| {
            definition.refresh_token = files.definition().refresh_token;
            definition.state_file = None;
            sources(definition)
        };
        let world = World::new(1000);
        let first = world.start(&at(same.clone()), None);
        for number in 1..=3 {
            rotates(&world, &format!("a-{number}"), &format!("r-{}", number + 1));
        }
        let refused = attach(&first, &["billing"]).await.unwrap();
        // it takes 100 ms
        let moment = Duration::from_millis(50);
        let replaced = tokio::time::timeout(moment, replace(&first, &refused)).await;
        assert!(replaced.is_err());
        let second = world.start(&at(next), Some(&first));
        drop(first);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(token(&second).await.as_deref(), Ok(expected));
        let mut sent = spent(&world);
        sent.dedup();
        assert_eq!(sent, spent(&world), "one was sent twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_file_in_use_by_another_process_stops_a_source_before_it_asks() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    assert!(token(&credentials).await.is_ok());
    let other = World::new(1000);
    let theirs = other.start(&sources(files.definition()), None);
    assert!(token(&theirs).await.is_err());
    assert_eq!(other.endpoint.calls(), 0);
    let report = theirs.report().to_string();
    assert!(report.contains("in use by another process"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_was_not_written_is_shown_and_written_later() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    rotates(&world, "a-1", "r-2");
    // a directory in its place cannot be replaced by a file
    let state = files.folder.path().join("state");
    let asked = token(&credentials);
    let blocked = async {
        sleep(Duration::from_millis(50)).await;
        std::fs::create_dir(&state).unwrap();
    };
    let (found, ()) = tokio::join!(asked, blocked);
    assert!(found.is_ok());
    assert_eq!(credentials.report()[0]["state_file_is_behind"], true);
    std::fs::remove_dir(&state).unwrap();
    idle().await;
    assert!(token(&credentials).await.is_ok());
    assert_eq!(credentials.report()[0].get("state_file_is_behind"), None);
    assert!(
        std::fs::read(&state)
            .unwrap()
            .windows(3)
            .any(|part| part == b"r-2")
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_kept_whatever_is_wrong_with_the_access_token() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    let body = r#"{"access_token":"t","token_type":"DPoP","refresh_token":"r-2"}"#;
    world.endpoint.then(200, body, None);
    assert!(token(&credentials).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert!(token(&credentials).await.is_ok());
    assert_eq!(spent(&world), ["r-1", "r-2"]);
    let shown = format!("{credentials:?} {}", credentials.report());
    assert!(!shown.contains("r-2") && !shown.contains("r-1"), "{shown}");
    assert_eq!(credentials.report()[0]["kind"], "refresh_token");
}

#[tokio::test(start_paused = true)]
async fn who_drops_the_sources_amid_a_refresh_ends_their_tasks_and_loses_no_refresh_token() {
    let files = Files::new();
    let world = World::new(1000);
    let credentials = world.start(&sources(files.definition()), None);
    rotates(&world, "a-1", "r-2");
    // the endpoint has been asked, and has not answered
    let amid = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(amid, token(&credentials))
            .await
            .is_err()
    );
    drop(credentials);
    world.background.tasks.close();
    let ended = tokio::time::timeout(Duration::from_secs(60), world.background.tasks.wait());
    assert!(ended.await.is_ok(), "a task goes on");
    world.background.tasks.reopen();
    let restarted = world.start(&sources(files.definition()), None);
    assert!(token(&restarted).await.is_ok());
    assert_eq!(spent(&world), ["r-1", "r-2"]);
}
