//! Amazon Cognito: `InitiateAuth` with `USER_PASSWORD_AUTH`, which is public: the password is the proof,
//! nothing is signed.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{Asks, Tokens, Without, no_answer, token};
use crate::authn::password::UserPassword;
use crate::client::outgoing::Fetched;
use crate::client::token::Endpoint;
use crate::gate::Boxed;
use crate::secret::{Secret, SecretSource};

#[derive(Debug)]
pub(super) struct Cognito {
    pub(super) url: Url,
    pub(super) client_id: String,
    pub(super) client_secret: Option<SecretSource>,
    pub(super) endpoint: Arc<dyn Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    authentication_result: Option<Authenticated>,
    challenge_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Authenticated {
    access_token: Option<String>,
    id_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Fault {
    #[serde(default, rename = "__type")]
    code: String,
    #[serde(default, alias = "Message")]
    message: String,
}

impl Asks for Cognito {
    fn ask<'a>(&'a self, presented: &'a UserPassword) -> Boxed<'a, Result<Tokens, Without>> {
        Box::pin(async move {
            let secret = match &self.client_secret {
                Some(source) => Some(self.secret(source).await?),
                None => None,
            };
            let request = self.request(presented, secret.as_ref())?;
            match self.endpoint.send(request).await {
                Ok(fetched) => read(&fetched),
                Err(error) => Err(no_answer("Cognito", &error)),
            }
        })
    }
}

impl Cognito {
    async fn secret(&self, source: &SecretSource) -> Result<Secret, Without> {
        self.endpoint.load(source, None).await.map_err(|error| {
            let why = error.to_string();
            let retry_after = None;
            Without::Away { retry_after, why }
        })
    }

    fn request(
        &self,
        presented: &UserPassword,
        secret: Option<&Secret>,
    ) -> Result<Request<bytes::Bytes>, Without> {
        let UserPassword { user, password } = presented;
        let mut parameters = json!({ "USERNAME": user, "PASSWORD": password.expose() });
        if let (Some(secret), Some(parameters)) = (secret, parameters.as_object_mut()) {
            let hash = secret_hash(user, &self.client_id, secret);
            parameters.insert("SECRET_HASH".to_owned(), hash.into());
        }
        let body = json!({
            "AuthFlow": "USER_PASSWORD_AUTH",
            "ClientId": self.client_id,
            "AuthParameters": parameters,
        });
        Request::post(self.url.as_str())
            .header(CONTENT_TYPE, "application/x-amz-json-1.1")
            .header(
                "x-amz-target",
                "AWSCognitoIdentityProviderService.InitiateAuth",
            )
            .body(body.to_string().into())
            .map_err(|_unwritable| {
                Without::Unusable("Cognito's endpoint cannot be asked".to_owned())
            })
    }
}

/// Base64 of HMAC-SHA-256 by the client's secret over user name and client id.
fn secret_hash(user: &str, client_id: &str, secret: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(user.as_bytes());
    context.update(client_id.as_bytes());
    STANDARD.encode(context.sign())
}

fn read(fetched: &Fetched) -> Result<Tokens, Without> {
    if fetched.status != StatusCode::OK {
        return Err(refused(fetched));
    }
    let unusable = |why: &str| Without::Unusable(format!("Cognito: {why}"));
    let answer: Answer = serde_json::from_slice(&fetched.body)
        .map_err(|_content| unusable("the answer is not InitiateAuth's"))?;
    if answer.challenge_name.is_some() {
        return Err(Without::Challenged);
    }
    let result = answer.authentication_result;
    let result = result.ok_or_else(|| unusable("neither tokens nor a challenge"))?;
    Ok(Tokens {
        access_token: token(result.access_token).ok_or_else(|| unusable("no access token"))?,
        id_token: token(result.id_token),
        refresh_token: token(result.refresh_token),
        token_type: "Bearer".to_owned(),
        expires_in: result.expires_in,
    })
}

/// An unknown user, a wrong password and an account that cannot be used are one answer: nobody is told
/// which names there are.
fn refused(fetched: &Fetched) -> Without {
    let fault: Fault = serde_json::from_slice(&fetched.body).unwrap_or_default();
    let code = fault.code.rsplit('#').next().unwrap_or_default();
    // the one thing that its code does not tell: that we do not have the client's secret
    let is_ours = fault
        .message
        .to_ascii_lowercase()
        .replace('_', " ")
        .contains("secret hash");
    let status = fetched.status;
    match code {
        "NotAuthorizedException" if !is_ours => Without::Refused,
        "UserNotFoundException"
        | "UserNotConfirmedException"
        | "PasswordResetRequiredException"
        // a trigger of the pool, before authentication, says no
        | "UserLambdaValidationException" => Without::Refused,
        "TooManyRequestsException"
        | "LimitExceededException"
        | "ThrottlingException"
        | "InternalErrorException" => Without::Away {
            retry_after: fetched.retry_after,
            why: format!("Cognito answered {status} {code}"),
        },
        _other if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Without::Away {
                retry_after: fetched.retry_after,
                why: format!("Cognito answered {status}"),
            }
        }
        // codes are words; anything else is not repeated
        code if !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let why = if is_ours {
                ": the client's secret is not the one configured"
            } else {
                ""
            };
            Without::Unusable(format!("Cognito answered {status} {code}{why}"))
        }
        _unclear => Without::Unusable(format!("Cognito answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(status: u16, body: &str) -> Fetched {
        Fetched {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.to_owned().into(),
            max_age: None,
            retry_after: None,
        }
    }

    #[test]
    fn the_secret_hash_is_what_awss_documentation_computes() {
        // python: base64(hmac.new(b"secret", b"ada" + b"client", sha256))
        let hash = secret_hash("ada", "client", &Secret::new("secret".to_owned()));
        assert_eq!(hash, "FEW6rzXVdy2RLJp0KqkU9A6/pxQBq5FgsxTWe/Ot+CI=");
    }

    #[test]
    fn whatever_is_wrong_with_an_account_is_one_answer_and_what_is_wrong_with_us_another() {
        let told = |status, body: &str| match read(&fetched(status, body)) {
            Ok(_) => "tokens",
            Err(Without::Refused) => "refused",
            Err(Without::Challenged) => "challenged",
            Err(Without::Away { .. }) => "away",
            Err(Without::Unusable(_)) => "unusable",
        };
        let fault =
            |code: &str, message: &str| json!({ "__type": code, "message": message }).to_string();
        for (status, body, expected) in [
            (400, fault("NotAuthorizedException", "Incorrect username or password."), "refused"),
            (400, fault("com.amazonaws.cognito#NotAuthorizedException", ""), "refused"),
            (400, fault("UserNotFoundException", "User does not exist."), "refused"),
            (400, fault("UserNotConfirmedException", ""), "refused"),
            (400, fault("PasswordResetRequiredException", ""), "refused"),
            (400, fault("UserLambdaValidationException", "PreAuthentication failed with error not today."), "refused"),
            (400, fault("UnexpectedLambdaException", "PreAuthentication invocation failed"), "unusable"),
            (400, fault("NotAuthorizedException", "Unable to verify secret hash for client x"), "unusable"),
            (400, fault("NotAuthorizedException", "Client x is configured with secret but SECRET_HASH was not received"), "unusable"),
            (400, fault("InvalidParameterException", "USER_PASSWORD_AUTH flow not enabled"), "unusable"),
            (400, fault("ResourceNotFoundException", ""), "unusable"),
            (400, fault("TooManyRequestsException", ""), "away"),
            (500, fault("InternalErrorException", ""), "away"),
            (503, "<html>".to_owned(), "away"),
            (400, "<html>".to_owned(), "unusable"),
            (200, "<html>".to_owned(), "unusable"),
            (200, "{}".to_owned(), "unusable"),
            (200, json!({ "AuthenticationResult": {} }).to_string(), "unusable"),
            (200, json!({ "AuthenticationResult": { "AccessToken": "a\nb" } }).to_string(), "unusable"),
            (200, json!({ "AuthenticationResult": { "AccessToken": "a" } }).to_string(), "tokens"),
            (200, json!({ "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": "s" }).to_string(), "challenged"),
            (200, json!({ "ChallengeName": "SMS_MFA", "AuthenticationResult": { "AccessToken": "a" } }).to_string(), "challenged"),
        ] {
            assert_eq!(told(status, &body), expected, "{status} {body}");
        }
    }
}
