//! Path and query for the upstream: the normalised path, less the route's prefix, after the
//! upstream's base; the query byte for byte.

use http::Uri;
use http::uri::PathAndQuery;

use crate::reason::Denial;

/// `path` is the normalised form of `original`'s.
pub(super) fn target(
    original: &Uri,
    path: &str,
    strip_prefix: Option<&str>,
    base: &str,
) -> Result<PathAndQuery, Denial> {
    let rest = strip_prefix.map_or(path, |prefix| strip(path, prefix));
    if base.is_empty()
        && rest == original.path()
        && let Some(unchanged) = original.path_and_query()
    {
        return Ok(unchanged.clone());
    }
    let query = original.query();
    let length = base.len() + rest.len() + query.map_or(0, |query| query.len() + 1);
    let mut target = String::with_capacity(length);
    target.push_str(base);
    target.push_str(rest);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(target))
        .map_err(|_unwritable| Denial::PathAmbiguous)
}

/// Cuts whole segments; `/` if nothing is left.
fn strip<'p>(path: &'p str, prefix: &str) -> &'p str {
    match path.strip_prefix(prefix) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Path;

    #[test]
    fn the_upstream_gets_the_judged_path_and_the_raw_query() {
        for (uri, prefix, base, expected) in [
            ("/a/b?x=%2F&y", None, "", "/a/b?x=%2F&y"),
            ("/%61/b?", None, "", "/a/b?"),
            ("/", None, "/v1", "/v1/"),
            ("/mlflow/api?q", Some("/mlflow"), "", "/api?q"),
            ("/mlflow", Some("/mlflow"), "", "/"),
            ("/mlflow/", Some("/mlflow"), "/base", "/base/"),
            ("/mlflowing/x", Some("/mlflow"), "", "/mlflowing/x"),
            ("/ml%66low/x", Some("/mlflow"), "", "/x"),
            ("/k/a%2fb", Some("/k"), "", "/a%2Fb"),
            ("http://h/a?b", None, "", "/a?b"),
        ] {
            let original: Uri = uri.parse().unwrap();
            let path = Path::parse(original.path()).unwrap();
            let target = target(&original, path.as_str(), prefix, base).unwrap();
            assert_eq!(target.as_str(), expected, "{uri}");
        }
    }
}
