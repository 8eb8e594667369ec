//! What a process holds of AWS's, under paused time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::Process;
use crate::authn::issuer::Algorithm;
use crate::client::aws::AwsError;
use crate::client::jwks::Background;
use crate::client::outgoing::{FetchError, Fetched};
use crate::client::token::{Endpoint, Refused};
use crate::clock::{Clock, PausedClock, UnixTime};
use crate::config::{AwsKeySource, WebIdentityToken};
use crate::gate::Boxed;
use crate::secret::{AwsSecret, Secret, SecretError, SecretSource};
use crate::telemetry::Telemetry;

/// AWS: answers from the script, then as STS with tokens `e30.e30.1`, `e30.e30.2`… of five minutes, and as
/// Secrets Manager with `secret`; nothing while it is down.
#[derive(Debug)]
struct Aws {
    clock: Arc<dyn Clock>,
    script: Mutex<VecDeque<Result<Fetched, FetchError>>>,
    signed_by: Mutex<Vec<String>>,
    /// When it was asked.
    asked: Mutex<Vec<UnixTime>>,
    down: Mutex<bool>,
    secret: Mutex<&'static str>,
}

impl Endpoint for Aws {
    fn post<'p>(
        &'p self,
        _url: &'p Url,
        _form: &'p [(&'p str, &'p str)],
        _authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Result<Fetched, FetchError>> {
        Box::pin(async { Err(FetchError::Timeout) })
    }

    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Fetched, FetchError>> {
        let signed = request.headers()["authorization"].to_str().unwrap();
        let key = signed.split("Credential=").nth(1).unwrap();
        let key = key.split('/').next().unwrap().to_owned();
        self.signed_by.lock().unwrap().push(key);
        let now = self.clock.now();
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(now);
            asked.len()
        };
        let answer = self.script.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| {
            if *self.down.lock().unwrap() {
                return Err(FetchError::Timeout);
            }
            if request.headers().contains_key("x-amz-target") {
                let secret = *self.secret.lock().unwrap();
                return Ok(answered(200, &format!(r#"{{"SecretString":"{secret}"}}"#)));
            }
            let end = now.plus(300);
            Ok(answered(
                200,
                &format!(
                    "<R><WebIdentityToken>e30.e30.{number}</WebIdentityToken>\
                 <Expiration>{end}</Expiration></R>"
                ),
            ))
        });
        Box::pin(async {
            sleep(Duration::from_millis(10)).await;
            answer
        })
    }

    fn load<'l>(
        &'l self,
        source: &'l SecretSource,
        _refused: Option<Refused<'l>>,
    ) -> Boxed<'l, Result<Secret, SecretError>> {
        Box::pin(async { source.load() })
    }

    fn web_identity_token<'w>(
        &'w self,
        _wanted: &'w WebIdentityToken,
        _refused: Option<&'w Secret>,
    ) -> Boxed<'w, Result<Secret, AwsError>> {
        Box::pin(async { Err(AwsError::NoKeys) })
    }
}

