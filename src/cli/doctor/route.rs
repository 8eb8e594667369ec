//! The echo route behind the proxy: what it answers to a probe.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::probes::{Held, Probe};
use crate::certificate;
use crate::client::jwks::Background;
use crate::client::pool::{Means, Payload, Pool, SendError};
use crate::client::tls::Trust;
use crate::config;
use crate::telemetry::{Plane, Telemetry};

/// Most bytes of an answer that are read.
const MOST: usize = 1 << 20;
/// How long an answer is awaited.
const PATIENCE: Duration = Duration::from_secs(15);
/// A header that nobody removes.
pub(super) const PROBE: HeaderName = HeaderName::from_static("x-gatepost-probe");

/// The route, and who asks.
pub(super) struct Route {
    pool: Pool,
    path: String,
    authorization: Option<HeaderValue>,
    /// What the values of this run begin with.
    word: String,
}

/// What the route shows before anything is tried.
#[derive(Debug)]
pub(super) struct Shown {
    /// The echo of a plain request, in lower case.
    pub(super) echo: String,
    /// It refuses a request without a credential.
    pub(super) refuses_strangers: bool,
}

/// An answer, as far as it matters.
struct Told {
    status: StatusCode,
    body: String,
}

impl Route {
    pub(super) fn new(
        url: &Url,
        authorization: Option<HeaderValue>,
        ca_file: Option<&Path>,
    ) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(format!("--url {url}: neither http nor https"));
        }
        if url.query().is_some() {
            return Err(format!(
                "--url {url}: no query, please: probes have their own"
            ));
        }
        let trust = Trust::new(&config::Client::default()).map_err(|error| error.to_string())?;
        let mut server = config::Server {
            // `Connection` is of HTTP/1.1 alone
            protocol: config::Protocol::Http1,
            ..config::Server::at(url.clone())
        };
        if let Some(file) = ca_file {
            server.tls.roots = Some(roots(file).map_err(|error| format!("--ca-file: {error}"))?);
        }
        let means = Means {
            trust: &trust,
            workers: 1,
            background: &Background {
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            },
            metrics: &Telemetry::quiet().metrics,
        };
        let pool = means
            .pool(Plane::Egress, "doctor", &server, None)
            .map_err(|error| error.to_string())?;
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_no_bits| "the system has no random bits".to_owned())?;
        Ok(Self {
            pool,
            path: url.path().to_owned(),
            authorization,
            word: format!("gp{:x}x", u64::from_be_bytes(random)),
        })
    }

    /// Its path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// A value that only this run knows, its `number`th.
    pub(super) fn word(&self, number: usize) -> String {
        format!("{}{number}z", self.word)
    }

    /// Looks at the route itself: whether it can be told anything from.
    pub(super) async fn look(&self) -> Result<Shown, String> {
        let word = self.word(0);
        let plain = Probe::plain(&self.path, &word);
        let told = self.ask(&plain, true).await?;
        if !told.status.is_success() {
            return Err(match (told.status.as_u16(), self.has_token()) {
                (401 | 403, false) => format!(
                    "the route answers {}: pass --token-file, or a public echo route",
                    told.status
                ),
                (401 | 403, true) => {
                    format!("the route answers {} to the token", told.status)
                }
                _other => format!("the route answers {}", told.status),
            });
        }
        if !told.body.contains(&word) {
            return Err(
                "the route does not show the headers of the request: it must be an echo, such as \
                 traefik/whoami, httpbin's /headers, or the one of `gatepost dev`"
                    .to_owned(),
            );
        }
        let strangers = self.ask(&plain, false).await?;
        Ok(Shown {
            echo: told.body,
            refuses_strangers: self.has_token() && !strangers.status.is_success(),
        })
    }

    /// Sends a probe: whether what it says got through.
    pub(super) async fn leaks(&self, probe: &Probe) -> Result<bool, String> {
        let told = self.ask(probe, !probe.stranger).await?;
        // a refusal of whoever asks says nothing of what was asked
        let unable = match told.status.as_u16() {
            429 => true,
            401 | 500..=599 => !probe.stranger,
            _telling => false,
        };
        if unable {
            return Err(format!(
                "the route answers {} in the middle of it: nothing more can be told",
                told.status
            ));
        }
        let heard = told.body.contains(&probe.word);
        Ok(match &probe.held {
            Held::Unheard => heard,
            Held::Refused => heard && told.status.is_success(),
            Held::Kept(name) => heard && !told.body.contains(name.as_str()),
        })
    }

    async fn ask(&self, probe: &Probe, with_token: bool) -> Result<Told, String> {
        let head = || {
            let mut request = Request::new(());
            *request.method_mut() = Method::GET;
            *request.uri_mut() = probe
                .target
                .parse::<Uri>()
                .map_err(|error| format!("{}: {error}", probe.target))?;
            let headers: &mut HeaderMap = request.headers_mut();
            headers.insert(header::HOST, self.pool.host().clone());
            headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
            if let Some(authorization) = self.authorization.as_ref().filter(|_| with_token) {
                headers.insert(header::AUTHORIZATION, authorization.clone());
            }
            for (name, value) in &probe.headers {
                headers.append(name, value.clone());
            }
            Ok::<_, Unasked>(request)
        };
        let response = self
            .pool
            .send(0, Payload::Empty, PATIENCE, head, || Ok(()))
            .await
            .map_err(|Unasked(error)| error)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body = body.map_err(|error| format!("the answer breaks off: {error}"))?;
        Ok(Told {
            status,
            body: String::from_utf8_lossy(&body.to_bytes()).to_ascii_lowercase(),
        })
    }
}

/// Why a probe got no answer.
struct Unasked(String);

impl From<String> for Unasked {
    fn from(error: String) -> Self {
        Self(error)
    }
}

impl From<SendError> for Unasked {
    fn from(error: SendError) -> Self {
        Self(error.to_string())
    }
}

fn roots(file: &Path) -> Result<config::Certificates, String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let chain = certificate::chain(&text).map_err(|error| error.to_string())?;
    Ok(config::Certificates(chain))
}
