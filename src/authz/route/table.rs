//! The route table (DESIGN §4.1): by host, then path, then method. The most specific pattern wins,
//! whatever the order in the file.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Route;
use super::pattern::{HostPattern, Segment};
use crate::reason::Denial;
use crate::request::RequestFacts;
use crate::request::path::Path;

/// Two routes that no request could tell apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("routes {first:?} and {second:?} both match {method} {host}{path}")]
pub struct RouteConflict {
    /// Name of the earlier route.
    pub first: Arc<str>,
    /// Name of the later route.
    pub second: Arc<str>,
    /// A method both serve.
    pub method: String,
    /// The host pattern both have.
    pub host: String,
    /// The path pattern both have.
    pub path: String,
}

/// All routes, ready to be searched: hosts by hash, paths by trie.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    exact: HashMap<String, Node>,
    /// Longest suffix first.
    wildcard: Vec<(String, Node)>,
    any: Option<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literal: HashMap<String, Self>,
    parameter: Option<Box<Self>>,
    one: Option<Box<Self>>,
    rest: Vec<Arc<Route>>,
    here: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Builds the table; every pair of routes that could tie is a conflict.
    pub fn new(routes: Vec<Route>) -> Result<Self, Vec<RouteConflict>> {
        let mut table = Self::default();
        let mut conflicts = Vec::new();
        for route in routes {
            let route = Arc::new(route);
            for host in &route.hosts {
                let slot = table.tier(host).slot(&route.pattern.segments);
                for other in slot.iter() {
                    if let Some(method) = common_method(&other.methods, &route.methods) {
                        conflicts.push(RouteConflict {
                            first: Arc::clone(&other.name),
                            second: Arc::clone(&route.name),
                            method,
                            host: host.to_string(),
                            path: route.pattern.text.clone(),
                        });
                    }
                }
                slot.push(Arc::clone(&route));
            }
            table.routes.push(route);
        }
        table
            .wildcard
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        if conflicts.is_empty() {
            Ok(table)
        } else {
            Err(conflicts)
        }
    }

    fn tier(&mut self, host: &HostPattern) -> &mut Node {
        match host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Wildcard(suffix) => {
                let at = self.wildcard.iter().position(|(known, _)| known == suffix);
                let at = at.unwrap_or_else(|| {
                    self.wildcard.push((suffix.clone(), Node::default()));
                    self.wildcard.len() - 1
                });
                #[expect(
                    clippy::indexing_slicing,
                    reason = "the index was found or made just above"
                )]
                &mut self.wildcard[at].1
            }
            HostPattern::Any => self.any.get_or_insert_default(),
        }
    }

    /// All routes, in the order of the file.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| &*route.name == name)
    }

    /// The one route for a request. [`Denial::NoRoute`] if no pattern matches,
    /// [`Denial::MethodNotAllowed`] if the winning pattern has none for the method, and
    /// [`Denial::PathAmbiguous`] for `%2F` where the route does not take it.
    pub fn find(&self, facts: &RequestFacts<'_>) -> Result<&Arc<Route>, Denial> {
        // both could make the upstream show or do what was never judged
        if matches!(*facts.method, Method::TRACE | Method::CONNECT) || is_misspelt(facts.method) {
            return Err(Denial::MethodNotAllowed(Vec::new()));
        }
        let Some(slot) = self.slot(facts.host.as_str(), &facts.path) else {
            return Err(if facts.path.has_encoded_slash() {
                Denial::PathAmbiguous
            } else {
                Denial::NoRoute
            });
        };
        let route = slot
            .iter()
            .find(|route| serves(&route.methods, facts.method))
            .ok_or_else(|| Denial::MethodNotAllowed(allowed(slot)))?;
        if facts.path.has_encoded_slash() && !route.allow_encoded_slashes {
            return Err(Denial::PathAmbiguous);
        }
        Ok(route)
    }

    fn slot(&self, host: &str, path: &Path<'_>) -> Option<&[Arc<Route>]> {
        if let Some(found) = self.exact.get(host).and_then(|node| node.find(path)) {
            return Some(found);
        }
        for (suffix, node) in &self.wildcard {
            if host.len() > suffix.len()
                && host.ends_with(suffix.as_str())
                && let Some(found) = node.find(path)
            {
                return Some(found);
            }
        }
        self.any.as_ref()?.find(path)
    }
}

