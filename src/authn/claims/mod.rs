//! Claims: a JSON object in which no name occurs twice, paths into it, and the types that
//! RFC 7519 gives its members.

mod object;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::{Number, Value};

pub(super) use self::object::{Object, parse_object};
use crate::authn::principal::Names;
use crate::clock::UnixTime;
use crate::reason::Denial;

/// The claims of a token whose signature was verified. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Claims(Arc<Kept>);

/// Claims as they were sent, as they were read, or both.
#[derive(Default)]
struct Kept {
    /// Empty if there is no such text.
    text: Bytes,
    members: OnceLock<Object>,
}

impl Claims {
    /// Parses a claims object. A name that occurs twice, at any depth, or anything but one JSON
    /// object: [`Denial::TokenMalformed`].
    pub fn parse(json: impl Into<Bytes>) -> Result<Self, Denial> {
        let text = json.into();
        let members = Object::parse(&text).map_err(|_syntax| Denial::TokenMalformed)?;
        let members = OnceLock::from(members);
        Ok(Self(Arc::new(Kept { text, members })))
    }

    /// The same as text, to be read again when somebody asks: of many tokens most are known by what is
    /// kept beside their claims.
    pub(crate) fn folded(&self) -> Self {
        if self.0.text.is_empty() {
            return self.clone();
        }
        Self(Arc::new(Kept {
            text: self.0.text.clone(),
            members: OnceLock::new(),
        }))
    }

    fn members(&self) -> &Object {
        let Kept { text, members } = &*self.0;
        // the text was read before: it can be read again
        members.get_or_init(|| Object::parse(text).unwrap_or_default())
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        let Kept { text, members } = &*self.0;
        let read = members.get().map_or_else(
            // about what they are going to take
            || 3 * text.len(),
            Object::size,
        );
        text.len() + read
    }

    /// Those of them that `is_left_out` does not mean.
    pub(crate) fn without(&self, is_left_out: impl Fn(&str, &Value) -> bool) -> Self {
        Self(Arc::new(Kept {
            text: Bytes::new(),
            members: OnceLock::from(self.members().without(is_left_out)),
        }))
    }

    /// The claim of this name, at the top.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.members().find(name)
    }

    /// A `NumericDate` (RFC 7519 2), its fraction cut off. A present claim that is not a finite
    /// number from zero to the end of `u64`: [`Denial::TokenMalformed`].
    pub(crate) fn date(&self, name: &str) -> Result<Option<UnixTime>, Denial> {
        match self.find(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match whole_seconds(number) {
                Some(seconds) => Ok(Some(UnixTime(seconds))),
                None => Err(Denial::TokenMalformed),
            },
            Some(_) => Err(Denial::TokenMalformed),
        }
    }

    /// `aud` (RFC 7519 4.1.3): a string or a list of strings; anything else:
    /// [`Denial::TokenMalformed`].
    pub(crate) fn audiences(&self) -> Result<Vec<String>, Denial> {
        match self.find("aud") {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(Value::Array(items)) => strings(items).ok_or(Denial::TokenMalformed),
            Some(_) => Err(Denial::TokenMalformed),
        }
    }

    /// The first of these claims that is present, as text; `None` if it is no string.
    pub(crate) fn text(&self, paths: &[ClaimPath]) -> Option<&str> {
        self.first(paths).and_then(Value::as_str)
    }

    /// The first of these claims that is present.
    pub(crate) fn first<'c>(&'c self, paths: &[ClaimPath]) -> Option<&'c Value> {
        paths.iter().find_map(|path| path.find(self))
    }

    /// A set of names. A list of strings, or one string: a set of one, which is not split. A claim
    /// of another shape, or one that `_claim_names` says is elsewhere (`OpenID` Connect Core 5.6.2,
    /// Entra groups overage), leaves the set unresolved: no rule on it can be decided.
    pub(crate) fn names(&self, paths: &[ClaimPath]) -> Names {
        let elsewhere = self.find("_claim_names");
        let is_elsewhere = |path: &ClaimPath| match elsewhere {
            None => false,
            Some(Value::Object(sources)) => path
                .0
                .first()
                .is_some_and(|name| sources.contains_key(name)),
            Some(_) => true,
        };
        if paths.iter().any(is_elsewhere) {
            return Names::Unresolved;
        }
        match self.first(paths) {
            None if paths.iter().any(|path| path.is_cut_off(self)) => Names::Unresolved,
            None => Names::Known(Vec::new()),
            Some(Value::String(one)) => Names::Known(vec![one.clone()]),
            Some(Value::Array(items)) => strings(items).map_or(Names::Unresolved, Names::Known),
            Some(_) => Names::Unresolved,
        }
    }

    /// Scopes (RFC 8693 4.2): a space-separated string, or a list of strings. Anything else:
    /// [`Denial::TokenMalformed`].
    pub(crate) fn scopes(&self, paths: &[ClaimPath]) -> Result<Vec<String>, Denial> {
        match self.first(paths) {
            None => Ok(Vec::new()),
            Some(Value::String(list)) => Ok(list
                .split(' ')
                .filter(|scope| !scope.is_empty())
                .map(str::to_owned)
                .collect()),
            Some(Value::Array(items)) => strings(items).ok_or(Denial::TokenMalformed),
            Some(_) => Err(Denial::TokenMalformed),
        }
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.members() == other.members()
    }
}

impl Eq for Claims {}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claims").field(self.members()).finish()
    }
}

fn strings(items: &[Value]) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
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
pub fn value_matches(value: &Value, accepted: &[String]) -> bool {
    match value {
        Value::String(text) => accepted.contains(text),
        Value::Bool(_) | Value::Number(_) => accepted.contains(&value.to_string()),
        Value::Array(items) => items
            .iter()
            .any(|item| !item.is_array() && value_matches(item, accepted)),
        Value::Null | Value::Object(_) => false,
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
            match value {
                Value::Object(members) => match members.get(name) {
                    Some(inner) => value = inner,
                    None => return false,
                },
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_) => return true,
            }
        }
        false
    }

    /// The value at this path.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter()
            .try_fold(claims.find(first)?, |value, name| value.get(name))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests;
