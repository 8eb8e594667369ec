//! `profile = "userinfo"`: an issuer's userinfo endpoint (`OpenID` Connect Core 5.3), asked for name and
//! email with the user's own token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::engine::Engine;
use super::source::{Answer, LookUpError, Source};
use super::{Means, Stores};
use crate::authn::claims::Claims;
use crate::authn::membership::Subject;
use crate::authn::profile::Profile;
use crate::client::jwks::stated_url;
use crate::client::outgoing::{FetchError, Fetched, Outgoing};
use crate::config::{IssuerConfig, LookUps, Userinfo, is_link_local};
use crate::gate::{self, Boxed, Learnt, ProfileNow};
use crate::secret::Secret;
use crate::telemetry::metrics::MembershipMetrics;

/// Most bytes of an answer, and of a discovery document.
const LARGEST_ANSWER: usize = 64 * 1024;
const LOOK_UPS: LookUps = LookUps {
    cache: Duration::from_secs(60 * 60),
    negative_cache: Duration::from_secs(60),
    max_stale: Duration::from_secs(24 * 60 * 60),
    timeout: Duration::from_secs(2),
    max_entries: 10_000,
};

/// Profiles of those issuers that are asked for them, in the order of the configuration.
#[derive(Debug)]
pub(super) struct Profiles {
    listed: Vec<Option<Asked>>,
}

/// One issuer that is asked.
#[derive(Debug)]
struct Asked {
    /// As log and metrics call it.
    name: Arc<str>,
    engine: Arc<Engine<Endpoint>>,
    metrics: MembershipMetrics,
}

impl Profiles {
    /// Nobody is asked yet. What is known of an issuer of the same definition in `previous` is kept.
    pub(super) fn start(
        issuers: &[IssuerConfig],
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> Self {
        let one = |issuer: &IssuerConfig| {
            let endpoint = Arc::new(Endpoint::of(issuer, means.outgoing)?);
            let name: Arc<str> = format!("userinfo:{}", issuer.issuer.name).into();
            let metrics = means.telemetry.metrics.memberships(&name);
            let mut known = previous.into_iter().flat_map(|old| &old.listed).flatten();
            let known = known.find(|old| old.engine.source().is_same(&endpoint));
            let counted = metrics.clone();
            let engine = Engine::new(&name, LOOK_UPS, endpoint, counted, means.background);
            let engine = Arc::new(match known {
                Some(known) => engine.succeeding(&known.engine),
                None => engine,
            });
            Some(Asked {
                name,
                engine,
                metrics,
            })
        };
        Self {
            listed: issuers.iter().map(one).collect(),
        }
    }

    /// As the metrics call them.
    pub(super) fn names(&self) -> impl Iterator<Item = Arc<str>> {
        self.listed
            .iter()
            .flatten()
            .map(|asked| Arc::clone(&asked.name))
    }

    /// Tells the metrics how many subjects are known.
    pub(super) fn count(&self) {
        for asked in self.listed.iter().flatten() {
            asked.metrics.entries(asked.engine.len());
        }
    }

    fn find(&self, issuer: usize) -> Option<&Asked> {
        self.listed.get(issuer)?.as_ref()
    }
}

impl Asked {
    fn subject<'a>(&'a self, sub: &'a str) -> Subject<'a> {
        Subject {
            issuer: &self.engine.source().issuer.issuer.name,
            user_id: sub,
            tenant: None,
            client_id: None,
        }
    }
}

impl gate::Profiles for Stores {
    fn find(&self, issuer: usize, sub: &str) -> ProfileNow {
        let Some(asked) = self.profiles.find(issuer) else {
            return ProfileNow::NotAsked;
        };
        match asked.engine.find(&asked.subject(sub)) {
            Some(known) => {
                asked.metrics.answered(Some(known.how.as_str()));
                ProfileNow::Known(known.answer)
            }
            None => ProfileNow::Unknown,
        }
    }

