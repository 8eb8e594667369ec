//! Calling one of AWS's own APIs: one POST, signed or not, and its refusals by their code.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::client::aws::AwsKeys;
use crate::client::aws::sigv4::{self, Payload, Scope};
use crate::client::outgoing::{self, Fetched};
use crate::client::token::Endpoint;
use crate::clock::UnixTime;
use crate::secret::SecretError;

/// Whom we ask, as errors call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service(pub &'static str);

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Service {
    /// Its answer, or what it is to be asked, cannot be used.
    pub(super) fn unusable(self, why: &'static str) -> AwsError {
        AwsError::Unusable { service: self, why }
    }
}

/// Why AWS gave us nothing. Its text holds no secret and nothing the service chose freely.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// No answer within the deadline; what failed.
    #[error("no answer from {service}: {cause}")]
    NoAnswer {
        /// Whom we asked.
        service: Service,
        /// What failed.
        cause: outgoing::FetchError,
    },
    /// It said no.
    #[error("{service} answered {status}{}", said(code.as_deref()))]
    Refused {
        /// Whom we asked.
        service: Service,
        /// The status.
        status: StatusCode,
        /// The error's code, if the body holds one.
        code: Option<String>,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 200, but not what was asked for.
    #[error("the answer of {service} is not usable: {why}")]
    Unusable {
        /// Whom we asked.
        service: Service,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What we ask with cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The token shows who may call an API, not who somebody is.
    #[error("an identity pool wants the user's ID token, and this is an access token")]
    AccessToken,
    /// The token names no issuer.
    #[error("the user's token is not one that an identity pool takes")]
    NoIdToken,
    /// The environment names none.
    #[error("this process has no AWS keys")]
    NoKeys,
    /// Keys or a token came, of yesterday: a clock is wrong, or the platform does not renew them.
    #[error("what AWS gave has expired already")]
    Expired,
    /// What is kept fresh for calls of our own is not there: why it could not be fetched last. Until it
    /// is fetched again nobody is asked.
    #[error("{0}")]
    NotHeld(String),
}

fn said(code: Option<&str>) -> String {
    code.map(|code| format!(" {code}")).unwrap_or_default()
}

impl AwsError {
    /// What the app is told if it was the user's token that was refused, and not AWS that failed:
    /// nothing that asking again would change.
    #[must_use]
    pub fn refuses_user(&self) -> Option<&'static str> {
        match self {
            Self::AccessToken => Some(
                "An identity pool wants the user's ID token, and the request brought an access token.",
            ),
            Self::NoIdToken => Some("The user's token is not one that an identity pool takes."),
            Self::Refused {
                code: Some(code), ..
            } if code == "NotAuthorizedException" => {
                Some("The identity pool does not take this user's token.")
            }
            Self::Refused { .. }
            | Self::NoAnswer { .. }
            | Self::Unusable { .. }
            | Self::Secret(_)
            | Self::NoKeys
            | Self::Expired
            | Self::NotHeld(_) => None,
        }
    }

    /// Whether the service does not take the keys that signed: there may be others by now.
    #[must_use]
    pub fn refuses_keys(&self) -> bool {
        match self {
            Self::Refused {
                code: Some(code), ..
            } => matches!(
                code.as_str(),
                "ExpiredToken"
                    | "ExpiredTokenException"
                    | "InvalidClientTokenId"
                    | "InvalidSignatureException"
                    | "SignatureDoesNotMatch"
                    | "UnrecognizedClientException"
            ),
            Self::Refused { .. }
            | Self::NoAnswer { .. }
            | Self::Unusable { .. }
            | Self::Secret(_)
            | Self::AccessToken
            | Self::NoIdToken
            | Self::NoKeys
            | Self::Expired
            | Self::NotHeld(_) => false,
        }
    }

    /// Whether the service is away and names no time: it may be back at any moment.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            // whoever holds it for us sees to it that AWS is not asked too often
            Self::NoAnswer { .. } | Self::NotHeld(_) => true,
            Self::Refused {
                status,
                retry_after,
                ..
            } => status.is_server_error() && retry_after.is_none(),
            Self::Secret(error) => error.is_outage(),
            Self::Unusable { .. }
            | Self::AccessToken
            | Self::NoIdToken
            | Self::NoKeys
            | Self::Expired => false,
        }
    }

    /// Whether it would meet every other user too: AWS is away, wants to be left alone, or we are not
    /// able to ask. A single refusal, or a single odd answer, is one user's.
    #[must_use]
    pub fn concerns_everyone(&self) -> bool {
        match self {
            Self::Refused {
                status,
                code,
                retry_after,
                ..
            } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || retry_after.is_some()
                    || code.as_deref().is_some_and(is_throttling)
            }
            Self::NoAnswer { .. } | Self::Secret(_) | Self::NoKeys | Self::NotHeld(_) => true,
            Self::Unusable { .. } | Self::AccessToken | Self::NoIdToken | Self::Expired => false,
        }
    }

    /// When the service wants to be asked again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::NoAnswer { .. }
            | Self::Unusable { .. }
            | Self::Secret(_)
            | Self::AccessToken
            | Self::NoIdToken
            | Self::NoKeys
            | Self::Expired
            | Self::NotHeld(_) => None,
        }
    }
}

