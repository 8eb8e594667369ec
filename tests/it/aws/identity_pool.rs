//! A user's own AWS keys: the app's calls to AWS are signed with what a Cognito identity pool gives the
//! user behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gatepost::client::aws::AwsKeys;
use gatepost::secret::Secret;
use http::StatusCode;
use serde_json::{Value, json};

use super::signed::{is_signed, keys};
use crate::support::cognito::Pool;
use crate::support::counterparts::{self, or_skip};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::issuer::now;
use crate::support::sidecar;
use crate::support::upstream::{Recorded, Upstream, json as answer_json, status};

/// A target of S3 whose calls are signed with the keys of `pool`.
fn egress(target: &Upstream, pool: &str) -> String {
    format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"

        [[egress_targets]]
        name = "s3"
        url = "{}"
        credential = "uploads"

        [credentials.uploads]
        kind = "aws"
        service = "s3"
        region = "eu-west-1"
        identity_pool_id = "{pool}"
        "#,
        target.url()
    )
}

/// The handle of a user who shows this token to ingress.
async fn handle(gatepost: &Gatepost, app: &Upstream, token: &str) -> String {
    let reply = gatepost.get("/").await.bearer(token).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    app.last().header("x-auth-handle").to_owned()
}

/// The app stores something for the user of this handle.
async fn store(gatepost: &Gatepost, handle: &str) -> Reply {
    let call = Call::post(gatepost.listener("egress").await, "/s3/objects/of%20mine");
    let call = call.header("x-auth-handle", handle).body("what is kept");
    call.send().await
}

#[tokio::test]
async fn a_users_id_token_is_exchanged_for_keys_that_sign_that_users_calls_alone() {
    let cognito = or_skip!(counterparts::cognito().await);
    let users = Pool::create(&cognito, &[]).await;
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        (
            "x-amz-target",
            "AWSCognitoIdentityService.CreateIdentityPool",
        ),
    ];
    let order = json!({"IdentityPoolName": "people", "AllowUnauthenticatedIdentities": false});
    let pool = cognito.post("/", &headers, &order).await;
    let pool = pool["IdentityPoolId"].as_str().expect("a pool").to_owned();

    let target = Upstream::start().await;
    let app = Upstream::start().await;
    let config = format!(
        "{}\ntoken_use = [\"id\", \"access\"]\n[upstreams.app]\nurl = \"{}\"\n[[routes]]\npath = \"/**\"\n\
         upstream = \"app\"\n{}",
        users.issuer(),
        app.url(),
        egress(&target, &pool)
    );
    let environment = [("AWS_ENDPOINT_URL_COGNITO_IDENTITY", cognito.url.as_str())];
    let gatepost = Gatepost::start_with(&config, &environment).await;
    gatepost.ready().await;
    let ada = users.sign_in("ada", &[]).await;

    // moto gives everybody these
    let secret = |text: &str| Secret::new(text.to_owned());
    let id = "TESTACCESSKEY12345".to_owned();
    let theirs = AwsKeys::new(id, secret("ABCSECRETKEY"), Some(secret("ABC12345")), None);
    let theirs = theirs.expect("keys");
    let with_id_token = handle(&gatepost, &app, &ada.id).await;
    let reply = store(&gatepost, &with_id_token).await;
    assert_eq!(reply.status, 200, "{reply:?} {}", gatepost.output());
    let sent = target.last();
    assert_eq!(
        (sent.uri.path(), &*sent.body),
        ("/objects/of%20mine", &b"what is kept"[..])
    );
    assert!(is_signed(&sent, &theirs, "s3"), "{sent:?}");
    let mut forged = sent;
    forged.body = "something else".into();
    assert!(!is_signed(&forged, &theirs, "s3"), "the check can fail");

    // an access token says nothing to a pool, and nobody else's keys stand in
    let with_access_token = handle(&gatepost, &app, &ada.access).await;
    let stranger = "0123456789abcdef0123456789abcdef";
    for (handle, words) in [
        (with_access_token.as_str(), "ID token"),
        (stranger, ""),
        ("", ""),
    ] {
        let reply = store(&gatepost, handle).await;
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(reply.text().contains(words), "{reply:?}");
    }
    assert_eq!(target.requests().len(), 1);
    let output = gatepost.output();
    for secret in [&*ada.id, &*ada.access, "ABCSECRETKEY", "ABC12345"] {
        assert!(!output.contains(secret));
    }
}

