//! A scripted token endpoint under paused time, and what the tests share.

mod client_auth;
mod life;
mod pool;
mod refresh;
mod reload;
mod sources;
mod users;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::fleet::Store;
use super::request::{Endpoint, Refused};
use super::{Attached, Credentials, DOUBTS_AT_ONCE, For};
use crate::client::aws::AwsError;
use crate::client::jwks::Background;
use crate::client::outgoing::{FetchError, Fetched};
use crate::clock::{Clock, PausedClock};
use crate::config::{
    AwsCredential, AwsSource, ClientAuthentication, ClientCredentials, CredentialKind,
    CredentialSource, Freshness, OAuthClient, WebIdentityToken,
};
use crate::gate::Boxed;
use crate::reason::{Denial, Failure, Refusal};
use crate::secret::{AwsSecret, Secret, SecretError, SecretSource};
use crate::telemetry::Telemetry;

type Answer = Result<Fetched, FetchError>;

/// One recorded request: the form and `Authorization`.
type Seen = (Vec<(String, String)>, Option<String>);

/// Answers after 100 ms: from the script, then with tokens `t-1`, `t-2`… of `life` seconds.
struct Scripted {
    script: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
    down: Mutex<bool>,
    life: u64,
    /// Of each secret in Secrets Manager, as they are found once the one before is refused.
    versions: Mutex<Vec<&'static str>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    fn new(life: u64) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::default(),
            seen: Mutex::default(),
            down: Mutex::new(false),
            life,
            versions: Mutex::new(vec!["v-1"]),
        })
    }

    fn then(self: &Arc<Self>, status: u16, body: &str, retry_after: Option<u64>) {
        self.script.lock().unwrap().push_back(Ok(Fetched {
            status: StatusCode::from_u16(status).unwrap(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            max_age: None,
            retry_after: retry_after.map(Duration::from_secs),
        }));
    }

    fn down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Endpoint for Scripted {
    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Answer> {
        let path = request.uri().to_string();
        self.seen
            .lock()
            .unwrap()
            .push((vec![(path, String::new())], None));
        let answer = self.script.lock().unwrap().pop_front();
        Box::pin(async { answer.unwrap_or(Err(FetchError::Timeout)) })
    }

    fn load<'l>(
        &'l self,
        source: &'l SecretSource,
        refused: Option<Refused<'l>>,
    ) -> Boxed<'l, Result<Secret, SecretError>> {
        Box::pin(async move {
            if !matches!(source, SecretSource::Aws(_)) {
                return source.load();
            }
            if *self.down.lock().unwrap() {
                return Err(SecretError::Aws {
                    id: "robot".to_owned(),
                    why: "no answer".to_owned(),
                    is_outage: true,
                });
            }
            let mut versions = self.versions.lock().unwrap();
            let known = Secret::new(versions[0].to_owned());
            if versions.len() > 1 && refused.is_some_and(|is_refused| is_refused(&known)) {
                versions.remove(0);
            }
            Ok(Secret::new(versions[0].to_owned()))
        })
    }

    fn web_identity_token<'w>(
        &'w self,
        _wanted: &'w WebIdentityToken,
        _refused: Option<&'w Secret>,
    ) -> Boxed<'w, Result<Secret, AwsError>> {
        Box::pin(async { Err(AwsError::NoKeys) })
    }

    fn post<'p>(
        &'p self,
        _url: &'p Url,
        form: &'p [(&'p str, &'p str)],
        authorization: Option<HeaderValue>,
    ) -> Boxed<'p, Answer> {
        Box::pin(async move {
            let number = {
                let mut seen = self.seen.lock().unwrap();
                let form = form.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
                let authorization = authorization.map(|v| v.to_str().unwrap().to_owned());
                seen.push((form.collect(), authorization));
                seen.len()
            };
            sleep(Duration::from_millis(100)).await;
            if let Some(answer) = self.script.lock().unwrap().pop_front() {
                return answer;
            }
            if *self.down.lock().unwrap() {
                return Err(FetchError::Timeout);
            }
            Ok(Fetched {
                status: StatusCode::OK,
                body: Bytes::from(format!(
                    r#"{{"access_token":"t-{number}","token_type":"Bearer","expires_in":{}}}"#,
                    self.life
                )),
                max_age: None,
                retry_after: None,
            })
        })
    }
}

fn definition() -> ClientCredentials {
    ClientCredentials {
        client: client(ClientAuthentication::SecretPost(secret())),
        scopes: vec!["a/read".to_owned(), "b".to_owned()],
        audience: None,
        resources: vec![],
        freshness: Freshness::default(),
    }
}

