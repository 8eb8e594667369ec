//! Groups, roles and permissions that are kept outside the credential, and how they join those it
//! states.

use std::collections::{HashMap, HashSet};

use crate::authn::principal::{Names, Principal};

/// Most names of one set: an answer with more is refused whole.
pub const MOST_NAMES: usize = 10_000;
/// Most bytes of one name.
pub const LONGEST_NAME: usize = 1024;

/// Of whom memberships are asked: the principal as its credential proved it. Nothing a client can write
/// beside the credential is part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject<'s> {
    /// The configured name of the issuer.
    pub issuer: &'s str,
    /// The user id: unique within its issuer, not beyond.
    pub user_id: &'s str,
    /// The tenant, if the credential names one.
    pub tenant: Option<&'s str>,
    /// The OAuth client, if the credential names one.
    pub client_id: Option<&'s str>,
}

impl<'s> From<&'s Principal> for Subject<'s> {
    fn from(principal: &'s Principal) -> Self {
        Self {
            issuer: &principal.issuer,
            user_id: &principal.user_id,
            tenant: principal.tenant_id.as_deref(),
            client_id: principal.client_id.as_deref(),
        }
    }
}

/// What a store says of one subject. A set it does not keep, or did not tell, is unresolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sets {
    /// Group names or ids.
    pub groups: Names,
    /// Roles.
    pub roles: Names,
    /// Permissions.
    pub permissions: Names,
}

impl Sets {
    /// Nothing is known of any.
    pub const UNKNOWN: Self = Self {
        groups: Names::Unresolved,
        roles: Names::Unresolved,
        permissions: Names::Unresolved,
    };
    /// None at all, and that is certain.
    pub const NONE: Self = Self {
        groups: Names::Known(Vec::new()),
        roles: Names::Known(Vec::new()),
        permissions: Names::Known(Vec::new()),
    };

    fn all(&self) -> [&Names; 3] {
        [&self.groups, &self.roles, &self.permissions]
    }

    /// Whether it holds no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(|names| names.known().is_empty())
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub fn size(&self) -> usize {
        let names = self.all().into_iter().flat_map(Names::known);
        let held = names.map(|name| size_of::<String>() + name.len());
        size_of::<Self>() + held.sum::<usize>()
    }
}

/// Why a list of names is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// More than [`MOST_NAMES`].
    #[error("more than {MOST_NAMES} names in one set")]
    TooMany,
    /// A name of more than [`LONGEST_NAME`] bytes.
    #[error("a name of more than {LONGEST_NAME} bytes")]
    TooLong,
    /// A name that is empty.
    #[error("an empty name")]
    Empty,
    /// A name that holds NUL: what stores and headers cut there would be another name.
    #[error("a name that holds NUL")]
    Nul,
}

/// Checks the names of one set, as a store told them. Whatever else a name holds, it is compared whole
/// and encoded in headers.
pub fn check_names(names: &[String]) -> Result<(), NamesError> {
    if names.len() > MOST_NAMES {
        return Err(NamesError::TooMany);
    }
    let wrong = |name: &String| {
        if name.is_empty() {
            Some(NamesError::Empty)
        } else if name.len() > LONGEST_NAME {
            Some(NamesError::TooLong)
        } else {
            name.contains('\0').then_some(NamesError::Nul)
        }
    };
    names.iter().find_map(wrong).map_or(Ok(()), Err)
}

/// `from`: where one set comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetFrom {
    /// The credential alone.
    Claims,
    /// The store alone.
    #[default]
    Store,
    /// Both: who is in a group by either is in it. Unresolved as long as one of them does not tell.
    Both,
}

/// Where each set comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetsFrom {
    /// Groups.
    pub groups: SetFrom,
    /// Roles.
    pub roles: SetFrom,
    /// Permissions.
    pub permissions: SetFrom,
}

impl SetsFrom {
    /// The principal with the sets it has from now on; `None`: the store was not asked, and what would
    /// come from it is unresolved.
    #[must_use]
    pub fn merged(self, principal: &Principal, store: Option<&Sets>) -> Principal {
        let of = |from, claims, names: fn(&Sets) -> &Names| {
            merged(from, claims, store.map_or(&Names::Unresolved, names))
        };
        Principal {
            groups: of(self.groups, &principal.groups, |sets| &sets.groups),
            roles: of(self.roles, &principal.roles, |sets| &sets.roles),
            permissions: of(self.permissions, &principal.permissions, |sets| {
                &sets.permissions
            }),
            // which of them are wildcards is for the mapping to say, of all there are now
            wildcards: Vec::new(),
            ..principal.clone()
        }
    }
}

