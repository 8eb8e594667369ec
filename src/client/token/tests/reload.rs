//! Reloads: what is kept, who asks on, and what a refused one changes: nothing.

use super::*;
use crate::client::token::fleet::{Away, Entry, Label, Turn};
use crate::client::token::user;
use crate::config::{
    AwsCredential, AwsKeySource, AwsSource, ContainerEndpoint, IdentityPool, RefreshToken,
};

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

fn aws(source: AwsSource) -> CredentialKind {
    CredentialKind::Aws(Box::new(AwsCredential {
        service: "execute-api".to_owned(),
        region: "eu-west-1".to_owned(),
        source,
    }))
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

/// What an identity pool answers: who, and keys that end then.
fn keys_of_pool(world: &World, id: &str) {
    world
        .endpoint
        .then(200, r#"{"IdentityId":"eu-west-1:1"}"#, None);
    let until = world.clock.now().0 + 3600;
    let keys = format!(
        r#"{{"Credentials":{{"AccessKeyId":"{id}","SecretKey":"s","SessionToken":"t","Expiration":{until}}}}}"#
    );
    world.endpoint.then(200, &keys, None);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_keys_of_users_if_their_pool_is_the_same() {
    let world = World::new(1000);
    let pool = |id: &str| {
        let pool = IdentityPool {
            id: id.to_owned(),
            endpoint: Url::parse("https://cognito-identity.test/").unwrap(),
        };
        [source("theirs", aws(AwsSource::IdentityPool(pool)))]
    };
    // {"iss":"https://i.test"}
    let token = "e30.eyJpc3MiOiJodHRwczovL2kudGVzdCJ9.c2ln";
    let ada = user("ada", token, world.clock.now().plus(9000));
    let signed_by = async |credentials: &Credentials| {
        let call = For {
            headers: &HeaderMap::new(),
            user: Some(&ada),
            guarded: true,
        };
        let attached = credentials
            .attach(&names(&["theirs"]), &call)
            .await
            .unwrap();
        let (mut head, ()) = Request::new(()).into_parts();
        attached.apply(&mut head, Some(&Bytes::new())).unwrap();
        let signature = head.headers["authorization"].to_str().unwrap();
        signature.split(['=', '/']).nth(1).unwrap().to_owned()
    };
    keys_of_pool(&world, "ONE");
    let first = world.start(&pool("a"), None);
    assert_eq!(signed_by(&first).await, "ONE");
    let second = world.start(&pool("a"), Some(&first));
    drop(first);
    assert_eq!(signed_by(&second).await, "ONE", "kept");
    assert_eq!(world.endpoint.calls(), 2);
    keys_of_pool(&world, "TWO");
    let third = world.start(&pool("b"), Some(&second));
    assert_eq!(signed_by(&third).await, "TWO", "another pool");
}
