//! Rule cases (`gatepost test`): a file of requests and what must be decided on each, read as the
//! configuration is: every error at once, with file, line, column, key and fix.

mod raw;
mod resolve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;

use self::resolve::Resolver;
use super::error::KeyPath;
use super::{Config, ConfigError, ConfigErrors, SourceFile, beside, schema};
use crate::authn::Principal;
use crate::clock::UnixTime;
use crate::secret::Secret;

/// A file of cases.
#[derive(Debug)]
pub struct CaseFile {
    /// What it is called in messages.
    pub name: String,
    /// A JWK Set for every issuer whose keys are not on this machine.
    pub jwks: Option<PathBuf>,
    /// The cases, at least one.
    pub cases: Vec<Case>,
}

/// A request, and what must be decided on it.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its number in the file, from 0.
    pub number: usize,
    /// Line and column in the file, from 1.
    pub place: (usize, usize),
    /// The method.
    pub method: Method,
    /// The path; a query is ignored.
    pub path: String,
    /// The host.
    pub host: String,
    /// The headers, without the credential.
    pub headers: HeaderMap,
    /// What is presented.
    pub credential: Credential,
    /// When; `None`: now.
    pub now: Option<UnixTime>,
    /// The decision.
    pub expected: Expected,
    /// The route that decides; `None`: any.
    pub route: Option<String>,
    /// What the upstream is told; an empty text: nothing under that name.
    pub told: Vec<(HeaderName, String)>,
}

/// What a case presents.
#[derive(Debug)]
pub enum Credential {
    /// Nothing but the request's own headers.
    None,
    /// A valid credential of this principal: supposed, not verified.
    Principal(Arc<Principal>),
    /// This bearer token.
    Token(Secret),
    /// The bearer token in this file.
    TokenFile(PathBuf),
}

/// What must be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The request is let through by the rule, not by shadow mode.
    Allow,
    /// It is refused for this reason.
    Deny(&'static str),
}

/// As a case writes it.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny(reason) => write!(f, "deny:{reason}"),
        }
    }
}

impl CaseFile {
    /// Reads the cases of a file about this configuration. On error, everything that is wrong with it.
    pub fn load(file: &SourceFile, config: &Config) -> Result<Self, ConfigErrors> {
        let folder = file.path.as_ref().and_then(|path| path.parent());
        let (jwks, cases) = beside::read(
            &file.name,
            &file.text,
            case_schema(),
            |clean, located, mistakes| {
                let resolver = Resolver {
                    mistakes,
                    located,
                    config,
                    folder: folder.unwrap_or_else(|| std::path::Path::new("")),
                };
                resolver.resolve(clean)
            },
        )?;
        let name = file.name.clone();
        Ok(Self { name, jwks, cases })
    }

    /// An error about this key of a case, or of the file: it cannot be judged.
    #[must_use]
    pub fn error(
        &self,
        case: Option<&Case>,
        key: &str,
        message: String,
        fix: &str,
    ) -> ConfigErrors {
        let path = case.map_or_else(KeyPath::default, |case| {
            KeyPath::of(&["cases"]).index(case.number)
        });
        ConfigErrors(vec![ConfigError {
            file: Some(self.name.clone()),
            variable: None,
            line: case.map(|case| case.place.0),
            column: case.map(|case| case.place.1),
            key: path.key(key).to_string(),
            message,
            fix: fix.to_owned(),
        }])
    }
}

fn case_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema::of::<raw::CaseFile>("Gatepost rule cases"));
    &SCHEMA
}
