//! Clients of token endpoints that authenticate by what AWS STS says about the task's role
//! (`GetWebIdentityToken`), from an STS of the test's own that checks what it is asked.

use std::sync::{Arc, Mutex};

use http::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded::parse;

use super::keys::platform;
use super::signed::{is_signed, keys};
use crate::support::counterparts::{self, or_skip};
use crate::support::eventually;
use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply};
use crate::support::issuer::{Signer, now};
use crate::support::upstream::{Answer, Recorded, Upstream, json as answer_json, status};
use crate::support::wire::Wire;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// What STS does next.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Issues tokens that end in so many seconds, or have ended.
    Issue(i64),
    Refuse,
    Fail,
    Forget,
}

/// An STS, and the tokens it issued.
struct Sts {
    server: Upstream,
    does: Arc<Mutex<Does>>,
    issued: Arc<Mutex<Vec<String>>>,
}

fn form(request: &Recorded) -> Vec<(String, String)> {
    parse(&request.body).into_owned().collect()
}

fn xml(code: StatusCode, body: String) -> Answer {
    let mut answer = Answer::new(body.into());
    *answer.status_mut() = code;
    let value = http::HeaderValue::from_static("text/xml");
    answer.headers_mut().insert("content-type", value);
    answer
}

impl Sts {
    /// Issues to whoever signs with the keys `ASIATASK`; each token is new, signed by `signer`, and about
    /// the client `app` of `audience`.
    async fn start(signer: Signer, audience: &'static str) -> Self {
        let does = Arc::new(Mutex::new(Does::Issue(300)));
        let issued = Arc::new(Mutex::new(Vec::new()));
        let (doing, issuing) = (Arc::clone(&does), Arc::clone(&issued));
        let server = Upstream::answering(move |request| {
            let asked = [
                ("Version", "2011-06-15"),
                ("Action", "GetWebIdentityToken"),
                ("Audience.member.1", audience),
                ("SigningAlgorithm", "RS256"),
                ("DurationSeconds", "300"),
            ];
            let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned()));
            if !is_signed(request, &keys("ASIATASK"), "sts") {
                return refusal("SignatureDoesNotMatch");
            }
            if form(request) != asked || request.uri != "/" || request.method != "POST" {
                return refusal("ValidationError");
            }
            let seconds = match *doing.lock().expect("no test panicked") {
                Does::Issue(seconds) => seconds,
                Does::Refuse => return refusal("OutboundWebIdentityFederationDisabled"),
                Does::Fail => return status(StatusCode::INTERNAL_SERVER_ERROR),
                Does::Forget => {
                    let empty = "<GetWebIdentityTokenResponse/>".to_owned();
                    return xml(StatusCode::OK, empty);
                }
            };
            let mut issued = issuing.lock().expect("no test panicked");
            let end = now().checked_add_signed(seconds).expect("a moment");
            let token = signer.mint(&json!({
                "iss": "app", "sub": "app", "aud": audience, "exp": end,
                "jti": issued.len().to_string(),
            }));
            issued.push(token.clone());
            let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(end);
            let end = humantime::format_rfc3339_millis(end);
            xml(
                StatusCode::OK,
                format!(
                    r#"<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetWebIdentityTokenResult>
    <WebIdentityToken>{token}</WebIdentityToken>
    <Expiration>{end}</Expiration>
  </GetWebIdentityTokenResult>
  <ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>
</GetWebIdentityTokenResponse>"#
                ),
            )
        })
        .await;
        Self {
            server,
            does,
            issued,
        }
    }

    fn does(&self, does: Does) {
        *self.does.lock().expect("no test panicked") = does;
    }

    fn issued(&self) -> Vec<String> {
        self.issued.lock().expect("no test panicked").clone()
    }
}

fn refusal(code: &str) -> Answer {
    xml(
        StatusCode::FORBIDDEN,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>s3cret</Message></Error>\
             <RequestId>c6104cbe</RequestId></ErrorResponse>"
        ),
    )
}

/// The task role's keys.
async fn task_role() -> Upstream {
    platform(json!({
        "AccessKeyId": "ASIATASK",
        "SecretAccessKey": "secret-of-ASIATASK",
        "Token": "token-of-ASIATASK",
        "Expiration": "2099-01-01T00:00:00Z",
    }))
    .await
}

