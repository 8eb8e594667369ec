//! The container-credentials format: how ECS and EKS hand keys to SDKs. We read it from the platform,
//! and write it for the app's own SDK (`/.gatepost/aws/<credential>`).

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::aws::api::{self, AwsError, Service};
use crate::client::aws::{AwsKeys, Issued, instant};
use crate::client::token::Endpoint;
use crate::clock::UnixTime;
use crate::config::ContainerEndpoint;
use crate::secret::Secret;

const SERVICE: Service = Service("the container's credentials endpoint");

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
    role_arn: Option<String>,
}

/// Asks the platform for the task's keys. `authorization` is its `Authorization`, whole.
pub(super) async fn fetch(
    endpoint: &ContainerEndpoint,
    authorization: Option<&Secret>,
    through: &dyn Endpoint,
) -> Result<Issued, AwsError> {
    let mut request = Request::get(endpoint.url.as_str()).header(ACCEPT, "application/json");
    if let Some(secret) = authorization {
        let mut value = HeaderValue::from_str(secret.expose().trim())
            .map_err(|_control| SERVICE.unusable("its Authorization is no header value"))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    let request = request
        .body(Bytes::new())
        .map_err(|_odd| SERVICE.unusable("its address cannot be asked"))?;
    let fetched = through.send(request).await;
    read(&api::read(SERVICE, fetched)?)
}

fn read(body: &[u8]) -> Result<Issued, AwsError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_content| {
        SERVICE.unusable("it is not JSON of the container-credentials format")
    })?;
    let until = match answer.expiration {
        Some(text) => Some(
            instant(&text)
                .ok_or_else(|| SERVICE.unusable("Expiration is not a moment of RFC 3339"))?,
        ),
        None => None,
    };
    let keys = AwsKeys::new(
        answer.access_key_id,
        Secret::new(answer.secret_access_key),
        answer.token.map(Secret::new),
        answer.role_arn,
    );
    Ok(Issued {
        keys: keys.ok_or_else(|| SERVICE.unusable("its keys cannot stand in a request"))?,
        until,
    })
}

/// The body of a container-credentials endpoint, with which an AWS SDK asks again before `until`.
#[must_use]
pub fn body(keys: &AwsKeys, until: UnixTime) -> Value {
    let mut body = json!({
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key.expose(),
        // SDKs want one; keys that are not temporary have none
        "Token": keys.session_token.as_ref().map_or("", Secret::expose),
        "Expiration": until.to_string(),
    });
    if let (Some(arn), Some(body)) = (&keys.role_arn, body.as_object_mut()) {
        body.insert("RoleArn".to_owned(), arn.as_str().into());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_what_is_read() {
        let served = r#"{"RoleArn":"arn:aws:iam::1:role/r","AccessKeyId":"ASIAEXAMPLE",
            "SecretAccessKey":"s3cret","Token":"t0ken","Expiration":"2026-11-22T13:00:00Z"}"#;
        let issued = read(served.as_bytes()).unwrap();
        let until = issued.until.unwrap();
        let again = body(&issued.keys, until);
        assert_eq!(again, serde_json::from_str::<Value>(served).unwrap());
        assert_eq!(read(again.to_string().as_bytes()).unwrap(), issued);
    }

    #[test]
    fn keys_without_token_or_end_are_keys_and_others_are_not() {
        let read = |more: &str| {
            read(format!(r#"{{"AccessKeyId":"AKIA1","SecretAccessKey":"s"{more}}}"#).as_bytes())
        };
        assert_eq!(read("").unwrap().until, None);
        for more in [
            r#","Expiration":"tomorrow""#,
            r#","Expiration":17"#,
            r#","Token":"a\r\nb""#,
            r#","AccessKeyId":"AKIA2""#,
            "}",
        ] {
            let error = read(more).unwrap_err().to_string();
            assert!(error.contains(SERVICE.0), "{error}");
        }
    }
}
