//! `[mappings.X]`: what an issuer's names mean here. Applied to a principal once its sets are complete.

use std::collections::HashSet;
use std::sync::Arc;

use crate::authn::principal::{Names, Principal};

/// One of the four sets of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Set {
    Groups,
    Roles,
    Permissions,
    Scopes,
}

impl Set {
    /// As in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Groups => "groups",
            Self::Roles => "roles",
            Self::Permissions => "permissions",
            Self::Scopes => "scopes",
        }
    }
}

/// How the sets of a principal are read. The default changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Of groups only those that begin so count, without it.
    pub group_prefix: Option<String>,
    /// The same for roles.
    pub role_prefix: Option<String>,
    /// The same for permissions.
    pub permission_prefix: Option<String>,
    /// The same for scopes.
    pub scope_prefix: Option<String>,
    /// What counts as a role: its own roles, and where that is said its groups (the names as cut).
    pub roles_from: Vec<Set>,
    /// What counts as a permission: its own, and where that is said its roles and scopes: Entra gives
    /// services app roles (`roles`) and users delegated permissions (`scp`) of the same names.
    pub permissions_from: Vec<Set>,
    /// A role, and the permissions it gives. [`is_wildcard`] ones give all they cover.
    pub role_permissions: Vec<(String, Vec<String>)>,
    /// Whether wildcards count in what claims and stores say too.
    pub wildcards: bool,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            group_prefix: None,
            role_prefix: None,
            permission_prefix: None,
            scope_prefix: None,
            roles_from: vec![Set::Roles],
            permissions_from: vec![Set::Permissions],
            role_permissions: Vec::new(),
            wildcards: false,
        }
    }
}

/// Whether a permission stands for all below it: `*`, or a name that ends in `.*`, `:*` or `/*`.
#[must_use]
pub fn is_wildcard(permission: &str) -> bool {
    permission == "*"
        || [".*", ":*", "/*"]
            .iter()
            .any(|end| permission.ends_with(end))
}

/// Whether a wildcard covers a permission: `orders.*` covers `orders.read` and `orders.items.read`, not
/// `orders`.
#[must_use]
pub fn covers(wildcard: &str, permission: &str) -> bool {
    wildcard
        .strip_suffix('*')
        .and_then(|above| permission.strip_prefix(above))
        .is_some_and(|below| !below.is_empty())
}

impl Mapping {
    /// The principal as this mapping reads it; the same one if it changes nothing.
    ///
    /// What follows from a set that is not known is not known: a rule on it cannot be decided.
    #[must_use]
    pub fn apply(&self, principal: &Arc<Principal>) -> Arc<Principal> {
        if self.changes_nothing() {
            return Arc::clone(principal);
        }
        let scopes = match &self.scope_prefix {
            None => principal.scopes.clone(),
            Some(prefix) => cut(&principal.scopes, prefix),
        };
        let groups = read(&principal.groups, self.group_prefix.as_deref());
        let own_roles = read(&principal.roles, self.role_prefix.as_deref());
        let own_permissions = read(&principal.permissions, self.permission_prefix.as_deref());
        let stated = Names::Known(scopes.clone());
        let roles = gather(self.roles_from.iter().map(|set| match set {
            Set::Groups => &groups,
            Set::Roles => &own_roles,
            Set::Permissions => &own_permissions,
            Set::Scopes => &stated,
        }));
        let counted = gather(self.permissions_from.iter().map(|set| match set {
            Set::Groups => &groups,
            Set::Roles => &roles,
            Set::Permissions => &own_permissions,
            Set::Scopes => &stated,
        }));
        let given = self.given(&roles);
        let trusted = counted.known().iter().filter(|_| self.wildcards);
        let wildcards = trusted.chain(given.known());
        let wildcards = wildcards
            .filter(|name| is_wildcard(name))
            .cloned()
            .collect();
        let permissions = gather([&counted, &given]);
        Arc::new(Principal {
            groups,
            roles,
            permissions,
            wildcards,
            scopes,
            ..Principal::clone(principal)
        })
    }

    /// Whether it is as good as the default.
    fn changes_nothing(&self) -> bool {
        let Self {
            group_prefix: None,
            role_prefix: None,
            permission_prefix: None,
            scope_prefix: None,
            roles_from,
            permissions_from,
            role_permissions,
            wildcards: false,
        } = self
        else {
            return false;
        };
        *roles_from == [Set::Roles]
            && *permissions_from == [Set::Permissions]
            && role_permissions.is_empty()
    }

