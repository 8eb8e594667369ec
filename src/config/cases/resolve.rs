//! Cases as written → as meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::raw;
use super::{Case, Credential};
use crate::authn::certificate::ISSUER;
use crate::authn::claims::Claims;
use crate::authn::principal::{Names, Principal, PrincipalKind};
use crate::clock::UnixTime;
use crate::config::Config;
use crate::config::error::{KeyPath, Mistakes, did_you_mean};
use crate::config::forms::{Form as _, NonEmpty, Text};
use crate::config::locate::Located;
use crate::config::raw::{OneOrMany, Principal as Kind, texts};

/// Who a principal is if the case does not say.
const SOMEBODY: &str = "test-user";

pub(super) struct Resolver<'r> {
    pub(super) mistakes: &'r mut Mistakes,
    pub(super) located: &'r Located<'r>,
    pub(super) config: &'r Config,
    /// Paths begin here.
    pub(super) folder: &'r Path,
}

impl Resolver<'_> {
    /// The JWK Set and the cases that are right.
    pub(super) fn resolve(mut self, clean: Value) -> (Option<PathBuf>, Vec<Case>) {
        // a file that is no table at all was said to be wrong
        let file: raw::CaseFile = serde_json::from_value(clean).unwrap_or_default();
        let root = KeyPath::of(&["cases"]);
        if file.cases.is_empty() && self.mistakes.found.is_empty() {
            let fix = "write [[cases]] with name, request and expect";
            self.mistakes
                .push(&root, "no cases: this would test nothing", fix);
        }
        let mut cases = Vec::new();
        for (number, case) in file.cases.into_iter().enumerate() {
            let path = root.index(number);
            // one by one, so that a mistake in one hides none in another
            match serde_json::from_value::<raw::Case>(filled(case)) {
                Ok(case) => cases.extend(self.case(case, number, &path, file.now.as_ref())),
                Err(error) if !self.mistakes.within(&path) => {
                    let fix = "compare it with docs/testing-rules.md";
                    self.mistakes.push(&path, error.to_string(), fix);
                }
                Err(_said) => {}
            }
        }
        (file.jwks.map(|path| self.folder.join(path.0.0)), cases)
    }

    fn case(
        &mut self,
        case: raw::Case,
        number: usize,
        path: &KeyPath,
        now: Option<&Text<UnixTime>>,
    ) -> Option<Case> {
        let raw::Case {
            name,
            request,
            principal,
            token,
            token_file,
            now: own_now,
            expect,
            route,
            headers,
        } = case;
        let credential = match (principal, token, token_file) {
            (None, None, None) => Credential::None,
            (Some(principal), None, None) => {
                let principal = self.principal(principal, &path.key("principal"))?;
                Credential::Principal(Arc::new(principal))
            }
            (None, Some(token), None) => Credential::Token(token.0.0),
            (None, None, Some(file)) => Credential::TokenFile(self.folder.join(file.0.0)),
            _several => {
                let fix = "keep one of principal, token, token_file";
                self.mistakes.push(path, "one credential only", fix);
                return None;
            }
        };
        if let super::Expected::Deny(_) = expect.0
            && !headers.is_empty()
        {
            let fix = "remove it, or expect \"allow\"";
            self.mistakes.push(
                &path.key("headers"),
                "the upstream is told nothing of what is refused",
                fix,
            );
        }
        let headers = self.told(headers, &path.key("headers"));
        let sent = self.sent(&request.headers, &path.key("request").key("headers"));
        Some(Case {
            name: name.0.0,
            number,
            place: self.located.place(path).unwrap_or((1, 1)),
            method: request.method.map_or(Method::GET, |method| method.0),
            path: request.path.0.0,
            host: request
                .host
                .map_or_else(|| "localhost".to_owned(), |host| host.0.0),
            headers: sent,
            credential,
            now: own_now.as_ref().or(now).map(|now| now.0),
            expected: expect.0,
            route: route.map(|route| route.0.0),
            told: headers,
        })
    }

    fn header_name(&mut self, name: &str, path: &KeyPath) -> Option<HeaderName> {
        HeaderName::read(name)
            .map_err(|message| {
                self.mistakes
                    .push(&path.key(name), message, "write it like x-user-id");
            })
            .ok()
    }

    fn told(
        &mut self,
        written: BTreeMap<String, String>,
        path: &KeyPath,
    ) -> Vec<(HeaderName, String)> {
        written
            .into_iter()
            .filter_map(|(name, value)| Some((self.header_name(&name, path)?, value)))
            .collect()
    }

    fn sent(&mut self, written: &BTreeMap<String, OneOrMany>, path: &KeyPath) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, values) in written {
            let Some(known) = self.header_name(name, path) else {
                continue;
            };
            for value in values.list() {
                match HeaderValue::from_str(&value) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        headers.append(&known, value);
                    }
                    Err(_invalid) => self.mistakes.push(
                        &path.key(name),
                        "cannot stand in a header",
                        "write visible characters",
                    ),
                }
            }
        }
        headers
    }

    fn principal(&mut self, stated: raw::Principal, path: &KeyPath) -> Option<Principal> {
        let issuer = stated.issuer.0.0;
        let issuers = &self.config.issuers;
        let known = || {
            let names = issuers.iter().map(|known| &*known.issuer.name);
            names.chain([ISSUER])
        };
        if !known().any(|name| name == issuer) {
            let (_, fix) = did_you_mean(&issuer, known());
            let message = format!("the config has no issuer {issuer:?}");
            self.mistakes.push(&path.key("issuer"), message, fix);
            return None;
        }
        let by_certificate = issuer == ISSUER;
        let mut names = |key: &str, names: Option<raw::Names>| match names {
            Some(raw::Names::Known(_)) if by_certificate => {
                let message = "a client certificate tells none";
                self.mistakes.push(&path.key(key), message, "remove it");
                Names::Unresolved
            }
            Some(raw::Names::Known(names)) => Names::Known(texts(&names)),
            Some(raw::Names::Unresolved(_)) => Names::Unresolved,
            None if by_certificate => Names::Unresolved,
            None => Names::Known(Vec::new()),
        };
        let groups = names("groups", stated.groups);
        let roles = names("roles", stated.roles);
        let permissions = names("permissions", stated.permissions);
        let text = |text: Option<Text<NonEmpty>>| text.map(|text| text.0.0);
        let claims = serde_json::to_vec(&stated.claims)
            .ok()
            .and_then(|json| Claims::parse(json).ok())?;
        let user_id = text(stated.user_id);
        let client_id =
            text(stated.client_id).or_else(|| user_id.clone().filter(|_| by_certificate));
        Some(Principal {
            kind: match stated.kind {
                Some(Kind::Service) => PrincipalKind::Service,
                None if by_certificate => PrincipalKind::Service,
                Some(Kind::User) | None => PrincipalKind::User,
            },
            issuer: Arc::from(issuer),
            user_id: user_id.unwrap_or_else(|| SOMEBODY.to_owned()),
            tenant_id: text(stated.tenant_id),
            client_id,
            name: text(stated.name),
            email: text(stated.email),
            groups,
            roles,
            permissions,
            wildcards: Vec::new(),
            scopes: texts(&stated.scopes),
            claims,
        })
    }
}

/// What was dropped as wrong must not hide mistakes beside it: something right stands in for it, in a case
/// that is not used.
fn filled(mut case: Value) -> Value {
    if let Value::Object(members) = &mut case {
        for (key, stand_in) in [
            ("name", json!("name")),
            ("request", json!({})),
            ("expect", json!("allow")),
        ] {
            members.entry(key).or_insert(stand_in);
        }
        if let Some(Value::Object(request)) = members.get_mut("request") {
            request.entry("path").or_insert(json!("/"));
        }
    }
    case
}
