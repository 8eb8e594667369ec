//! Mappings: what an issuer's names mean here.

use std::collections::BTreeMap;

use super::super::error::KeyPath;
use super::super::forms::{NonEmpty, Text};
use super::super::raw::{self, Part};
use super::{Known, Resolver};
use crate::authn::Mapping;
use crate::authn::mapping::{Set, is_wildcard};

/// The mappings by name.
pub(super) type Mappings = BTreeMap<String, Mapping>;

impl Resolver<'_> {
    pub(super) fn mappings(&mut self, raw: BTreeMap<String, Part<raw::Mapping>>) -> Mappings {
        let mut mappings = Mappings::new();
        for (name, part) in raw {
            let path = KeyPath::of(&["mappings", &name]);
            if let Some(raw) = self.part(part, &path) {
                mappings.insert(name, self.mapping(raw, &path));
            }
        }
        mappings
    }

    fn mapping(&mut self, raw: raw::Mapping, path: &KeyPath) -> Mapping {
        let at = path.key("role_permissions");
        for (role, permissions) in &raw.role_permissions {
            for (number, permission) in permissions.0.iter().enumerate() {
                let permission = &permission.0.0;
                if permission.contains('*') && !is_wildcard(permission) {
                    self.mistakes.push(
                        &at.key(role).index(number),
                        format!("{permission:?} is no wildcard, and no name either"),
                        "write \"orders.*\", \"orders:*\", \"orders/*\" or \"*\": the star stands at the end, after a separator",
                    );
                }
            }
        }
        let prefix = |prefix: Option<Text<NonEmpty>>| prefix.map(|prefix| prefix.0.0);
        let mapping = Mapping {
            group_prefix: prefix(raw.prefixes.groups),
            role_prefix: prefix(raw.prefixes.roles),
            permission_prefix: prefix(raw.prefixes.permissions),
            scope_prefix: prefix(raw.prefixes.scopes),
            roles_from: raw.roles_from.map_or_else(
                || vec![Set::Roles],
                |sets| sets.0.into_iter().map(role_set).collect(),
            ),
            permissions_from: raw.permissions_from.map_or_else(
                || vec![Set::Permissions],
                |sets| sets.0.into_iter().map(permission_set).collect(),
            ),
            role_permissions: raw
                .role_permissions
                .into_iter()
                .map(|(role, permissions)| (role, raw::texts(&permissions.0)))
                .collect(),
            wildcards: raw.wildcards,
        };
        if mapping == Mapping::default() {
            self.mistakes.push(
                path,
                "it maps nothing",
                "write prefixes, roles_from, role_permissions or another of its keys, or remove it",
            );
        }
        mapping
    }

    /// The mapping that a table names; the one that changes nothing where none is named.
    pub(super) fn named_mapping(
        &mut self,
        mappings: &Mappings,
        name: Option<&Text<NonEmpty>>,
        path: &KeyPath,
    ) -> Mapping {
        let Some(Text(NonEmpty(name))) = name else {
            return Mapping::default();
        };
        self.declared("mappings", Known::Mapping, name, &path.key("mapping"));
        mappings.get(name).cloned().unwrap_or_default()
    }
}

fn role_set(raw: raw::RoleSet) -> Set {
    match raw {
        raw::RoleSet::Groups => Set::Groups,
        raw::RoleSet::Roles => Set::Roles,
    }
}

fn permission_set(raw: raw::PermissionSet) -> Set {
    match raw {
        raw::PermissionSet::Permissions => Set::Permissions,
        raw::PermissionSet::Roles => Set::Roles,
        raw::PermissionSet::Scopes => Set::Scopes,
    }
}