fn secret() -> SecretSource {
    SecretSource::Literal(Secret::new("hunter2+&".to_owned()))
}

fn client(authentication: ClientAuthentication) -> OAuthClient {
    OAuthClient {
        token_url: Url::parse("https://login.test/token").unwrap(),
        client_id: "my client".to_owned(),
        authentication,
        insecure_http: false,
    }
}

fn by_file(path: &std::path::Path) -> ClientCredentials {
    let file = SecretSource::File(path.to_owned());
    ClientCredentials {
        client: client(ClientAuthentication::SecretPost(file)),
        ..definition()
    }
}

fn aws(source: AwsSource) -> CredentialKind {
    CredentialKind::Aws(Box::new(AwsCredential {
        service: "execute-api".to_owned(),
        region: "eu-west-1".to_owned(),
        source,
    }))
}

fn source(name: &str, kind: CredentialKind) -> CredentialSource {
    CredentialSource {
        name: Arc::from(name),
        kind,
        issuers: vec!["users".into()],
    }
}

fn grant(definition: ClientCredentials) -> Vec<CredentialSource> {
    vec![source(
        "billing",
        CredentialKind::ClientCredentials(Box::new(definition)),
    )]
}

struct World {
    endpoint: Arc<Scripted>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    background: Background,
}

impl World {
    fn new(life: u64) -> Self {
        Self {
            endpoint: Scripted::new(life),
            clock: Arc::new(PausedClock::new()),
            telemetry: Telemetry::quiet(),
            background: Background {
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            },
        }
    }

    /// In force at once.
    fn start(&self, sources: &[CredentialSource], previous: Option<&Credentials>) -> Credentials {
        let credentials = self.build(sources, &self.endpoint, None, previous);
        credentials.go_into_force();
        credentials
    }

    /// Not in force.
    fn build(
        &self,
        sources: &[CredentialSource],
        endpoint: &Arc<Scripted>,
        store: Option<&Arc<dyn Store>>,
        previous: Option<&Credentials>,
    ) -> Credentials {
        let endpoint: Arc<dyn Endpoint> = Arc::<Scripted>::clone(endpoint);
        Credentials::start_with(
            sources,
            &endpoint,
            store,
            &self.clock,
            &self.telemetry,
            &self.background,
            previous,
        )
    }
}

fn names(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|name| Arc::from(*name)).collect()
}

async fn attach(credentials: &Credentials, list: &[&str]) -> Result<Attached, Refusal> {
    attach_for(credentials, &names(list), &HeaderMap::new()).await
}

async fn attach_for(
    credentials: &Credentials,
    list: &[Arc<str>],
    headers: &HeaderMap,
) -> Result<Attached, Refusal> {
    let call = For {
        headers,
        user: None,
        guarded: true,
    };
    credentials.attach(list, &call).await
}

async fn replace(credentials: &Credentials, refused: &Attached) -> Option<Attached> {
    let call = For {
        headers: &HeaderMap::new(),
        user: None,
        guarded: true,
    };
    credentials.replace(refused, &call).await
}

/// The token, or the seconds after which to try again.
async fn token(credentials: &Credentials) -> Result<String, u64> {
    match attach(credentials, &["billing"]).await {
        Ok(attached) => Ok(text(&attached)),
        Err(Refusal::Failed(Failure::EgressTokenUnavailable { retry_after })) => {
            Err(retry_after.as_secs())
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn text(attached: &Attached) -> String {
    written(attached).1
}

/// The header it writes into a head that has it already.
fn written(attached: &Attached) -> (HeaderName, String) {
    let name = attached.header().clone();
    let (mut head, ()) = Request::new(()).into_parts();
    let app = HeaderValue::from_static("the app's");
    head.headers.append(&name, app.clone());
    head.headers.append(&name, app);
    attached.apply(&mut head, None).unwrap();
    let values: Vec<_> = head.headers.get_all(&name).iter().collect();
    assert_eq!(values.len(), 1);
    assert!(values[0].is_sensitive());
    (name.clone(), values[0].to_str().unwrap().to_owned())
}

/// A secret in Secrets Manager.
fn elsewhere() -> SecretSource {
    SecretSource::Aws(Box::new(AwsSecret {
        id: "robot".to_owned(),
        json_key: None,
        region: "eu-west-1".to_owned(),
        endpoint: Url::parse("https://secrets.test/").unwrap(),
    }))
}
