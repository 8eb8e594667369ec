//! A service that is asked over HTTP, with a credential of ours.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use url::Url;

use super::Means;
use super::source::LookUpError;
use crate::client::outgoing::{FetchError, Fetched, Outgoing};
use crate::client::token::{Attached, Credentials, For};
use crate::clock::Clock;

/// Most bytes of an answer.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// What it is asked with.
#[derive(Debug)]
pub(super) struct Service {
    outgoing: Outgoing,
    credentials: Arc<Credentials>,
    /// Names of the credential sources: one or none.
    names: Vec<Arc<str>>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

impl Service {
    /// Nobody is asked yet. Each question is given up after `timeout`.
    pub(super) fn new(credential: Option<&Arc<str>>, timeout: Duration, means: &Means<'_>) -> Self {
        Self {
            outgoing: means.outgoing.clone(),
            credentials: Arc::clone(means.credentials),
            names: credential.into_iter().cloned().collect(),
            clock: Arc::clone(means.clock),
            timeout,
        }
    }

    /// Asks for JSON, with JSON if there is some; once more with another credential after a 401, if there is
    /// one. An answer of any status but a redirect.
    pub(super) async fn ask(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&'static str>,
    ) -> Result<Fetched, LookUpError> {
        let none = HeaderMap::new();
        let call = For {
            headers: &none,
            user: None,
            guarded: true,
        };
        let mut attached = None;
        if !self.names.is_empty() {
            let found = self.credentials.attach(&self.names, &call).await;
            attached = Some(found.map_err(|_refusal| LookUpError::everyones("no credential"))?);
        }
        let answer = self.send(method, url, body, attached.as_ref()).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(refused) = &attached
            && let Some(other) = self.credentials.replace(refused, &call).await
        {
            return self.send(method, url, body, Some(&other)).await;
        }
        Ok(answer)
    }

    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&'static str>,
        attached: Option<&Attached>,
    ) -> Result<Fetched, LookUpError> {
        let uri = Uri::try_from(url.as_str()).map_err(|_invalid| LookUpError::of_one("no URI"))?;
        let content = Bytes::from_static(body.unwrap_or_default().as_bytes());
        let (mut head, content) = Request::new(content).into_parts();
        head.method = method.clone();
        head.uri = uri;
        let json = HeaderValue::from_static("application/json");
        if body.is_some() {
            head.headers.insert(header::CONTENT_TYPE, json.clone());
        }
        head.headers.insert(header::ACCEPT, json);
        if let Some(attached) = attached {
            let now = self.clock.now();
            let usable = attached.check(now).is_ok() && attached.apply(&mut head, None).is_ok();
            if !usable {
                return Err(LookUpError::everyones("no credential"));
            }
        }
        let request = Request::from_parts(head, content);
        let sent = self.outgoing.send(request, self.timeout, LARGEST_ANSWER);
        sent.await.map_err(|error| {
            let concerns = match &error {
                FetchError::Connect(_) | FetchError::Tls(_) => LookUpError::everyones,
                FetchError::TooLarge(_) => LookUpError::of_one,
                FetchError::Timeout
                | FetchError::Protocol(_)
                | FetchError::Redirect(_)
                | FetchError::Status { .. } => LookUpError::unclear,
            };
            concerns(error)
        })
    }
}

/// That this answer is one.
pub(super) fn ok(answer: &Fetched) -> Result<(), LookUpError> {
    let status = answer.status;
    if status == StatusCode::OK {
        return Ok(());
    }
    let failed = format!("status {}", status.as_u16());
    let error = match status {
        StatusCode::TOO_MANY_REQUESTS => LookUpError::everyones(failed),
        // it may be our credential, or what it may see of this one
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LookUpError::unclear(failed),
        _ if status.is_client_error() => LookUpError::of_one(failed),
        _other => LookUpError::unclear(failed),
    };
    Err(error.after(answer.retry_after))
}
