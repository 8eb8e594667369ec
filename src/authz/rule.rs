//! `require`: what a verified principal must also be. Exact element match; only a permission held as a
//! wildcard (`orders.*`, by its issuer's mapping) stands for more than itself.

use crate::authn::claims::{ClaimPath, value_matches};
use crate::authn::mapping::covers;
use crate::authn::principal::{Names, Principal, PrincipalKind};
use crate::reason::Denial;
use crate::steps::{Steps, shown};

/// A condition on one set of names. All three parts must hold; an empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetRule {
    /// At least one of these.
    pub any: Vec<String>,
    /// Every one of these.
    pub all: Vec<String>,
    /// Not one of these.
    pub none: Vec<String>,
}

impl SetRule {
    /// Whether the condition holds for these names.
    #[must_use]
    pub fn holds(&self, names: &[String]) -> bool {
        self.holds_where(|name| names.contains(name))
    }

    /// Whether the condition holds for the names of which `has` says yes.
    fn holds_where(&self, has: impl Fn(&String) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(&has))
            && self.all.iter().all(&has)
            && !self.none.iter().any(&has)
    }
}

/// One route's `require` table. Every part that is given must hold; the default asks nothing more
/// than a verified principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// A person or a program.
    pub principal: Option<PrincipalKind>,
    /// Accepted client ids.
    pub clients: Option<Vec<String>>,
    /// On groups.
    pub groups: Option<SetRule>,
    /// On roles.
    pub roles: Option<SetRule>,
    /// On permissions.
    pub permissions: Option<SetRule>,
    /// On scopes.
    pub scopes: Option<SetRule>,
    /// Claims that must have, or hold as an element, one of these values.
    pub claims: Vec<(ClaimPath, Vec<String>)>,
}

impl Rule {
    /// Whether it asks what its principal is in or may.
    #[must_use]
    pub fn asks_sets(&self) -> bool {
        self.groups.is_some()
            || self.roles.is_some()
            || self.permissions.is_some()
            || self.scopes.is_some()
    }

    /// Evaluates the rule, cheapest part first. A set the token does not carry is
    /// [`Denial::GroupsUnresolved`], never a pass.
    pub fn evaluate(&self, principal: &Principal, steps: &mut impl Steps) -> Result<(), Denial> {
        let Self {
            principal: kind,
            clients,
            groups,
            roles,
            permissions,
            scopes,
            claims,
        } = self;
        if let Some(kind) = kind {
            steps.step("rule principal", || {
                format!("wants {}, is {}", kind.as_str(), principal.kind.as_str())
            });
            if *kind != principal.kind {
                return Err(Denial::PrincipalKindRefused);
            }
        }
        if let Some(clients) = clients {
            steps.step("rule clients", || {
                format!(
                    "wants one of {clients:?}, is {}",
                    shown(principal.client_id.as_deref())
                )
            });
            if !principal
                .client_id
                .as_ref()
                .is_some_and(|client| clients.contains(client))
            {
                return Err(Denial::ClientRefused);
            }
        }
        let Principal {
            groups: held_groups,
            roles: held_roles,
            permissions: held_permissions,
            wildcards,
            ..
        } = principal;
        for (what, rule, names, wildcards, denial) in [
            (
                "rule groups",
                groups,
                held_groups,
                &[][..],
                Denial::GroupMissing,
            ),
            (
                "rule roles",
                roles,
                held_roles,
                &[][..],
                Denial::RoleMissing,
            ),
            (
                "rule permissions",
                permissions,
                held_permissions,
                wildcards,
                Denial::PermissionMissing,
            ),
        ] {
            let Some(rule) = rule else { continue };
            steps.step(what, || {
                format!("wants {}, has {}", show(rule), show_names(names))
            });
            match names {
                Names::Unresolved => return Err(Denial::GroupsUnresolved),
                Names::Known(names) if rule.holds_where(|name| has(names, wildcards, name)) => {}
                Names::Known(_missing) => return Err(denial),
            }
        }
        if let Some(rule) = scopes {
            steps.step("rule scopes", || {
                format!("wants {}, has {:?}", show(rule), principal.scopes)
            });
            if !rule.holds(&principal.scopes) {
                return Err(Denial::ScopeMissing);
            }
        }
        for (path, accepted) in claims {
            let value = path.find(&principal.claims);
            steps.step("rule claim", || {
                format!(
                    "{path} wants one of {accepted:?}, {}",
                    if value.is_some() {
                        "is present"
                    } else {
                        "is absent"
                    }
                )
            });
            if !value.is_some_and(|value| value_matches(value, accepted)) {
                return Err(Denial::ClaimMismatch);
            }
        }
        Ok(())
    }
}

/// Whether a principal that holds `names`, of which these are wildcards, has `name`.
fn has(names: &[String], wildcards: &[String], name: &String) -> bool {
    names.contains(name) || wildcards.iter().any(|held| covers(held, name))
}

fn show(rule: &SetRule) -> String {
    let SetRule { any, all, none } = rule;
    [("any of", any), ("all of", all), ("none of", none)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!("{word} {names:?}"))
        .collect::<Vec<_>>()
        .join(" and ")
}

