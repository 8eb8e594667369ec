//! Stores of memberships. What routes ask of them: [`routes`].

mod routes;
mod sql;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::error::KeyPath;
use super::super::is_guarded;
use super::super::memberships::{
    self, HttpMemberships, Keeps, LookUps, MembershipKind, MembershipStore, Parameter,
};
use super::super::raw::{self, MembershipsFrom, OneOrMany, OriginWord, Part};
use super::{Known, Resolver};
use crate::authn::claims::ClaimPath;
use crate::authn::membership::{Members, SetFrom, SetsFrom};
use crate::authn::{certificate, password};

/// How a store is asked, where nothing else is said.
pub(super) const LOOK_UPS: LookUps = LookUps {
    cache: Duration::from_secs(60),
    negative_cache: Duration::from_secs(10),
    max_stale: Duration::from_secs(600),
    timeout: Duration::from_secs(2),
    max_entries: 10_000,
};

impl Resolver<'_> {
    pub(super) fn memberships(
        &mut self,
        mut raw: BTreeMap<String, Part<raw::Memberships>>,
    ) -> Vec<MembershipStore> {
        let mut stores = Vec::with_capacity(raw.len());
        for name in self.names.memberships.clone() {
            let path = KeyPath::of(&["memberships", &name]);
            let Some(raw) = raw.remove(&name).and_then(|part| self.part(part, &path)) else {
                continue;
            };
            let resolved = match raw {
                raw::Memberships::File(raw) => {
                    self.members_file(&raw.file, &path.key("file"))
                        .map(|members| {
                            let kind = MembershipKind::File {
                                path: raw.file,
                                members: Arc::new(members),
                            };
                            (kind, Keeps::ALL, raw.from)
                        })
                }
                raw::Memberships::Http(raw) => Some(self.http_memberships(*raw, &path)),
                raw::Memberships::Sql(raw) => self.sql_memberships(&raw, &path),
            };
            stores.extend(resolved.map(|(kind, keeps, from)| MembershipStore {
                name: Arc::from(name),
                from: sets_from(from, keeps),
                keeps,
                kind,
            }));
        }
        stores.extend(self.graph_memberships());
        stores
    }

    fn http_memberships(
        &mut self,
        raw: raw::HttpMemberships,
        path: &KeyPath,
    ) -> (MembershipKind, Keeps, Option<MembershipsFrom>) {
        let url = raw.url.0;
        let at = path.key("url");
        self.guarded(is_guarded(url.origin()), raw.insecure_http, &at);
        if !url.names(Parameter::UserId) {
            self.mistakes.push(
                &at,
                "without {user_id} everybody would be in the same groups",
                "write it like \"https://directory.internal.example/users/{user_id}\"",
            );
        }
        let credential = raw.credential.as_ref().map(|name| {
            let name = name.0.0.as_str();
            self.own_credential(name, &path.key("credential"));
            Arc::from(name)
        });
        let stated = [&raw.groups, &raw.roles, &raw.permissions];
        let [groups, roles, permissions] = if stated.iter().all(|set| set.is_none()) {
            ["groups", "roles", "permissions"].map(|name| Some(ClaimPath::name(name)))
        } else {
            stated.map(|set| match set.as_ref()? {
                OneOrMany::One(name) => Some(ClaimPath::name(&name.0.0)),
                OneOrMany::Many(path) => ClaimPath::nested(raw::texts(&path.0)),
            })
        };
        let keeps = Keeps {
            groups: groups.is_some(),
            roles: roles.is_some(),
            permissions: permissions.is_some(),
        };
        let from = raw.common.from;
        let http = HttpMemberships {
            url,
            credential,
            groups,
            roles,
            permissions,
            look_ups: self.look_ups(&raw.common, path),
        };
        (MembershipKind::Http(Box::new(http)), keeps, from)
    }

    /// A credential of ours, for requests of our own: not a user's, and one that is a header.
    pub(in crate::config) fn own_credential(&mut self, name: &str, path: &KeyPath) {
        if !self.declared("credentials", Known::Credential, name, path) {
            return;
        }
        let wrong = if self.names.of_users.iter().any(|known| known == name) {
            "is made from a user's token, and this is no user's request"
        } else if self.names.signing.iter().any(|known| known == name) {
            "signs requests and writes no header"
        } else {
            return;
        };
        self.mistakes.push(
            path,
            format!("[credentials.{name}] {wrong}"),
            "name a source of kind client_credentials, refresh_token, static_token, api_key or basic",
        );
    }

    /// How a store that is somewhere else is asked.
    pub(in crate::config) fn look_ups(&mut self, raw: &raw::LookUps, path: &KeyPath) -> LookUps {
        let cache = raw.cache.as_ref().map_or(LOOK_UPS.cache, |cache| cache.0.0);
        let max_stale = raw.max_stale.as_ref().map(|stale| stale.0);
        if max_stale.is_some_and(|stale| stale < cache) {
            self.mistakes.push(
                &path.key("max_stale"),
                "shorter than cache: it counts from when the store was asked",
                "make it as long as cache, or longer",
            );
        }
        let negative_cache = raw.negative_cache.as_ref();
        let max_entries = raw.max_entries.map(usize::try_from);
        LookUps {
            cache,
            negative_cache: negative_cache
                .map_or(LOOK_UPS.negative_cache.min(cache), |cache| cache.0),
            max_stale: max_stale.unwrap_or_else(|| LOOK_UPS.max_stale.max(cache)),
            timeout: raw
                .timeout
                .as_ref()
                .map_or(LOOK_UPS.timeout, |timeout| timeout.0.0),
            max_entries: max_entries
                .map_or(LOOK_UPS.max_entries, |most| most.unwrap_or(usize::MAX)),
        }
    }

    fn members_file(&mut self, file: &Path, path: &KeyPath) -> Option<Members> {
        let text = self.text_file(file, path)?;
        let read = memberships::members(&file.display().to_string(), &text);
        let members = self.beside(read, path)?;
        let mut unknown: Vec<&str> = members
            .issuers()
            .filter(|&issuer| ![certificate::ISSUER, password::ISSUER].contains(&issuer))
            .filter(|&issuer| !self.names.issuers.iter().any(|known| known == issuer))
            .collect();
        unknown.sort_unstable();
        if !unknown.is_empty() {
            let message = format!(
                "{} names issuers that are not configured: {}",
                file.display(),
                unknown.join(", ")
            );
            self.warn(path, message);
        }
        Some(members)
    }
}

/// Where each set comes from. What a store does not keep it cannot add to the claims.
fn sets_from(from: Option<MembershipsFrom>, keeps: Keeps) -> SetsFrom {
    let stated = |word: Option<OriginWord>, kept| match word {
        None | Some(OriginWord::Store) => SetFrom::Store,
        Some(OriginWord::Both) if kept => SetFrom::Both,
        Some(OriginWord::Both | OriginWord::Claims) => SetFrom::Claims,
    };
    let [groups, roles, permissions] = match from {
        None => [None; 3],
        Some(MembershipsFrom::All(word)) => [Some(word); 3],
        Some(MembershipsFrom::Each(each)) => [each.groups, each.roles, each.permissions],
    };
    SetsFrom {
        groups: stated(groups, keeps.groups),
        roles: stated(roles, keeps.roles),
        permissions: stated(permissions, keeps.permissions),
    }
}
