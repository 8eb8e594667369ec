//! `kind = "http"`: a service that answers with JSON.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use url::Url;

use super::Means;
use super::source::{LookUpError, Source};
use crate::authn::claims::{ClaimPath, Claims};
use crate::authn::membership::{Sets, Subject, check_names};
use crate::authn::principal::Names;
use crate::client::outgoing::{FetchError, Fetched, Outgoing};
use crate::client::token::{Attached, Credentials, For};
use crate::clock::Clock;
use crate::config::HttpMemberships;
use crate::gate::Boxed;

/// Most bytes of an answer.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// A service, and what it is asked with.
#[derive(Debug)]
pub(super) struct Http {
    definition: HttpMemberships,
    outgoing: Outgoing,
    credentials: Arc<Credentials>,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Nobody is asked yet.
    pub(super) fn new(definition: &HttpMemberships, means: &Means<'_>) -> Self {
        Self {
            definition: definition.clone(),
            outgoing: means.outgoing.clone(),
            credentials: Arc::clone(means.credentials),
            clock: Arc::clone(means.clock),
        }
    }

    async fn ask(&self, subject: Subject<'_>) -> Result<Sets, LookUpError> {
        let Some(url) = self.definition.url.fill(&subject) else {
            // it has no place there, and that is not to be in nothing
            return Ok(UNKNOWN);
        };
        let none = HeaderMap::new();
        let call = For {
            headers: &none,
            user: None,
            guarded: true,
        };
        let names: Vec<Arc<str>> = self.definition.credential.iter().cloned().collect();
        let mut attached = None;
        if !names.is_empty() {
            let found = self.credentials.attach(&names, &call).await;
            attached = Some(found.map_err(|_refusal| LookUpError::everyones("no credential"))?);
        }
        let mut answer = self.send(&url, attached.as_ref()).await?;
        if answer.status == StatusCode::UNAUTHORIZED
            && let Some(refused) = &attached
            && let Some(other) = self.credentials.replace(refused, &call).await
        {
            answer = self.send(&url, Some(&other)).await?;
        }
        self.read(&answer)
    }

    async fn send(&self, url: &Url, attached: Option<&Attached>) -> Result<Fetched, LookUpError> {
        let uri = Uri::try_from(url.as_str()).map_err(|_invalid| LookUpError::of_one("no URI"))?;
        let (mut head, body) = Request::new(Bytes::new()).into_parts();
        head.method = Method::GET;
        head.uri = uri;
        let json = HeaderValue::from_static("application/json");
        head.headers.insert(header::ACCEPT, json);
        if let Some(attached) = attached {
            let now = self.clock.now();
            let usable = attached.check(now).is_ok() && attached.apply(&mut head, None).is_ok();
            if !usable {
                return Err(LookUpError::everyones("no credential"));
            }
        }
        let request = Request::from_parts(head, body);
        let deadline = self.definition.look_ups.timeout;
        let sent = self.outgoing.send(request, deadline, LARGEST_ANSWER);
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

    fn read(&self, answer: &Fetched) -> Result<Sets, LookUpError> {
        let status = answer.status;
        let failed = || format!("status {}", status.as_u16());
        if status == StatusCode::NOT_FOUND {
            return Ok(Sets::NONE);
        }
        if status != StatusCode::OK {
            let error = match status {
                StatusCode::TOO_MANY_REQUESTS => LookUpError::everyones(failed()),
                // it may be our credential, or what it may see of this one
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LookUpError::unclear(failed()),
                _ if status.is_client_error() => LookUpError::of_one(failed()),
                _other => LookUpError::unclear(failed()),
            };
            return Err(error.after(answer.retry_after));
        }
        let json = Claims::parse(&answer.body)
            .map_err(|_syntax| LookUpError::of_one("the answer is not one JSON object"))?;
        let HttpMemberships {
            groups,
            roles,
            permissions,
            ..
        } = &self.definition;
        let set = |what, path: &Option<ClaimPath>| match path {
            None => Ok(Names::Unresolved),
            Some(path) => names(&json, path)
                .map_err(|wrong| LookUpError::of_one(format!("{what} in the answer: {wrong}"))),
        };
        Ok(Sets {
            groups: set("groups", groups)?,
            roles: set("roles", roles)?,
            permissions: set("permissions", permissions)?,
        })
    }
}

/// Nothing is known of it.
const UNKNOWN: Sets = Sets {
    groups: Names::Unresolved,
    roles: Names::Unresolved,
    permissions: Names::Unresolved,
};

/// The names at this place: a list of texts. `null` is an empty one; a member that is not there tells nothing.
fn names(json: &Claims, path: &ClaimPath) -> Result<Names, String> {
    use serde_json::Value;
    let items = match path.find(json) {
        None => return Ok(Names::Unresolved),
        Some(Value::Null) => &[][..],
        Some(Value::Array(items)) => items,
        Some(_) => return Err("not a list".to_owned()),
    };
    let names: Option<Vec<String>> = items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect();
    let names = names.ok_or("not a list of texts")?;
    check_names(&names).map_err(|error| error.to_string())?;
    Ok(Names::Known(names))
}

impl Source for Http {
    type Answer = Sets;
    type With = ();

    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        _with: &'l (),
    ) -> Boxed<'l, Result<Sets, LookUpError>> {
        Box::pin(self.ask(subject))
    }
}
