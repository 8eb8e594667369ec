//! Cognito identity pools, the enhanced flow: a user's ID token → that user's AWS keys. Both calls are
//! public: the token is the proof, nothing is signed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::aws::api::{AwsError, Call, Service};
use crate::client::aws::{AwsKeys, Issued};
use crate::client::token::{Endpoint, FetchError, FetchFor, Granted, SubjectToken, peek};
use crate::clock::UnixTime;
use crate::config::IdentityPool;
use crate::gate::Boxed;
use crate::secret::Secret;

const SERVICE: Service = Service("the Cognito identity pool");

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    identity_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_key: String,
    session_token: String,
    /// Seconds since the epoch, with a fraction.
    expiration: f64,
}

/// An identity pool, and through what it is asked.
#[derive(Debug)]
pub(in crate::client) struct AskingPool {
    pool: IdentityPool,
    endpoint: Arc<dyn Endpoint>,
}

impl AskingPool {
    pub(in crate::client) fn new(pool: IdentityPool, endpoint: Arc<dyn Endpoint>) -> Self {
        Self { pool, endpoint }
    }
}

impl FetchFor<AwsKeys> for AskingPool {
    fn fetch_for<'f>(
        &'f self,
        subject: &'f SubjectToken,
        now: UnixTime,
    ) -> Boxed<'f, Result<Granted<AwsKeys>, FetchError>> {
        Box::pin(async move {
            let issued = keys_for(&self.pool, subject.expose(), &*self.endpoint).await?;
            Ok(issued.granted(now)?)
        })
    }
}

/// The keys of the user whose ID token this is (`GetId`, then `GetCredentialsForIdentity`).
async fn keys_for(
    pool: &IdentityPool,
    id_token: &str,
    through: &dyn Endpoint,
) -> Result<Issued, AwsError> {
    let logins = json!({ provider(id_token)?: id_token });
    let body = json!({ "IdentityPoolId": pool.id, "Logins": logins });
    let found = ask(pool, through, "AWSCognitoIdentityService.GetId", &body).await?;
    let found: Identity = serde_json::from_slice(&found)
        .map_err(|_content| SERVICE.unusable("it holds no identity"))?;
    let body = json!({ "IdentityId": found.identity_id, "Logins": logins });
    let target = "AWSCognitoIdentityService.GetCredentialsForIdentity";
    read(&ask(pool, through, target, &body).await?)
}

async fn ask(
    pool: &IdentityPool,
    through: &dyn Endpoint,
    target: &'static str,
    body: &Value,
) -> Result<Bytes, AwsError> {
    let call = Call {
        service: SERVICE,
        endpoint: &pool.endpoint,
        content_type: "application/x-amz-json-1.1",
        target: Some(target),
        body: body.to_string().into(),
    };
    call.send(through, None).await
}

/// Under which name the pool knows the token's issuer: its URL without the scheme, of Cognito's two
/// forms the original one. Nothing is verified here: ingress has, and the pool will.
fn provider(id_token: &str) -> Result<String, AwsError> {
    let token = peek(id_token).ok_or(AwsError::NoIdToken)?;
    let claim = |name: &str| token.claims.get(name).and_then(Value::as_str);
    let kind = token.header.get("typ").and_then(Value::as_str);
    // as Cognito says it, RFC 9068, and Entra
    if claim("token_use") == Some("access")
        || kind.is_some_and(|kind| kind.to_ascii_lowercase().ends_with("at+jwt"))
        || token.claims.contains_key("scp")
    {
        return Err(AwsError::AccessToken);
    }
    let issuer = claim("iss").and_then(|issuer| issuer.strip_prefix("https://"));
    let issuer = issuer.ok_or(AwsError::NoIdToken)?;
    Ok(match issuer.strip_prefix("issuer-cognito-idp.") {
        Some(rest) => format!("cognito-idp.{rest}"),
        None => issuer.to_owned(),
    })
}

fn read(answer: &[u8]) -> Result<Issued, AwsError> {
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|_content| SERVICE.unusable("it holds no keys"))?;
    let Credentials {
        access_key_id,
        secret_key,
        session_token,
        expiration,
    } = answer.credentials;
    let until = Duration::try_from_secs_f64(expiration)
        .map_err(|_odd| SERVICE.unusable("it does not say when the keys expire"))?;
    let token = Some(Secret::new(session_token));
    let keys = AwsKeys::new(access_key_id, Secret::new(secret_key), token, None);
    Ok(Issued {
        keys: keys.ok_or_else(|| SERVICE.unusable("its keys cannot stand in a request"))?,
        until: Some(UnixTime(until.as_secs())),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("e30.{part}.c2ln")
    }

    #[test]
    fn an_issuer_is_named_as_the_pool_knows_it() {
        let pool = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc";
        for (issuer, expected) in [
            (format!("https://{pool}"), pool),
            (format!("https://issuer-{pool}"), pool),
            (
                "https://login.microsoftonline.com/t/v2.0".to_owned(),
                "login.microsoftonline.com/t/v2.0",
            ),
        ] {
            let token = token(&json!({ "iss": issuer, "token_use": "id" }));
            assert_eq!(provider(&token).unwrap(), expected);
        }
    }

    #[test]
    fn an_access_token_is_refused_by_name() {
        for claims in [
            json!({ "iss": "https://i.test", "token_use": "access" }),
            json!({ "iss": "https://i.test", "scp": "api.read" }),
        ] {
            let why = provider(&token(&claims)).unwrap_err().to_string();
            assert!(why.contains("this is an access token"), "{why}");
        }
        for claims in [json!({}), json!({ "iss": 7 }), json!({ "iss": "http://i" })] {
            assert!(matches!(
                provider(&token(&claims)),
                Err(AwsError::NoIdToken)
            ));
        }
        assert!(matches!(provider("opaque"), Err(AwsError::NoIdToken)));
    }

    #[test]
    fn keys_of_an_identity_are_read_with_their_end() {
        let answer = json!({
            "IdentityId": "eu-west-1:1",
            "Credentials": {
                "AccessKeyId": "ASIAEXAMPLE",
                "SecretKey": "s3cret",
                "SessionToken": "t0ken",
                "Expiration": 1_700_003_600.5,
            },
        });
        let issued = read(answer.to_string().as_bytes()).unwrap();
        assert_eq!(issued.until, Some(UnixTime(1_700_003_600)));
        assert_eq!(issued.keys.session_token.unwrap().expose(), "t0ken");
        for (from, to) in [
            ("SecretKey", "SecretAccessKey"),
            ("1700003600.5", "-1"),
            ("ASIAEXAMPLE", "a b"),
        ] {
            assert!(read(answer.to_string().replace(from, to).as_bytes()).is_err());
        }
    }
}
