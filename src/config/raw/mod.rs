//! The configuration as written. Doc comments here become descriptions in the schema.

mod credentials;
mod deny_list;
mod egress;
mod issuers;
mod login;
mod mappings;
mod memberships;
mod passwords;
mod planes;
mod redis;
mod routes;
mod tls;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::forms::{LogLevel, NonEmpty, OptionalHeader, Positive, Realm, Size, Text};

pub(super) use self::credentials::*;
pub(super) use self::deny_list::*;
pub(super) use self::egress::*;
pub(super) use self::issuers::*;
pub(super) use self::login::*;
pub(super) use self::mappings::*;
pub(super) use self::memberships::*;
pub(super) use self::passwords::*;
pub(super) use self::planes::*;
pub(super) use self::redis::*;
pub(super) use self::routes::*;
pub(super) use self::tls::*;

/// Gatepost's configuration. Durations and sizes are strings with a unit.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Raw {
    /// Whether `/readyz` waits for the first keys of each required issuer.
    pub(super) readiness: Readiness,
    /// Threads that serve connections. Without it one for each core the process may use.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) workers: Option<u16>,
    /// The reverse proxy. Starts once a route has an `upstream`.
    #[serde(default)]
    pub(super) ingress: Part<Ingress>,
    /// Answers other proxies' questions. Starts if this table is present.
    pub(super) forward_auth: Option<Part<ForwardAuth>>,
    /// The app's way out. Starts if this table is present.
    pub(super) egress: Option<Part<Egress>>,
    /// `/jwks /status /config`, on loopback only.
    #[serde(default)]
    pub(super) admin: Part<Admin>,
    /// `/livez /readyz /metrics`
    #[serde(default)]
    pub(super) health: Part<Health>,
    /// Whose tokens are accepted.
    #[serde(default)]
    pub(super) issuers: BTreeMap<String, Part<Issuer>>,
    /// What their names mean here.
    #[serde(default)]
    pub(super) mappings: BTreeMap<String, Part<Mapping>>,
    /// Where requests go.
    #[serde(default)]
    pub(super) upstreams: BTreeMap<String, Part<Upstream>>,
    /// Which requests are let through, and for whom.
    #[serde(default)]
    pub(super) routes: Vec<Part<Route>>,
    /// Where groups, roles and permissions are kept that tokens do not carry.
    #[serde(default)]
    pub(super) memberships: BTreeMap<String, Part<Memberships>>,
    /// Credential sources for egress targets and `authorization = { replace = … }`.
    #[serde(default)]
    pub(super) credentials: BTreeMap<String, Part<Credential>>,
    /// User names and passwords, for routes whose `auth` names `basic`.
    pub(super) basic: Option<Part<Passwords>>,
    /// Takes user name and password as JSON on ingress. Off if absent.
    pub(super) login: Option<Part<Login>>,
    /// Where the app may go through egress.
    #[serde(default)]
    pub(super) egress_targets: Vec<Part<EgressTarget>>,
    /// Where a fleet shares tokens. Used if this table is present.
    pub(super) redis: Option<Part<Redis>>,
    /// Credentials that must not be taken any more.
    pub(super) deny_list: Option<Part<DenyList>>,
    /// The key engine.
    pub(super) jwks: Part<Jwks>,
    /// The verified-token cache.
    pub(super) token_cache: Part<TokenCache>,
    /// Names of the identity headers. `""` stops writing one; clients can never set it.
    pub(super) identity: Part<Identity>,
    /// Request ids.
    pub(super) request_id: Part<RequestId>,
    /// Error responses.
    pub(super) errors: Part<Errors>,
    /// The outgoing HTTP client, for key sets and token endpoints.
    #[serde(default)]
    pub(super) client: Part<Client>,
    /// Shutdown.
    pub(super) shutdown: Part<Shutdown>,
    /// The log.
    pub(super) log: Part<Log>,
}

/// A table that may be unreadable without hiding mistakes elsewhere; then it says why.
#[derive(Debug)]
pub(super) struct Part<T>(pub(super) Result<T, String>);

impl<T: Default> Default for Part<T> {
    fn default() -> Self {
        Self(Ok(T::default()))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(
            serde_json::from_value(value).map_err(|error| error.to_string()),
        ))
    }
}

impl<T: JsonSchema> JsonSchema for Part<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list that asks or grants something: never empty.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": generator.subschema_for::<T>(),
            "minItems": 1
        })
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(Text<NonEmpty>),
    /// Several.
    Many(List<Text<NonEmpty>>),
}

impl OneOrMany {
    /// As a list.
    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.0.0.clone()],
            Self::Many(many) => texts(&many.0),
        }
    }
}

/// The texts of a list.
pub(super) fn texts(list: &[Text<NonEmpty>]) -> Vec<String> {
    list.iter().map(|text| text.0.0.clone()).collect()
}