fn show_names(names: &Names) -> String {
    match names {
        Names::Known(names) => format!("{names:?}"),
        Names::Unresolved => "a credential that does not tell them".to_owned(),
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn ada() -> Principal {
        Principal {
            client_id: Some("web".to_owned()),
            groups: Names::Known(list(&["admins", "readers"])),
            roles: Names::Known(vec![]),
            permissions: Names::Known(list(&["orders.read"])),
            scopes: list(&["orders/read"]),
            ..Principal::alone(PrincipalKind::User, "users", "ada".to_owned())
        }
    }

    fn groups(any: &[&str], all: &[&str], none: &[&str]) -> Rule {
        Rule {
            groups: Some(SetRule {
                any: list(any),
                all: list(all),
                none: list(none),
            }),
            ..Rule::default()
        }
    }

    #[test]
    fn no_requirement_is_any_verified_principal() {
        assert_eq!(Rule::default().evaluate(&ada(), &mut ()), Ok(()));
    }

    #[test]
    fn groups_match_whole_and_exact() {
        for (rule, outcome) in [
            (groups(&["admins", "x"], &[], &[]), Ok(())),
            (groups(&["admin"], &[], &[]), Err(Denial::GroupMissing)),
            (groups(&["Admins"], &[], &[]), Err(Denial::GroupMissing)),
            (
                groups(&["admins,readers"], &[], &[]),
                Err(Denial::GroupMissing),
            ),
            (groups(&["*"], &[], &[]), Err(Denial::GroupMissing)),
            (groups(&[], &["admins", "readers"], &[]), Ok(())),
            (
                groups(&[], &["admins", "x"], &[]),
                Err(Denial::GroupMissing),
            ),
            (
                groups(&["admins"], &[], &["readers"]),
                Err(Denial::GroupMissing),
            ),
            (groups(&[], &[], &["x"]), Ok(())),
        ] {
            assert_eq!(rule.evaluate(&ada(), &mut ()), outcome, "{rule:?}");
        }
    }

    #[test]
    fn a_permission_held_as_a_wildcard_stands_for_all_below_it() {
        let mut ada = ada();
        ada.permissions = Names::Known(list(&["orders.*", "users.*"]));
        ada.wildcards = list(&["orders.*"]);
        let permissions = |any: &[&str], all: &[&str], none: &[&str]| Rule {
            permissions: Some(SetRule {
                any: list(any),
                all: list(all),
                none: list(none),
            }),
            ..Rule::default()
        };
        for (rule, holds) in [
            (permissions(&["orders.read"], &[], &[]), true),
            (
                permissions(&[], &["orders.read", "orders.items.write"], &[]),
                true,
            ),
            (permissions(&["orders.*"], &[], &[]), true),
            (permissions(&["orders"], &[], &[]), false),
            (permissions(&["users.read"], &[], &[]), false),
            (permissions(&["users.*"], &[], &[]), true),
            // whoever may all may this too
            (permissions(&[], &[], &["orders.delete"]), false),
            (permissions(&[], &[], &["users.delete"]), true),
            // of permissions only
            (groups(&["orders.read"], &[], &[]), false),
        ] {
            assert_eq!(rule.evaluate(&ada, &mut ()).is_ok(), holds, "{rule:?}");
        }
    }

    #[test]
    fn unresolved_groups_decide_nothing() {
        let mut overage = ada();
        overage.groups = Names::Unresolved;
        for rule in [groups(&["admins"], &[], &[]), groups(&[], &[], &["banned"])] {
            assert_eq!(
                rule.evaluate(&overage, &mut ()),
                Err(Denial::GroupsUnresolved)
            );
        }
        assert_eq!(Rule::default().evaluate(&overage, &mut ()), Ok(()));
    }

    #[test]
    fn each_part_has_its_own_reason() {
        let set = |name: &str| {
            Some(SetRule {
                any: list(&[name]),
                ..SetRule::default()
            })
        };
        for (rule, denial) in [
            (
                Rule {
                    principal: Some(PrincipalKind::Service),
                    ..Rule::default()
                },
                Denial::PrincipalKindRefused,
            ),
            (
                Rule {
                    clients: Some(list(&["cli"])),
                    ..Rule::default()
                },
                Denial::ClientRefused,
            ),
            (
                Rule {
                    roles: set("r"),
                    ..Rule::default()
                },
                Denial::RoleMissing,
            ),
            (
                Rule {
                    permissions: set("orders.write"),
                    ..Rule::default()
                },
                Denial::PermissionMissing,
            ),
            (
                Rule {
                    scopes: set("orders/write"),
                    ..Rule::default()
                },
                Denial::ScopeMissing,
            ),
            (
                Rule {
                    claims: vec![(ClaimPath::name("plan"), list(&["gold"]))],
                    ..Rule::default()
                },
                Denial::ClaimMismatch,
            ),
        ] {
            assert_eq!(rule.evaluate(&ada(), &mut ()), Err(denial));
        }
    }

    #[test]
    fn a_claim_matches_by_value_or_element() {
        use crate::authn::claims::Claims;
        use serde_json::json;
        let accepted = list(&["gold", "7", "true"]);
        let matches = |value: &serde_json::Value| {
            let claims = Claims::parse(json!({ "plan": value }).to_string()).unwrap();
            value_matches(claims.find("plan").unwrap(), &accepted)
        };
        for value in [json!("gold"), json!(["x", "gold"]), json!(7), json!(true)] {
            assert!(matches(&value), "{value}");
        }
        for value in [
            json!("golden"),
            json!(["x"]),
            json!([["gold"]]),
            json!({"gold": 1}),
            json!(null),
            json!(7.5),
        ] {
            assert!(!matches(&value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn more_conditions_never_admit_more(
            any in proptest::collection::vec("[a-c]", 0..3),
            all in proptest::collection::vec("[a-c]", 0..3),
            none in proptest::collection::vec("[a-c]", 0..3),
            has in proptest::collection::vec("[a-c]", 0..3),
        ) {
            let full = SetRule { any: any.clone(), all, none };
            let less = SetRule { any, ..SetRule::default() };
            prop_assert!(!full.holds(&has) || less.holds(&has));
        }
    }
}
