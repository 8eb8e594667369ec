//! Routes: names, issuers, rules, and keys that only make sense together.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::forms::{NonEmpty, Text};
use super::super::raw::{self, Auth, Names, Part};
use super::{Known, Resolver};
use crate::authn::PrincipalKind;
use crate::authn::claims::ClaimPath;
use crate::authn::credential::{Kind, TokenSource};
use crate::authz::route::{Access, HostPattern, Mode, OnBehalfOf, Protected};
use crate::authz::rule::SetRule;
use crate::authz::{Route, RouteTable, Rule};

impl Resolver<'_> {
    /// The routes, and for each its key in the file.
    pub(super) fn routes(&mut self, raw: Vec<Part<raw::Route>>) -> (Vec<Route>, Vec<KeyPath>) {
        let mut taken: HashSet<String> = raw
            .iter()
            .filter_map(|part| part.0.as_ref().ok()?.name.as_ref())
            .map(|name| name.0.0.clone())
            .collect();
        let mut stated: HashSet<String> = HashSet::new();
        let (mut routes, mut keys) = (Vec::new(), Vec::new());
        for (index, part) in raw.into_iter().enumerate() {
            let path = KeyPath::of(&["routes"]).index(index);
            let Some(raw) = self.part(part, &path) else {
                continue;
            };
            let name = match &raw.name {
                Some(name) => {
                    if !stated.insert(name.0.0.clone()) {
                        self.mistakes.push(
                            &path.key("name"),
                            format!("another route is named {:?} too", name.0.0),
                            "give each route its own name",
                        );
                    }
                    name.0.0.clone()
                }
                None => generated_name(&raw, &mut taken),
            };
            if let Some(route) = self.route(name, raw, &path) {
                routes.push(route);
                keys.push(path);
            }
        }
        (routes, keys)
    }

    /// The table; two routes that no request could tell apart are a mistake.
    pub(super) fn table(&mut self, routes: Vec<Route>, keys: &[KeyPath]) -> Option<RouteTable> {
        let names: Vec<Arc<str>> = routes.iter().map(|route| Arc::clone(&route.name)).collect();
        match RouteTable::new(routes) {
            Ok(table) => Some(table),
            Err(conflicts) => {
                for conflict in conflicts {
                    let later = names.iter().rposition(|name| *name == conflict.second);
                    let key = later.and_then(|at| keys.get(at)).cloned();
                    self.mistakes.push(
                        &key.unwrap_or_else(|| KeyPath::of(&["routes"])),
                        conflict.to_string(),
                        "give them different hosts, paths or methods, or remove one",
                    );
                }
                None
            }
        }
    }

    fn route(&mut self, name: String, raw: raw::Route, path: &KeyPath) -> Option<Route> {
        let access = self.access(&raw, path);
        let forward = self.forward(&raw, path);
        let cors = self.cors(&raw, access.as_ref(), path);
        self.replaced_for_users(access.as_ref(), forward.as_ref(), path);
        let raw::Route {
            hosts,
            path: pattern,
            methods,
            allow_encoded_slashes,
            pass_overrides,
            ..
        } = raw;
        Some(Route {
            name: Arc::from(name),
            hosts: hosts.map_or_else(
                || vec![HostPattern::Any],
                |hosts| hosts.0.into_iter().map(|host| host.0).collect(),
            ),
            pattern: pattern.0,
            methods: methods
                .map(|methods| methods.0.into_iter().map(|method| method.0).collect())
                .unwrap_or_default(),
            access: access?,
            allow_encoded_slashes,
            pass_overrides,
            cors,
            forward,
        })
    }

    fn access(&mut self, raw: &raw::Route, path: &KeyPath) -> Option<Access> {
        let public = matches!(raw.auth, Some(Auth::None(raw::NoneWord::None)));
        if public {
            for (key, given) in [
                ("require", raw.require.is_some()),
                ("optional", raw.optional),
                ("issuers", raw.issuers.is_some()),
                ("token_from", raw.token_from.is_some()),
                ("on_behalf_of", raw.on_behalf_of.is_some()),
                ("memberships", raw.memberships.is_some()),
                ("mode", matches!(raw.mode, Some(raw::Mode::Shadow))),
            ] {
                if given {
                    self.mistakes.push(
                        &path.key(key),
                        "a public route (auth = \"none\") looks at no credential",
                        format!("remove {key}, or remove auth"),
                    );
                }
            }
            return Some(Access::Public);
        }
        if raw.optional && raw.require.is_some() {
            self.mistakes.push(
                &path.key("require"),
                "an optional route lets anonymous callers pass, whom no rule can judge",
                "remove optional or require, or split the route in two",
            );
        }
        let accepts = self.accepts(raw, path);
        if !accepts.contains(&Kind::Bearer)
            && raw.token_from.is_some()
            && accepts.contains(&Kind::Alb)
        {
            self.mistakes.push(
                &path.key("token_from"),
                "this route reads no bearer token",
                "remove it, or add \"bearer\" to auth",
            );
        }
        let issuers = if accepts
            .iter()
            .any(|kind| matches!(kind, Kind::Alb | Kind::Bearer))
        {
            self.route_issuers(raw, &accepts, path)
        } else {
            self.no_token(raw, &accepts, path);
            Some(Vec::new())
        };
        let require = match &raw.require {
            Some(require) => rule(require),
            None => Rule::default(),
        };
        let on_behalf_of = raw
            .on_behalf_of
            .as_ref()
            .map(|raw| self.on_behalf_of(raw, &path.key("on_behalf_of")));
        let memberships = self.route_memberships(
            raw,
            &accepts,
            issuers.as_deref().unwrap_or_default(),
            &require,
            on_behalf_of.as_ref(),
            path,
        );
        let overage = self.route_overage(
            issuers.as_deref().unwrap_or_default(),
            &require,
            on_behalf_of.as_ref(),
            memberships.as_ref(),
        );
        Some(Access::Protected(Box::new(Protected {
            accepts,
            issuers: issuers?,
            token_from: raw.token_from.as_ref().map_or_else(
                || vec![TokenSource::Authorization],
                |list| list.0.iter().map(|source| source.0.clone()).collect(),
            ),
            optional: raw.optional,
            memberships,
            overage,
            require,
            mode: match raw.mode {
                None | Some(raw::Mode::Enforce) => Mode::Enforce,
                Some(raw::Mode::Shadow) => Mode::Shadow,
            },
            on_behalf_of,
        })))
    }

    /// How to write some of the issuers.
    pub(super) fn name_issuers(&self) -> String {
        let names = self.names.issuers.iter();
        let all: Vec<String> = names.map(|name| format!("{name:?}")).collect();
        format!("write issuers = [{}], or fewer of them", all.join(", "))
    }

    /// Indices of the issuers that a list names.
    pub(super) fn stated_issuers(
        &mut self,
        stated: &raw::List<Text<NonEmpty>>,
        at: &KeyPath,
    ) -> Vec<usize> {
        let mut indices = Vec::new();
        for (number, name) in stated.0.iter().enumerate() {
            let name = &name.0.0;
            if self.declared("issuers", Known::Issuer, name, &at.index(number)) {
                indices.extend(self.names.issuers.iter().position(|known| known == name));
            }
        }
        indices
    }

    fn on_behalf_of(&mut self, raw: &raw::OnBehalfOf, path: &KeyPath) -> OnBehalfOf {
        if raw.clients.is_none() && raw.groups.is_none() {
            self.mistakes.push(
                path,
                "every service could state any user",
                "name the services: clients = [\"…\"] or groups = [\"…\"]",
            );
        }
        let list = |list: &Option<raw::List<_>>| {
            list.as_ref()
                .map(|list| raw::texts(&list.0))
                .unwrap_or_default()
        };
        OnBehalfOf {
            clients: list(&raw.clients),
            groups: raw.groups.as_ref().map(set_rule),
            tenants: list(&raw.tenants),
        }
    }
}

