//! Host and path patterns. The derived order is the specificity.

use crate::request::Host;
use crate::request::path::{self, Path};

/// Which hosts a route serves. The order is the specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host, lower case.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: one or more labels before it.
    Wildcard(String),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads `api.example.com`, `*.example.com` or `*`. `None` if it is none of them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            let host = Host::parse(suffix).ok()?;
            return (host.as_str().len() == suffix.len())
                .then(|| Self::Wildcard(format!(".{}", host.as_str())));
        }
        let host = Host::parse(text).ok()?;
        // a port is never matched: refuse it rather than ignore it
        (host.as_str().len() == text.len()).then(|| Self::Exact(host.as_str().to_owned()))
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A segment of a path pattern. The order is the specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text, normalised as paths are.
    Literal(String),
    /// `{name}`: any one segment.
    Parameter,
    /// `*`: any one segment.
    One,
    /// `**`: any rest, or nothing. Last only.
    Rest,
}

/// A path pattern: `/orders/{id}/**`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// As written.
    pub text: String,
    /// Its segments.
    pub segments: Vec<Segment>,
}

impl PathPattern {
    /// Reads a pattern; on error, what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("a path pattern begins with `/`");
        }
        let mut segments = Vec::new();
        for segment in path::segments(text) {
            if segments.last() == Some(&Segment::Rest) {
                return Err("`**` can only stand at the end");
            }
            segments.push(if segment == "**" {
                Segment::Rest
            } else if segment == "*" {
                Segment::One
            } else if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                if name.is_empty()
                    || !name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
                {
                    return Err("a parameter is `{name}` with letters, digits, `_` and `-`");
                }
                Segment::Parameter
            } else if segment.contains(['*', '{', '}']) {
                return Err("`*`, `**` and `{name}` stand for whole segments");
            } else {
                let literal = format!("/{segment}");
                let literal = Path::parse(&literal).map_err(
                    |_ambiguous| "no request can match this: such a path is refused as ambiguous",
                )?;
                Segment::Literal(literal.as_str().trim_start_matches('/').to_owned())
            });
        }
        if text.contains("//") {
            return Err("no request can match this: such a path is refused as ambiguous");
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmatchable_pattern_is_an_error() {
        for pattern in [
            "x", "", "/a//b", "/a/**/b", "/a*", "/{a}b", "/{}", "/a/../b", "/%2e", "/a;b",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
        assert_eq!(
            PathPattern::parse("/%41/**").unwrap().segments,
            [Segment::Literal("A".into()), Segment::Rest]
        );
    }
}
