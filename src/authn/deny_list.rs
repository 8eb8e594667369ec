//! `[deny_list]`: credentials that are good by themselves and must not be taken any more.

use std::collections::HashMap;

use crate::authn::claims::Json;
use crate::authn::principal::Principal;
use crate::clock::UnixTime;

/// What an entry names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// One token, by its `jti` (RFC 7519 4.1.7).
    Token(String),
    /// A user or service, by its `sub` or by what `X-User-ID` says.
    Subject(String),
    /// All that was issued to an OAuth client.
    Client(String),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What it names.
    pub named: Named,
    /// Only where this issuer proved it; `None`: any.
    pub issuer: Option<String>,
    /// Only what was issued before (`iat`), or does not say when: who signs in again is let in.
    pub issued_before: Option<UnixTime>,
    /// Until then; `None`: for good.
    pub until: Option<UnixTime>,
}

impl Denied {
    /// Whether its time has not passed.
    #[must_use]
    pub fn is_in_force(&self, now: UnixTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it names users rather than what they hold. An issuer is not stated beside a user's name, and
    /// whoever may sign in again is good by now.
    fn covers_stated(&self, now: UnixTime) -> bool {
        self.issued_before.is_none() && self.is_in_force(now)
    }

    fn covers(&self, principal: &Principal, now: UnixTime) -> bool {
        let issuer = self.issuer.as_deref();
        issuer.is_none_or(|issuer| *principal.issuer == *issuer)
            && self.is_in_force(now)
            && self.issued_before.is_none_or(|before| {
                let issued_at = principal.claims.date("iat").ok().flatten();
                issued_at.is_none_or(|issued_at| issued_at < before)
            })
    }
}

/// The entries, found by what they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DenyList {
    tokens: HashMap<String, Vec<Denied>>,
    subjects: HashMap<String, Vec<Denied>>,
    clients: HashMap<String, Vec<Denied>>,
}

impl DenyList {
    /// Whether whoever was proven must not be let in.
    #[must_use]
    pub fn denies(&self, principal: &Principal, now: UnixTime) -> bool {
        let text = |name: &str| principal.claims.find(name).and_then(Json::as_str);
        let any = |of: &HashMap<String, Vec<Denied>>, name: Option<&str>| {
            let entries = (!of.is_empty()).then(|| of.get(name?)).flatten();
            entries.is_some_and(|list| list.iter().any(|denied| denied.covers(principal, now)))
        };
        any(&self.tokens, text("jti"))
            || any(&self.subjects, Some(&principal.user_id))
            || any(&self.subjects, text("sub"))
            || any(&self.clients, principal.client_id.as_deref())
    }

    /// Whether nobody may act for this user, whoever's user it is.
    #[must_use]
    pub fn denies_stated(&self, user_id: &str, now: UnixTime) -> bool {
        let entries = self.subjects.get(user_id);
        entries.is_some_and(|list| list.iter().any(|denied| denied.covers_stated(now)))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let lists = [&self.tokens, &self.subjects, &self.clients];
        let lists = lists.into_iter().flat_map(HashMap::values);
        lists.map(Vec::len).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<Denied> for DenyList {
    fn from_iter<I: IntoIterator<Item = Denied>>(iter: I) -> Self {
        let mut list = Self::default();
        for denied in iter {
            let (of, name) = match &denied.named {
                Named::Token(id) => (&mut list.tokens, id),
                Named::Subject(id) => (&mut list.subjects, id),
                Named::Client(id) => (&mut list.clients, id),
            };
            of.entry(name.clone()).or_default().push(denied);
        }
        list
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::authn::PrincipalKind;
    use crate::authn::claims::Claims;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn ada(claims: &str) -> Principal {
        Principal {
            client_id: Some("web".to_owned()),
            claims: Claims::parse(claims.to_owned()).unwrap(),
            ..Principal::alone(PrincipalKind::User, "users", "ada".to_owned())
        }
    }

    fn denied(named: Named) -> Denied {
        Denied {
            named,
            issuer: None,
            issued_before: None,
            until: None,
        }
    }

    #[test]
    fn an_entry_denies_whom_it_names_and_nobody_else() {
        let token = r#"{"jti": "t1", "sub": "s1", "iat": 1799999000}"#;
        let [jti, sub, client] = [Named::Token, Named::Subject, Named::Client]
            .map(|named| move |id: &str| denied(named(id.to_owned())));
        for (entry, expected) in [
            (jti("t1"), true),
            (jti("t2"), false),
            (jti("ada"), false),
            (sub("ada"), true),
            (sub("s1"), true),
            (sub("Ada"), false),
            (sub("web"), false),
            (client("web"), true),
            (client("ada"), false),
            (
                Denied {
                    issuer: Some("users".to_owned()),
                    ..sub("ada")
                },
                true,
            ),
            (
                Denied {
                    issuer: Some("partner".to_owned()),
                    ..sub("ada")
                },
                false,
            ),
            (
                Denied {
                    until: Some(NOW),
                    ..sub("ada")
                },
                false,
            ),
            (
                Denied {
                    until: Some(NOW.plus(1)),
                    ..sub("ada")
                },
                true,
            ),
            (
                Denied {
                    issued_before: Some(UnixTime(1_799_999_001)),
                    ..sub("ada")
                },
                true,
            ),
            (
                Denied {
                    issued_before: Some(UnixTime(1_799_999_000)),
                    ..sub("ada")
                },
                false,
            ),
        ] {
            let entries = [jti("x"), entry.clone(), sub("x"), client("x")];
            let list: DenyList = entries.into_iter().collect();
            assert_eq!(list.denies(&ada(token), NOW), expected, "{entry:?}");
            assert_eq!(list.len(), 4);
        }
        assert!(!DenyList::default().denies(&ada(token), NOW));
    }

    #[test]
    fn nobody_acts_for_a_user_who_is_denied_for_good_whoevers_user_it_is() {
        let ada = denied(Named::Subject("ada".to_owned()));
        let issuer = Some("partner".to_owned());
        let (past, ahead) = (Some(NOW), Some(NOW.plus(1)));
        let [issued_before, until] = [Some(UnixTime(1)), ahead];
        for (entry, expected) in [
            (ada.clone(), true),
            (
                Denied {
                    issuer,
                    ..ada.clone()
                },
                true,
            ),
            (
                Denied {
                    until,
                    ..ada.clone()
                },
                true,
            ),
            (
                Denied {
                    until: past,
                    ..ada.clone()
                },
                false,
            ),
            (
                Denied {
                    issued_before,
                    ..ada.clone()
                },
                false,
            ),
            (denied(Named::Client("ada".to_owned())), false),
            (denied(Named::Subject("Ada".to_owned())), false),
        ] {
            let list: DenyList = [entry.clone()].into_iter().collect();
            assert_eq!(list.denies_stated("ada", NOW), expected, "{entry:?}");
        }
    }

    #[test]
    fn what_does_not_say_when_it_was_issued_was_issued_before() {
        let entry = Denied {
            issued_before: Some(UnixTime(1)),
            ..denied(Named::Subject("ada".to_owned()))
        };
        let list: DenyList = [entry].into_iter().collect();
        assert!(list.denies(&ada("{}"), NOW));
        assert!(list.denies(&ada(r#"{"iat": "soon"}"#), NOW));
        assert!(!list.denies(&ada(r#"{"iat": 1}"#), NOW));
    }
}
