//! Reloads: what is kept, who asks on, and what a refused one changes: nothing.

use super::*;
use crate::client::token::fleet::{Away, Entry, Label, Turn};
use crate::config::{AwsKeySource, AwsSource, ContainerEndpoint, RefreshToken};

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_token_of_an_unchanged_source_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "old").unwrap();
    let world = World::new(1000);
    let file = by_file(&path);
    let first = world.start(&grant(file.clone()), None);
    assert_eq!(token(&first).await.as_deref(), Ok("Bearer t-1"));
    let second = world.start(&grant(file.clone()), Some(&first));
    drop(first);
    assert_eq!(token(&second).await.as_deref(), Ok("Bearer t-1"));
    // the new world drives it on
    sleep(Duration::from_secs(900)).await;
    assert_eq!(token(&second).await.as_deref(), Ok("Bearer t-2"));
    std::fs::write(&path, "new").unwrap();
    let third = world.start(&grant(file.clone()), Some(&second));
    assert_eq!(token(&third).await.as_deref(), Ok("Bearer t-3"));
    let other = ClientCredentials {
        scopes: vec![],
        ..file
    };
    let fourth = world.start(&grant(other), Some(&third));
    assert_eq!(token(&fourth).await.as_deref(), Ok("Bearer t-4"));
    drop((second, third, fourth));
    world.background.tasks.close();
    world.background.tasks.wait().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_reload_changes_no_running_source_and_an_accepted_one_does() {
    let refreshing = RefreshToken {
        client: client(ClientAuthentication::None),
        refresh_token: secret(),
        state_file: None,
        scopes: vec![],
        resources: vec![],
        freshness: Freshness::default(),
    };
    let container = AwsSource::Own(AwsKeySource::Container(ContainerEndpoint {
        url: Url::parse("http://169.254.170.2/keys").unwrap(),
        authorization: None,
    }));
    for kind in [
        CredentialKind::ClientCredentials(Box::new(definition())),
        CredentialKind::RefreshToken(Box::new(refreshing)),
        aws(container),
    ] {
        let what = format!("{kind:?}");
        let sources = [source("billing", kind)];
        let world = World::new(1000);
        let running = world.start(&sources, None);
        // its proxy, say, is another: the source is the same
        let other = Scripted::new(1000);
        drop(world.build(&sources, &other, None, Some(&running)));
        drop(attach(&running, &["billing"]).await);
        assert_eq!((world.endpoint.calls(), other.calls()), (1, 0), "{what}");
        let next = world.build(&sources, &other, None, Some(&running));
        next.go_into_force();
        drop(running);
        sleep(Duration::from_secs(10_000)).await;
        let before = world.endpoint.calls();
        drop(attach(&next, &["billing"]).await);
        assert!(other.calls() > 0, "{what}");
        assert_eq!(world.endpoint.calls(), before, "{what}");
    }
}

/// A store that is never there.
#[derive(Debug)]
struct Gone;

impl Store for Gone {
    fn find<'s>(&'s self, _label: &'s Label) -> Boxed<'s, Result<Option<Entry>, Away>> {
        Box::pin(async { Err(Away) })
    }

    fn elect<'s>(&'s self, _label: &'s Label) -> Boxed<'s, Result<Option<Turn>, Away>> {
        Box::pin(async { Err(Away) })
    }

    fn prolong<'s>(&'s self, _label: &'s Label, _turn: &'s Turn) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(async { Err(Away) })
    }

    fn keep<'s>(
        &'s self,
        _label: &'s Label,
        _turn: &'s Turn,
        _entry: Entry,
    ) -> Boxed<'s, Result<bool, Away>> {
        Box::pin(async { Err(Away) })
    }

    fn resign<'s>(&'s self, _label: &'s Label, _turn: &'s Turn) -> Boxed<'s, ()> {
        Box::pin(async {})
    }

    fn turn(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn report(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_source_shares_through_the_store_of_the_world_in_force() {
    let world = World::new(1000);
    let sources = grant(definition());
    let running = world.start(&sources, None);
    let store: Arc<dyn Store> = Arc::new(Gone);
    let is_shared = |credentials: &Credentials| credentials.report()[0]["shared"] == true;
    let next = world.build(&sources, &world.endpoint, Some(&store), Some(&running));
    assert!(!is_shared(&running));
    next.go_into_force();
    assert!(is_shared(&running) && is_shared(&next));
    world.start(&sources, Some(&next));
    assert!(!is_shared(&next));
}

#[tokio::test(start_paused = true)]
async fn who_drops_the_sources_amid_a_fetch_ends_it_at_once() {
    let world = World::new(1000);
    let credentials = world.start(&grant(definition()), None);
    let amid = Duration::from_millis(50);
    let asked = tokio::time::timeout(amid, token(&credentials)).await;
    assert!(asked.is_err());
    drop(credentials);
    world.background.tasks.close();
    // it would be answered in as much time again
    let ended = tokio::time::timeout(Duration::from_millis(1), world.background.tasks.wait());
    assert!(ended.await.is_ok(), "a task goes on");
    assert_eq!(world.endpoint.calls(), 1);
}
