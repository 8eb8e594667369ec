//! The route table (DESIGN §4.1): by host, then path, then method. The most specific pattern wins,
//! whatever the order in the file.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::Route;
use super::pattern::{HostPattern, Segment};
use crate::reason::Denial;
use crate::request::path::Path;
use crate::request::{Preflight, RequestFacts};

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
    /// [`Denial::PathAmbiguous`] for `%2F` where the route does not take it. A preflight that no route
    /// takes as `OPTIONS` is for the route of the method it asks about, if that one has `cors`.
    pub fn find(&self, facts: &RequestFacts<'_>) -> Result<&Arc<Route>, Denial> {
        never_served(facts.method)?;
        let Some(slot) = self.slot(facts.host.as_str(), &facts.path) else {
            return Err(if facts.path.has_encoded_slash() {
                Denial::PathAmbiguous
            } else {
                Denial::NoRoute
            });
        };
        among(slot, facts)
    }

    /// The route of that name for a request that a proxy has routed: its hosts and path are not
    /// compared, what else it asks of a request holds.
    pub fn find_named(&self, name: &str, facts: &RequestFacts<'_>) -> Result<&Arc<Route>, Denial> {
        never_served(facts.method)?;
        let route = self.named(name).ok_or(Denial::NoRoute)?;
        among(std::slice::from_ref(route), facts)
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

/// Refuses what could make the upstream show or do what was never judged.
fn never_served(method: &Method) -> Result<(), Denial> {
    if matches!(*method, Method::TRACE | Method::CONNECT) || is_misspelt(method) {
        return Err(Denial::MethodNotAllowed(Vec::new()));
    }
    Ok(())
}

/// The one of these routes that takes this request.
fn among<'t>(slot: &'t [Arc<Route>], facts: &RequestFacts<'_>) -> Result<&'t Arc<Route>, Denial> {
    let route = slot
        .iter()
        .find(|route| serves(&route.methods, facts.method))
        .or_else(|| preflighted(slot, facts))
        .ok_or_else(|| Denial::MethodNotAllowed(allowed(slot)))?;
    if facts.path.has_encoded_slash() && !route.allow_encoded_slashes {
        return Err(Denial::PathAmbiguous);
    }
    Ok(route)
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

/// The route a preflight asks about, where none takes `OPTIONS` itself.
fn preflighted<'t>(slot: &'t [Arc<Route>], facts: &RequestFacts<'_>) -> Option<&'t Arc<Route>> {
    let asked = Preflight::of(facts.method, facts.headers)?;
    slot.iter()
        .find(|route| route.cors.is_some() && serves(&route.methods, &asked.method))
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
mod tests;
