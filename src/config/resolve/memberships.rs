//! Stores of memberships, and what routes ask of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::super::error::KeyPath;
use super::super::memberships::{self, Keeps, MembershipKind, MembershipStore};
use super::super::raw::{self, MembershipsFrom, OriginWord, Part};
use super::{Known, Resolver};
use crate::authn::credential::Kind;
use crate::authn::mapping::{Mapping, Set};
use crate::authn::membership::{Members, SetFrom, SetsFrom};
use crate::authn::{certificate, password};
use crate::authz::Rule;
use crate::authz::route::{OnBehalfOf, RouteMemberships};

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
            };
            stores.extend(resolved.map(|(kind, keeps, from)| MembershipStore {
                name: Arc::from(name),
                from: sets_from(from, keeps),
                keeps,
                kind,
            }));
        }
        stores
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

    /// What a route asks of the store it names, `require` and `on_behalf_of` together.
    pub(super) fn route_memberships(
        &mut self,
        raw: &raw::Route,
        accepts: &[Kind],
        issuers: &[usize],
        require: &Rule,
        on_behalf_of: Option<&OnBehalfOf>,
        path: &KeyPath,
    ) -> Option<RouteMemberships> {
        let name = &raw.memberships.as_ref()?.0.0;
        let at = path.key("memberships");
        if !self.declared("memberships", Known::Memberships, name, &at) {
            return None;
        }
        // a store with a mistake in it is known by name only
        let (number, store) = self
            .memberships
            .iter()
            .enumerate()
            .find(|(_number, store)| *store.name == **name)?;
        let (from, keeps) = (store.from, store.keeps);
        let name = Arc::clone(&store.name);
        let needed = self.needed(issuers, require, on_behalf_of);
        let reads_tokens = accepts.iter().any(|kind| match kind {
            Kind::Bearer => true,
            Kind::Basic | Kind::Mtls => false,
        });
        let mut asked = false;
        for (set, from, kept) in [
            (Set::Groups, from.groups, keeps.groups),
            (Set::Roles, from.roles, keeps.roles),
            (Set::Permissions, from.permissions, keeps.permissions),
        ] {
            if !needed.contains(&set) {
                continue;
            }
            asked |= from != SetFrom::Claims;
            let set = set.as_str();
            if from == SetFrom::Store && !kept {
                self.mistakes.push(
                    &at,
                    format!("this route asks for {set}, and [memberships.{name}] keeps none"),
                    format!(
                        "add {set} to [memberships.{name}], or from = {{ {set} = \"claims\" }}"
                    ),
                );
            }
            if from != SetFrom::Store && !reads_tokens {
                self.mistakes.push(
                    &at,
                    format!(
                        "this route asks for {set}, which [memberships.{name}] takes from claims, and \
                         a certificate has none"
                    ),
                    format!("write from = {{ {set} = \"store\" }} in [memberships.{name}]"),
                );
            }
        }
        if !asked {
            self.warn(
                &at,
                format!(
                    "nothing this route asks comes from [memberships.{name}]: it is not asked, and what \
                     would come from it is not stated in the identity headers"
                ),
            );
        }
        Some(RouteMemberships {
            store: number,
            name,
            from,
            asked,
        })
    }

    /// The sets that must be known of somebody for a rule to be evaluated, whichever of these issuers it is
    /// of: what a mapping reads one from is needed too.
    fn needed(
        &self,
        issuers: &[usize],
        require: &Rule,
        on_behalf_of: Option<&OnBehalfOf>,
    ) -> Vec<Set> {
        let acting = on_behalf_of.is_some_and(|acting| acting.groups.is_some());
        let asked = [
            (Set::Groups, require.groups.is_some() || acting),
            (Set::Roles, require.roles.is_some()),
            (Set::Permissions, require.permissions.is_some()),
        ];
        let plain = Mapping::default();
        let named = issuers
            .iter()
            .filter_map(|number| Some(&self.issuer_of(*number)?.mapping));
        let mappings: Vec<&Mapping> = named
            .chain([&plain].into_iter().filter(|_| issuers.is_empty()))
            .collect();
        let asked = asked.into_iter().filter(|(_, asked)| *asked);
        asked
            .flat_map(|(set, _)| mappings.iter().flat_map(move |mapping| mapping.needs(set)))
            .collect()
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