fn merged(from: SetFrom, claims: &Names, store: &Names) -> Names {
    match (from, claims, store) {
        (SetFrom::Claims, claims, _) => claims.clone(),
        (SetFrom::Store, _, store) => store.clone(),
        (SetFrom::Both, Names::Known(claims), Names::Known(store)) => {
            let stated: HashSet<&String> = claims.iter().collect();
            let further = store.iter().filter(|name| !stated.contains(name));
            Names::Known(claims.iter().chain(further).cloned().collect())
        }
        // a rule on what nobody is in must not pass on half of it
        (SetFrom::Both, _, _) => Names::Unresolved,
    }
}

/// Memberships that are written down: each subject's in one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// By issuer, then user.
    entries: HashMap<String, HashMap<String, Vec<Member>>>,
}

/// One entry: of one user of one issuer, or, where it says so, of that user in one tenant or by one
/// client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Only in this tenant.
    pub tenant: Option<String>,
    /// Only by this client.
    pub client_id: Option<String>,
    /// The names.
    pub sets: std::sync::Arc<Sets>,
}

impl Member {
    fn is_for(&self, subject: &Subject<'_>) -> bool {
        let holds = |asked: &Option<String>, is: Option<&str>| {
            asked.as_deref().is_none_or(|asked| is == Some(asked))
        };
        holds(&self.tenant, subject.tenant) && holds(&self.client_id, subject.client_id)
    }

    /// Whether somebody could be meant by both.
    fn overlaps(&self, other: &Self) -> bool {
        let apart = |one: &Option<String>, other: &Option<String>| {
            one.is_some() && other.is_some() && one != other
        };
        !apart(&self.tenant, &other.tenant) && !apart(&self.client_id, &other.client_id)
    }
}

impl Members {
    /// Adds an entry. `false`, and nothing is added, if an earlier one of this user could be meant too.
    pub fn add(&mut self, issuer: String, user_id: String, member: Member) -> bool {
        let users = self.entries.entry(issuer).or_default();
        let known = users.entry(user_id).or_default();
        if known.iter().any(|other| other.overlaps(&member)) {
            return false;
        }
        known.push(member);
        true
    }

    /// The entry of this subject. `None`: there is none, so it is in nothing.
    #[must_use]
    pub fn find(&self, subject: &Subject<'_>) -> Option<&std::sync::Arc<Sets>> {
        let known = self.entries.get(subject.issuer)?.get(subject.user_id)?;
        let member = known.iter().find(|member| member.is_for(subject))?;
        Some(&member.sets)
    }

    /// The issuers that entries name.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let users = self.entries.values().flat_map(HashMap::values);
        users.map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::authn::PrincipalKind;

    fn known(names: &[&str]) -> Names {
        Names::Known(names.iter().map(|&name| name.to_owned()).collect())
    }

    #[test]
    fn what_the_credential_held_as_a_wildcard_does_not_outlive_its_permissions() {
        let mut ada = ada(known(&[]));
        ada.permissions = known(&["orders.*"]);
        ada.wildcards = vec!["orders.*".to_owned()];
        let merged = SetsFrom::default().merged(&ada, Some(&Sets::NONE));
        assert_eq!(merged.permissions, known(&[]));
        assert!(merged.wildcards.is_empty());
    }

    fn ada(groups: Names) -> Principal {
        Principal {
            tenant_id: Some("acme".to_owned()),
            client_id: Some("web".to_owned()),
            groups,
            roles: known(&["claimed"]),
            permissions: known(&["claimed"]),
            ..Principal::alone(PrincipalKind::User, "users", "ada".to_owned())
        }
    }

