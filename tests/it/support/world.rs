//! Gatepost in the test's own process, from a config made by hand: one HMAC issuer, routes as the
//! test says, its request log in memory. For what the binary's tests cannot see or reach.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::app::{Addresses, App};
use gatepost::authn::claims::ClaimPath;
use gatepost::authn::credential::{Kind, TokenSource};
use gatepost::authn::issuer::{Accepted, Algorithm, ClaimMap, Preset};
use gatepost::authn::proof::Bound;
use gatepost::authn::{Issuer, Mapping};
use gatepost::authz::identity::ListFormat;
use gatepost::authz::route::{
    Access, Authorization, Forward, HostPattern, HostRewrite, Mode, PathPattern, Protected,
};
use gatepost::authz::{Route, RouteTable, Rule};
use gatepost::client::tls::install_crypto_provider;
use gatepost::clock::{Clock, SystemClock};
use gatepost::config::{
    Client, Config, ErrorFormat, Errors, ForwardAuth, Ingress, IssuerConfig, Jwks, KeyLocation,
    Listener, Log, RequestIdTrust, Server, Shutdown, TokenCache, Upstream,
};
use gatepost::request::IdentityNames;
use gatepost::request::forwarded::TrustedProxies;
use gatepost::secret::{Secret, SecretSource};
use gatepost::telemetry::Telemetry;
use http::HeaderValue;
use serde_json::{Value, json};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A running Gatepost. Cut off when dropped.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) app: App,
    lines: Lines,
}

impl World {
    /// Starts with these routes; their upstream `app` is at `upstream`.
    pub(crate) async fn start(upstream: SocketAddr, routes: Vec<Route>) -> Self {
        Self::with(upstream, routes, |_config| {}).await
    }

    /// The same, with a changed config.
    pub(crate) async fn with(
        upstream: SocketAddr,
        routes: Vec<Route>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::by_clock(Arc::new(SystemClock), upstream, routes, change).await
    }

    /// The same, by another clock.
    pub(crate) async fn by_clock(
        clock: Arc<dyn Clock>,
        upstream: SocketAddr,
        routes: Vec<Route>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        install_crypto_provider();
        let mut config = config(upstream, routes);
        change(&mut config);
        let lines = Lines::default();
        let writer = Box::new(lines.clone());
        let telemetry = Telemetry::to_writer(writer, Arc::clone(&clock));
        let app = App::start(config, clock, telemetry).await.unwrap();
        Self { app, lines }
    }

    pub(crate) fn addresses(&self) -> Addresses {
        self.app.addresses()
    }

    pub(crate) fn ingress(&self) -> SocketAddr {
        self.addresses().ingress.expect("an ingress")
    }

    pub(crate) fn forward_auth(&self) -> SocketAddr {
        self.addresses().forward_auth.expect("forward auth")
    }

