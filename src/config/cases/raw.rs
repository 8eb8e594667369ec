//! Rule cases as written.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Expected;
use crate::clock::UnixTime;
use crate::config::forms::{NonEmpty, Text, Token};
use crate::config::raw::{OneOrMany, Principal as Kind};

/// A whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct CaseFile {
    /// A JWK Set to verify tokens with, in place of the issuers' own.
    pub(super) jwks: Option<Text<NonEmpty>>,
    /// The time to decide at.
    pub(super) now: Option<Text<UnixTime>>,
    /// The cases, each read for itself.
    #[serde(default)]
    #[schemars(with = "Vec<Case>")]
    pub(super) cases: Vec<Value>,
}

/// One `[[cases]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Case {
    /// What it shows.
    pub(super) name: Text<NonEmpty>,
    /// What is asked.
    pub(super) request: Request,
    /// Whose valid credential is supposed.
    pub(super) principal: Option<Principal>,
    /// A token to verify.
    pub(super) token: Option<Text<Token>>,
    /// A file with one.
    pub(super) token_file: Option<Text<NonEmpty>>,
    /// The time to decide at.
    pub(super) now: Option<Text<UnixTime>>,
    /// `allow`, or `deny:` and the reason.
    pub(super) expect: Text<Expected>,
    /// Which route decides.
    pub(super) route: Option<Text<NonEmpty>>,
    /// What the upstream is told; `""` for nothing.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Request {
    pub(super) method: Option<Text<Method>>,
    #[schemars(extend("examples" = ["/orders/17"]))]
    pub(super) path: Text<NonEmpty>,
    pub(super) host: Option<Text<NonEmpty>>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, OneOrMany>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Principal {
    /// Name of an `[issuers.X]` table, or `mtls`.
    pub(super) issuer: Text<NonEmpty>,
    pub(super) kind: Option<Kind>,
    pub(super) user_id: Option<Text<NonEmpty>>,
    pub(super) tenant_id: Option<Text<NonEmpty>>,
    pub(super) client_id: Option<Text<NonEmpty>>,
    pub(super) name: Option<Text<NonEmpty>>,
    pub(super) email: Option<Text<NonEmpty>>,
    pub(super) groups: Option<Names>,
    pub(super) roles: Option<Names>,
    pub(super) permissions: Option<Names>,
    #[serde(default)]
    pub(super) scopes: Vec<Text<NonEmpty>>,
    #[serde(default)]
    pub(super) claims: Map<String, Value>,
}

/// A list, or `"unresolved"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Names {
    /// The token says that they are elsewhere.
    Unresolved(UnresolvedWord),
    /// These.
    Known(Vec<Text<NonEmpty>>),
}

/// `"unresolved"`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum UnresolvedWord {
    Unresolved,
}