/// Whether this is a standard method in another case. Methods are case-sensitive, but some servers
/// raise them to upper case and would serve another one than was judged.
fn is_misspelt(method: &Method) -> bool {
    const STANDARD: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let name = method.as_str();
    name.bytes().any(|byte| byte.is_ascii_lowercase())
        && STANDARD
            .iter()
            .any(|standard| name.eq_ignore_ascii_case(standard))
}

impl Node {
    fn slot(&mut self, segments: &[Segment]) -> &mut Vec<Arc<Route>> {
        match segments.split_first() {
            None => &mut self.here,
            Some((Segment::Rest, _last)) => &mut self.rest,
            Some((Segment::Literal(text), rest)) => {
                self.literal.entry(text.clone()).or_default().slot(rest)
            }
            Some((Segment::Parameter, rest)) => self.parameter.get_or_insert_default().slot(rest),
            Some((Segment::One, rest)) => self.one.get_or_insert_default().slot(rest),
        }
    }

    /// Depth first in the order of specificity, so the first slot found is the most specific.
    fn find(&self, path: &Path<'_>) -> Option<&[Arc<Route>]> {
        // `dyn`-free recursion over a cloned iterator: a path is a handful of segments
        fn walk<'n, 'p, I: Iterator<Item = &'p str> + Clone>(
            node: &'n Node,
            path: &mut I,
        ) -> Option<&'n [Arc<Route>]> {
            let found = match path.next() {
                None => (!node.here.is_empty()).then_some(node.here.as_slice()),
                Some(segment) => node
                    .literal
                    .get(segment)
                    .and_then(|next| walk(next, &mut path.clone()))
                    .or_else(|| {
                        node.parameter
                            .as_deref()
                            .and_then(|next| walk(next, &mut path.clone()))
                    })
                    .or_else(|| {
                        node.one
                            .as_deref()
                            .and_then(|next| walk(next, &mut path.clone()))
                    }),
            };
            found.or_else(|| (!node.rest.is_empty()).then_some(node.rest.as_slice()))
        }
        walk(self, &mut path.segments())
    }
}

fn serves(methods: &[Method], method: &Method) -> bool {
    methods.is_empty()
        || methods.contains(method)
        || *method == Method::HEAD && methods.contains(&Method::GET)
}

fn allowed(slot: &[Arc<Route>]) -> Vec<Method> {
    let mut methods: Vec<Method> = Vec::new();
    for method in slot.iter().flat_map(|route| &route.methods) {
        if !methods.contains(method) {
            methods.push(method.clone());
            if *method == Method::GET && !methods.contains(&Method::HEAD) {
                methods.push(Method::HEAD);
            }
        }
    }
    methods
}