/// Too many requests: AWS mostly says so with 400 and one of these.
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "LimitExceededException"
            | "RequestLimitExceeded"
    )
}

/// A call, but for who signs it.
#[derive(Debug)]
pub(super) struct Call<'c> {
    pub(super) service: Service,
    pub(super) endpoint: &'c Url,
    pub(super) content_type: &'static str,
    /// `X-Amz-Target` of the JSON protocol.
    pub(super) target: Option<&'static str>,
    pub(super) body: Bytes,
}

/// Who signs, and where it counts.
pub(super) type Signer<'s> = (&'s AwsKeys, Scope<'s>, UnixTime);

impl Call<'_> {
    /// Sends it and returns the body of a 200.
    pub(super) async fn send(
        self,
        through: &dyn Endpoint,
        signer: Option<Signer<'_>>,
    ) -> Result<Bytes, AwsError> {
        let service = self.service;
        let request = self.request(signer)?;
        let fetched = through.send(request).await;
        read(service, fetched)
    }

    fn request(self, signer: Option<Signer<'_>>) -> Result<Request<Bytes>, AwsError> {
        let unwritable = || self.service.unusable("its endpoint cannot be asked");
        let mut request = Request::post(self.endpoint.as_str())
            .header(CONTENT_TYPE, self.content_type)
            .body(self.body);
        if let (Ok(request), Some(target)) = (&mut request, self.target) {
            let target = HeaderValue::from_static(target);
            request.headers_mut().insert("x-amz-target", target);
        }
        let (Ok(request), Some(host)) = (request, host(self.endpoint)) else {
            return Err(unwritable());
        };
        let Some((keys, scope, now)) = signer else {
            return Ok(request);
        };
        let (mut head, body) = request.into_parts();
        head.headers.insert(HOST, host);
        if sigv4::sign(&mut head, Payload::Whole(&body), keys, scope, now).is_err() {
            return Err(unwritable());
        }
        // written by the client, the same; HTTP/2 wants none beside its `:authority`
        head.headers.remove(HOST);
        Ok(Request::from_parts(head, body))
    }
}

/// `Host` as HTTP clients write it: without the scheme's own port.
fn host(endpoint: &Url) -> Option<HeaderValue> {
    let host = endpoint.host_str()?;
    let text = match endpoint.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&text).ok()
}

/// The body of a 200, or why there is none.
pub(super) fn read(
    service: Service,
    fetched: Result<Fetched, outgoing::FetchError>,
) -> Result<Bytes, AwsError> {
    let fetched = fetched.map_err(|cause| AwsError::NoAnswer { service, cause })?;
    if fetched.status == StatusCode::OK {
        return Ok(fetched.body);
    }
    Err(AwsError::Refused {
        service,
        status: fetched.status,
        code: json_code(&fetched.body)
            .or_else(|| xml_text(&fetched.body, "Code").filter(|code| is_code(code))),
        retry_after: fetched.retry_after,
    })
}