    fn ask<'a>(
        &'a self,
        issuer: usize,
        sub: &'a str,
        token: &'a str,
    ) -> Boxed<'a, Option<(Arc<Profile>, Learnt)>> {
        Box::pin(async move {
            let asked = self.profiles.find(issuer)?;
            let with = || Secret::new(token.to_owned());
            let known = asked.engine.ask_in_passing(asked.subject(sub), with).await;
            let how = known.as_ref().map(|known| known.how.as_str());
            asked.metrics.answered(how);
            known.map(|known| (known.answer, known.how))
        })
    }
}

impl Answer for Profile {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn size(&self) -> usize {
        self.size()
    }
}

/// One issuer's userinfo endpoint.
#[derive(Debug)]
struct Endpoint {
    issuer: IssuerConfig,
    place: Userinfo,
    outgoing: Outgoing,
    /// What the discovery document said.
    discovered: Mutex<Option<Url>>,
}

#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    userinfo_endpoint: Option<String>,
}

impl Endpoint {
    fn of(issuer: &IssuerConfig, outgoing: &Outgoing) -> Option<Self> {
        Some(Self {
            place: issuer.userinfo.clone()?,
            issuer: issuer.clone(),
            outgoing: outgoing.clone(),
            discovered: Mutex::default(),
        })
    }

    /// Whether the same endpoint would be asked, and its answer be read alike.
    fn is_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.issuer, &other.issuer);
        self.place == other.place
            && one.issuer.name == two.issuer.name
            && one.issuer.accepted_iss == two.issuer.accepted_iss
            && one.issuer.claims == two.issuer.claims
            && one.insecure_http == two.insecure_http
    }

    async fn ask(&self, sub: &str, token: &Secret) -> Result<Profile, LookUpError> {
        let url = match &self.place {
            Userinfo::Url(url) => url.clone(),
            Userinfo::Discovery { issuer, url } => {
                // one at a time; who waits finds it
                let mut discovered = self.discovered.lock().await;
                match &*discovered {
                    Some(known) => known.clone(),
                    None => discovered.insert(self.discover(issuer, url).await?).clone(),
                }
            }
        };
        let answer = self.send(&url, token).await;
        let is_elsewhere = match &answer {
            Ok(answer) => answer.status == StatusCode::NOT_FOUND,
            Err(_unreachable) => true,
        };
        if is_elsewhere {
            *self.discovered.lock().await = None;
        }
        self.read(&answer.map_err(of_fetch)?, sub)
    }

    /// `OpenID` Connect Discovery 1.0, 4.3: the document's `issuer` must be the configured one, byte for
    /// byte. That match is what lets the endpoint stand on another host.
    async fn discover(&self, issuer: &str, url: &Url) -> Result<Url, LookUpError> {
        let wrong = |what: &str| LookUpError::everyones(format!("discovery: {what}"));
        let fetched = self
            .outgoing
            .get(url, LOOK_UPS.timeout, LARGEST_ANSWER)
            .await
            .and_then(Fetched::ok)
            .map_err(|error| wrong(&error.to_string()))?;
        let document: DiscoveryDocument = serde_json::from_slice(&fetched.body)
            .map_err(|_syntax| wrong("not a discovery document"))?;
        if document.issuer != issuer {
            return Err(wrong("the document is another issuer's"));
        }
        let endpoint = document.userinfo_endpoint;
        let endpoint = endpoint.ok_or_else(|| wrong("the document has no userinfo_endpoint"))?;
        judge_endpoint(url, &endpoint, self.issuer.insecure_http)
            .map_err(|why| wrong(&format!("userinfo_endpoint {why}")))
    }

    async fn send(&self, url: &Url, token: &Secret) -> Result<Fetched, FetchError> {
        let invalid = |_invalid| FetchError::Protocol("no request".to_owned());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_invalid| FetchError::Protocol("the token is no header value".to_owned()))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = Uri::try_from(url.as_str()).map_err(invalid)?;
        let headers = request.headers_mut();
        // a signed answer is none that could be read
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, bearer);
        let sent = self
            .outgoing
            .send(request, LOOK_UPS.timeout, LARGEST_ANSWER);
        sent.await
    }

    fn read(&self, answer: &Fetched, sub: &str) -> Result<Profile, LookUpError> {
        let status = answer.status;
        if status != StatusCode::OK {
            let failed = format!("status {}", status.as_u16());
            let error = match status {
                StatusCode::TOO_MANY_REQUESTS => LookUpError::everyones(failed),
                _ if status.is_server_error() => LookUpError::unclear(failed),
                // of this token: without the scope `openid`, say
                _other => LookUpError::of_one(failed),
            };
            return Err(error.after(answer.retry_after));
        }
        let claims = Claims::parse(answer.body.clone())
            .map_err(|_syntax| LookUpError::of_one("the answer is not one JSON object"))?;
        Profile::read(&claims, sub, &self.issuer.issuer.claims).map_err(LookUpError::of_one)
    }
}