    /// Which of its own groups, roles and permissions must be known of a principal for `asked` to be known.
    #[must_use]
    pub fn needs(&self, asked: Set) -> Vec<Set> {
        let of_roles = || self.roles_from.iter().copied();
        match asked {
            Set::Groups | Set::Scopes => vec![asked],
            Set::Roles => of_roles().collect(),
            Set::Permissions => {
                let counted = self.permissions_from.iter().copied();
                let given = (!self.role_permissions.is_empty()).then_some(Set::Roles);
                counted
                    .chain(given)
                    .flat_map(|set| match set {
                        Set::Roles => of_roles().collect(),
                        Set::Groups | Set::Permissions | Set::Scopes => vec![set],
                    })
                    .collect()
            }
        }
    }

    /// The permissions these roles give.
    fn given(&self, roles: &Names) -> Names {
        match roles {
            Names::Unresolved if !self.role_permissions.is_empty() => Names::Unresolved,
            Names::Unresolved => Names::Known(Vec::new()),
            Names::Known(roles) => {
                let of = self.role_permissions.iter();
                let of = of.filter(|(role, _)| roles.contains(role));
                Names::Known(of.flat_map(|(_, given)| given).cloned().collect())
            }
        }
    }
}

/// The names that begin with `prefix`, without it: none that lacks it can pass for one that has it.
fn cut(names: &[String], prefix: &str) -> Vec<String> {
    let rest = names.iter().filter_map(|name| name.strip_prefix(prefix));
    let rest = rest.filter(|name| !name.is_empty());
    rest.map(str::to_owned).collect()
}

fn read(names: &Names, prefix: Option<&str>) -> Names {
    match (names, prefix) {
        (Names::Known(names), Some(prefix)) => Names::Known(cut(names, prefix)),
        (names, _) => names.clone(),
    }
}

