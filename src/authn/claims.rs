//! Claims: a JSON object in which no name occurs twice, and paths into it.

use serde_json::{Map, Value};

use crate::reason::Denial;

/// The claims of a token whose signature was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Parses a claims object. A name that occurs twice, at any depth, or anything but one JSON
    /// object: [`Denial::TokenMalformed`].
    pub fn parse(_json: &[u8]) -> Result<Self, Denial> {
        todo!("strict parse")
    }

    /// The claim of this name, at the top.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// Where a claim stands. Written as a claim name (`custom:tenant_id`, dots and all) or as a path
/// `["realm_access", "roles"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Vec<String>);

impl ClaimPath {
    /// A claim at the top of the object.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// A claim inside objects. `None` for an empty path.
    #[must_use]
    pub fn nested(path: Vec<String>) -> Option<Self> {
        (!path.is_empty()).then_some(Self(path))
    }

    /// The value at this path.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter()
            .try_fold(claims.find(first)?, |value, name| value.get(name))
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
