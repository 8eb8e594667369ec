//! Upstreams and egress targets.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::raw::{self, Part};
use super::super::{EgressTarget, Upstream};
use super::{Known, Resolver};

impl Resolver<'_> {
    pub(super) fn upstreams(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Upstream>>,
    ) -> Vec<Upstream> {
        let mut upstreams = Vec::with_capacity(raw.len());
        for name in self.names.upstreams.clone() {
            let path = KeyPath::of(&["upstreams", &name]);
            let Some(raw) = raw.remove(&name).and_then(|part| self.part(part, &path)) else {
                continue;
            };
            let server = self.server(raw.server, &path);
            if !server.is_guarded() {
                self.warn(
                    &path.key("url"),
                    "plain http:// to another host: whoever is on the way can read and change requests",
                );
            }
            upstreams.push(Upstream {
                name: Arc::from(name),
                server,
            });
        }
        upstreams
    }

    pub(super) fn egress_targets(
        &mut self,
        raw: Vec<Part<raw::EgressTarget>>,
    ) -> Vec<EgressTarget> {
        let mut names = HashSet::new();
        let mut targets = Vec::with_capacity(raw.len());
        for (index, part) in raw.into_iter().enumerate() {
            let path = KeyPath::of(&["egress_targets"]).index(index);
            let Some(raw) = self.part(part, &path) else {
                continue;
            };
            let name = raw.name.0.0;
            let label = name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !label || name.len() > 63 || name.starts_with('-') || name.ends_with('-') {
                self.mistakes.push(
                    &path.key("name"),
                    format!("{name:?} cannot stand in a path and a host name"),
                    "use lower-case letters, digits and `-`",
                );
            }
            if !names.insert(name.clone()) {
                self.mistakes.push(
                    &path.key("name"),
                    format!("another target is named {name:?} too"),
                    "give each target its own name",
                );
            }
            let server = self.server(raw.server, &path);
            self.guarded(server.is_guarded(), raw.insecure_http, &path.key("url"));
            self.link_local(&server, &path);
            let at = path.key("credential");
            let credentials = raw.credential.list();
            for (number, credential) in credentials.iter().enumerate() {
                let at = match &raw.credential {
                    raw::OneOrMany::One(_) => at.clone(),
                    raw::OneOrMany::Many(_) => at.index(number),
                };
                self.declared("credentials", Known::Credential, credential, &at);
            }
            targets.push(EgressTarget {
                name: Arc::from(name),
                server,
                credentials: credentials.into_iter().map(Arc::from).collect(),
                forward_user: raw.forward_user,
            });
        }
        targets
    }
}
