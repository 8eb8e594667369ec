//! Microsoft Graph: the groups that a token of Entra has no room for.

use http::Method;
use url::Url;

use super::Means;
use super::service::{self, Service};
use super::source::{LookUpError, Source};
use crate::authn::claims::{Claims, Json, Kind};
use crate::authn::entra::parse_guid;
use crate::authn::membership::{Sets, Subject, check_names};
use crate::authn::principal::Names;
use crate::client::outgoing::Fetched;
use crate::config::GraphMemberships;
use crate::gate::Boxed;

/// Most pages of one answer.
const MOST_PAGES: usize = 10;
/// Every group, whatever it is for: a rule with `none` must know them all.
const EVERY_GROUP: &str = r#"{"securityEnabledOnly":false}"#;

/// One tenant's directory.
#[derive(Debug)]
pub(super) struct Graph {
    /// Ends in `/v1.0/`.
    root: String,
    service: Service,
}

impl Graph {
    /// Nobody is asked yet.
    pub(super) fn new(definition: &GraphMemberships, means: &Means<'_>) -> Self {
        Self {
            root: format!("{}/v1.0/", definition.url.as_str().trim_end_matches('/')),
            service: Service::new(
                Some(&definition.credential),
                definition.look_ups.timeout,
                means,
            ),
        }
    }

    async fn ask(&self, subject: Subject<'_>) -> Result<Sets, LookUpError> {
        let url = question(&self.root, &subject)?;
        let mut answer = self
            .service
            .ask(&Method::POST, &url, Some(EVERY_GROUP))
            .await?;
        let mut groups = Vec::new();
        for _page in 0..MOST_PAGES {
            let next = page(&answer, &mut groups)?;
            check_names(&groups).map_err(LookUpError::of_one)?;
            let Some(next) = next else {
                return Ok(Sets {
                    groups: Names::Known(groups),
                    roles: Names::Unresolved,
                    permissions: Names::Unresolved,
                });
            };
            let next = following(&self.root, &next)?;
            answer = self.service.ask(&Method::GET, &next, None).await?;
        }
        Err(LookUpError::of_one(format!("more than {MOST_PAGES} pages")))
    }
}

/// Where this subject's groups are. A service is its own client.
fn question(root: &str, subject: &Subject<'_>) -> Result<Url, LookUpError> {
    let object = parse_guid(subject.user_id)
        .ok_or_else(|| LookUpError::of_one("an object id that is no GUID"))?;
    let kind = if subject.client_id.is_some() {
        "servicePrincipals"
    } else {
        "users"
    };
    Url::parse(&format!("{root}{kind}/{object}/getMemberObjects"))
        .map_err(|_invalid| LookUpError::of_one("no URL"))
}

/// The next page, which gets our token too: below the same root only.
fn following(root: &str, next: &str) -> Result<Url, LookUpError> {
    let elsewhere = || LookUpError::of_one("the next page is somewhere else");
    let next = Url::parse(next).map_err(|_invalid| elsewhere())?;
    // as parsed: host and dot segments are what will be asked
    if next.as_str().starts_with(root) {
        Ok(next)
    } else {
        Err(elsewhere())
    }
}

/// Adds the groups of one page, and says where the next one is.
fn page(answer: &Fetched, groups: &mut Vec<String>) -> Result<Option<String>, LookUpError> {
    service::ok(answer)?;
    let json = Claims::parse(answer.body.clone())
        .map_err(|_syntax| LookUpError::of_one("the answer is not one JSON object"))?;
    let malformed = || LookUpError::of_one("no list of object ids in the answer");
    let listed = json.find("value").and_then(Json::items);
    for object in listed.ok_or_else(malformed)? {
        let object = object.as_str().and_then(parse_guid);
        groups.push(object.ok_or_else(malformed)?);
    }
    match json.find("@odata.nextLink").map(Json::kind) {
        None | Some(Kind::Null) => Ok(None),
        Some(Kind::String(next)) => Ok(Some(next.to_owned())),
        Some(_) => Err(malformed()),
    }
}

impl Source for Graph {
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "https://graph.microsoft.com/v1.0/";
    const ADA: &str = "aaaaaaaa-0000-0000-0000-00000000000A";

    #[test]
    fn only_an_object_id_stands_in_the_url() {
        let asked = |user_id, client_id| {
            let subject = Subject {
                issuer: "staff",
                user_id,
                tenant: None,
                client_id,
            };
            question(ROOT, &subject).map(|url| url.to_string())
        };
        let below = |kind| format!("{ROOT}{kind}/{}/getMemberObjects", ADA.to_ascii_lowercase());
        assert_eq!(asked(ADA, None), Ok(below("users")));
        assert_eq!(asked(ADA, Some("x")), Ok(below("servicePrincipals")));
        for wrong in ["", "ada", "../me", "aaaaaaaa-0000-0000-0000-00000000000A/"] {
            assert!(asked(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_next_page_is_below_the_same_root() {
        for next in [
            "users/x/getMemberObjects?$skiptoken=a",
            "directoryObjects/x?$skiptoken=https://other.test",
        ] {
            assert!(following(ROOT, &format!("{ROOT}{next}")).is_ok(), "{next}");
        }
        for next in [
            "https://graph.microsoft.com/v1.0",
            "https://graph.microsoft.com/v1.0/../beta/users",
            "https://graph.microsoft.com/v1.0/%2e%2e/beta/users",
            "https://graph.microsoft.com/beta/users",
            "https://graph.microsoft.com:444/v1.0/users",
            "https://graph.microsoft.com@other.test/v1.0/users",
            "https://user@graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com.other.test/v1.0/users",
            "http://graph.microsoft.com/v1.0/users",
            "//other.test/v1.0/users",
            "/v1.0/users",
            "",
        ] {
            assert!(following(ROOT, next).is_err(), "{next}");
        }
    }
}