/// A pool of the test's own: the keys of each asking are new and end in a few seconds.
struct Fake {
    server: Upstream,
    /// When the keys of an id end.
    ends: Arc<Mutex<HashMap<String, f64>>>,
    is_down: Arc<Mutex<bool>>,
}

/// Seconds; a fifth before the end they are refreshed.
const LIFE: f64 = 5.0;

impl Fake {
    async fn start() -> Self {
        let ends = Arc::new(Mutex::new(HashMap::new()));
        let is_down = Arc::new(Mutex::new(false));
        let (known, down) = (Arc::clone(&ends), Arc::clone(&is_down));
        let server = Upstream::answering(move |request| {
            if *down.lock().expect("no test panicked") {
                return status(StatusCode::SERVICE_UNAVAILABLE);
            }
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let logins = body["Logins"].as_object().expect("a map");
            assert!(logins.contains_key("issuer.test"), "{body}");
            assert_eq!(request.header("authorization"), "", "not signed");
            match request.header("x-amz-target") {
                "AWSCognitoIdentityService.GetId" => {
                    assert_eq!(body["IdentityPoolId"], "eu-west-1:1-2");
                    answer_json(&json!({ "IdentityId": "eu-west-1:3-4" }))
                }
                "AWSCognitoIdentityService.GetCredentialsForIdentity" => {
                    assert_eq!(body["IdentityId"], "eu-west-1:3-4");
                    let mut known = known.lock().expect("no test panicked");
                    let id = format!("ASIA{}", known.len() + 1);
                    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
                    let end = now() as f64 + LIFE;
                    known.insert(id.clone(), end);
                    answer_json(&json!({
                        "IdentityId": "eu-west-1:3-4",
                        "Credentials": {
                            "AccessKeyId": id,
                            "SecretKey": format!("secret-of-{id}"),
                            "SessionToken": format!("token-of-{id}"),
                            "Expiration": end,
                        },
                    }))
                }
                other => panic!("{other}"),
            }
        })
        .await;
        Self {
            server,
            ends,
            is_down,
        }
    }
}

/// The id of the keys a request claims to be signed with.
fn claimed(request: &Recorded) -> String {
    let claim = request.header("authorization").split_once("Credential=");
    let id = claim.and_then(|(_, rest)| rest.split_once('/'));
    id.map_or(String::new(), |(id, _)| id.to_owned())
}

#[tokio::test]
async fn keys_of_a_user_are_refreshed_while_they_are_used_and_none_that_ended_sign() {
    let fake = Fake::start().await;
    let ends = Arc::clone(&fake.ends);
    // S3: takes what is signed with keys that live
    let target = Upstream::answering(move |request| {
        let id = claimed(request);
        let end = ends.lock().expect("no test panicked").get(&id).copied();
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        let lives = end.is_some_and(|end| (now() as f64) <= end);
        status(if lives && is_signed(request, &keys(&id), "s3") {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        })
    })
    .await;
    let app = Upstream::start().await;
    let config = sidecar::config(&app.url(), "") + &egress(&target, "eu-west-1:1-2");
    let url = fake.server.url();
    let environment = [("AWS_ENDPOINT_URL_COGNITO_IDENTITY", url.as_str())];
    let gatepost = Gatepost::start_with(&config, &environment).await;
    let handle = handle(&gatepost, &app, &sidecar::token(&json!({}))).await;

    eventually("a third key set", || async {
        let reply = store(&gatepost, &handle).await;
        assert_eq!(reply.status, 200, "{reply:?} {}", gatepost.output());
        (claimed(&target.last()) == "ASIA3").then_some(())
    })
    .await;
    // away: until the end, and then nothing is sent
    *fake.is_down.lock().expect("no test panicked") = true;
    eventually("an end", || async {
        let before = target.requests().len();
        let reply = store(&gatepost, &handle).await;
        if reply.status == 200 {
            return None;
        }
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
        assert_eq!(target.requests().len(), before);
        Some(())
    })
    .await;
    *fake.is_down.lock().expect("no test panicked") = false;
    eventually("keys again", || async {
        (store(&gatepost, &handle).await.status == 200).then_some(())
    })
    .await;
    assert!(!gatepost.output().contains("of-ASIA"));
}