/// `com.amazonaws.x#NotAuthorizedException:http://…` → `NotAuthorizedException`
fn json_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(alias = "__type", alias = "Code")]
        code: String,
    }
    let text = serde_json::from_slice::<Refusal>(body).ok()?.code;
    let code = text.rsplit('#').next()?.split(':').next()?;
    is_code(code).then(|| code.to_owned())
}

/// It goes to the log: only what looks like a code.
fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The text of the one element of this name.
pub(super) fn xml_text(body: &[u8], name: &str) -> Option<String> {
    let document = roxmltree::Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let mut found = document
        .descendants()
        .filter(|node| node.tag_name().name() == name);
    let (element, None) = (found.next()?, found.next()) else {
        return None;
    };
    element.text().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        let fetched = Fetched {
            status: StatusCode::BAD_REQUEST,
            body: Bytes::copy_from_slice(body.as_bytes()),
            max_age: None,
            retry_after: None,
        };
        read(Service("STS"), Ok(fetched)).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_is_told_by_its_code_only() {
        let coded = "STS answered 400 Bad Request ExpiredToken";
        for body in [
            r#"{"__type":"ExpiredToken","message":"s3cret"}"#,
            r#"{"__type":"com.amazonaws.sts#ExpiredToken"}"#,
            r#"{"__type":"ExpiredToken:http://internal/"}"#,
            r#"{"code":"ExpiredToken","message":"s3cret"}"#,
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Code>ExpiredToken</Code><Message>s3cret</Message></Error></ErrorResponse>",
        ] {
            assert_eq!(refused(body), coded, "{body}");
        }
        for body in [
            "",
            "s3cret",
            r#"{"__type":"your s3cret"}"#,
            r#"{"code":{"s3cret":1}}"#,
            "<a><Code>s3 cret</Code></a>",
            "<a><Code>s3cret</Code><Code>s3cret</Code></a>",
        ] {
            assert_eq!(refused(body), "STS answered 400 Bad Request", "{body}");
        }
    }

    #[test]
    fn what_aws_says_to_one_user_is_nobody_elses() {
        let service = Service("the Cognito identity pool");
        let refused = |status, code: &str, retry_after| AwsError::Refused {
            service,
            status: StatusCode::from_u16(status).unwrap(),
            code: (!code.is_empty()).then(|| code.to_owned()),
            retry_after,
        };
        let away = AwsError::NoAnswer {
            service,
            cause: outgoing::FetchError::Timeout,
        };
        let odd = service.unusable("");
        for (error, everyone) in [
            (refused(500, "InternalErrorException", None), true),
            (refused(400, "TooManyRequestsException", None), true),
            (refused(400, "ThrottlingException", None), true),
            (refused(429, "", None), true),
            (refused(400, "", Some(Duration::ZERO)), true),
            (away, true),
            (refused(400, "NotAuthorizedException", None), false),
            (refused(400, "InvalidParameterException", None), false),
            (refused(403, "", None), false),
            (odd, false),
            (AwsError::Expired, false),
            (AwsError::AccessToken, false),
        ] {
            assert_eq!(error.concerns_everyone(), everyone, "{error}");
        }
    }

    #[test]
    fn a_host_is_signed_as_clients_write_it() {
        for (endpoint, expected) in [
            (
                "https://sts.eu-west-1.amazonaws.com",
                "sts.eu-west-1.amazonaws.com",
            ),
            ("https://sts.test:443/", "sts.test"),
            ("http://127.0.0.1:5000/", "127.0.0.1:5000"),
            ("http://[::1]:80/", "[::1]"),
        ] {
            let host = host(&Url::parse(endpoint).unwrap()).unwrap();
            assert_eq!(host, expected);
        }
    }
}
