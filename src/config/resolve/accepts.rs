//! Which kinds of credential a route accepts, and what that rules out.

use super::super::error::KeyPath;
use super::super::raw::{self, Auth};
use super::{Planes, Resolver};
use crate::authn::certificate::ISSUER;
use crate::authn::credential::Kind;
use crate::authz::Route;
use crate::authz::route::Access;

impl Resolver<'_> {
    /// The accepted kinds of credential.
    pub(super) fn accepts(&mut self, raw: &raw::Route, path: &KeyPath) -> Vec<Kind> {
        let Some(Auth::Kinds(stated)) = &raw.auth else {
            return vec![Kind::Bearer];
        };
        let mut accepts = Vec::new();
        for (number, kind) in stated.0.iter().enumerate() {
            let kind = match kind {
                raw::AuthKind::Alb => Kind::Alb,
                raw::AuthKind::Basic => Kind::Basic,
                raw::AuthKind::Bearer => Kind::Bearer,
                raw::AuthKind::Mtls => Kind::Mtls,
            };
            if accepts.contains(&kind) {
                self.mistakes.push(
                    &path.key("auth").index(number),
                    format!("{:?} is named twice", kind.as_str()),
                    "name each kind once",
                );
            } else {
                accepts.push(kind);
            }
        }
        accepts
    }

    /// Indices of the accepted issuers: one or more for each accepted kind that has any, and none of
    /// another kind.
    pub(super) fn route_issuers(
        &mut self,
        raw: &raw::Route,
        accepts: &[Kind],
        path: &KeyPath,
    ) -> Option<Vec<usize>> {
        let at = path.key("issuers");
        let kinds: Vec<Kind> = [Kind::Bearer, Kind::Alb]
            .into_iter()
            .filter(|kind| accepts.contains(kind))
            .collect();
        let Some(stated) = &raw.issuers else {
            return self.only_issuer(&kinds, &at);
        };
        let indices = self.stated_issuers(stated, &at);
        if self.mistakes.within(&at) {
            return Some(indices);
        }
        for (number, index) in indices.iter().enumerate() {
            let kind = self.kind_of(*index);
            if !kinds.contains(&kind) {
                self.mistakes.push(
                    &at.index(number),
                    format!(
                        "this issuer proves by {:?}, which this route does not accept",
                        kind.as_str()
                    ),
                    format!("add {:?} to auth, or remove this issuer", kind.as_str()),
                );
            }
        }
        let names = &self.names;
        let is_opaque = |index: &usize| {
            let name = names.issuers.get(*index);
            name.is_some_and(|name| names.opaque.contains(name))
        };
        let opaque: Vec<usize> = (0..indices.len())
            .filter(|at| indices.get(*at).is_some_and(is_opaque))
            .collect();
        if let [_, second, ..] = opaque.as_slice() {
            self.mistakes.push(
                &at.index(*second),
                "a second issuer that is asked about tokens: each would be shown the other's",
                "name one of them in each route",
            );
        }
        for kind in kinds {
            if !indices.iter().any(|index| self.kind_of(*index) == kind) {
                self.mistakes.push(
                    &at,
                    format!("none of these proves by {:?}", kind.as_str()),
                    format!("name one, or remove {:?} from auth", kind.as_str()),
                );
            }
        }
        Some(indices)
    }

    /// The one issuer that could be meant, where none is stated.
    fn only_issuer(&mut self, kinds: &[Kind], at: &KeyPath) -> Option<Vec<usize>> {
        let all = 0..self.names.issuers.len();
        let fitting: Vec<usize> = all
            .filter(|at| kinds.contains(&self.kind_of(*at)))
            .collect();
        for kind in kinds {
            if !fitting.iter().any(|index| self.kind_of(*index) == *kind) {
                let (what, fix) = match kind {
                    Kind::Alb => (
                        "an issuer of kind \"alb\"",
                        "add a table [issuers.NAME] with kind = \"alb\"",
                    ),
                    Kind::Basic | Kind::Bearer | Kind::Mtls => (
                        "an issuer",
                        "add a table [issuers.NAME], or auth = \"none\" for a public route",
                    ),
                };
                self.mistakes.push(
                    at,
                    format!("a protected route needs {what}, and none is configured"),
                    fix,
                );
                return None;
            }
        }
        if fitting.len() > 1 {
            let fix = self.name_issuers();
            self.mistakes.push(
                at,
                "missing: with two or more issuers each protected route names its own",
                fix,
            );
            return None;
        }
        Some(fitting)
    }

    fn kind_of(&self, issuer: usize) -> Kind {
        let name = self.names.issuers.get(issuer);
        if name.is_some_and(|name| self.names.alb.contains(name)) {
            Kind::Alb
        } else {
            Kind::Bearer
        }
    }

    /// What only a token can answer makes no sense where none is read.
    pub(super) fn no_token(&mut self, raw: &raw::Route, accepts: &[Kind], path: &KeyPath) {
        let (basic, mtls) = (
            accepts.contains(&Kind::Basic),
            accepts.contains(&Kind::Mtls),
        );
        let (message, fix) = if basic {
            (
                "this route reads no token, and a password tells nothing but whose it is",
                "remove it, or add \"bearer\" to auth",
            )
        } else {
            (
                "this route reads no token, and a certificate has names only",
                "remove it and require clients = [\"spiffe://…\"], or add \"bearer\" to auth",
            )
        };
        let require = raw.require.as_ref();
        let asks = |asks: fn(&raw::Require) -> bool| require.is_some_and(asks);
        // whom a certificate names may be in groups that a store knows
        let set = |set: fn(&raw::Require) -> bool| raw.memberships.is_none() && asks(set);
        for (keys, given) in [
            (&["issuers"][..], raw.issuers.is_some()),
            (&["token_from"], raw.token_from.is_some()),
            (&["require", "groups"], set(|rule| rule.groups.is_some())),
            (&["require", "roles"], set(|rule| rule.roles.is_some())),
            (
                &["require", "permissions"],
                set(|rule| rule.permissions.is_some()),
            ),
            (&["require", "scopes"], asks(|rule| rule.scopes.is_some())),
            (&["require", "claims"], asks(|rule| !rule.claims.is_empty())),
        ] {
            if given {
                let at = keys.iter().fold(path.clone(), |path, key| path.key(key));
                self.mistakes.push(&at, message, fix);
            }
        }
        let principal = require.and_then(|rule| rule.principal);
        let nobody = match principal {
            Some(raw::Principal::User) if !basic => Some((
                "a certificate names a service: nobody could pass",
                "write \"service\", or add \"bearer\" to auth",
            )),
            Some(raw::Principal::Service) if !mtls => Some((
                "a password is a user's: nobody could pass",
                "write \"user\", or add \"bearer\" to auth",
            )),
            Some(raw::Principal::User | raw::Principal::Service) | None => None,
        };
        if let Some((message, fix)) = nobody {
            let at = path.key("require").key("principal");
            self.mistakes.push(&at, message, fix);
        }
        if !mtls && asks(|rule| rule.clients.is_some()) {
            self.mistakes.push(
                &path.key("require").key("clients"),
                "a password names no client: nobody could pass",
                "remove it, or add \"bearer\" to auth",
            );
        }
    }

    /// A route that accepts client certificates needs a listener that asks for them, and their
    /// issuer's name for itself.
    pub(super) fn client_certificates(
        &mut self,
        routes: &[Route],
        keys: &[KeyPath],
        planes: &Planes,
    ) {
        let asks = planes
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.listener.tls.as_ref())
            .is_some_and(|tls| tls.client_ca.is_some());
        let tls = KeyPath::of(&["ingress", "tls"]);
        let mut accepted = false;
        for (route, key) in routes.iter().zip(keys) {
            let accepts = match &route.access {
                Access::Public => false,
                Access::Protected(asked) => asked.accepts.contains(&Kind::Mtls),
            };
            accepted |= accepts;
            if !accepts || self.mistakes.within(&tls) {
                continue;
            }
            if route.forward.is_none() {
                self.mistakes.push(
                    &key.key("auth"),
                    "without an upstream no client certificate is ever seen: forward auth is asked by a proxy, with the proxy's own",
                    "add upstream = \"…\", or remove \"mtls\"",
                );
            } else if !asks {
                self.mistakes.push(
                    &key.key("auth"),
                    "no client can show a certificate: ingress does not ask for any",
                    "add client_ca_file to [ingress] tls, or remove \"mtls\"",
                );
            }
        }
        if accepted && self.names.issuers.iter().any(|name| name == ISSUER) {
            self.mistakes.push(
                &KeyPath::of(&["issuers", ISSUER]),
                "the name stands for client certificates, which a route accepts",
                "give this issuer another name",
            );
        }
    }
}