/// A method that routes with these two lists both serve, as text.
pub(crate) fn common_method(a: &[Method], b: &[Method]) -> Option<String> {
    if a.is_empty() && b.is_empty() {
        return Some("every method".to_owned());
    }
    let mut named = a.iter().chain(b);
    named
        .find(|method| serves(a, method) && serves(b, method))
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::authz::route::{Access, PathPattern};
    use crate::request::Host;

    fn route(name: &str, hosts: &[&str], pattern: &str, methods: &[Method]) -> Route {
        Route {
            name: Arc::from(name),
            hosts: hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            pattern: PathPattern::parse(pattern).unwrap(),
            methods: methods.to_vec(),
            access: Access::Public,
            allow_encoded_slashes: name == "objects",
            pass_overrides: false,
            forward: None,
        }
    }

    fn find(table: &RouteTable, method: &Method, host: &str, path: &str) -> Result<String, Denial> {
        let headers = HeaderMap::new();
        let facts = RequestFacts {
            method,
            host: Host::parse(host)?,
            path: Path::parse(path)?,
            headers: &headers,
            certificate: None,
        };
        table.find(&facts).map(|route| route.name.to_string())
    }

    #[test]
    fn the_most_specific_pattern_wins_whatever_the_order() {
        let table = RouteTable::new(vec![
            route("all", &["*"], "/**", &[]),
            route("one", &["*"], "/orders/*", &[]),
            route("parameter", &["*"], "/orders/{id}", &[]),
            route("literal", &["*"], "/orders/new", &[]),
            route("rest", &["*"], "/orders/{id}/**", &[Method::GET]),
            route("admin", &["*"], "/admin/**", &[]),
            route("objects", &["*"], "/objects/**", &[]),
            route("sub", &["*.example.com"], "/**", &[]),
            route("api", &["api.example.com"], "/only", &[]),
        ])
        .unwrap();
        let get = |host: &str, path: &str| find(&table, &Method::GET, host, path);
        for (host, path, name) in [
            ("x", "/", "all"),
            ("x", "/orders", "all"),
            ("x", "/orders/new", "literal"),
            ("x", "/orders/new/", "literal"),
            ("x", "/orders/7", "parameter"),
            ("x", "/orders/7/items/1", "rest"),
            ("x", "/orders/new/items", "rest"),
            ("x", "/admin", "admin"),
            ("x", "/%61dmin/x", "admin"),
            ("x", "/administrator", "all"),
            ("x", "/objects/a%2Fb", "objects"),
            ("api.example.com", "/only", "api"),
            ("API.example.com:443", "/other", "sub"),
            ("a.b.example.com", "/orders/7", "sub"),
            ("example.com", "/orders/7", "parameter"),
            ("notexample.com", "/", "all"),
        ] {
            assert_eq!(get(host, path).as_deref(), Ok(name), "{host}{path}");
        }
        assert_eq!(get("x", "/orders/a%2Fb"), Err(Denial::PathAmbiguous));
    }

    #[test]
    fn the_winning_pattern_decides_the_method() {
        let table = RouteTable::new(vec![
            route("wide", &["*"], "/**", &[]),
            route("read", &["*"], "/orders/{id}", &[Method::GET]),
            route("write", &["*"], "/orders/{id}", &[Method::PUT]),
        ])
        .unwrap();
        let at = |method: &Method| find(&table, method, "x", "/orders/7");
        assert_eq!(at(&Method::GET).as_deref(), Ok("read"));
        assert_eq!(at(&Method::HEAD).as_deref(), Ok("read"));
        assert_eq!(at(&Method::PUT).as_deref(), Ok("write"));
        assert_eq!(
            at(&Method::DELETE),
            Err(Denial::MethodNotAllowed(vec![
                Method::GET,
                Method::HEAD,
                Method::PUT
            ]))
        );
        for method in [Method::TRACE, Method::CONNECT] {
            assert_eq!(
                find(&table, &method, "x", "/"),
                Err(Denial::MethodNotAllowed(vec![]))
            );
        }
        // methods are case-sensitive (RFC 9110 9.1)
        let lower = Method::from_bytes(b"get").unwrap();
        assert!(matches!(at(&lower), Err(Denial::MethodNotAllowed(_))));
    }

    #[test]
    fn nothing_matches_nothing() {
        let table = RouteTable::new(vec![route("a", &["a.test"], "/a", &[])]).unwrap();
        assert_eq!(
            find(&table, &Method::GET, "b.test", "/a"),
            Err(Denial::NoRoute)
        );
        assert_eq!(
            find(&table, &Method::GET, "a.test", "/A"),
            Err(Denial::NoRoute)
        );
        assert_eq!(
            find(&table, &Method::GET, "a.test", "/a%2Fb"),
            Err(Denial::PathAmbiguous)
        );
    }

    #[test]
    fn routes_that_could_tie_are_refused() {
        let conflicts = RouteTable::new(vec![
            route("a", &["*"], "/x/{id}", &[Method::GET]),
            route("b", &["*"], "/x/{name}/", &[Method::HEAD]),
            route("c", &["*"], "/x/{id}", &[Method::POST]),
        ])
        .unwrap_err();
        assert_eq!(conflicts.len(), 1);
        assert_eq!(
            conflicts[0].to_string(),
            r#"routes "a" and "b" both match HEAD */x/{name}/"#
        );
    }
}
