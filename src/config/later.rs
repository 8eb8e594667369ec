//! Keys and values of DESIGN that belong to a later capability: refused by name, so that nobody
//! believes they work.

use serde_json::Value;

use super::error::KeyPath;
use super::walk::shape;

/// Pattern of the key (`*`: any name, `[]`: any element), the one value that
/// is refused if only that is, and what it is.
const LATER: &[(&str, Option<&str>, &str)] = &[
    ("api_keys", None, "the API-key service"),
    ("audit", None, "an audit stream of its own"),
    ("trace", None, "trace export"),
    ("rate_limits", None, "rate limits"),
    (
        "resource_metadata",
        None,
        "protected-resource metadata (RFC 9728)",
    ),
    ("routes.[].auth.[]", Some("api_key"), "API keys"),
    ("routes.[].auth.all", None, "several credentials at once"),
    ("routes.[].forward_api_key", None, "API keys"),
    ("routes.[].rate_limit", None, "rate limits"),
    (
        "routes.[].resource_metadata",
        None,
        "protected-resource metadata (RFC 9728)",
    ),
];

/// What a key (with this value) belongs to, if that is not built yet.
pub(super) fn refused(path: &KeyPath, value: &Value) -> Option<&'static str> {
    let shape = shape(path);
    LATER
        .iter()
        .find(|(pattern, only, _)| {
            matches(pattern, &shape) && only.is_none_or(|only| value.as_str() == Some(only))
        })
        .map(|(_, _, what)| *what)
}

fn matches(pattern: &str, shape: &[&str]) -> bool {
    let mut rest = shape.iter();
    pattern
        .split('.')
        .all(|part| rest.next().is_some_and(|name| part == *name || part == "*"))
        && rest.next().is_none()
}
