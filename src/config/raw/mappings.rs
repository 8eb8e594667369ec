//! Mappings as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::forms::{NonEmpty, Text};
use super::List;

/// One `[mappings.NAME]` table.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::config) struct Mapping {
    /// Only names that begin so count, without it.
    #[serde(default)]
    pub(in crate::config) prefixes: Prefixes,
    /// What counts as a role.
    pub(in crate::config) roles_from: Option<List<RoleSet>>,
    /// What counts as a permission.
    pub(in crate::config) permissions_from: Option<List<PermissionSet>>,
    /// What a role permits: names, or wildcards such as `orders.*`.
    #[serde(default)]
    pub(in crate::config) role_permissions: BTreeMap<String, List<Text<NonEmpty>>>,
    /// Whether wildcards count in the permissions of claims and stores too.
    #[serde(default)]
    pub(in crate::config) wildcards: bool,
}

/// `prefixes`
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(in crate::config) struct Prefixes {
    pub(in crate::config) groups: Option<Text<NonEmpty>>,
    pub(in crate::config) roles: Option<Text<NonEmpty>>,
    pub(in crate::config) permissions: Option<Text<NonEmpty>>,
    pub(in crate::config) scopes: Option<Text<NonEmpty>>,
}

/// `roles_from`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RoleSet {
    Groups,
    Roles,
}

/// `permissions_from`
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum PermissionSet {
    Permissions,
    Roles,
    Scopes,
}
