//! Configuration: compiled-in `config/default.toml` → file → `GATEPOST__SECTION__KEY` → [`Config`].
//!
//! Two types: `raw` mirrors the TOML as written; [`Config`] holds only valid states, as meant.
//! Every error is reported at once, with file, line, column, key and the fix.

mod aws;
mod basic;
mod beside;
mod cases;
mod credentials;
mod deny_list;
mod environment;
mod error;
mod forms;
mod issuers;
mod later;
mod layers;
mod link_local;
mod lint;
mod locate;
mod login;
mod memberships;
mod planes;
mod raw;
mod redis;
mod resolve;
mod schema;
mod servers;
mod settings;
mod sources;
pub mod sql;
mod targets;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use http::HeaderName;
use serde_json::Value;
use url::{Host, Url};

use self::error::{KeyPath, Mistakes};
use self::layers::Layer;
use self::locate::Located;
use self::resolve::{Names, Resolver};
use crate::authz::RouteTable;
use crate::authz::identity::ListFormat;
use crate::request::IdentityNames;

pub use self::aws::*;
pub use self::basic::*;
pub use self::cases::*;
pub use self::credentials::*;
pub use self::deny_list::{DenyLists, SharedDenyList, denied_in_json};
pub use self::error::{ConfigError, ConfigErrors};
pub use self::issuers::*;
pub use self::link_local::is_link_local;
pub use self::login::*;
pub use self::memberships::{
    GraphMemberships, HttpMemberships, Keeps, LookUps, MembershipKind, MembershipStore, Parameter,
    SqlMemberships, UrlTemplate,
};
pub use self::planes::*;
pub use self::redis::*;
pub use self::schema::schema;
pub use self::servers::*;
pub use self::settings::*;
pub use self::sources::{SourceFile, Sources};
pub use self::targets::*;

/// Everything Gatepost was told, checked and resolved.
#[derive(Debug)]
pub struct Config {
    /// The file it came from; `None` for environment only.
    pub file: Option<PathBuf>,
    /// Files whose change means a reload: the config itself, secrets, keys.
    pub watched: Vec<PathBuf>,
    /// Threads that serve connections; `None`: one for each core the process may use.
    pub workers: Option<NonZeroUsize>,
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
    /// Stores of memberships, in the order of the file. Routes name them by index.
    pub memberships: Vec<MembershipStore>,
    /// Credential sources.
    pub credentials: Vec<CredentialSource>,
    /// Whose passwords are taken; present if its table is.
    pub basic: Option<Basic>,
    /// Whom logins are handed on to; present if its table is.
    pub login: Option<Login>,
    /// Where the process's own AWS keys come from, if anything needs them.
    pub aws: Option<AwsKeySource>,
    /// Egress targets.
    pub egress_targets: Vec<EgressTarget>,
    /// Where a fleet shares tokens; present if its table is.
    pub redis: Option<Redis>,
    /// Who must not be let in any more; present if its table is.
    pub deny_list: Option<DenyLists>,
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
    pub redacted: Value,
}

impl Config {
    /// Every listener by name; `None` for a plane that does not start.
    #[must_use]
    pub fn listeners(&self) -> [(&'static str, Option<&Listener>); 5] {
        let ingress = self.ingress.as_ref().map(|plane| &plane.listener);
        let forward_auth = self.forward_auth.as_ref().map(|plane| &plane.listener);
        let egress = self.egress.as_ref().map(|plane| &plane.listener);
        [
            ("ingress", ingress),
            ("forward_auth", forward_auth),
            ("egress", egress),
            ("admin", Some(&self.admin)),
            ("health", Some(&self.health)),
        ]
    }
}

/// Merges, checks and resolves. On error, everything that is wrong.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let mut mistakes = Mistakes::default();
    let located = match &sources.file {
        Some(file) => match Located::parse(&file.text) {
            Ok(located) => Some(located),
            Err(broken) => return Err(broken.of(&file.name)),
        },
        None => None,
    };
    let known = match &sources.file {
        Some(_) => environment::Known::default(),
        None => environment::read(&sources.environment, &mut mistakes),
    };
    let written = match &sources.file {
        Some(file) => Layer::Text(&file.text),
        None => Layer::Tree(&known.tree),
    };
    let merged = layers::merge(&written, &Value::Null);
    let under = merged.as_ref().unwrap_or(&Value::Null);
    let overrides = layers::overrides(&sources.environment, under, &mut mistakes);
    let merged = match layers::merge(&written, &overrides.tree) {
        Ok(merged) => merged,
        Err(error) => {
            let fix = "write dates as strings, and keep numbers within 64 bits";
            mistakes.push(&KeyPath::default(), error.to_string(), fix);
            Value::Null
        }
    };
    let clean = walk::walk(&merged, &mut mistakes);
    let order = |table: &str| {
        located
            .as_ref()
            .map(|located| located.order(table))
            .unwrap_or_default()
    };
    let config = match serde_json::from_value::<raw::Raw>(clean) {
        Ok(raw) => {
            let resolver = Resolver {
                mistakes: &mut mistakes,
                environment: &sources.environment,
                names: Names::of(&merged, order),
                warnings: known.warnings,
                watched: sources
                    .file
                    .iter()
                    .filter_map(|file| file.path.clone())
                    .collect(),
                now: sources.now,
                aws: None,
                issuers: BTreeMap::new(),
                graphs: Vec::new(),
                memberships: Vec::new(),
            };
            resolver.resolve(raw, redact(&merged))
        }
        Err(error) => {
            if mistakes.found.is_empty() {
                let fix = "compare it with `gatepost schema`";
                mistakes.push(&KeyPath::default(), error.to_string(), fix);
            }
            None
        }
    };
    match config {
        Some(config) if mistakes.found.is_empty() => Ok(Config {
            file: sources.file.as_ref().and_then(|file| file.path.clone()),
            ..config
        }),
        _wrong => Err(mistakes.placed(
            sources.file.as_ref().map(|file| file.name.as_str()),
            located.as_ref(),
            &[&known.variables, &overrides.variables],
        )),
    }
}

/// Whether a URL's host is this machine by name or number.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| is_loopback_host(&host))
}

fn is_loopback_host<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Whether nobody on the way can read what is sent to this URL.
fn is_guarded(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

/// The merged value with every secret's text replaced.
fn redact(value: &Value) -> Value {
    match value {
        Value::Object(table) => table
            .iter()
            .map(|(key, value)| {
                let shown = if key == "insecure_literal" {
                    Value::from("***")
                } else {
                    redact(value)
                };
                (key.clone(), shown)
            })
            .collect(),
        Value::Array(list) => list.iter().map(redact).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
