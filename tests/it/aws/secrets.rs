//! `{ aws_secret = … }`: secrets of moto's Secrets Manager, rotated there while they are used.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::json;
use url::form_urlencoded::parse;

use super::keys::keys_of_user;
use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer_json, status};

/// What counts at the token endpoint or the target, and was shown there.
#[derive(Clone, Default)]
struct Lock {
    key: Arc<Mutex<String>>,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Lock {
    fn of(key: &str) -> Self {
        let lock = Self::default();
        lock.becomes(key);
        lock
    }

    fn becomes(&self, key: &str) {
        key.clone_into(&mut self.key.lock().expect("no test panicked"));
    }

    fn opens(&self, shown: &str) -> bool {
        let mut all = self.shown.lock().expect("no test panicked");
        all.push(shown.to_owned());
        shown == *self.key.lock().expect("no test panicked")
    }

    fn shown(&self) -> Vec<String> {
        self.shown.lock().expect("no test panicked").clone()
    }
}

/// The places: AWS, a token endpoint, and a target that takes its tokens or a key.
struct Place {
    aws: Counterpart,
    secret: Lock,
    key: Lock,
    /// The token that the target takes.
    token: Lock,
    target: Upstream,
    _endpoint: Upstream,
    gatepost: Gatepost,
}

fn value(request: &Recorded, name: &str) -> String {
    let mut pairs = parse(&request.body).into_owned();
    let found = pairs.find_map(|(known, value)| (known == name).then_some(value));
    found.unwrap_or_default()
}

fn granted(secret: &str) -> Answer {
    answer_json(&json!({
        "access_token": format!("by-{secret}"), "token_type": "Bearer", "expires_in": 3600,
    }))
}

impl Place {
    async fn start() -> Option<Self> {
        let aws = counterparts::aws().await?;
        let (secret, key) = (Lock::of("s3cret-1"), Lock::of("s3cret-1"));
        let token = Lock::of("Bearer by-s3cret-1");
        let (theirs, keys, tokens) = (secret.clone(), key.clone(), token.clone());
        let endpoint = Upstream::answering(move |request| {
            let shown = value(request, "client_secret");
            if theirs.opens(&shown) {
                return granted(&shown);
            }
            let mut refused = answer_json(&json!({ "error": "invalid_client" }));
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            refused
        })
        .await;
        let target = Upstream::answering(move |request| {
            let key = request.header("x-api-key");
            let opened = if key.is_empty() {
                tokens.opens(request.header("authorization"))
            } else {
                keys.opens(key)
            };
            status(if opened {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            })
        })
        .await;
        let config = format!(
            r#"
            [egress]
            listen = "127.0.0.1:0"

            [[egress_targets]]
            name = "by-token"
            url = "{target}"
            credential = "c"

            [[egress_targets]]
            name = "by-key"
            url = "{target}"
            credential = "k"

            [[egress_targets]]
            name = "secrets"
            url = "{aws}"
            credential = "aws"

            [credentials.c]
            kind = "client_credentials"
            token_url = "{endpoint}"
            client_id = "app"
            auth_method = "client_secret_post"
            client_secret = {{ aws_secret = "{arn}", json_key = "client_secret" }}

            [credentials.k]
            kind = "api_key"
            header = "X-Api-Key"
            value = {{ aws_secret = "billing", json_key = "client_secret" }}

            [credentials.aws]
            kind = "aws"
            service = "secretsmanager"
            "#,
            target = target.url(),
            aws = aws.url,
            endpoint = endpoint.url(),
            arn = aws.said["secret"].as_str().expect("an ARN"),
        );
        let mut environment = keys_of_user(&aws).to_vec();
        environment.push(("AWS_ENDPOINT_URL_SECRETS_MANAGER", &aws.url));
        let gatepost = Gatepost::start_with(&config, &environment).await;
        Some(Self {
            aws,
            secret,
            key,
            token,
            target,
            _endpoint: endpoint,
            gatepost,
        })
    }

    async fn call(&self, target: &str) -> Reply {
        let egress = self.gatepost.listener("egress").await;
        Call::get(egress, &format!("/{target}/x")).send().await
    }

    /// Puts another text into AWS, by egress as an app would.
    async fn rotate(&self, secret: &str) {
        let egress = self.gatepost.listener("egress").await;
        let text = json!({ "client_secret": secret }).to_string();
        let reply = Call::post(egress, "/secrets/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "secretsmanager.PutSecretValue")
            .body(json!({ "SecretId": "billing", "SecretString": text }).to_string())
            .send()
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// How often AWS was asked for the secret of this name.
    async fn asked(&self, name: &str) -> u32 {
        let sample = format!(
            r#"gatepost_credential_fetch_total{{credential="aws:{name}",result="success"}}"#
        );
        self.gatepost.metric(&sample).await.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_clients_secret_is_read_once_and_again_when_the_endpoint_does_not_know_it() {
    let place = or_skip!(Place::start().await);
    let arn = place.aws.said["secret"]
        .as_str()
        .expect("an ARN")
        .to_owned();
    for _call in 0..3 {
        assert_eq!(
            place.call("by-token").await.status,
            200,
            "{}",
            place.gatepost.output()
        );
    }
    assert_eq!(place.secret.shown(), ["s3cret-1"], "one token");
    assert_eq!(place.asked(&arn).await, 1);

    place.rotate("s3cret-2").await;
    place.secret.becomes("s3cret-2");
    place.token.becomes("Bearer by-s3cret-2");
    // the target refuses the token, the endpoint the secret: both are replaced within this call
    assert_eq!(
        place.call("by-token").await.status,
        200,
        "{}",
        place.gatepost.output()
    );
    assert_eq!(place.secret.shown(), ["s3cret-1", "s3cret-1", "s3cret-2"]);
    assert_eq!(place.asked(&arn).await, 2);
    assert!(!place.gatepost.output().contains("s3cret-"));
}

#[tokio::test]
async fn a_key_is_read_again_when_the_target_refuses_it_and_not_at_every_refusal() {
    let place = or_skip!(Place::start().await);
    assert_eq!(
        place.call("by-key").await.status,
        200,
        "{}",
        place.gatepost.output()
    );
    place.rotate("s3cret-2").await;
    place.key.becomes("s3cret-2");
    assert_eq!(
        place.call("by-key").await.status,
        200,
        "{}",
        place.gatepost.output()
    );
    assert_eq!(place.key.shown(), ["s3cret-1", "s3cret-1", "s3cret-2"]);
    assert_eq!(place.asked("billing").await, 2);

    // a target that refuses whatever it is shown costs no call to AWS each time
    place.key.becomes("another");
    let sent = place.target.requests().len();
    for _call in 0..20 {
        assert_eq!(place.call("by-key").await.status, 401);
    }
    assert_eq!(
        place.target.requests().len(),
        sent + 20,
        "nothing new to replay"
    );
    assert_eq!(place.asked("billing").await, 2);
    assert!(!place.gatepost.output().contains("s3cret-"));
}