/// A token endpoint: tokens `t-1`, `t-2`… for a client that shows a JWT.
async fn token_endpoint() -> Upstream {
    let count = Mutex::new(0);
    Upstream::answering(move |_request| {
        let mut count = count.lock().expect("no test panicked");
        *count += 1;
        answer_json(&json!({
            "access_token": format!("t-{count}"), "token_type": "Bearer", "expires_in": 3600,
        }))
    })
    .await
}

/// A target that takes any token but `t-1`.
async fn target() -> Upstream {
    Upstream::answering(|request| {
        status(match request.header("authorization") {
            "Bearer t-1" => StatusCode::UNAUTHORIZED,
            _other => StatusCode::OK,
        })
    })
    .await
}

fn config(target: &Upstream, token_url: &str, assertion: &str) -> String {
    format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"

        [[egress_targets]]
        name = "t"
        url = "{}"
        credential = "c"

        [credentials.c]
        kind = "client_credentials"
        token_url = "{token_url}"
        client_id = "app"
        client_assertion_aws = {assertion}
        "#,
        target.url()
    )
}

/// The variables of a task whose role's keys `platform` gives, and whose STS is there.
struct Environment {
    folder: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Environment {
    fn new(platform: &Upstream, sts: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let token = folder.path().join("token");
        std::fs::write(&token, "of the platform").expect("written");
        let token = token.to_str().expect("UTF-8").to_owned();
        let creds = format!("{}/v2/creds?id=1", platform.url());
        Self {
            folder,
            variables: vec![
                ("AWS_REGION", "eu-west-1".to_owned()),
                ("AWS_ENDPOINT_URL_STS", sts.to_owned()),
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", creds),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
            ],
        }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let variables = self.variables.iter();
        variables.map(|(name, value)| (*name, &**value)).collect()
    }

    /// What `gatepost token c` complains of.
    async fn describe(&self, config: &str) -> String {
        let file = self.folder.path().join("gatepost.toml");
        std::fs::write(&file, config).expect("written");
        let file = file.to_str().expect("UTF-8").to_owned();
        let variables = self.variables.clone();
        let run = tokio::task::spawn_blocking(move || {
            let variables: Vec<_> = variables
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            run(&["token", "c", "--config", &file], &variables)
        });
        let output = run.await.expect("an end");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    async fn start(&self, config: &str) -> Gatepost {
        Gatepost::start_with(config, &self.variables()).await
    }
}

async fn call(gatepost: &Gatepost) -> Reply {
    let egress = gatepost.listener("egress").await;
    Call::get(egress, "/t/x").send().await
}

#[tokio::test]
async fn a_client_authenticates_by_one_assertion_of_sts_for_the_task_role_while_it_lives() {
    let sts = Sts::start(Signer::new("aws"), AUDIENCE).await;
    let (platform, endpoint, target) = (task_role().await, token_endpoint().await, target().await);
    let environment = Environment::new(&platform, &sts.server.url());
    let assertion = format!("{{ audience = \"{AUDIENCE}\" }}");
    let config = config(&target, &endpoint.url(), &assertion);
    let gatepost = environment.start(&config).await;

    // t-1 is refused by the target, and replaced: two token requests
    let reply = call(&gatepost).await;
    assert_eq!(reply.status, 200, "{reply:?} {}", gatepost.output());
    let asked = endpoint.requests();
    assert_eq!(asked.len(), 2, "token requests");
    let issued = sts.issued();
    assert_eq!(issued.len(), 1, "one token of STS for both");
    assert_eq!(platform.requests().len(), 1);
    for request in &asked {
        let expected = [
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", &issued[0]),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form(request), expected);
        assert_eq!(request.header("authorization"), "");
    }
    let output = gatepost.output();
    assert!(!output.contains(&issued[0]) && !output.contains("of-ASIATASK"));
    for sample in [
        r#"gatepost_credential_fetch_total{credential="aws:keys",result="success"}"#,
        r#"gatepost_credential_fetch_total{credential="c:assertion",result="success"}"#,
    ] {
        assert_eq!(gatepost.metric::<u32>(sample).await, Some(1), "{sample}");
    }
}

#[tokio::test]
async fn a_server_that_takes_an_assertion_once_is_shown_another() {
    let signer = Signer::new("aws");
    let client = json!({
        "client_id": "app",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "RS256",
        "jwks": {"keys": [signer.jwk()]},
    });
    let provider = or_skip!(counterparts::oidc_provider_with(vec![client], &Value::Null).await);
    let url: &'static str = provider.url.clone().leak();
    let sts = Sts::start(signer, url).await;
    let platform = task_role().await;
    let environment = Environment::new(&platform, &sts.server.url());
    let refusals = Mutex::new(1);
    let target = Upstream::answering(move |_request| {
        let mut left = refusals.lock().expect("no test panicked");
        let refused = *left > 0;
        *left -= i32::from(refused);
        status(if refused {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        })
    })
    .await;
    let config = config(
        &target,
        &format!("{url}/token"),
        &format!("{{ audience = \"{url}\" }}\nscopes = [\"read\"]"),
    );
    let gatepost = environment.start(&config).await;
    let reply = call(&gatepost).await;
    assert_eq!(reply.status, 200, "{reply:?} {}", gatepost.output());
    assert_eq!(target.requests().len(), 2, "refused once");
    assert_eq!(sts.issued().len(), 2, "the first was taken once");
}

#[tokio::test]
async fn without_an_assertion_nothing_is_sent_and_calls_go_on_when_sts_is_back() {
    let (endpoint, target) = (token_endpoint().await, Upstream::start().await);
    for (does, words) in [
        (
            Does::Refuse,
            "AWS STS answered 403 Forbidden OutboundWebIdentityFederationDisabled",
        ),
        (Does::Fail, "AWS STS answered 500"),
        (Does::Forget, "it holds no token, or not until when"),
        (Does::Issue(-1), "what AWS gave has expired already"),
    ] {
        let sts = Sts::start(Signer::new("aws"), AUDIENCE).await;
        let platform = task_role().await;
        let environment = Environment::new(&platform, &sts.server.url());
        let assertion = format!("{{ audience = \"{AUDIENCE}\" }}");
        let config = config(&target, &endpoint.url(), &assertion);
        let (asked, sent) = (endpoint.requests().len(), target.requests().len());
        sts.does(does);
        let gatepost = environment.start(&config).await;
        is_unavailable(&call(&gatepost).await);
        assert_eq!(endpoint.requests().len(), asked, "{does:?}: no assertion");
        assert_eq!(target.requests().len(), sent, "{does:?}: no credential");
        is_told(&gatepost, words).await;

        let told = environment.describe(&config).await;
        assert!(told.contains(words), "{told}");

        sts.does(Does::Issue(300));
        eventually("an assertion", || async {
            (call(&gatepost).await.status == 200).then_some(())
        })
        .await;
        for token in sts.issued() {
            assert!(!gatepost.output().contains(&token));
        }
    }
}

#[tokio::test]
async fn an_sts_that_never_answers_is_an_outage() {
    let (endpoint, target) = (token_endpoint().await, Upstream::start().await);
    let (platform, sts) = (task_role().await, Wire::told().await);
    let environment = Environment::new(&platform, &format!("http://{}", sts.address));
    let assertion = format!("{{ audience = \"{AUDIENCE}\" }}");
    let gatepost = environment
        .start(&config(&target, &endpoint.url(), &assertion))
        .await;
    is_unavailable(&call(&gatepost).await);
    is_told(&gatepost, "no answer from AWS STS").await;
    assert!(endpoint.requests().is_empty() && target.requests().is_empty());
}

fn is_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
}

/// Both who asks STS and the source it asks for say why.
async fn is_told(gatepost: &Gatepost, words: &str) {
    for name in ["c:assertion", "c"] {
        let error = eventually(name, || async {
            let events = gatepost.events("WARN");
            let mut fields = events.iter().map(|event| &event["fields"]);
            let found = fields.find(|fields| {
                fields["message"] == "token not fetched" && fields["credential"] == name
            });
            Some(found?["error"].to_string())
        })
        .await;
        assert!(error.contains(words), "{name}: {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
