//! The app's own AWS SDK, with the keys that egress serves it as a container's endpoint would.

use std::path::Path;

use serde_json::{Value, json};

use super::keys::{config, keys_of_user};
use crate::support::counterparts::{self, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;

const SAID: &str = "s3cret-of-the-app-itself";

#[tokio::test]
async fn botocore_signs_with_the_keys_of_the_endpoint_and_gets_none_without_the_files_word() {
    let aws = or_skip!(counterparts::aws().await);
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("app-token");
    std::fs::write(&file, SAID).expect("written");
    let table = format!(
        "[egress]\ntoken_endpoint = {{ authorization_file = {file:?}, credentials = [\"sts\"] }}\n"
    );
    let config = config(&aws.url, r#"source = "environment""#).replace("[egress]\n", &table);
    let gatepost = Gatepost::start_with(&config, &keys_of_user(&aws)).await;
    let at = gatepost.listener("egress").await;
    let endpoint = format!("http://{at}/.gatepost/aws/sts");
    let sdk = async |file: &Path, endpoint: &str| -> Option<Value> {
        counterparts::aws_sdk(json!({"sts": aws.url}), endpoint, file).await
    };

    let told = or_skip!(sdk(&file, &endpoint).await);
    assert_eq!(told["method"], "container-role", "{told}");
    let arn = told["arn"].as_str().expect("an ARN");
    assert!(arn.ends_with(":user/app"), "{told}");

    // another word, no such credential, a credential of another form
    let other = folder.path().join("other");
    std::fs::write(&other, "another-app-says-this").expect("written");
    for (file, endpoint) in [
        (&other, endpoint.clone()),
        (&file, endpoint.replace("/aws/sts", "/aws/s3")),
    ] {
        let told = or_skip!(sdk(file, &endpoint).await);
        assert!(told["arn"].is_null() && told["error"].is_string(), "{told}");
    }
    let as_token = Call::get(at, "/.gatepost/token/sts").header("authorization", SAID);
    let reply = as_token.send().await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.header("x-auth-reason"), "egress_target_refused");
    let output = gatepost.output();
    assert!(!output.contains(SAID) && !output.contains(&aws.said["secret_access_key"].to_string()));
}
