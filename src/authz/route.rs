//! Routes, and the table that finds the one for a request: by host, then path, then method
//! (DESIGN §4.1). The most specific pattern wins, whatever the order in the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::authn::credential::TokenSource;
use crate::authz::rule::{Rule, SetRule};
use crate::reason::Denial;
use crate::request::path::{self, Path};
use crate::request::{Host, RequestFacts};

/// One `[[routes]]` table, as meant.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, unique; generated from host and path if not given.
    pub name: Arc<str>,
    /// Which hosts.
    pub hosts: Vec<HostPattern>,
    /// Which paths.
    pub pattern: PathPattern,
    /// Which methods; empty: all. `GET` serves `HEAD`.
    pub methods: Vec<Method>,
    /// Who may.
    pub access: Access,
    /// Whether `%2F` may stand in the path.
    pub allow_encoded_slashes: bool,
    /// Whether `X-HTTP-Method-Override`, `X-Original-URL` and their kin pass.
    pub pass_overrides: bool,
    /// Where the request goes; `None` for a route that only answers forward auth.
    pub forward: Option<Forward>,
}

/// Who may use a route.
#[derive(Clone, Debug)]
pub enum Access {
    /// `auth = "none"`: no credential is asked for or looked at.
    Public,
    /// A verified principal.
    Protected(Box<Protected>),
}

/// What a protected route asks.
#[derive(Clone, Debug)]
pub struct Protected {
    /// Indices of the accepted issuers in the gate's list.
    pub issuers: Vec<usize>,
    /// Where the token may stand.
    pub token_from: Vec<TokenSource>,
    /// Whether a request without credentials passes as anonymous.
    pub optional: bool,
    /// What the principal must also be.
    pub require: Rule,
    /// Which services may state the user they act for (ingress only).
    pub on_behalf_of: Option<OnBehalfOf>,
}

/// `on_behalf_of`: the service principals that may pass on `X-User-ID`.
#[derive(Clone, Debug, Default)]
pub struct OnBehalfOf {
    /// Client ids; empty: not asked.
    pub clients: Vec<String>,
    /// Groups; `None`: not asked.
    pub groups: Option<SetRule>,
    /// Tenants that may be stated; empty: none may.
    pub tenants: Vec<String>,
}

/// How a request is carried to the upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Name of the `[upstreams.X]` table.
    pub upstream: Arc<str>,
    /// `Host` for the upstream.
    pub host: HostRewrite,
    /// What happens to `Authorization`.
    pub authorization: Authorization,
    /// Path prefix to cut, without trailing slash; the rest keeps its leading slash.
    pub strip_prefix: Option<String>,
    /// Time to the response head; `None`: the upstream's.
    pub timeout: Option<Duration>,
    /// Further client headers to remove, in every spelling.
    pub strip: Vec<HeaderName>,
}

/// `host = "upstream" | "preserve" | "<literal>"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// The authority of the upstream's URL.
    Upstream,
    /// What the client sent.
    Preserve,
    /// This.
    Literal(HeaderValue),
}

/// `authorization = "forward" | "strip" | { replace = "<credential source>" }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// As the client sent it.
    Forward,
    /// Removed.
    Strip,
    /// Replaced by the credential of this source.
    Replace(Arc<str>),
}

/// Which hosts a route serves. The order is the specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host, lower case.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: one or more labels before it.
    Wildcard(String),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads `api.example.com`, `*.example.com` or `*`. `None` if it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let host = Host::parse(suffix).ok()?;
            return (host.as_str().len() == suffix.len())
                .then(|| Self::Wildcard(format!(".{}", host.as_str())));
        }
        let host = Host::parse(text).ok()?;
        // a port is never matched: refuse it rather than ignore it
        (host.as_str().len() == text.len()).then(|| Self::Exact(host.as_str().to_owned()))
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A segment of a path pattern. The order is the specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text, normalised as paths are.
    Literal(String),
    /// `{name}`: any one segment.
    Parameter,
    /// `*`: any one segment.
    One,
    /// `**`: any rest, or nothing. Last only.
    Rest,
}

/// A path pattern: `/orders/{id}/**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// As written.
    pub text: String,
    /// Its segments.
    pub segments: Vec<Segment>,
}

impl PathPattern {
    /// Reads a pattern; on error, what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("a path pattern begins with `/`");
        }
        let mut segments = Vec::new();
        for segment in path::segments(text) {
            if segments.last() == Some(&Segment::Rest) {
                return Err("`**` can only stand at the end");
            }
            segments.push(if segment == "**" {
                Segment::Rest
            } else if segment == "*" {
                Segment::One
            } else if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                if name.is_empty()
                    || !name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
                {
                    return Err("a parameter is `{name}` with letters, digits, `_` and `-`");
                }
                Segment::Parameter
            } else if segment.contains(['*', '{', '}']) {
                return Err("`*`, `**` and `{name}` stand for whole segments");
            } else {
                let literal = format!("/{segment}");
                let literal = Path::parse(&literal).map_err(
                    |_ambiguous| "no request can match this: such a path is refused as ambiguous",
                )?;
                Segment::Literal(literal.as_str().trim_start_matches('/').to_owned())
            });
        }
        if text.contains("//") {
            return Err("no request can match this: such a path is refused as ambiguous");
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }
}

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
        if matches!(*facts.method, Method::TRACE | Method::CONNECT) {
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

fn common_method(a: &[Method], b: &[Method]) -> Option<String> {
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

    #[test]
    fn an_unmatchable_pattern_is_an_error() {
        for pattern in [
            "x", "", "/a//b", "/a/**/b", "/a*", "/{a}b", "/{}", "/a/../b", "/%2e", "/a;b",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
        assert_eq!(
            PathPattern::parse("/%41/**").unwrap().segments,
            [Segment::Literal("A".into()), Segment::Rest]
        );
    }
}
