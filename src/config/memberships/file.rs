//! The file of `kind = "file"`: read as the configuration is, every error at once, each with its line.

use std::sync::{Arc, LazyLock};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::super::error::{KeyPath, Mistakes};
use super::super::forms::{NonEmpty, Text};
use super::super::{ConfigErrors, beside, schema};
use crate::authn::membership::{Member, Members, Sets, check_names};
use crate::authn::principal::Names;

/// A whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct MembersFile {
    /// The entries, each read for itself.
    #[serde(default)]
    #[schemars(with = "Vec<Entry>")]
    members: Vec<Value>,
}

/// One `[[members]]` table.
#[derive(Debug, Deserialize, JsonSchema)]
struct Entry {
    /// Name of an `[issuers.X]` table.
    issuer: Text<NonEmpty>,
    /// As that issuer proves it.
    user_id: Text<NonEmpty>,
    /// Only in this tenant.
    tenant: Option<Text<NonEmpty>>,
    /// Only by this client.
    client_id: Option<Text<NonEmpty>>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
}

/// Reads a file of this name. On error, everything that is wrong with it.
pub(in crate::config) fn members(name: &str, text: &str) -> Result<Members, ConfigErrors> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema::of::<MembersFile>("Gatepost memberships"));
    beside::read(name, text, &SCHEMA, |clean, _located, mistakes| {
        resolve(clean, mistakes)
    })
}

fn resolve(clean: Value, mistakes: &mut Mistakes) -> Members {
    // what is wrong with it was noted
    let file: MembersFile = serde_json::from_value(clean).unwrap_or_default();
    let mut members = Members::default();
    for (number, entry) in file.members.into_iter().enumerate() {
        let path = KeyPath::of(&["members"]).index(number);
        let Ok(entry) = serde_json::from_value::<Entry>(entry) else {
            continue;
        };
        for (key, names) in [
            ("groups", &entry.groups),
            ("roles", &entry.roles),
            ("permissions", &entry.permissions),
        ] {
            if let Err(error) = check_names(names) {
                let fix = "write the names that rules ask for";
                mistakes.push(&path.key(key), error.to_string(), fix);
            }
        }
        let text = |text: Option<Text<NonEmpty>>| text.map(|text| text.0.0);
        let member = Member {
            tenant: text(entry.tenant),
            client_id: text(entry.client_id),
            sets: Arc::new(Sets {
                groups: Names::Known(entry.groups),
                roles: Names::Known(entry.roles),
                permissions: Names::Known(entry.permissions),
            }),
        };
        if !members.add(entry.issuer.0.0, entry.user_id.0.0, member) {
            mistakes.push(
                &path.key("user_id"),
                "an earlier entry is for this user too",
                "write all names in one entry, or give each entry another tenant or client_id",
            );
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::membership::Subject;

    fn shown(text: &str) -> Vec<String> {
        let errors = members("members.toml", text)
            .map(|_members| ())
            .unwrap_err();
        let lines = errors.0.iter().map(ToString::to_string);
        lines
            .map(|line| line.lines().next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn a_file_says_who_is_in_what() {
        let text = "\
[[members]]
issuer = \"users\"
user_id = \"ada\"
groups = [\"admins\", \"a,b\"]

[[members]]
issuer = \"staff\"
user_id = \"ada\"
tenant = \"acme\"
permissions = [\"orders.read\"]
";
        let members = members("members.toml", text).unwrap();
        let find = |issuer, tenant| {
            members.find(&Subject {
                issuer,
                user_id: "ada",
                tenant,
                client_id: None,
            })
        };
        let ada = find("users", None).unwrap();
        assert_eq!(ada.groups.known(), ["admins", "a,b"]);
        assert_eq!(ada.roles, Names::Known(vec![]));
        assert_eq!(find("staff", None), None);
        let staff = find("staff", Some("acme")).unwrap();
        assert_eq!(staff.permissions.known(), ["orders.read"]);
        assert!(super::members("members.toml", "").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_line() {
        assert_eq!(
            shown("[[members]]\nissuer = \n"),
            ["members.toml:2:10: not TOML: invalid string, expected `\"`, `'`"]
        );
        let text = "\
[[members]]
user_id = \"\"
group = [\"a\"]
[[members]]
issuer = \"users\"
user_id = \"ada\"
groups = \"a\"
[[members]]
issuer = \"users\"
user_id = \"bob\"
roles = [\"a\\u0000b\"]
[[members]]
issuer = \"users\"
user_id = \"bob\"
tenant = \"acme\"
";
        assert_eq!(
            shown(text),
            [
                "members.toml:1:1: members[0].issuer: missing",
                "members.toml:2:1: members[0].user_id: is empty",
                "members.toml:3:1: members[0].group: unknown key",
                "members.toml:7:1: members[1].groups: expected a list, found a string",
                "members.toml:11:1: members[2].roles: a name that holds NUL",
                "members.toml:14:1: members[3].user_id: an earlier entry is for this user too",
            ]
        );
    }
}