/// The names of all these sets, each once; unresolved if one set is.
fn gather<'n, I: IntoIterator<Item = &'n Names>>(sets: I) -> Names {
    let mut seen = HashSet::new();
    let mut gathered = Vec::new();
    for set in sets {
        match set {
            Names::Unresolved => return Names::Unresolved,
            Names::Known(names) => gathered.extend(names.iter().filter(|name| seen.insert(*name))),
        }
    }
    Names::Known(gathered.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::PrincipalKind;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn known(names: &[&str]) -> Names {
        Names::Known(list(names))
    }

    fn principal(
        groups: Names,
        roles: Names,
        permissions: Names,
        scopes: &[&str],
    ) -> Arc<Principal> {
        Arc::new(Principal {
            groups,
            roles,
            permissions,
            scopes: list(scopes),
            ..Principal::alone(PrincipalKind::User, "users", "ada".to_owned())
        })
    }

    #[test]
    fn what_is_asked_needs_what_it_is_read_from() {
        let needs = |roles_from: &[Set], permissions_from: &[Set], gives: bool, asked| {
            let mapping = Mapping {
                roles_from: roles_from.to_vec(),
                permissions_from: permissions_from.to_vec(),
                role_permissions: if gives {
                    vec![("editor".to_owned(), list(&["orders.write"]))]
                } else {
                    vec![]
                },
                ..Mapping::default()
            };
            mapping.needs(asked)
        };
        let (groups, roles, permissions) = (Set::Groups, Set::Roles, Set::Permissions);
        let both = [roles, groups];
        for (roles_from, permissions_from, gives, asked, expected) in [
            (
                &[roles][..],
                &[permissions][..],
                false,
                groups,
                vec![groups],
            ),
            (&[roles], &[permissions], false, roles, vec![roles]),
            (
                &[roles],
                &[permissions],
                false,
                permissions,
                vec![permissions],
            ),
            (&both, &[permissions], false, roles, vec![roles, groups]),
            (&[groups], &[permissions], false, roles, vec![groups]),
            (
                &[groups],
                &[permissions, roles],
                false,
                permissions,
                vec![permissions, groups],
            ),
            (
                &both,
                &[permissions],
                true,
                permissions,
                vec![permissions, roles, groups],
            ),
        ] {
            let needed = needs(roles_from, permissions_from, gives, asked);
            assert_eq!(
                needed, expected,
                "{roles_from:?} {permissions_from:?} {gives} {asked:?}"
            );
        }
    }

    #[test]
    fn no_mapping_copies_nothing() {
        let ada = principal(known(&["a"]), known(&[]), Names::Unresolved, &["s"]);
        assert!(Arc::ptr_eq(&Mapping::default().apply(&ada), &ada));
    }

    #[test]
    fn a_prefix_leaves_out_what_lacks_it() {
        let mapping = Mapping {
            role_prefix: Some("Orders.".to_owned()),
            scope_prefix: Some("orders/".to_owned()),
            ..Mapping::default()
        };
        let roles = known(&[
            "Orders.admin",
            "admin2",
            "orders.admin3",
            "Orders.",
            "XOrders.a",
        ]);
        let ada = principal(known(&["g"]), roles, known(&[]), &["orders/read", "read2"]);
        let mapped = mapping.apply(&ada);
        assert_eq!(mapped.groups, known(&["g"]));
        assert_eq!(mapped.roles, known(&["admin"]));
        assert_eq!(mapped.scopes, list(&["read"]));
    }

    #[test]
    fn groups_are_roles_and_roles_give_permissions() {
        let mapping = Mapping {
            roles_from: vec![Set::Roles, Set::Groups],
            role_permissions: vec![
                ("ops".to_owned(), list(&["orders.*", "users.read"])),
                ("dev".to_owned(), list(&["never"])),
            ],
            ..Mapping::default()
        };
        let ada = principal(
            known(&["ops", "auditor"]),
            known(&["auditor"]),
            known(&["users.read", "audit.*"]),
            &[],
        );
        let mapped = mapping.apply(&ada);
        assert_eq!(mapped.roles, known(&["auditor", "ops"]));
        assert_eq!(
            mapped.permissions,
            known(&["users.read", "audit.*", "orders.*"])
        );
        // a wildcard in a claim is a name like any other unless that is asked for
        assert_eq!(mapped.wildcards, list(&["orders.*"]));
        assert_eq!(mapped.scopes, list(&[]));
        let trusting = Mapping {
            wildcards: true,
            ..mapping
        };
        assert_eq!(
            trusting.apply(&ada).wildcards,
            list(&["audit.*", "orders.*"])
        );
    }

    #[test]
    fn roles_and_scopes_become_permissions_where_that_is_said() {
        let mapping = Mapping {
            permissions_from: vec![Set::Roles, Set::Scopes],
            ..Mapping::default()
        };
        let service = principal(known(&[]), known(&["Orders.Read"]), known(&["x"]), &[]);
        let user = principal(
            known(&[]),
            known(&[]),
            known(&[]),
            &["Orders.Read", "openid"],
        );
        assert_eq!(mapping.apply(&service).permissions, known(&["Orders.Read"]));
        assert_eq!(
            mapping.apply(&user).permissions,
            known(&["Orders.Read", "openid"])
        );
    }

    #[test]
    fn what_follows_from_an_unknown_set_is_unknown() {
        let mapping = Mapping {
            roles_from: vec![Set::Roles, Set::Groups],
            role_permissions: vec![("ops".to_owned(), list(&["*"]))],
            ..Mapping::default()
        };
        let overage = principal(Names::Unresolved, known(&["ops"]), known(&["p"]), &[]);
        let mapped = mapping.apply(&overage);
        assert_eq!(mapped.roles, Names::Unresolved);
        assert_eq!(mapped.permissions, Names::Unresolved);
        assert!(mapped.wildcards.is_empty());
    }

    #[test]
    fn a_wildcard_covers_what_is_below_it() {
        for (wildcard, permission, expected) in [
            ("orders.*", "orders.read", true),
            ("orders.*", "orders.items.read", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.", false),
            ("orders.*", "ordersx.read", false),
            ("orders.*", "Orders.read", false),
            ("orders:*", "orders:read", true),
            ("api/*", "api/a", true),
            ("*", "anything", true),
        ] {
            assert_eq!(
                covers(wildcard, permission),
                expected,
                "{wildcard} {permission}"
            );
            assert!(is_wildcard(wildcard));
        }
        for name in ["orders*", "*.read", "orders.*.read", "orders", "", "**"] {
            assert!(!is_wildcard(name), "{name}");
        }
    }
}