/// Where a secret is kept: exactly one of `env`, `file` and `insecure_literal`.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
    /// The secret itself.
    Literal(crate::secret::Secret),
    /// AWS Secrets Manager.
    Aws {
        /// ARN or name.
        id: String,
        /// A member of its JSON.
        json_key: Option<String>,
    },
    /// Not one place.
    Unclear,
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "env": generator.subschema_for::<Text<NonEmpty>>(),
                "file": generator.subschema_for::<Text<NonEmpty>>(),
                "insecure_literal": generator.subschema_for::<Text<NonEmpty>>(),
                "aws_secret": generator.subschema_for::<Text<NonEmpty>>(),
                "json_key": generator.subschema_for::<Text<NonEmpty>>(),
            },
            "additionalProperties": false,
            "minProperties": 1,
            "examples": [{ "env": "NAME" }]
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Keys {
            env: Option<String>,
            file: Option<PathBuf>,
            insecure_literal: Option<String>,
            aws_secret: Option<String>,
            json_key: Option<String>,
        }
        let keys = Keys::deserialize(deserializer)?;
        let places = (keys.env, keys.file, keys.insecure_literal, keys.aws_secret);
        Ok(match (places, keys.json_key) {
            ((Some(name), None, None, None), None) => Self::Env(name),
            ((None, Some(path), None, None), None) => Self::File(path),
            ((None, None, Some(text), None), None) => {
                Self::Literal(crate::secret::Secret::new(text))
            }
            ((None, None, None, Some(id)), json_key) => Self::Aws { id, json_key },
            _several => Self::Unclear,
        })
    }
}

/// Readiness.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Readiness {
    Strict,
    Lenient,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Jwks {
    /// Time between two scheduled fetches.
    pub(super) refresh_interval: Text<Positive>,
    /// How long keys are used without a successful fetch.
    pub(super) max_stale: Text<Positive>,
    /// Time after which the budget for unknown `kid`s regains one fetch.
    pub(super) unknown_kid_cooldown: Text<Positive>,
    /// Deadline of one fetch.
    pub(super) fetch_timeout: Text<Positive>,
    /// Where key sets are kept, for a restart while an issuer is down.
    pub(super) snapshot_dir: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TokenCache {
    /// Most verified tokens kept.
    #[schemars(range(min = 1))]
    pub(super) max_entries: u32,
    /// Most bytes they may hold together.
    pub(super) max_bytes: Text<Size>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Identity {
    pub(super) user_id: Text<OptionalHeader>,
    pub(super) request_id: Text<OptionalHeader>,
    pub(super) tenant_id: Text<OptionalHeader>,
    pub(super) user_name: Text<OptionalHeader>,
    pub(super) user_email: Text<OptionalHeader>,
    pub(super) user_groups: Text<OptionalHeader>,
    pub(super) user_roles: Text<OptionalHeader>,
    pub(super) user_permissions: Text<OptionalHeader>,
    pub(super) issuer: Text<OptionalHeader>,
    pub(super) client_id: Text<OptionalHeader>,
    pub(super) principal_kind: Text<OptionalHeader>,
    /// How groups, roles and permissions stand in one header.
    pub(super) lists: Lists,
    /// Further client headers no route passes on, in every spelling.
    pub(super) strip: Vec<Text<HeaderName>>,
}

impl Identity {
    /// Each part of a principal with its header.
    pub(super) fn names(&self) -> [(&'static str, &Text<OptionalHeader>); 11] {
        [
            ("user_id", &self.user_id),
            ("request_id", &self.request_id),
            ("tenant_id", &self.tenant_id),
            ("user_name", &self.user_name),
            ("user_email", &self.user_email),
            ("user_groups", &self.user_groups),
            ("user_roles", &self.user_roles),
            ("user_permissions", &self.user_permissions),
            ("issuer", &self.issuer),
            ("client_id", &self.client_id),
            ("principal_kind", &self.principal_kind),
        ]
    }
}

/// `identity.lists`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lists {
    Comma,
    Json,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RequestId {
    /// Whose `X-Request-ID` is kept.
    pub(super) trust: Trust,
}

/// `request_id.trust`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Trust {
    TrustedProxies,
    Any,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Errors {
    /// Body format where `Accept` does not choose one.
    pub(super) format: Format,
    /// Whether clients see the reason code.
    pub(super) expose_reason: bool,
    /// `realm` of the challenge.
    pub(super) realm: Text<Realm>,
}

/// `errors.format`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Problem,
    JsonApi,
    Simple,
    Detail,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct Client {
    /// Proxy for key sets and token endpoints.
    pub(super) proxy: Option<Text<Url>>,
    /// Hosts that bypass it.
    #[serde(default)]
    pub(super) no_proxy: Vec<Text<NonEmpty>>,
    /// Further trusted roots, PEM.
    pub(super) extra_ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Shutdown {
    /// Time for requests in flight after the listeners closed.
    pub(super) grace: Text<Duration>,
    /// Time between "not ready" and closing the listeners.
    pub(super) pre_drain: Text<Duration>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Log {
    /// A level, or directives such as `info,gatepost::client=debug`.
    pub(super) level: Text<LogLevel>,
    /// How events are written; the request line is always JSON.
    pub(super) format: LogFormat,
    /// Whether each request writes its line.
    pub(super) requests: bool,
}

/// `log.format`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum LogFormat {
    Json,
    Text,
}
