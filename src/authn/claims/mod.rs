//! Claims: a JSON object in which no name occurs twice, paths into it, and the types that
//! RFC 7519 gives its members.

mod json;
mod object;

use std::fmt;
use std::sync::Arc;

use serde_json::Number;

pub use self::json::{Items, Json, Kind, Members};
pub(super) use self::object::Object;
use crate::authn::principal::Names;
use crate::clock::UnixTime;
use crate::reason::Denial;

/// The claims of a token whose signature was verified. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Claims(Arc<Object>);

impl Claims {
    /// Parses a claims object. A name that occurs twice, at any depth, or anything but one JSON
    /// object: [`Denial::TokenMalformed`].
    pub fn parse(json: impl Into<Vec<u8>>) -> Result<Self, Denial> {
        match Object::parse(json.into()) {
            Ok(object) => Ok(Self(Arc::new(object))),
            Err(_syntax) => Err(Denial::TokenMalformed),
        }
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        size_of::<Object>() + self.0.size()
    }

    /// Those of them that `is_left_out` does not mean.
    pub(crate) fn without(&self, is_left_out: impl Fn(&str, Json<'_>) -> bool) -> Self {
        Self(Arc::new(self.0.without(is_left_out)))
    }

    /// The claim of this name, at the top.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Json<'_>> {
        self.0.find(name)
    }

    /// A `NumericDate` (RFC 7519 2), its fraction cut off. A present claim that is not a finite
    /// number from zero to the end of `u64`: [`Denial::TokenMalformed`].
    pub(crate) fn date(&self, name: &str) -> Result<Option<UnixTime>, Denial> {
        match self.find(name).map(Json::kind) {
            None => Ok(None),
            Some(Kind::Number(number)) => match whole_seconds(&number) {
                Some(seconds) => Ok(Some(UnixTime(seconds))),
                None => Err(Denial::TokenMalformed),
            },
            Some(_) => Err(Denial::TokenMalformed),
        }
    }

    /// `aud` (RFC 7519 4.1.3): a string or a list of strings; anything else:
    /// [`Denial::TokenMalformed`].
    pub(crate) fn audiences(&self) -> Result<Vec<String>, Denial> {
        match self.find("aud").map(Json::kind) {
            None => Ok(Vec::new()),
            Some(Kind::String(one)) => Ok(vec![one.to_owned()]),
            Some(Kind::Array(items)) => strings(items).ok_or(Denial::TokenMalformed),
            Some(_) => Err(Denial::TokenMalformed),
        }
    }

    /// The first of these claims that is present, as text; `None` if it is no string.
    pub(crate) fn text(&self, paths: &[ClaimPath]) -> Option<&str> {
        self.first(paths).and_then(Json::as_str)
    }

    /// The first of these claims that is present.
    pub(crate) fn first(&self, paths: &[ClaimPath]) -> Option<Json<'_>> {
        paths.iter().find_map(|path| path.find(self))
    }

    /// A set of names. A list of strings, or one string: a set of one, which is not split. A claim
    /// of another shape, or one that `_claim_names` says is elsewhere (`OpenID` Connect Core 5.6.2,
    /// Entra groups overage), leaves the set unresolved: no rule on it can be decided.
    pub(crate) fn names(&self, paths: &[ClaimPath]) -> Names {
        let elsewhere = self.find("_claim_names");
        let is_elsewhere = |path: &ClaimPath| match elsewhere.map(Json::members) {
            None => false,
            Some(Some(sources)) => {
                let name = path.0.first();
                name.is_some_and(|name| sources.find_named(name).is_some())
            }
            Some(None) => true,
        };
        if paths.iter().any(is_elsewhere) {
            return Names::Unresolved;
        }
        match self.first(paths).map(Json::kind) {
            None if paths.iter().any(|path| path.is_cut_off(self)) => Names::Unresolved,
            None => Names::Known(Vec::new()),
            Some(Kind::String(one)) => Names::Known(vec![one.to_owned()]),
            Some(Kind::Array(items)) => strings(items).map_or(Names::Unresolved, Names::Known),
            Some(_) => Names::Unresolved,
        }
    }

    /// Scopes (RFC 8693 4.2): a space-separated string, or a list of strings. Anything else:
    /// [`Denial::TokenMalformed`].
    pub(crate) fn scopes(&self, paths: &[ClaimPath]) -> Result<Vec<String>, Denial> {
        match self.first(paths).map(Json::kind) {
            None => Ok(Vec::new()),
            Some(Kind::String(list)) => Ok(list
                .split(' ')
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect()),
            Some(Kind::Array(items)) => strings(items).ok_or(Denial::TokenMalformed),
            Some(_) => Err(Denial::TokenMalformed),
        }
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.0.root() == other.0.root()
    }
}

impl Eq for Claims {}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(&self.0.root()).finish()
    }
}

fn strings(items: Items<'_>) -> Option<Vec<String>> {
    items.map(|item| item.as_str().map(str::to_owned)).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the range is checked first; the fraction is meant to be cut off"
)]
fn whole_seconds(number: &Number) -> Option<u64> {
    if let Some(seconds) = number.as_u64() {
        return Some(seconds);
    }
    let seconds = number.as_f64()?;
    (0.0..u64::MAX as f64)
        .contains(&seconds)
        .then_some(seconds as u64)
}

/// Whether a claim's value is one of `accepted`, or a list that holds one. Numbers and booleans
/// compare by their JSON text; objects and null match nothing.
#[must_use]
pub fn value_matches(value: Json<'_>, accepted: &[String]) -> bool {
    let is_accepted = |text: &str| accepted.iter().any(|accepted| accepted == text);
    match value.kind() {
        Kind::String(text) => is_accepted(text),
        Kind::Bool(value) => is_accepted(&value.to_string()),
        Kind::Number(number) => is_accepted(&number.to_string()),
        Kind::Array(mut items) => {
            items.any(|item| item.items().is_none() && value_matches(item, accepted))
        }
        Kind::Null | Kind::Object(_) => false,
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

    /// Whether it leads into the claim of this name.
    #[must_use]
    pub fn is_in(&self, name: &str) -> bool {
        self.0.first().is_some_and(|first| first == name)
    }

    /// Whether something that is no object stands in its way.
    fn is_cut_off(&self, claims: &Claims) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some(mut value) = claims.find(first) else {
            return false;
        };
        for name in rest {
            let Some(members) = value.members() else {
                return true;
            };
            match members.find_named(name) {
                Some(inner) => value = inner,
                None => return false,
            }
        }
        false
    }

    /// The value at this path.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Claims) -> Option<Json<'c>> {
        let (first, rest) = self.0.split_first()?;
        rest.iter()
            .try_fold(claims.find(first)?, |value, name| value.find(name))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests;