/// The endpoint that the discovery document at `discovery` states, if a token may be sent there: not to the
/// machine's metadata service, whatever a document says. On error: why not.
fn judge_endpoint(discovery: &Url, stated: &str, insecure_http: bool) -> Result<Url, &'static str> {
    let endpoint = stated_url(discovery, stated, insecure_http)?;
    let address: Option<IpAddr> = match endpoint.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        // what a name leads to is judged when it is looked up
        Some(Host::Domain(_)) | None => None,
    };
    if address.is_some_and(is_link_local) {
        return Err("is a link-local address");
    }
    Ok(endpoint)
}

fn of_fetch(error: FetchError) -> LookUpError {
    let concerns = match &error {
        FetchError::Connect(_) | FetchError::Tls(_) => LookUpError::everyones,
        FetchError::TooLarge(_) => LookUpError::of_one,
        FetchError::Timeout
        | FetchError::Protocol(_)
        | FetchError::Redirect(_)
        | FetchError::Status { .. } => LookUpError::unclear,
    };
    concerns(error)
}

impl Source for Endpoint {
    type Answer = Profile;
    type With = Secret;

    fn look_up<'l>(
        &'l self,
        subject: Subject<'l>,
        with: &'l Secret,
    ) -> Boxed<'l, Result<Profile, LookUpError>> {
        Box::pin(self.ask(subject.user_id, with))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_leads_a_token_to_no_plain_text_and_no_metadata_service() {
        let https = "https://issuer.test/.well-known/openid-configuration";
        let loopback = "http://127.0.0.1:8080/.well-known/openid-configuration";
        for (discovery, stated, insecure_http, expected) in [
            (https, "https://auth.issuer.test/me", false, Ok(())),
            (https, "https://10.0.0.1/me", false, Ok(())),
            (
                https,
                "http://auth.issuer.test/me",
                false,
                Err("is not https"),
            ),
            (https, "http://127.0.0.1/me", false, Err("is not https")),
            (https, "http://auth.issuer.test/me", true, Ok(())),
            (loopback, "http://127.0.0.1:9090/me", false, Ok(())),
            (https, "file:///me", true, Err("is not https")),
            (https, "/me", false, Err("is not a URL")),
            (
                https,
                "https://a:b@issuer.test/me",
                false,
                Err("carries a password"),
            ),
            (
                https,
                "https://169.254.169.254/me",
                false,
                Err("is a link-local address"),
            ),
            (
                https,
                "http://169.254.169.254/me",
                true,
                Err("is a link-local address"),
            ),
            (
                https,
                "https://2852039166/me",
                false,
                Err("is a link-local address"),
            ),
            (
                https,
                "https://[fd00:ec2::254]/me",
                false,
                Err("is a link-local address"),
            ),
            (
                https,
                "https://[::ffff:a9fe:a9fe]/me",
                false,
                Err("is a link-local address"),
            ),
        ] {
            let discovery = Url::parse(discovery).unwrap();
            let judged = judge_endpoint(&discovery, stated, insecure_http);
            assert_eq!(judged.map(|_url| ()), expected, "{stated}");
        }
    }
}
