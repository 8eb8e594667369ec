//! The app calls AWS (moto, which checks signatures) through egress, with keys from every place.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply};
use crate::support::upstream::{Upstream, json as answer_json, status};

/// Targets at this AWS, their calls signed by `credential`.
pub(super) fn config(aws: &str, credential: &str) -> String {
    let target = |service: &str| {
        format!(
            r#"
            [[egress_targets]]
            name = "{service}"
            url = "{aws}"
            credential = "{service}"

            [credentials.{service}]
            kind = "aws"
            service = "{service}"
            {credential}
            "#
        )
    };
    format!(
        "[egress]\nlisten = \"127.0.0.1:0\"\n{}{}",
        target("sts"),
        target("s3")
    )
}

fn said<'a>(aws: &'a Counterpart, key: &str) -> &'a str {
    aws.said[key].as_str().expect("said")
}

async fn egress(gatepost: &Gatepost) -> std::net::SocketAddr {
    gatepost.listener("egress").await
}

/// Who AWS takes us for.
async fn caller(gatepost: &Gatepost) -> Reply {
    Call::post(egress(gatepost).await, "/sts/")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", "Bearer of-the-app")
        .body("Action=GetCallerIdentity&Version=2011-06-15")
        .send()
        .await
}

async fn is_called(gatepost: &Gatepost, arn: &str) {
    let reply = caller(gatepost).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains(arn), "{}", reply.text());
}

pub(super) fn keys_of_user(aws: &Counterpart) -> [(&str, &str); 3] {
    [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", said(aws, "access_key_id")),
        ("AWS_SECRET_ACCESS_KEY", said(aws, "secret_access_key")),
    ]
}

