//! Configuration: compiled-in `config/default.toml` → file → `GATEPOST__SECTION__KEY` → [`Config`].
//!
//! Two types: `raw` mirrors the TOML as written; [`Config`] holds only valid states, as meant.
//! Every error is reported at once, with file, line, column, key and the fix.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::authn::Issuer;
use crate::authz::RouteTable;
use crate::authz::identity::ListFormat;
use crate::request::IdentityNames;
use crate::request::forwarded::TrustedProxies;
use crate::secret::SecretSource;

/// Everything Gatepost was told, checked and resolved.
#[derive(Debug)]
pub struct Config {
    /// The file it came from; `None` for environment only.
    pub file: Option<PathBuf>,
    /// Files whose change means a reload: the config itself, secrets, keys.
    pub watched: Vec<PathBuf>,
    /// The reverse proxy; present once a route has an upstream.
    pub ingress: Option<Ingress>,
    /// Forward auth; present if its table is.
    pub forward_auth: Option<ForwardAuth>,
    /// Egress; present if its table is.
    pub egress: Option<Egress>,
    /// `/jwks /status /config`; loopback.
    pub admin: Listener,
    /// `/livez /readyz /metrics`
    pub health: Listener,
    /// Issuers, in the order of the file. Routes name them by index.
    pub issuers: Vec<IssuerConfig>,
    /// Upstreams.
    pub upstreams: Vec<Upstream>,
    /// Routes.
    pub routes: RouteTable,
    /// Credential sources.
    pub credentials: Vec<CredentialSource>,
    /// Egress targets.
    pub egress_targets: Vec<EgressTarget>,
    /// Key engine.
    pub jwks: Jwks,
    /// Verified-token cache.
    pub token_cache: TokenCache,
    /// Identity header names.
    pub identity: IdentityNames,
    /// How lists of groups, roles and permissions are written.
    pub identity_lists: ListFormat,
    /// Further client headers no route passes on, in every spelling.
    pub strip: Vec<HeaderName>,
    /// Request ids.
    pub request_id_trust: RequestIdTrust,
    /// Error responses.
    pub errors: Errors,
    /// The outgoing client.
    pub client: Client,
    /// Shutdown.
    pub shutdown: Shutdown,
    /// Log.
    pub log: Log,
    /// What `check` warns of.
    pub warnings: Vec<Warning>,
    /// The merged TOML as JSON, secrets replaced by where they come from: `/config`, `--format json`.
    pub redacted: serde_json::Value,
}

/// A listener's address and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Time for a request head, and for the first byte of a connection.
    pub header_timeout: Duration,
    /// Time a keep-alive connection may be silent.
    pub idle_timeout: Duration,
    /// Most bytes of one request head.
    pub max_header_bytes: usize,
    /// Most bytes of a request body; `None`: unlimited (bodies are streamed).
    pub max_body_bytes: Option<u64>,
    /// Most connections at once.
    pub max_connections: usize,
}

/// `[ingress]`
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Address and limits.
    pub listener: Listener,
    /// Whose `X-Forwarded-*` and `X-Request-ID` are believed.
    pub trusted_proxies: TrustedProxies,
    /// Whether `Forwarded` (RFC 7239) is written too.
    pub forwarded_header: bool,
}

/// `[forward_auth]`
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// Address and limits.
    pub listener: Listener,
    /// Who may state the original request. Never empty.
    pub trusted_proxies: TrustedProxies,
}

/// `[egress]`
#[derive(Clone, Debug)]
pub struct Egress {
    /// Address and limits.
    pub listener: Listener,
    /// Bodies up to this size are kept, so that a request can be replayed after a 401.
    pub replay_body_bytes: usize,
}

/// An issuer with where its keys are.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// What its tokens must satisfy.
    pub issuer: Arc<Issuer>,
    /// Where its keys are.
    pub keys: KeyLocation,
    /// Whether readiness waits for its keys.
    pub required: bool,
    /// Whether plain `http://` to a host other than loopback is allowed.
    pub insecure_http: bool,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLocation {
    /// A JWK Set at this URL.
    JwksUrl(Url),
    /// Found through the issuer's discovery document, whose `issuer` must equal this.
    Discovery {
        /// The issuer, byte for byte.
        issuer: String,
        /// `{issuer}/.well-known/openid-configuration`
        url: Url,
    },
    /// A JWK Set on disk.
    JwksFile(PathBuf),
    /// A PEM public key on disk.
    PublicKeyFile(PathBuf),
    /// An HMAC secret.
    Secret(SecretSource),
}