/// `/orders/**`, with host, methods or a number before it where that is taken.
fn generated_name(raw: &raw::Route, taken: &mut HashSet<String>) -> String {
    let path = &raw.path.0.text;
    let hosts: Vec<String> = raw
        .hosts
        .iter()
        .flat_map(|hosts| &hosts.0)
        .map(|host| host.0.to_string())
        .collect();
    let methods: Vec<&str> = raw
        .methods
        .iter()
        .flat_map(|methods| &methods.0)
        .map(|method| method.0.as_str())
        .collect();
    let full = [methods.join(","), format!("{}{path}", hosts.join(","))];
    let full = full.join(" ").trim().to_owned();
    let numbered = (2..).map(|number| format!("{path} #{number}"));
    let name = [path.clone(), full]
        .into_iter()
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_default();
    taken.insert(name.clone());
    name
}

fn rule(raw: &raw::Require) -> Rule {
    Rule {
        principal: raw.principal.map(|kind| match kind {
            raw::Principal::User => PrincipalKind::User,
            raw::Principal::Service => PrincipalKind::Service,
        }),
        clients: raw.clients.as_ref().map(|list| raw::texts(&list.0)),
        groups: raw.groups.as_ref().map(set_rule),
        roles: raw.roles.as_ref().map(set_rule),
        permissions: raw.permissions.as_ref().map(set_rule),
        scopes: raw.scopes.as_ref().map(set_rule),
        claims: raw
            .claims
            .iter()
            .map(|(name, values)| (ClaimPath::name(name), values.list()))
            .collect(),
    }
}

fn set_rule(raw: &Names) -> SetRule {
    let list = |list: &Option<raw::List<_>>| {
        list.as_ref()
            .map(|list| raw::texts(&list.0))
            .unwrap_or_default()
    };
    match raw {
        Names::Any(any) => SetRule {
            any: raw::texts(&any.0),
            ..SetRule::default()
        },
        Names::Parts(parts) => SetRule {
            any: list(&parts.any),
            all: list(&parts.all),
            none: list(&parts.none),
        },
    }
}
