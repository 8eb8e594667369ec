//! `cors` of a route.

use std::fmt::Display;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, header};

use super::super::error::KeyPath;
use super::super::forms::{Origin, Text};
use super::super::raw::{self, List};
use super::Resolver;
use crate::authn::credential::{Kind, TokenSource};
use crate::authn::proof::Bound;
use crate::authz::route::{Access, Cors, Origins, Sharing};

/// What pages may send where neither `cors.methods` nor the route's say it.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// How long a browser remembers the answer to a preflight, in seconds.
const MAX_AGE: u64 = 600;

impl Resolver<'_> {
    pub(super) fn cors(
        &mut self,
        raw: &raw::Route,
        access: Option<&Access>,
        path: &KeyPath,
    ) -> Option<Cors> {
        let at = path.key("cors");
        let cors = raw.cors.as_ref()?;
        // where ingress answers, forward auth still lets preflights pass
        if raw.pass_overrides {
            self.mistakes.push(
                &at,
                "with pass_overrides a preflight could name any other path of the app",
                "remove pass_overrides, or cors",
            );
        }
        let table = match cors {
            raw::Cors::Word(raw::CorsWord::Pass) => return Some(Cors::Pass),
            raw::Cors::Answer(table) => table,
        };
        if raw.upstream.is_none() {
            self.mistakes.push(
                &at,
                "forward auth answers a proxy and no browser",
                "write cors = \"pass\" and let the app or the proxy answer, or add upstream = \"…\"",
            );
        }
        let origins = self.origins(table, &at)?;
        let methods = self.shared_methods(raw, table, &at);
        let headers = match &table.headers {
            Some(names) => self.names(names, &at.key("headers")),
            None => self.asked_headers(access),
        };
        let expose = table.expose.as_ref();
        let expose = expose.map(|names| self.names(names, &at.key("expose")));
        let max_age = table
            .max_age
            .as_ref()
            .map_or(MAX_AGE, |age| age.0.as_secs());
        Some(Cors::Answer(Arc::new(Sharing {
            origins,
            methods: list(&methods)?,
            headers: list(&headers)?,
            expose: match expose {
                Some(names) => Some(list(&names)?),
                None => None,
            },
            credentials: table.credentials,
            max_age: HeaderValue::from(max_age),
        })))
    }

    fn origins(&mut self, table: &raw::Sharing, at: &KeyPath) -> Option<Origins> {
        let all = &table.origins.0;
        let exact = |origin: &Text<Origin>| match &origin.0 {
            Origin::Any => None,
            Origin::Exact(origin) => Some(origin.clone()),
        };
        let these: Vec<HeaderValue> = all.iter().filter_map(exact).collect();
        if these.len() == all.len() {
            return Some(Origins::These(these));
        }
        if !these.is_empty() {
            self.mistakes.push(
                &at.key("origins"),
                "`*` makes the others meaningless",
                "write [\"*\"] alone, or name the origins",
            );
            return None;
        }
        if table.credentials {
            self.mistakes.push(
                &at.key("credentials"),
                "with every origin, any site could act with its visitors' cookies",
                "name the origins, or remove credentials",
            );
            return None;
        }
        Some(Origins::Any)
    }

    /// `cors.methods`, else the route's own.
    fn shared_methods(
        &mut self,
        raw: &raw::Route,
        table: &raw::Sharing,
        at: &KeyPath,
    ) -> Vec<Method> {
        let served: Option<Vec<Method>> = raw
            .methods
            .as_ref()
            .map(|methods| methods.0.iter().map(|method| method.0.clone()).collect());
        let Some(stated) = &table.methods else {
            return served.unwrap_or_else(|| METHODS.to_vec());
        };
        let at = at.key("methods");
        for (number, method) in stated.0.iter().enumerate() {
            let method = &method.0;
            if method.as_str() == "*" {
                self.star(&at.index(number));
            } else if served.as_ref().is_some_and(|served| {
                !(served.contains(method)
                    || *method == Method::HEAD && served.contains(&Method::GET))
            }) {
                self.mistakes.push(
                    &at.index(number),
                    format!("the route does not serve {method}"),
                    "add it to the route's methods, or remove it here",
                );
            }
        }
        stated.0.iter().map(|method| method.0.clone()).collect()
    }

    fn names(&mut self, names: &List<Text<HeaderName>>, at: &KeyPath) -> Vec<HeaderName> {
        for (number, name) in names.0.iter().enumerate() {
            if name.0.as_str() == "*" {
                self.star(&at.index(number));
            }
        }
        names.0.iter().map(|name| name.0.clone()).collect()
    }

    fn star(&mut self, at: &KeyPath) {
        self.mistakes.push(
            at,
            "`*` is not understood by every browser, and never means Authorization",
            "name each",
        );
    }

    /// The headers a page needs: those the credential and its proof stand in, and the body's type.
    fn asked_headers(&self, access: Option<&Access>) -> Vec<HeaderName> {
        let mut names = Vec::new();
        if let Some(Access::Protected(asked)) = access
            && asked.accepts.contains(&Kind::Bearer)
        {
            names.extend(asked.token_from.iter().filter_map(|source| match source {
                TokenSource::Authorization => Some(header::AUTHORIZATION),
                TokenSource::Header(name) => Some(name.clone()),
                TokenSource::Cookie(_) => None,
            }));
            let mut issuers = asked.issuers.iter();
            let takes_proofs =
                |number: &usize| Some(self.issuer_of(*number)?.dpop != Bound::Refused);
            if issuers.any(|number| takes_proofs(number) == Some(true)) {
                names.push(HeaderName::from_static("dpop"));
            }
        }
        if let Some(Access::Protected(asked)) = access
            && asked.accepts.contains(&Kind::Basic)
            && !names.contains(&header::AUTHORIZATION)
        {
            names.push(header::AUTHORIZATION);
        }
        names.push(header::CONTENT_TYPE);
        names
    }
}

/// `a, b`; names and methods are visible ASCII.
fn list(items: &[impl Display]) -> Option<HeaderValue> {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    HeaderValue::try_from(items.join(", ")).ok()
}