/// `[jwks]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// Time between two scheduled fetches.
    pub refresh_interval: Duration,
    /// How long keys are used without a successful fetch.
    pub max_stale: Duration,
    /// Time after which the unknown-`kid` budget regains one fetch.
    pub unknown_kid_cooldown: Duration,
    /// Deadline of one fetch.
    pub fetch_timeout: Duration,
    /// Where key sets are kept for a restart during an outage.
    pub snapshot_dir: Option<PathBuf>,
    /// Whether readiness waits for the first keys of each required issuer.
    pub readiness_strict: bool,
}

/// `[token_cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    /// Most verified tokens kept.
    pub max_entries: usize,
    /// Most bytes they may hold together.
    pub max_bytes: usize,
}

/// `[upstreams.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Scheme and authority; its path is put before the request's.
    pub url: Url,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time to the response head.
    pub timeout: Duration,
    /// Time a pooled connection may be idle.
    pub idle_timeout: Duration,
}

/// `[credentials.X]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSource {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub kind: CredentialKind,
}

/// Where an egress credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// OAuth 2.0 client credentials grant (RFC 6749 4.4).
    ClientCredentials(ClientCredentials),
    /// A token that somebody else issued and rotates.
    StaticToken {
        /// The token.
        token: SecretSource,
    },
    /// A key in a header.
    ApiKey {
        /// The header.
        header: HeaderName,
        /// A scheme before the value (`ApiKey`), separated by a space.
        scheme: Option<String>,
        /// The key.
        value: SecretSource,
    },
    /// The caller's own `Authorization`, unchanged.
    PassThrough,
}

/// A client-credentials source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// The token endpoint.
    pub token_url: Url,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretSource,
    /// How the client authenticates.
    pub auth_method: ClientAuthMethod,
    /// Requested scopes; empty: none stated.
    pub scopes: Vec<String>,
    /// `audience` parameter.
    pub audience: Option<String>,
    /// `resource` parameter (RFC 8707).
    pub resource: Option<String>,
    /// How long before `exp` a token is refreshed; `None`: 5 min or 20 % of its life, the shorter.
    pub refresh_before: Option<Duration>,
    /// Longest reuse of one token.
    pub max_reuse: Option<Duration>,
    /// Whether plain `http://` to a host other than loopback is allowed.
    pub insecure_http: bool,
}

/// Client authentication at a token endpoint (RFC 6749 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// Id and secret in the body.
    ClientSecretPost,
    /// Id and secret in `Authorization: Basic`, each form-encoded.
    ClientSecretBasic,
}

/// `[[egress_targets]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTarget {
    /// Its name: the first path segment on the egress listener.
    pub name: Arc<str>,
    /// Where it is; its path is put before the request's.
    pub url: Url,
    /// Names of credential sources; the first that has something is used.
    pub credentials: Vec<Arc<str>>,
    /// Whether the user behind the call (known by `X-Auth-Handle`) is stated in identity headers.
    pub forward_user: bool,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time to the response head.
    pub timeout: Duration,
}

/// `[request_id] trust`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestIdTrust {
    /// Only from `trusted_proxies`.
    TrustedProxies,
    /// From everyone.
    Any,
}

/// `[errors]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// Body format where `Accept` does not choose one.
    pub format: ErrorFormat,
    /// Whether the reason code goes into the body.
    pub expose_reason: bool,
    /// `realm` of the challenge.
    pub realm: HeaderValue,
}

/// How an error body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// RFC 9457 with the extension members `error_code` and `message`.
    Problem,
    /// `{"errors": [{"status": "401", …}]}`
    JsonApi,
    /// `{"error": "…"}`
    Simple,
    /// `{"detail": "…"}`
    Detail,
}

/// `[client]`: the outgoing HTTP client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Proxy for key sets and token endpoints.
    pub proxy: Option<Url>,
    /// Hosts that bypass it.
    pub no_proxy: Vec<String>,
    /// Further trusted roots, PEM.
    pub extra_ca_file: Option<PathBuf>,
}

/// `[shutdown]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Time for requests in flight after the listeners closed.
    pub grace: Duration,
    /// Time between "not ready" and closing the listeners.
    pub pre_drain: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub level: String,
    /// `json` or `text`, for events; the request line is always JSON.
    pub json: bool,
    /// Whether each request writes its line.
    pub requests: bool,
}

/// Something legal that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key, as a dotted path.
    pub key: String,
    /// What is odd.
    pub message: String,
}
