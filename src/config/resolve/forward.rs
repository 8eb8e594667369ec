//! How what a route permits is carried to its upstream.

use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::raw;
use super::{Known, Resolver};
use crate::authn::credential::Kind;
use crate::authz::route::{Access, Authorization, Forward, HostRewrite, PathPattern, Segment};

impl Resolver<'_> {
    /// A credential made from the caller's token needs a route on which every caller has one.
    pub(super) fn replaced_for_users(
        &mut self,
        access: Option<&Access>,
        forward: Option<&Forward>,
        path: &KeyPath,
    ) {
        let Some((access, Authorization::Replace(name))) =
            access.zip(forward.map(|forward| &forward.authorization))
        else {
            return;
        };
        if !self.names.of_users.iter().any(|known| **known == **name) {
            return;
        }
        let why = match access {
            Access::Public => "a public route verifies none",
            Access::Protected(asked) if asked.optional => {
                "an optional route lets callers without one pass"
            }
            Access::Protected(asked) if !asked.accepts.contains(&Kind::Bearer) => {
                "this route accepts none"
            }
            Access::Protected(_) => return,
        };
        self.mistakes.push(
            &path.key("authorization").key("replace"),
            format!("[credentials.{name}] is made from the caller's token, and {why}"),
            "name a credential of the service's own, or protect the route with bearer tokens",
        );
    }

    /// `None`: the route only answers forward auth, or a mistake was noted.
    pub(super) fn forward(&mut self, raw: &raw::Route, path: &KeyPath) -> Option<Forward> {
        let Some(upstream) = &raw.upstream else {
            for (key, given) in [
                ("strip_prefix", raw.strip_prefix.is_some()),
                ("host", raw.host.is_some()),
                ("authorization", raw.authorization.is_some()),
                ("timeout", raw.timeout.is_some()),
                ("upgrade_lifetime", raw.upgrade_lifetime.is_some()),
                ("strip", !raw.strip.is_empty()),
                ("pass_overrides", raw.pass_overrides),
                ("on_behalf_of", raw.on_behalf_of.is_some()),
            ] {
                if given {
                    self.mistakes.push(
                        &path.key(key),
                        "without an upstream this means nothing",
                        format!("add upstream = \"…\", or remove {key}"),
                    );
                }
            }
            return None;
        };
        for (index, name) in raw.strip.iter().enumerate() {
            self.framing(&name.0, &path.key("strip").index(index));
        }
        let upstream = &upstream.0.0;
        let known = self.declared(
            "upstreams",
            Known::Upstream,
            upstream,
            &path.key("upstream"),
        );
        if let Some(prefix) = &raw.strip_prefix
            && !begins_with(&raw.path.0, &prefix.0.0)
        {
            self.mistakes.push(
                &path.key("strip_prefix"),
                format!("no path of this route begins with {}", prefix.0.0),
                "strip a prefix that path begins with, segment by segment",
            );
        }
        let authorization = match &raw.authorization {
            None | Some(raw::Authorization::Word(raw::AuthorizationWord::Forward)) => {
                Authorization::Forward
            }
            Some(raw::Authorization::Word(raw::AuthorizationWord::Strip)) => Authorization::Strip,
            Some(raw::Authorization::Replace(replace)) => {
                let name = &replace.replace.0.0;
                let at = path.key("authorization").key("replace");
                self.declared("credentials", Known::Credential, name, &at);
                if self.names.signing.contains(name) {
                    self.mistakes.push(
                        &at,
                        format!("[credentials.{name}] signs requests and writes no header"),
                        "call AWS through an egress target",
                    );
                }
                Authorization::Replace(Arc::from(name.as_str()))
            }
        };
        known.then(|| Forward {
            upstream: Arc::from(upstream.as_str()),
            host: raw
                .host
                .as_ref()
                .map_or(HostRewrite::Upstream, |host| host.0.0.clone()),
            authorization,
            strip_prefix: raw.strip_prefix.as_ref().map(|prefix| prefix.0.0.clone()),
            timeout: raw.timeout.as_ref().map(|timeout| timeout.0.0),
            upgrade_lifetime: raw.upgrade_lifetime.as_ref().map(|lifetime| lifetime.0.0),
            strip: raw.strip.iter().map(|name| name.0.clone()).collect(),
        })
    }
}

/// Whether every path of a pattern begins with this literal prefix.
fn begins_with(pattern: &PathPattern, prefix: &str) -> bool {
    PathPattern::parse(prefix).is_ok_and(|prefix| {
        prefix.segments.len() <= pattern.segments.len()
            && prefix
                .segments
                .iter()
                .zip(&pattern.segments)
                .all(|(wanted, is)| matches!(is, Segment::Literal(_)) && wanted == is)
    })
}