    /// The request log so far, once it has `count` lines.
    pub(crate) async fn log(&self, count: usize) -> Vec<Value> {
        super::eventually("the log lines", async || {
            let lines = self.lines.all();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

/// A log in memory.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn all(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Lines {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut bytes = self
            .0
            .lock()
            .map_err(|_poisoned| std::io::ErrorKind::Other)?;
        bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A protected route that forwards to `app`, for every host.
pub(crate) fn route(name: &str, path: &str) -> Route {
    Route {
        name: Arc::from(name),
        hosts: vec![HostPattern::Any],
        pattern: PathPattern::parse(path).unwrap(),
        methods: vec![],
        access: Access::Protected(Box::new(protected())),
        allow_encoded_slashes: false,
        pass_overrides: false,
        cors: None,
        forward: Some(forward()),
    }
}

/// The same without authentication.
pub(crate) fn public(name: &str, path: &str) -> Route {
    Route {
        access: Access::Public,
        ..route(name, path)
    }
}

pub(crate) fn protected() -> Protected {
    Protected {
        accepts: vec![Kind::Bearer],
        issuers: vec![0],
        token_from: vec![TokenSource::Authorization],
        optional: false,
        memberships: None,
        overage: vec![],
        require: Rule::default(),
        mode: Mode::Enforce,
        on_behalf_of: None,
    }
}

pub(crate) fn forward() -> Forward {
    Forward {
        upstream: Arc::from("app"),
        host: HostRewrite::Upstream,
        authorization: Authorization::Forward,
        strip_prefix: None,
        timeout: None,
        upgrade_lifetime: None,
        strip: Arc::default(),
    }
}

/// A token for `claims`, with issuer, audience and expiry added.
pub(crate) fn token(mut claims: Value) -> String {
    install_crypto_provider();
    for (name, value) in [
        ("iss", json!("hokusai")),
        ("aud", json!("app")),
        ("exp", json!(4_000_000_000_u64)),
    ] {
        if claims.get(name).is_none() {
            claims[name] = value;
        }
    }
    jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256),
        &claims,
        &jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

/// The header line that presents it.
pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// Networks from text.
pub(crate) fn proxies(networks: &[&str]) -> TrustedProxies {
    TrustedProxies::new(networks.iter().map(|text| text.parse().unwrap()).collect())
}

fn listener() -> Listener {
    Listener::at((Ipv4Addr::LOCALHOST, 0).into())
}

fn config(upstream: SocketAddr, routes: Vec<Route>) -> Config {
    let claim = |name| vec![ClaimPath::name(name)];
    let issuer = Issuer {
        name: Arc::from("legacy"),
        accepted_iss: vec!["hokusai".to_owned()],
        algorithms: vec![Algorithm::HS256],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: vec![],
        mapping: Mapping::default(),
        claims: ClaimMap {
            user_id: claim("sub"),
            tenant: claim("tenant"),
            client_id: claim("client_id"),
            name: claim("name"),
            email: claim("email"),
            groups: claim("groups"),
            roles: claim("roles"),
            permissions: claim("permissions"),
            scopes: claim("scope"),
        },
        preset: Preset::Generic {
            audiences: Accepted::OneOf(vec!["app".to_owned()]),
        },
    };
    Config {
        aws: None,
        basic: None,
        login: None,
        file: None,
        watched: vec![],
        workers: None,
        ingress: Some(Ingress {
            listener: listener(),
            trusted_proxies: TrustedProxies::default(),
            forwarded_header: false,
        }),
        forward_auth: Some(ForwardAuth {
            listener: listener(),
            trusted_proxies: proxies(&["127.0.0.0/8"]),
        }),
        egress: None,
        admin: listener(),
        health: listener(),
        issuers: vec![IssuerConfig {
            issuer: Arc::new(issuer),
            keys: KeyLocation::Secret(SecretSource::Literal(Secret::new(SECRET.to_owned()))),
            required: true,
            insecure_http: false,
            userinfo: None,
        }],
        upstreams: vec![Upstream {
            name: Arc::from("app"),
            server: Server::at(format!("http://{upstream}").parse().unwrap()),
        }],
        routes: RouteTable::new(routes).unwrap(),
        memberships: vec![],
        credentials: vec![],
        egress_targets: vec![],
        redis: None,
        deny_list: None,
        jwks: Jwks {
            refresh_interval: Duration::from_secs(1800),
            max_stale: Duration::from_secs(86400),
            unknown_kid_cooldown: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(5),
            snapshot_dir: None,
            readiness_strict: true,
        },
        token_cache: TokenCache {
            max_entries: 100,
            max_bytes: 1024 * 1024,
        },
        identity: IdentityNames::default(),
        identity_lists: ListFormat::Comma,
        strip: vec![],
        request_id_trust: RequestIdTrust::TrustedProxies,
        errors: Errors {
            format: ErrorFormat::Simple,
            expose_reason: true,
            realm: HeaderValue::from_static("gatepost"),
        },
        client: Client::default(),
        shutdown: Shutdown {
            grace: Duration::from_secs(25),
            pre_drain: Duration::ZERO,
        },
        log: Log {
            level: "warn".to_owned(),
            json: true,
            requests: true,
        },
        warnings: vec![],
        redacted: Value::Null,
    }
}
