//! `kind = "http"`: a service that answers with JSON.

use http::{Method, StatusCode};

use super::Means;
use super::service::{self, Service};
use super::source::{LookUpError, Source};
use crate::authn::claims::{ClaimPath, Claims, Items, Json, Kind};
use crate::authn::membership::{Sets, Subject, check_names};
use crate::authn::principal::Names;
use crate::client::outgoing::Fetched;
use crate::config::HttpMemberships;
use crate::gate::Boxed;

/// A service, and what it is asked with.
#[derive(Debug)]
pub(super) struct Http {
    definition: HttpMemberships,
    service: Service,
}

impl Http {
    /// Nobody is asked yet.
    pub(super) fn new(definition: &HttpMemberships, means: &Means<'_>) -> Self {
        Self {
            definition: definition.clone(),
            service: Service::new(
                definition.credential.as_ref(),
                definition.look_ups.timeout,
                means,
            ),
        }
    }

    async fn ask(&self, subject: Subject<'_>) -> Result<Sets, LookUpError> {
        let url = self.definition.url.fill(&subject);
        let url = url.ok_or_else(|| LookUpError::of_one("no place in the URL"))?;
        let answer = self.service.ask(&Method::GET, &url, None).await?;
        self.read(&answer)
    }

    fn read(&self, answer: &Fetched) -> Result<Sets, LookUpError> {
        if answer.status == StatusCode::NOT_FOUND {
            // a gateway that has lost the service says so too, but not in JSON
            return if Claims::parse(answer.body.clone()).is_ok() {
                Ok(Sets::NONE)
            } else {
                Err(LookUpError::unclear("status 404, and no JSON object"))
            };
        }
        service::ok(answer)?;
        let json = Claims::parse(answer.body.clone())
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

/// The names at this place: a list of texts. `null` is an empty one; a member that is not there tells nothing.
fn names(json: &Claims, path: &ClaimPath) -> Result<Names, String> {
    let items = match path.find(json).map(Json::kind) {
        None => return Ok(Names::Unresolved),
        Some(Kind::Null) => Items::default(),
        Some(Kind::Array(items)) => items,
        Some(_) => return Err("not a list".to_owned()),
    };
    let names: Option<Vec<String>> = items.map(|item| item.as_str().map(str::to_owned)).collect();
    let names = names.ok_or("not a list of texts")?;
    check_names(&names).map_err(|error| error.to_string())?;
    Ok(Names::Known(names))
}

impl Source for Http {
    type Answer = Sets;
    type With = ();

    /// Who has no place in the URL is not in nothing.
    fn unasked(&self, subject: &Subject<'_>) -> Option<Sets> {
        self.definition
            .url
            .fill(subject)
            .is_none()
            .then_some(Sets::UNKNOWN)
    }

    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        _with: &'l (),
    ) -> Boxed<'l, Result<Sets, LookUpError>> {
        Box::pin(self.ask(subject))
    }
}
