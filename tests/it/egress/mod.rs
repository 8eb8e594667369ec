//! Egress from outside: an app in this process, its targets beside it, everything on loopback.

mod credentials;
mod ended;
mod places;
mod replays;
mod secrets;
mod secure;
mod strangers;
mod token_endpoint;
mod tricks;
mod upgrade;
mod users;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::app::App;
use gatepost::authz::RouteTable;
use gatepost::authz::identity::ListFormat;
use gatepost::client::tls;
use gatepost::clock::SystemClock;
use gatepost::config::{
    ClientAuthentication, ClientCredentials, Config, CredentialKind, CredentialSource, Egress,
    EgressTarget, ErrorFormat, Errors, Freshness, Jwks, Listener, Log, OAuthClient, RequestIdTrust,
    Server, Shutdown, TokenCache,
};
use gatepost::request::IdentityNames;
use gatepost::secret::{Secret, SecretSource};
use gatepost::telemetry::Telemetry;
use http::HeaderValue;

use crate::support::http::Call;

/// Bodies up to this size are kept for a replay.
const REPLAY: usize = 1000;

/// A running Gatepost with egress, and its request log.
struct Running {
    app: App,
    at: SocketAddr,
    log: Captured,
}

impl Running {
    async fn start(credentials: Vec<CredentialSource>, targets: Vec<EgressTarget>) -> Self {
        Self::of(config(credentials, targets)).await
    }

    async fn of(config: Config) -> Self {
        tls::install_crypto_provider();
        let log = Captured::default();
        let clock = Arc::new(SystemClock);
        let telemetry =
            Telemetry::to_writer(Box::new(log.clone()), Arc::<SystemClock>::clone(&clock));
        let app = App::start(config, clock, telemetry).await.unwrap();
        let at = app.addresses().egress.unwrap();
        Self { app, at, log }
    }

    fn get(&self, path: &str) -> Call {
        Call::get(self.at, path)
    }

    /// The request log up to now.
    fn lines(&self) -> String {
        assert!(self.app.world().telemetry.flush());
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().map_err(|_poisoned| io::ErrorKind::Other)?;
        lines.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listener() -> Listener {
    Listener {
        max_body_bytes: Some(10_000_000),
        ..Listener::at("127.0.0.1:0".parse().unwrap())
    }
}

fn config(credentials: Vec<CredentialSource>, egress_targets: Vec<EgressTarget>) -> Config {
    Config {
        aws: None,
        basic: None,
        login: None,
        file: None,
        watched: vec![],
        workers: None,
        ingress: None,
        forward_auth: None,
        egress: Some(Egress {
            listener: listener(),
            replay_body_bytes: REPLAY,
            token_endpoint: None,
        }),
        admin: listener(),
        health: listener(),
        issuers: vec![],
        memberships: vec![],
        upstreams: vec![],
        routes: RouteTable::default(),
        credentials,
        egress_targets,
        redis: None,
        deny_list: None,
        jwks: Jwks {
            refresh_interval: Duration::from_secs(1800),
            max_stale: Duration::from_secs(86_400),
            unknown_kid_cooldown: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(5),
            snapshot_dir: None,
            readiness_strict: true,
        },
        token_cache: TokenCache {
            max_entries: 10,
            max_bytes: 10_000,
        },
        identity: IdentityNames::default(),
        identity_lists: ListFormat::Comma,
        strip: vec![],
        request_id_trust: RequestIdTrust::TrustedProxies,
        errors: Errors {
            format: ErrorFormat::Problem,
            expose_reason: false,
            realm: HeaderValue::from_static("gatepost"),
        },
        client: gatepost::config::Client::default(),
        shutdown: Shutdown {
            grace: Duration::from_secs(1),
            pre_drain: Duration::ZERO,
        },
        log: Log {
            level: "info".to_owned(),
            json: true,
            requests: true,
        },
        warnings: vec![],
        redacted: serde_json::Value::Null,
    }
}

fn target(name: &str, url: &str, credentials: &[&str]) -> EgressTarget {
    EgressTarget {
        name: name.into(),
        server: Server::at(url.parse().unwrap()),
        credentials: credentials.iter().map(|name| (*name).into()).collect(),
        forward_user: false,
    }
}

fn source(name: &str, kind: CredentialKind) -> CredentialSource {
    CredentialSource {
        name: name.into(),
        kind,
        issuers: vec!["legacy".into()],
    }
}

/// A source named `static` that always has `s3cret-static`.
fn fixed() -> CredentialSource {
    let token = SecretSource::Literal(Secret::new("s3cret-static".to_owned()));
    source("static", CredentialKind::StaticToken { token })
}

/// A source named `granted`, from the token endpoint at this URL.
fn granted(url: &str) -> CredentialSource {
    let definition = ClientCredentials {
        client: OAuthClient {
            token_url: format!("{url}/token").parse().unwrap(),
            client_id: "app".to_owned(),
            authentication: ClientAuthentication::SecretPost(SecretSource::Literal(Secret::new(
                "s3cret-client".to_owned(),
            ))),
            insecure_http: false,
        },
        scopes: vec![],
        audience: None,
        resources: vec![],
        freshness: Freshness::default(),
    };
    source(
        "granted",
        CredentialKind::ClientCredentials(Box::new(definition)),
    )
}
