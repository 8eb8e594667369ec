//! Raw → resolved: names are looked up, rules that span keys are checked, and everything that is
//! wrong is noted before giving up.

mod accepts;
mod alb;
mod aws;
mod basic;
mod cors;
mod credentials;
mod deny_list;
mod egress;
mod forward;
mod graph;
mod identity;
mod issuers;
mod kinds;
mod login;
mod mappings;
mod memberships;
mod opaque;
mod planes;
mod redis;
mod routes;
mod servers;
mod sql;
mod tls;
mod userinfo;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub(super) use self::planes::Planes;
use super::error::{KeyPath, Mistakes, did_you_mean};
use super::raw::{self, Part, Raw};
use super::settings::Warning;
use super::{AwsKeySource, Config, ConfigErrors, MembershipStore, lint};
use crate::authn::Issuer;
use crate::clock::UnixTime;
use crate::secret::{Secret, SecretSource};

/// What resolution needs beside the raw values.
#[derive(Debug)]
pub(super) struct Resolver<'r> {
    /// Everything wrong so far.
    pub(super) mistakes: &'r mut Mistakes,
    /// The environment, for `{ env = "NAME" }`.
    pub(super) environment: &'r BTreeMap<String, String>,
    /// Names as written, resolved or not: a table with a mistake in it is still not unknown.
    pub(super) names: Names,
    /// What `check` warns of.
    pub(super) warnings: Vec<Warning>,
    /// Files to watch.
    pub(super) watched: Vec<PathBuf>,
    /// What certificates are judged by.
    pub(super) now: UnixTime,
    /// Where the process's own AWS keys are, once something needs them.
    pub(super) aws: Option<AwsKeySource>,
    /// The issuers that could be resolved.
    pub(super) issuers: BTreeMap<String, Arc<Issuer>>,
    /// Tenants whose directory is asked for groups.
    pub(super) graphs: Vec<graph::Graph>,
    /// The stores of memberships, as far as they could be resolved: routes ask what they keep.
    pub(super) memberships: Vec<MembershipStore>,
}

/// Declared names, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) issuers: Vec<String>,
    /// Those of them that are load balancers.
    pub(super) alb: Vec<String>,
    /// Those of them that are asked about their tokens.
    pub(super) opaque: Vec<String>,
    pub(super) mappings: Vec<String>,
    pub(super) upstreams: Vec<String>,
    pub(super) credentials: Vec<String>,
    pub(super) memberships: Vec<String>,
    /// Those of them that sign requests.
    pub(super) signing: Vec<String>,
    /// Those of them that make their credential from a user's token.
    pub(super) of_users: Vec<String>,
}

impl Names {
    /// The names in the merged value; `order` says how the file orders a table's keys.
    pub(super) fn of(merged: &Value, order: impl Fn(&str) -> Vec<String>) -> Self {
        let names = |table: &str| {
            let order = order(table);
            let mut names: Vec<String> = merged
                .get(table)
                .and_then(Value::as_object)
                .map(|table| table.keys().cloned().collect())
                .unwrap_or_default();
            names.sort_by_key(|name| {
                order
                    .iter()
                    .position(|known| known == name)
                    .unwrap_or(usize::MAX)
            });
            names
        };
        let of_kind = |kinds: &[&str]| {
            let mut names = names("issuers");
            names.retain(|name| {
                let kind = merged.pointer(&format!("/issuers/{}/kind", escaped(name)));
                let kind = kind.and_then(Value::as_str);
                kind.is_some_and(|kind| kinds.contains(&kind))
            });
            names
        };
        Self {
            alb: of_kind(&["alb"]),
            opaque: of_kind(&["introspection", "remote"]),
            issuers: names("issuers"),
            mappings: names("mappings"),
            upstreams: names("upstreams"),
            credentials: names("credentials"),
            memberships: names("memberships"),
            signing: Vec::new(),
            of_users: Vec::new(),
        }
    }
}

