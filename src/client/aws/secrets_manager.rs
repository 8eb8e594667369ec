//! AWS Secrets Manager: `{ aws_secret = "…", json_key = "…" }`.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::aws::AwsKeys;
use crate::client::aws::api::{AwsError, Call, Service};
use crate::client::aws::sigv4::Scope;
use crate::client::token::Endpoint;
use crate::clock::UnixTime;
use crate::secret::{AwsSecret, Secret};

const SERVICE: Service = Service("AWS Secrets Manager");

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    secret_string: Option<String>,
}

/// `GetSecretValue`: the current version.
pub(super) async fn fetch(
    secret: &AwsSecret,
    keys: &AwsKeys,
    through: &dyn Endpoint,
    now: UnixTime,
) -> Result<Secret, AwsError> {
    let call = Call {
        service: SERVICE,
        endpoint: &secret.endpoint,
        content_type: "application/x-amz-json-1.1",
        target: Some("secretsmanager.GetSecretValue"),
        body: json!({ "SecretId": secret.id }).to_string().into(),
    };
    let scope = Scope {
        region: &secret.region,
        service: "secretsmanager",
    };
    let answer = call.send(through, Some((keys, scope, now))).await?;
    read(&answer, secret.json_key.as_deref())
}

fn read(answer: &[u8], json_key: Option<&str>) -> Result<Secret, AwsError> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|_content| SERVICE.unusable("it is not JSON"))?;
    let whole = answer.secret_string.map(Secret::new);
    let whole = whole.ok_or_else(|| SERVICE.unusable("the secret is binary"))?;
    let text = match json_key {
        None => whole,
        Some(key) => {
            let mut object: Value = serde_json::from_str(whole.expose()).map_err(|_content| {
                SERVICE.unusable("the secret is not JSON, and json_key is set")
            })?;
            match object.get_mut(key).map(Value::take) {
                Some(Value::String(text)) => Secret::new(text),
                Some(Value::Number(number)) => Secret::new(number.to_string()),
                Some(_) | None => {
                    return Err(SERVICE.unusable("the secret's JSON has no text under json_key"));
                }
            }
        }
    };
    if text.expose().is_empty() {
        return Err(SERVICE.unusable("the secret is empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_text_or_one_member_of_its_json() {
        let answer = |text: &str| json!({ "ARN": "a", "SecretString": text }).to_string();
        for (text, key, expected) in [
            ("s3cret\n", None, Some("s3cret\n")),
            (r#"{"a":"b"}"#, None, Some(r#"{"a":"b"}"#)),
            (r#"{"a":"b","c":"d"}"#, Some("a"), Some("b")),
            (r#"{"a":17}"#, Some("a"), Some("17")),
            (r#"{"a":{"b":"c"}}"#, Some("a"), None),
            (r#"{"a":""}"#, Some("a"), None),
            (r#"{"a":"b"}"#, Some("b"), None),
            ("s3cret", Some("a"), None),
            ("[\"s3cret\"]", Some("a"), None),
            ("", None, None),
        ] {
            let found = read(answer(text).as_bytes(), key);
            if let Err(error) = &found {
                assert!(!error.to_string().contains("s3cret"), "{error}");
            }
            assert_eq!(found.ok().as_ref().map(Secret::expose), expected, "{text}");
        }
        assert!(read(br#"{"SecretBinary":"AA=="}"#, None).is_err());
    }
}