fn answered(status: u16, body: &str) -> Fetched {
    Fetched {
        status: StatusCode::from_u16(status).unwrap(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        max_age: None,
        retry_after: None,
    }
}

struct World {
    aws: Arc<Aws>,
    process: Process,
    telemetry: Arc<Telemetry>,
    /// Of the keys.
    folder: TempDir,
    keys: AwsKeySource,
    background: Background,
    wanted: WebIdentityToken,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(PausedClock::new());
        let aws = Arc::new(Aws {
            clock: Arc::clone(&clock),
            script: Mutex::default(),
            signed_by: Mutex::default(),
            asked: Mutex::default(),
            down: Mutex::new(false),
            secret: Mutex::new("s-1"),
        });
        let wanted = WebIdentityToken {
            audience: "api://a".to_owned(),
            algorithm: Algorithm::RS256,
            seconds: 300,
            region: "eu-west-1".to_owned(),
            endpoint: Url::parse("https://sts.test/").unwrap(),
        };
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            SecretSource::File(path)
        };
        let keys = AwsKeySource::Kept {
            access_key_id: file("id", "AKIA1"),
            secret_access_key: file("secret", "s3cret"),
            session_token: None,
        };
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let telemetry = Telemetry::quiet();
        let process = Process::start(
            keys.clone(),
            [("graph", &wanted), ("orders", &wanted)].into_iter(),
            Arc::<Aws>::clone(&aws),
            &clock,
            &telemetry,
            &background,
            None,
        );
        Self {
            aws,
            process,
            telemetry,
            folder,
            keys,
            background,
            wanted,
        }
    }

    async fn token(&self) -> Result<String, String> {
        self.other_than(None).await
    }

    async fn other_than(&self, refused: Option<&str>) -> Result<String, String> {
        let refused = refused.map(|text| Secret::new(text.to_owned()));
        let token = self
            .process
            .web_identity_token(&self.wanted, refused.as_ref());
        match token.await {
            Ok(token) => Ok(token.expose().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn asked(&self) -> usize {
        self.aws.asked.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_sts_is_kept_refreshed_ahead_and_never_used_after_its_end() {
    let world = World::new();
    assert_eq!(world.token().await.unwrap(), "e30.e30.1");
    for _minute in 0..3 {
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.token().await.unwrap(), "e30.e30.1");
    }
    assert_eq!(world.asked(), 1);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(world.token().await.unwrap(), "e30.e30.2", "before 300 s");
    assert_eq!(world.asked(), 2, "ahead");

    // away: used to its end, not a second longer
    *world.aws.down.lock().unwrap() = true;
    let fetched = world.aws.asked.lock().unwrap()[1];
    let mut last = None;
    while let Ok(token) = world.token().await {
        assert_eq!(token, "e30.e30.2");
        last = Some(world.aws.clock.now());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(last.unwrap().since(fetched), 299);
    let why = world.token().await.unwrap_err();
    assert!(why.starts_with("no answer from AWS STS"), "{why}");

    *world.aws.down.lock().unwrap() = false;
    sleep(Duration::from_secs(2)).await;
    assert!(world.token().await.is_ok(), "at once");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_of_sts_is_replaced_once_in_half_a_minute() {
    let world = World::new();
    let first = world.token().await.unwrap();
    let second = world.other_than(Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(world.other_than(Some(&first)).await.unwrap(), second);
    assert_eq!(world.other_than(Some(&second)).await.unwrap(), second);
    assert_eq!(world.asked(), 2);
    sleep(Duration::from_secs(30)).await;
    assert_ne!(world.other_than(Some(&second)).await.unwrap(), second);
    assert_eq!(world.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn sts_is_not_asked_again_at_each_call_that_it_refused() {
    let world = World::new();
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    let script = std::iter::repeat_with(|| Ok(answered(403, denied)));
    world.aws.script.lock().unwrap().extend(script.take(100));
    for _call in 0..200 {
        let why = world.token().await.unwrap_err();
        assert_eq!(why, "AWS STS answered 403 Forbidden AccessDenied");
        sleep(Duration::from_millis(100)).await;
    }
    // 1 s, 2 s, 4 s, 8 s…, at least half of each
    assert!((4..=6).contains(&world.asked()), "{}", world.asked());
}

impl World {
    async fn secret(&self, id: &str, refused: Option<&str>) -> Result<String, String> {
        let is_refused = |secret: &Secret| refused == Some(secret.expose());
        let secret = AwsSecret {
            id: id.to_owned(),
            json_key: None,
            region: "eu-west-1".to_owned(),
            endpoint: Url::parse("https://secrets.test/").unwrap(),
        };
        let secret = self.process.secret(&secret, Some(&is_refused)).await;
        match secret {
            Ok(secret) => Ok(secret.expose().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_secret_is_fetched_anew_once_in_half_a_minute_however_many_ask() {
    let world = World::new();
    let all = async |refused: Option<&str>, expected: &str| {
        let calls = (0..500).map(|_| world.secret("billing", refused));
        for found in futures_util::future::join_all(calls).await {
            assert_eq!(found.unwrap(), expected);
        }
    };
    all(None, "s-1").await;
    assert_eq!(world.asked(), 1, "one call for all");
    for _minute in 0..9 {
        all(None, "s-1").await;
        all(Some("s-0"), "s-1").await;
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(world.asked(), 1, "nobody refused it");
    // rotated, and refused at once
    *world.aws.secret.lock().unwrap() = "s-2";
    all(Some("s-1"), "s-2").await;
    assert_eq!(world.asked(), 2);
    // refused on and on: nobody rotated it
    for _second in 0..29 {
        all(Some("s-2"), "s-2").await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.asked(), 2);
    sleep(Duration::from_secs(1)).await;
    all(Some("s-2"), "s-2").await;
    assert_eq!(world.asked(), 3);
    assert_eq!(world.secret("other", None).await.unwrap(), "s-2");
    assert_eq!(world.asked(), 4, "each by itself");
}

#[tokio::test(start_paused = true)]
async fn refused_keys_are_replaced_once_and_the_call_is_made_again() {
    for (status, code) in [
        (403, "InvalidClientTokenId"),
        (400, "ExpiredTokenException"),
    ] {
        let world = World::new();
        world.token().await.unwrap();
        let refused = format!(r#"{{"__type":"{code}"}}"#);
        let refuse = |times| {
            let mut script = world.aws.script.lock().unwrap();
            script.extend((0..times).map(|_| Ok(answered(status, &refused))));
        };
        let signed_by = || std::mem::take(&mut *world.aws.signed_by.lock().unwrap());
        signed_by();
        // the same keys are not tried twice
        refuse(1);
        assert!(world.secret("billing", None).await.is_err());
        assert_eq!(signed_by(), ["AKIA1"]);

        sleep(Duration::from_secs(60)).await;
        std::fs::write(world.folder.path().join("id"), "AKIA2").unwrap();
        refuse(1);
        assert_eq!(world.secret("billing", None).await.unwrap(), "s-1");
        assert_eq!(signed_by(), ["AKIA1", "AKIA2"]);

        sleep(Duration::from_secs(60)).await;
        std::fs::write(world.folder.path().join("id"), "AKIA3").unwrap();
        refuse(2);
        let first = world.token().await.unwrap();
        assert_eq!(
            world.other_than(Some(&first)).await.unwrap(),
            first,
            "refused twice"
        );
        assert_eq!(signed_by(), ["AKIA2", "AKIA3"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_end_unused_alarms_nobody() {
    let world = World::new();
    world.token().await.unwrap();
    world.secret("billing", None).await.unwrap();
    let text = world.telemetry.metrics.render();
    for name in ["aws:keys", "aws:billing", "graph:assertion"] {
        let of = |metric: &str| format!("gatepost_credential_{metric}{{credential=\"{name}\"");
        assert!(text.contains(&of("fetched_timestamp_seconds")), "{text}");
        assert!(!text.contains(&of("expiry_timestamp_seconds")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_secrets_manager_is_away_the_known_secret_stays_and_the_pauses_grow() {
    let world = World::new();
    *world.aws.down.lock().unwrap() = true;
    for _call in 0..100 {
        let why = world.secret("billing", None).await.unwrap_err();
        assert!(
            why.starts_with("no answer from AWS Secrets Manager"),
            "{why}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    // at need every 1 s to 2 s
    assert!((5..=20).contains(&world.asked()), "{}", world.asked());
    *world.aws.down.lock().unwrap() = false;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.secret("billing", None).await.unwrap(), "s-1");
    *world.aws.down.lock().unwrap() = true;
    let asked = world.asked();
    for _call in 0..100 {
        let found = world.secret("billing", Some("s-1")).await;
        assert_eq!(found.unwrap(), "s-1");
    }
    assert_eq!(world.asked(), asked + 1);
}

impl World {
    /// What asks another AWS from now on, by these keys.
    fn reloaded(&self, keys: &AwsKeySource) -> Self {
        let mut next = Self::new();
        next.wanted = self.wanted.clone();
        next.process = Process::start(
            keys.clone(),
            std::iter::once(("orders", &self.wanted)),
            Arc::<Aws>::clone(&next.aws),
            &self.aws.clock,
            &self.telemetry,
            &self.background,
            Some(&self.process),
        );
        next
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_the_process_has_by_the_same_keys_and_asks_through_the_new_world() {
    let world = World::new();
    let first = world.token().await.unwrap();
    // never in force
    let rejected = world.reloaded(&world.keys);
    drop(rejected);
    let next = world.reloaded(&world.keys);
    assert_eq!(next.token().await.unwrap(), first);
    assert_ne!(next.other_than(Some(&first)).await.unwrap(), first);
    assert_eq!((world.asked(), next.asked()), (2, 0), "not in force yet");
    next.process.go_into_force();
    let World { process, aws, .. } = world;
    drop(process);
    sleep(Duration::from_secs(60)).await;
    let second = next.token().await.unwrap();
    assert_eq!(next.asked(), 0, "kept");
    assert_ne!(next.other_than(Some(&second)).await.unwrap(), second);
    assert_eq!(aws.asked.lock().unwrap().len(), 2);
    assert_eq!(next.asked(), 1, "through the new one");

    let mut other_keys = next.keys.clone();
    if let AwsKeySource::Kept { access_key_id, .. } = &mut other_keys {
        *access_key_id = SecretSource::Literal(Secret::new("AKIA9".to_owned()));
    }
    let other = next.reloaded(&other_keys);
    other.process.go_into_force();
    other.token().await.unwrap();
    assert_eq!(*other.aws.signed_by.lock().unwrap(), ["AKIA9"]);
}
