//! Keys of users, from an identity pool.

use super::*;
use crate::client::token::{User, user};
use crate::config::IdentityPool;

/// The pool answers who the user is, and with keys of this id that end in an hour.
fn answers(world: &World, id: &str) {
    world
        .endpoint
        .then(200, r#"{"IdentityId":"eu-west-1:1"}"#, None);
    let until = world.clock.now().0 + 3600;
    let keys = format!(
        r#"{{"Credentials":{{"AccessKeyId":"{id}","SecretKey":"s","SessionToken":"t","Expiration":{until}}}}}"#
    );
    world.endpoint.then(200, &keys, None);
}

fn pool(id: &str) -> [CredentialSource; 1] {
    let pool = IdentityPool {
        id: id.to_owned(),
        endpoint: Url::parse("https://cognito-identity.test/").unwrap(),
    };
    [source("theirs", aws(AwsSource::IdentityPool(pool)))]
}

fn ada(world: &World) -> User {
    // {"iss":"https://i.test"}
    let token = "e30.eyJpc3MiOiJodHRwczovL2kudGVzdCJ9.c2ln";
    user("ada", token, world.clock.now().plus(9000))
}

/// The id of the keys that sign this user's calls.
async fn signs(credentials: &Credentials, user: &User) -> Result<String, Refusal> {
    let call = For {
        headers: &HeaderMap::new(),
        user: Some(user),
        guarded: true,
    };
    let attached = credentials.attach(&names(&["theirs"]), &call).await?;
    let (mut head, ()) = Request::new(()).into_parts();
    attached.apply(&mut head, Some(&Bytes::new()))?;
    let signature = head.headers["authorization"].to_str().unwrap();
    Ok(signature.split(['=', '/']).nth(1).unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_keys_of_users_if_their_pool_is_the_same() {
    let world = World::new(1000);
    let ada = ada(&world);
    answers(&world, "ONE");
    let first = world.start(&pool("a"), None);
    assert_eq!(signs(&first, &ada).await.as_deref(), Ok("ONE"));
    let second = world.start(&pool("a"), Some(&first));
    drop(first);
    assert_eq!(signs(&second, &ada).await.as_deref(), Ok("ONE"), "kept");
    assert_eq!(world.endpoint.calls(), 2);
    answers(&world, "TWO");
    let third = world.start(&pool("b"), Some(&second));
    assert_eq!(signs(&third, &ada).await.as_deref(), Ok("TWO"), "another");
}

#[tokio::test(start_paused = true)]
async fn a_users_keys_are_refreshed_ahead_and_sign_until_they_end_and_no_longer() {
    let world = World::new(1000);
    let ada = ada(&world);
    let credentials = world.start(&pool("a"), None);
    answers(&world, "ONE");
    assert_eq!(signs(&credentials, &ada).await.as_deref(), Ok("ONE"));
    sleep(Duration::from_secs(3200)).await;
    assert_eq!(signs(&credentials, &ada).await.as_deref(), Ok("ONE"));
    assert_eq!(world.endpoint.calls(), 2, "too early");
    sleep(Duration::from_secs(200)).await;
    answers(&world, "TWO");
    let ends = world.clock.now().0 + 3600;
    // nobody waits: the one who is early is given what there is
    assert_eq!(signs(&credentials, &ada).await.as_deref(), Ok("ONE"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(signs(&credentials, &ada).await.as_deref(), Ok("TWO"));
    assert_eq!(world.endpoint.calls(), 4, "200 s before the end");

    // the pool is away from now on
    while signs(&credentials, &ada).await.is_ok() {
        assert!(world.clock.now().0 < ends);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.clock.now().0, ends);
    assert!(matches!(
        signs(&credentials, &ada).await,
        Err(Refusal::Failed(Failure::EgressTokenUnavailable { .. }))
    ));
}
