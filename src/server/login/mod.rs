//! `POST /auth/login` on ingress (`[login]`): user name and password as JSON in, tokens out.
//!
//! JSON alone: a page of another site can post a form without asking, and JSON only after a preflight,
//! which nobody here answers.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use crate::authn::password::UserPassword;
use crate::client::login::Login;
use crate::config;
use crate::reason::{Denial, Failure, Refusal};
use crate::request::headers::single;
use crate::secret::Secret;
use crate::server::account::Account;
use crate::server::body::Body;

/// Most bytes of a request: a name and a password, with every character escaped.
const MAX_BODY: usize = 8 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    username: Text,
    password: Text,
}

/// A text that is wiped when it is dropped.
struct Text(Secret);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

/// Answers one request for the path of `login`.
pub(super) async fn answer(
    login: &Login,
    listener: &config::Listener,
    head: &Parts,
    body: Incoming,
    account: &mut Account,
) -> Result<Response<Body>, Refusal> {
    if head.method != Method::POST {
        return Err(Denial::MethodNotAllowed(vec![Method::POST]).into());
    }
    is_json(&head.headers)?;
    let asked = read(body, listener).await?;
    let presented = UserPassword::new(asked.username.0.expose(), asked.password.0.expose())?;
    // nobody has none, and some take an empty one for no question
    if presented.password.expose().is_empty() {
        return Err(Denial::PasswordRefused.into());
    }
    drop(asked);
    let tokens = login.tokens(presented, account.client()).await?;
    let json = tokens.json().ok_or(Failure::InternalError)?;
    account.allowed();
    let mut response = Response::new(Body::full(json.expose().to_owned()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CONTENT_LENGTH,
        HeaderValue::from(json.expose().len()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Ok(response)
}

/// `application/json`, in UTF-8 if it says, and as it is.
fn is_json(headers: &HeaderMap) -> Result<(), Denial> {
    let text = single(headers, &header::CONTENT_TYPE)?.and_then(|value| value.to_str().ok());
    let mut parts = text.unwrap_or_default().split(';').map(str::trim);
    let named = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let plain = parts.all(|part| part.eq_ignore_ascii_case("charset=utf-8"));
    if named && plain && !headers.contains_key(header::CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(Denial::RequestMalformed)
    }
}

async fn read(body: Incoming, listener: &config::Listener) -> Result<Asked, Denial> {
    let whole = Limited::new(body, MAX_BODY).collect();
    let bytes = match tokio::time::timeout(listener.header_timeout, whole).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Denial::BodyTooLarge),
        Ok(Err(_broken_off)) => return Err(Denial::RequestMalformed),
        Err(_elapsed) => return Err(Denial::RequestTimeout),
    };
    serde_json::from_slice(&bytes).map_err(|_content| Denial::RequestMalformed)
}