    #[test]
    fn a_set_comes_from_where_it_is_said_to_and_half_of_it_is_not_it() {
        let (claims, store) = (known(&["a", "b"]), known(&["b", "c"]));
        let unresolved = Names::Unresolved;
        for (from, claims, store, expected) in [
            (SetFrom::Claims, &claims, Some(&store), claims.clone()),
            (SetFrom::Claims, &claims, None, claims.clone()),
            (
                SetFrom::Claims,
                &unresolved,
                Some(&store),
                unresolved.clone(),
            ),
            (SetFrom::Store, &claims, Some(&store), store.clone()),
            (SetFrom::Store, &unresolved, Some(&store), store.clone()),
            (SetFrom::Store, &claims, None, unresolved.clone()),
            (
                SetFrom::Both,
                &claims,
                Some(&store),
                known(&["a", "b", "c"]),
            ),
            (SetFrom::Both, &claims, None, unresolved.clone()),
            (
                SetFrom::Both,
                &claims,
                Some(&unresolved),
                unresolved.clone(),
            ),
            (SetFrom::Both, &unresolved, Some(&store), unresolved.clone()),
        ] {
            let sets = store.map(|groups| Sets {
                groups: groups.clone(),
                ..Sets::NONE
            });
            let from = SetsFrom {
                groups: from,
                roles: SetFrom::Claims,
                permissions: SetFrom::Store,
            };
            let merged = from.merged(&ada(claims.clone()), sets.as_ref());
            assert_eq!(merged.groups, expected, "{from:?} {claims:?} {store:?}");
            assert_eq!(merged.roles, known(&["claimed"]));
            assert_ne!(merged.permissions, known(&["claimed"]));
        }
    }

    #[test]
    fn names_are_bounded_and_hold_no_nul() {
        let check = |names: &[String]| check_names(names);
        let one = |name: &str| check(&[name.to_owned()]);
        for name in ["a,b", "a\nb", "ä", &"a".repeat(LONGEST_NAME)] {
            assert_eq!(one(name), Ok(()), "{name:?}");
        }
        assert_eq!(one(""), Err(NamesError::Empty));
        assert_eq!(one("a\0b"), Err(NamesError::Nul));
        assert_eq!(one(&"a".repeat(LONGEST_NAME + 1)), Err(NamesError::TooLong));
        let many = |count| vec!["a".to_owned(); count];
        assert_eq!(check(&many(MOST_NAMES)), Ok(()));
        assert_eq!(check(&many(MOST_NAMES + 1)), Err(NamesError::TooMany));
    }

    #[test]
    fn an_entry_is_for_one_user_of_one_issuer_and_for_the_tenant_and_client_it_names() {
        let mut members = Members::default();
        let mut add = |issuer: &str, tenant: Option<&str>, client: Option<&str>, group: &str| {
            let member = Member {
                tenant: tenant.map(str::to_owned),
                client_id: client.map(str::to_owned),
                sets: Arc::new(Sets {
                    groups: known(&[group]),
                    ..Sets::NONE
                }),
            };
            members.add(issuer.to_owned(), "ada".to_owned(), member)
        };
        assert!(add("users", Some("acme"), None, "of acme"));
        assert!(add("users", Some("other"), Some("web"), "of other by web"));
        assert!(add("staff", None, None, "of staff"));
        // somebody could be meant by an earlier one too
        assert!(!add("users", None, None, "x"));
        assert!(!add("users", Some("acme"), Some("web"), "x"));
        assert!(!add("users", None, Some("web"), "x"));
        assert!(!add("staff", Some("acme"), None, "x"));
        let find = |issuer, user_id, tenant, client_id| {
            let subject = Subject {
                issuer,
                user_id,
                tenant,
                client_id,
            };
            members.find(&subject).map(|sets| sets.groups.clone())
        };
        let group = |name| Some(known(&[name]));
        for (issuer, tenant, client, expected) in [
            ("users", Some("acme"), Some("web"), group("of acme")),
            ("users", Some("acme"), None, group("of acme")),
            (
                "users",
                Some("other"),
                Some("web"),
                group("of other by web"),
            ),
            ("users", Some("other"), Some("cli"), None),
            ("users", Some("third"), Some("web"), None),
            ("users", None, Some("web"), None),
            ("staff", Some("acme"), None, group("of staff")),
            ("staff", None, None, group("of staff")),
            ("partner", Some("acme"), None, None),
        ] {
            let found = find(issuer, "ada", tenant, client);
            assert_eq!(found, expected, "{issuer} {tenant:?} {client:?}");
        }
        assert_eq!(find("users", "bob", Some("acme"), None), None);
        assert_eq!(members.len(), 3);
    }
}