impl Resolver<'_> {
    /// Resolves everything. `None` only if a mistake was noted.
    pub(super) fn resolve(mut self, raw: Raw, redacted: Value) -> Option<Config> {
        let mappings = self.mappings(raw.mappings);
        let issuers = self.issuers(raw.issuers, &mappings);
        self.issuers = issuers
            .iter()
            .map(|known| (known.issuer.name.to_string(), Arc::clone(&known.issuer)))
            .collect();
        let upstreams = self.upstreams(raw.upstreams);
        let credentials = self.credentials(raw.credentials);
        self.memberships = self.memberships(raw.memberships);
        let (routes, keys) = self.routes(raw.routes);
        self.issuers_apart(&routes, &keys);
        let planes = self.planes(
            raw.ingress,
            raw.forward_auth,
            raw.egress,
            raw.admin,
            raw.health,
            &routes,
            !raw.egress_targets.is_empty(),
        );
        let egress_targets = self.egress_targets(raw.egress_targets);
        let redis = raw.redis.and_then(|redis| self.redis(redis));
        let deny_list = raw
            .deny_list
            .and_then(|list| self.deny_lists(list, redis.as_ref()));
        let jwks = self.jwks(raw.jwks, raw.readiness);
        let token_cache = self.part(raw.token_cache, &KeyPath::of(&["token_cache"]));
        let identity = self.part(raw.identity, &KeyPath::of(&["identity"]));
        if let Some(identity) = &identity {
            self.identity(identity);
        }
        let request_id = self.part(raw.request_id, &KeyPath::of(&["request_id"]));
        let errors = self.part(raw.errors, &KeyPath::of(&["errors"]));
        let errors = errors.map(planes::errors);
        let has_basic = raw.basic.is_some();
        let realm = errors.as_ref().map(|errors| &errors.realm);
        let basic = raw.basic.and_then(|basic| self.basic_users(basic, realm));
        self.passwords(&routes, &keys, has_basic);
        let has_ingress = planes
            .as_ref()
            .is_none_or(|planes| planes.ingress.is_some());
        let login = raw.login.and_then(|login| self.login(login, has_ingress));
        let client = self.client(raw.client);
        let shutdown = self.part(raw.shutdown, &KeyPath::of(&["shutdown"]));
        let log = self.part(raw.log, &KeyPath::of(&["log"]));
        if let Some(planes) = &planes {
            self.client_certificates(&routes, &keys, planes);
        }
        lint::routes(&routes, &keys, planes.as_ref(), &mut self.warnings);
        lint::users(
            &egress_targets,
            &credentials,
            planes.as_ref(),
            &mut self.warnings,
        );
        let table = self.table(routes, &keys);
        if !self.mistakes.found.is_empty() {
            return None;
        }
        let (planes, identity, token_cache) = (planes?, identity?, token_cache?);
        let strip = identity.strip.iter().map(|name| name.0.clone()).collect();
        Some(Config {
            file: None,
            watched: self.watched,
            workers: raw
                .workers
                .and_then(|count| NonZeroUsize::new(count.into())),
            ingress: planes.ingress,
            forward_auth: planes.forward_auth,
            egress: planes.egress,
            admin: planes.admin,
            health: planes.health,
            issuers,
            upstreams,
            routes: table?,
            memberships: self.memberships,
            credentials,
            basic,
            login,
            aws: self.aws,
            egress_targets,
            redis,
            deny_list,
            jwks: jwks?,
            token_cache: super::TokenCache {
                max_entries: usize::try_from(token_cache.max_entries).unwrap_or(usize::MAX),
                max_bytes: usize::try_from(token_cache.max_bytes.0.0).unwrap_or(usize::MAX),
            },
            identity_lists: match identity.lists {
                raw::Lists::Comma => crate::authz::identity::ListFormat::Comma,
                raw::Lists::Json => crate::authz::identity::ListFormat::Json,
            },
            identity: identity::names(identity),
            strip,
            request_id_trust: match request_id?.trust {
                raw::Trust::TrustedProxies => super::RequestIdTrust::TrustedProxies,
                raw::Trust::Any => super::RequestIdTrust::Any,
            },
            errors: errors?,
            client: client?,
            shutdown: shutdown.map(|shutdown| super::Shutdown {
                grace: shutdown.grace.0,
                pre_drain: shutdown.pre_drain.0,
            })?,
            log: log.map(|log| super::Log {
                level: log.level.0.0,
                json: log.format == raw::LogFormat::Json,
                requests: log.requests,
            })?,
            warnings: self.warnings,
            redacted,
        })
    }

    /// A table, if it could be read. If not, that was noted.
    fn part<T>(&mut self, part: Part<T>, path: &KeyPath) -> Option<T> {
        match part.0 {
            Ok(table) => Some(table),
            Err(message) => {
                if !self.mistakes.within(path) {
                    self.mistakes
                        .push(path, message, "compare it with `gatepost schema`");
                }
                None
            }
        }
    }

    /// Notes what deserves a second look.
    fn warn(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.warnings.push(Warning {
            key: path.to_string(),
            message: message.into(),
        });
    }

    /// Whether a name is declared; a mistake with a suggestion if not.
    fn declared(&mut self, what: &str, known: Known, name: &str, path: &KeyPath) -> bool {
        let names = match known {
            Known::Upstream => &self.names.upstreams,
            Known::Issuer => &self.names.issuers,
            Known::Credential => &self.names.credentials,
            Known::Mapping => &self.names.mappings,
            Known::Memberships => &self.names.memberships,
        };
        if names.iter().any(|known| known == name) {
            return true;
        }
        let (_, mut fix) = did_you_mean(name, names.iter().map(String::as_str));
        if names.is_empty() {
            fix = format!("add a table [{what}.{name}]");
        }
        self.mistakes
            .push(path, format!("there is no [{what}.{name}]"), fix);
        false
    }

    /// Where a secret is, and the secret if it is on this machine: then it can be loaded now.
    fn secret(
        &mut self,
        secret: &raw::Secret,
        path: &KeyPath,
    ) -> Option<(SecretSource, Option<Secret>)> {
        match secret {
            raw::Secret::Env(name) => {
                // the injected environment, not the process's: a test may hold another
                let Some(value) = self.environment.get(name).filter(|value| !value.is_empty())
                else {
                    self.mistakes.push(
                        &path.key("env"),
                        format!("environment variable {name} is not set, or empty"),
                        format!("set {name}, or name another variable"),
                    );
                    return None;
                };
                let secret = Secret::new(value.clone());
                Some((SecretSource::Env(name.clone()), Some(secret)))
            }
            raw::Secret::File(file) => {
                self.watched.push(file.clone());
                let source = SecretSource::File(file.clone());
                match source.load() {
                    Ok(secret) => Some((source, Some(secret))),
                    Err(error) => {
                        self.mistakes.push(
                            &path.key("file"),
                            error.to_string(),
                            "make the file readable for this process, with the secret in it",
                        );
                        None
                    }
                }
            }
            raw::Secret::Literal(secret) => {
                self.warn(path, "a secret stands in the configuration itself");
                let source = SecretSource::Literal(secret.clone());
                Some((source, Some(secret.clone())))
            }
            raw::Secret::Aws { id, json_key } => {
                let source = self.aws_secret(id, json_key.as_deref(), path)?;
                Some((source, None))
            }
            raw::Secret::Unclear => {
                if !self.mistakes.within(path) {
                    self.mistakes.push(
                        path,
                        "one place only",
                        "keep one of env, file, insecure_literal and aws_secret; json_key stands \
                         beside aws_secret",
                    );
                }
                None
            }
        }
    }

    /// A secret that must be on this machine: it is needed before anybody may be asked.
    fn secret_here(
        &mut self,
        secret: &raw::Secret,
        path: &KeyPath,
    ) -> Option<(SecretSource, Secret)> {
        let (source, secret) = self.secret(secret, path)?;
        if secret.is_none() {
            self.mistakes.push(
                &path.key("aws_secret"),
                "this secret is needed at start, and not fetched from AWS",
                "write { env = \"NAME\" }, which ECS fills from Secrets Manager, or { file = \"…\" }",
            );
        }
        Some((source, secret?))
    }

    /// The issuer of this number, if it could be resolved.
    fn issuer_of(&self, number: usize) -> Option<&Issuer> {
        let issuer = self.issuers.get(self.names.issuers.get(number)?)?;
        Some(issuer)
    }

    /// A file that must be readable, watched from now on.
    fn file(&mut self, file: &Path, path: &KeyPath) -> Option<Vec<u8>> {
        self.watched.push(file.to_owned());
        match std::fs::read(file) {
            Ok(content) => Some(content),
            Err(error) => {
                self.mistakes.push(
                    path,
                    format!("cannot read {}: {error}", file.display()),
                    "make the file readable for this process",
                );
                None
            }
        }
    }

    /// The text of such a file.
    fn text_file(&mut self, file: &Path, path: &KeyPath) -> Option<String> {
        match String::from_utf8(self.file(file, path)?) {
            Ok(text) => Some(text),
            Err(_bytes) => {
                let message = format!("{} is not UTF-8", file.display());
                self.mistakes.push(path, message, "write it in UTF-8");
                None
            }
        }
    }

    /// What a file beside this one holds; its mistakes are this key's, each with its own place.
    fn beside<T>(&mut self, read: Result<T, ConfigErrors>, path: &KeyPath) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(errors) => {
                for error in errors.0 {
                    let (place, fix) = (error.what(), error.fix);
                    self.mistakes.push(path, place, fix);
                }
                None
            }
        }
    }

    /// Keys and credentials do not travel in the clear, except over loopback or where that was
    /// asked for by name.
    fn guarded(&mut self, is_guarded: bool, insecure_http: bool, path: &KeyPath) {
        if is_guarded {
            return;
        }
        if insecure_http {
            self.warn(
                path,
                "insecure_http: whoever is on the way can read and change this",
            );
        } else {
            self.mistakes.push(
                path,
                "plain http:// to another host carries keys or credentials in the clear",
                "write https://, or add insecure_http = true to this table",
            );
        }
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Which list of names.
#[derive(Clone, Copy)]
enum Known {
    Upstream,
    Issuer,
    Credential,
    Mapping,
    Memberships,
}
