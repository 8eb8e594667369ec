//! `[deny_list]`: what it resolves to, and its entries as a file or a set in Redis holds them.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use super::error::{KeyPath, Mistakes};
use super::{ConfigErrors, beside, raw, schema, walk};
use crate::authn::deny_list::{Denied, DenyList, Named};

/// `[deny_list]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyLists {
    /// The entries of its file.
    pub file: DenyList,
    /// Where the fleet keeps more.
    pub redis: Option<SharedDenyList>,
}

/// A set in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedDenyList {
    /// Its key, with the prefix of `[redis]`.
    pub key: String,
    /// Time between two reads.
    pub refresh: Duration,
    /// How long what was read last holds.
    pub max_stale: Duration,
}

/// The entries of a file of this name. On error, everything that is wrong with it.
pub(super) fn denied(name: &str, text: &str) -> Result<DenyList, ConfigErrors> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema::of::<raw::DeniedFile>("Gatepost deny-list"));
    beside::read(name, text, &SCHEMA, |clean, _located, mistakes| {
        // what is wrong with it was noted
        let file: raw::DeniedFile = serde_json::from_value(clean).unwrap_or_default();
        let entries = file.denied.into_iter().enumerate();
        entries
            .filter_map(|(number, entry)| {
                let path = KeyPath::of(&["denied"]).index(number);
                resolved(serde_json::from_value(entry).ok()?, &path, mistakes)
            })
            .collect()
    })
}

/// One entry in JSON, as a set in Redis holds it. `None` if it is none.
#[must_use]
pub fn denied_in_json(text: &[u8]) -> Option<Denied> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema::of::<raw::Denied>("Gatepost deny-list entry"));
    let written: Value = serde_json::from_slice(text).ok()?;
    let mut mistakes = Mistakes::default();
    let clean = walk::walk_by(&SCHEMA, &written, &mut mistakes);
    let entry = serde_json::from_value(clean).ok()?;
    let denied = resolved(entry, &KeyPath::default(), &mut mistakes);
    denied.filter(|_| mistakes.found.is_empty())
}

fn resolved(entry: raw::Denied, path: &KeyPath, mistakes: &mut Mistakes) -> Option<Denied> {
    let named = match (entry.jti, entry.sub, entry.client_id) {
        (Some(id), None, None) => Named::Token(id.0.0),
        (None, Some(id), None) => Named::Subject(id.0.0),
        (None, None, Some(id)) => Named::Client(id.0.0),
        _none_or_several => {
            // one that was dropped as wrong was reported already
            if !mistakes.within(path) {
                mistakes.push(
                    path,
                    "it does not name exactly one thing",
                    "write one of jti, sub and client_id; another entry for another",
                );
            }
            return None;
        }
    };
    Some(Denied {
        named,
        issuer: entry.issuer.map(|issuer| issuer.0.0),
        issued_before: entry.issued_before.map(|time| time.0),
        until: entry.until.map(|time| time.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;

    #[test]
    fn an_entry_reads_the_same_from_a_file_and_from_json() {
        let text = r#"
[[denied]]
sub = "ada"
issuer = "users"
issued_before = "2026-11-22T03:00:00Z"
[[denied]]
jti = "t1"
until = "1800000000"
[[denied]]
client_id = "web"
"#;
        let json = [
            r#"{"sub": "ada", "issuer": "users", "issued_before": "2026-11-22T03:00:00Z"}"#,
            r#"{"jti": "t1", "until": "1800000000"}"#,
            r#"{"client_id": "web"}"#,
        ];
        let read = json.map(|json| denied_in_json(json.as_bytes()).unwrap());
        assert_eq!(read[1].until, Some(UnixTime(1_800_000_000)));
        assert_eq!(
            denied("denied.toml", text).unwrap(),
            read.into_iter().collect()
        );
        assert!(denied("denied.toml", "").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_line() {
        let text = r#"[[denied]]
issuer = "users"
[[denied]]
sub = "ada"
jti = "t"
[[denied]]
subject = "ada"
sub = ""
[[denied]]
sub = "ada"
until = "tomorrow"
"#;
        let errors = denied("denied.toml", text).unwrap_err();
        let lines: Vec<String> = errors
            .0
            .iter()
            .map(|error| error.to_string().lines().next().unwrap().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                "denied.toml:1:1: denied[0]: it does not name exactly one thing",
                "denied.toml:3:1: denied[1]: it does not name exactly one thing",
                "denied.toml:7:1: denied[2].subject: unknown key",
                "denied.toml:8:1: denied[2].sub: is empty",
                "denied.toml:11:1: denied[3].until: not a time in UTC",
            ]
        );
        for json in [
            "",
            "ada",
            "[]",
            "{}",
            r#"{"sub": 1}"#,
            r#"{"sub": "a", "x": 1}"#,
        ] {
            assert_eq!(denied_in_json(json.as_bytes()), None, "{json}");
        }
    }
}