#[tokio::test]
async fn aws_accepts_what_is_signed_with_keys_of_the_environment() {
    let aws = or_skip!(counterparts::aws().await);
    let config = config(&aws.url, r#"source = "environment""#);
    let gatepost = Gatepost::start_with(&config, &keys_of_user(&aws)).await;
    is_called(&gatepost, ":user/app").await;

    let at = egress(&gatepost).await;
    let object = "/s3/objects/a%20b%2Bc/(d)%C3%BC,e";
    let put = || Call::new(Method::PUT, at, object);
    let kept = put()
        .body("what is kept")
        .header("x-amz-meta-a", "  b   c ");
    let kept = kept.send().await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    let got = Call::get(at, object).send().await;
    assert_eq!(got.status, 200);
    assert_eq!(got.text(), "what is kept");
    let listed = Call::get(at, "/s3/objects?list-type=2&prefix=a+b/x");
    let listed = listed.send().await;
    assert_eq!(listed.status, 200, "{}", listed.text());

    // S3 takes a body that was too large to be kept, others do not
    let large = put().body(vec![b'x'; 70_000]).send().await;
    assert_eq!(large.status, 200, "{}", large.text());
    refused(
        Call::post(at, "/sts/").body(vec![b'x'; 70_000]),
        413,
        "body_too_large",
    )
    .await;
    let chunks = put().body("5;chunk-signature=0");
    let name = "x-amz-content-sha256";
    let chunks = chunks.header(name, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    refused(chunks, 400, "request_malformed").await;
}

async fn refused(call: Call, status: u16, reason: &str) {
    let reply = call.send().await;
    assert_eq!(reply.header("x-auth-reason"), reason);
    assert_eq!(reply.status, status);
}

#[tokio::test]
async fn aws_refuses_other_keys_and_the_app_is_told() {
    let aws = or_skip!(counterparts::aws().await);
    let config = config(&aws.url, "");
    let mut keys = keys_of_user(&aws);
    keys[2].1 = "wrong";
    let gatepost = Gatepost::start_with(&config, &keys).await;
    let reply = caller(&gatepost).await;
    assert_eq!(reply.status, 403);
    assert!(
        reply.text().contains("SignatureDoesNotMatch"),
        "{}",
        reply.text()
    );
}

/// The platform's endpoint: these keys for whoever knows the token.
pub(super) async fn platform(keys: Value) -> Upstream {
    Upstream::answering(move |request| {
        if request.header("authorization") == "of the platform" && request.uri == "/v2/creds?id=1" {
            answer_json(&keys)
        } else {
            status(StatusCode::FORBIDDEN)
        }
    })
    .await
}

fn environment<'e>(uri: &'e str, token: &'e str) -> [(&'e str, &'e str); 3] {
    [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
    ]
}

#[tokio::test]
async fn the_task_roles_keys_are_fetched_once_and_described_without_being_shown() {
    let aws = or_skip!(counterparts::aws().await);
    let platform = platform(json!({
        "RoleArn": said(&aws, "role"),
        "AccessKeyId": said(&aws, "access_key_id"),
        "SecretAccessKey": said(&aws, "secret_access_key"),
        "Expiration": "2099-01-01T00:00:00Z",
    }))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = file(&folder, "token", "of the platform\n");
    let uri = format!("{}/v2/creds?id=1", platform.url());
    let config = config(&aws.url, r#"source = "task_role""#);
    let gatepost = Gatepost::start_with(&config, &environment(&uri, &token)).await;
    for _request in 0..3 {
        is_called(&gatepost, ":user/app").await;
    }
    assert_eq!(platform.requests().len(), 1, "one fetch for three calls");

    let path = file(&folder, "gatepost.toml", &config);
    let text = tokio::task::spawn_blocking(move || {
        let environment = environment(&uri, &token);
        let output = run(&["token", "sts", "--show", "--config", &path], &environment);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    });
    let text = text.await.unwrap();
    let id = said(&aws, "access_key_id");
    let (_, last) = id.split_at(id.len() - 4);
    assert!(text.contains(&format!("access key   …{last}\n")), "{text}");
    assert!(text.contains("expires at   2099-01-01T00:00:00Z"), "{text}");
    assert!(text.contains(said(&aws, "role")), "{text}");
    assert!(!text.contains(id) && !text.contains(said(&aws, "secret_access_key")));
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_its_roles_keys() {
    let aws = or_skip!(counterparts::aws().await);
    let folder = tempfile::tempdir().unwrap();
    let token = file(&folder, "token", "e30.e30.c2ln\n");
    let environment = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL_STS", aws.url.as_str()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", said(&aws, "role")),
        ("AWS_ROLE_SESSION_NAME", "orders-1"),
    ];
    let config = config(&aws.url, r#"source = "web_identity""#);
    let gatepost = Gatepost::start_with(&config, &environment).await;
    is_called(&gatepost, ":assumed-role/task/orders-1").await;
}

#[tokio::test]
async fn keys_in_files_are_read_again_when_aws_refuses_them() {
    let aws = or_skip!(counterparts::aws().await);
    let folder = tempfile::tempdir().unwrap();
    let id = file(&folder, "id", said(&aws, "access_key_id"));
    let secret = file(&folder, "secret", "of-yesterday\n");
    let config = config(
        &aws.url,
        &format!(
            r#"access_key_id = {{ file = "{id}" }}
            secret_access_key = {{ file = "{secret}" }}"#
        ),
    );
    // the file is rewritten in the moment before it is seen to have changed
    let gatepost = Gatepost::start_with(&config, &[("AWS_REGION", "eu-west-1")]).await;
    assert_eq!(caller(&gatepost).await.status, 403);
    std::fs::write(&secret, said(&aws, "secret_access_key")).unwrap();
    crate::support::eventually("new keys", || async {
        (caller(&gatepost).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_keys_nothing_is_sent() {
    let target = Upstream::start().await;
    let platform = Upstream::answering(|_request| {
        let mut refused = answer_json(&json!({ "code": "NoTaskRole", "message": "s3cret" }));
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        refused
    })
    .await;
    let url = platform.url();
    let environment = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url),
    ];
    let config = config(&target.url(), "");
    let gatepost = Gatepost::start_with(&config, &environment).await;
    let reply = caller(&gatepost).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
    assert_eq!(target.requests().len(), 0);
    let error = crate::support::eventually("it is told why", || async {
        let events = gatepost.events("WARN");
        let mut fields = events.iter().map(|event| &event["fields"]);
        let found = fields.find(|fields| fields["message"] == "token not fetched");
        Some(found?["error"].to_string())
    })
    .await;
    assert!(
        error.contains("the container's credentials endpoint answered 503")
            && error.contains("NoTaskRole"),
        "{error}"
    );
    assert!(!error.contains("s3cret"));
}

fn file(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    plain(&path)
}

fn plain(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
