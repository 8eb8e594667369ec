//! Carrying the app's own request to an allow-listed target, with a credential.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use serde_json::{Map, Value};
use url::Url;

use crate::client::pool::{Means, Payload, Pool, Reply};
use crate::client::token::{Attached, Credentials};
use crate::clock::Clock;
use crate::config;
use crate::reason::Refusal;
use crate::telemetry::Plane;

/// Allow-listed targets, each with its connection pool.
#[derive(Debug)]
pub struct Targets {
    targets: Vec<Target>,
}

/// One target. Whatever a request says, it goes to this target's scheme, host and port, below its
/// base path.
#[derive(Debug)]
pub struct Target {
    definition: config::EgressTarget,
    pool: Pool,
    credential_headers: Arc<[HeaderName]>,
}

/// The credential of a request.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'c> {
    /// What it is.
    pub attached: &'c Attached,
    /// The request's whole body, if it is kept.
    pub body: Option<&'c Bytes>,
    /// Wall time: it is not sent once it has ended.
    pub clock: &'c dyn Clock,
}

impl Targets {
    /// Builds the pools, or takes them over from `previous` where nothing has changed. `credentials` are
    /// of the same world.
    pub fn new(
        targets: &[config::EgressTarget],
        credentials: &Credentials,
        means: &Means<'_>,
        previous: Option<&Self>,
    ) -> io::Result<Self> {
        let target = |definition: &config::EgressTarget| {
            let kept = previous.and_then(|previous| previous.find(&definition.name));
            Ok(Target {
                pool: means.pool(
                    Plane::Egress,
                    &definition.name,
                    &definition.server,
                    kept.map(|kept| &kept.pool),
                )?,
                credential_headers: credentials.headers(&definition.credentials),
                definition: definition.clone(),
            })
        };
        let targets = targets.iter().map(target).collect::<io::Result<_>>()?;
        Ok(Self { targets })
    }

    /// What `/status` shows: per target its addresses and connections.
    #[must_use]
    pub fn report(&self) -> Value {
        let mut report = Map::new();
        for target in &self.targets {
            let name = target.definition.name.to_string();
            report.insert(name, target.pool.report());
        }
        Value::Object(report)
    }

    /// The target of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Target> {
        self.targets
            .iter()
            .find(|target| *target.definition.name == *name)
    }

    /// The `http://` target that serves `host` (lower case), `port` and `path`: a request in
    /// absolute form names it by its own URL. Of several the one with the longest base path.
    #[must_use]
    pub fn find_by_url(&self, host: &str, port: u16, path: &str) -> Option<&Target> {
        self.targets
            .iter()
            .filter(|target| target.is_at(host, port) && target.covers(path))
            .max_by_key(|target| target.pool.base().len())
    }
}

impl Target {
    /// What the config says of it.
    #[must_use]
    pub fn definition(&self) -> &config::EgressTarget {
        &self.definition
    }

    /// The headers its credentials are written to, but for `Authorization`.
    #[must_use]
    pub fn credential_headers(&self) -> &Arc<[HeaderName]> {
        &self.credential_headers
    }

    /// Its connections.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Its `Host`.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        self.pool.host()
    }

    /// The whole path of a request for `rest` (empty, or from its slash on) below this target.
    #[must_use]
    pub fn path_of(&self, rest: &str) -> String {
        let base = self.pool.base();
        if base.is_empty() && rest.is_empty() {
            "/".to_owned()
        } else {
            format!("{base}{rest}")
        }
    }

    fn is_at(&self, host: &str, port: u16) -> bool {
        let url: &Url = &self.definition.server.url;
        url.scheme() == "http"
            && url.host_str() == Some(host)
            && url.port_or_known_default() == Some(port)
    }

    fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.pool.base())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Sends a request with this whole path by the connections of `worker` and waits for the
    /// response's head. `headers` writes the request's headers, which are sent as they are but for
    /// `Host`; `credential` authenticates the head so finished. Redirects come back as they are.
    pub async fn send(
        &self,
        worker: usize,
        method: Method,
        path_and_query: PathAndQuery,
        headers: impl Fn() -> HeaderMap + Send + Sync,
        credential: &Carried<'_>,
        body: Payload,
    ) -> Result<Response<Reply>, Refusal> {
        let head = || {
            let (mut head, ()) = Request::new(()).into_parts();
            head.method = method.clone();
            head.uri = Uri::from(path_and_query.clone());
            head.headers = headers();
            let host = self.host().clone();
            head.headers.insert(http::header::HOST, host);
            credential.attached.apply(&mut head, credential.body)?;
            Ok(Request::from_parts(head, ()))
        };
        let timeout = self.definition.server.timeout;
        let still_good = || Ok(credential.attached.check(credential.clock.now())?);
        let sent = self.pool.send(worker, body, timeout, head, still_good);
        sent.await
    }
}
