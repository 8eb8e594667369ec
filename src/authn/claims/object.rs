//! JSON objects in which no name occurs twice.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON object, each name once.
///
/// Few members, as a token has, stand as they were sent: to look at each costs less than to sort them, since most
/// names differ in their lengths. More than [`FEW`] are sorted, so that nobody can make a look long.
#[derive(Clone, Debug, Default)]
pub(in crate::authn) struct Object(Vec<Member>);

/// A name, and its value.
type Member = (String, Value);

/// How many members are looked through.
const FEW: usize = 32;

impl Object {
    /// Parses one JSON object, as strictly as [`parse_object`].
    pub(in crate::authn) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        Self::new(read(Members, json)?)
            .ok_or_else(|| serde_json::Error::custom("a name occurs twice"))
    }

    /// `None` if a name occurs twice.
    fn new(mut members: Vec<Member>) -> Option<Self> {
        let is_twice = if members.len() > FEW {
            members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            members
                .windows(2)
                .any(|pair| matches!(pair, [(a, _), (b, _)] if a == b))
        } else {
            let mut before = members.as_slice();
            loop {
                let Some(((name, _), others)) = before.split_last() else {
                    break false;
                };
                if others.iter().any(|(other, _)| other == name) {
                    break true;
                }
                before = others;
            }
        };
        (!is_twice).then_some(Self(members))
    }

    /// The member of this name.
    pub(in crate::authn) fn find(&self, name: &str) -> Option<&Value> {
        let Self(members) = self;
        let (_name, value) = if members.len() > FEW {
            let at = members.binary_search_by(|(known, _)| known.as_str().cmp(name));
            members.get(at.ok()?)?
        } else {
            members.iter().find(|(known, _)| known == name)?
        };
        Some(value)
    }

    /// Its members.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    /// Those members that `is_left_out` does not mean.
    pub(super) fn without(&self, is_left_out: impl Fn(&str, &Value) -> bool) -> Self {
        let kept = self.0.iter();
        let kept = kept.filter(|(name, value)| !is_left_out(name, value));
        // those left of many may be few, and stay in their order
        Self(kept.cloned().collect())
    }

    /// About how many bytes of memory it holds.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| held(name, value)).sum()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        let holds = |(name, value): &Member| other.find(name) == Some(value);
        self.0.len() == other.0.len() && self.0.iter().all(holds)
    }
}

impl Eq for Object {}

/// About the bytes of one member.
fn held(name: &str, value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| held("", item)).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| held(name, value)).sum(),
    };
    size_of::<Member>() + name.len() + inner
}

/// Parses one JSON object, strictly: no name twice at any depth (RFC 7515 4 and RFC 7519 4 let a
/// parser refuse them; one that keeps either could disagree with the next reader), nothing after
/// it, and no deeper than the parser's bound of 128.
pub(in crate::authn) fn parse_object(json: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match read(Strict, json)? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(serde_json::Error::custom("not an object"))
        }
    }
}

/// Reads one value, and nothing after it. As text: that its strings are UTF-8 is then known at once.
fn read<'j, S: DeserializeSeed<'j>>(
    seed: S,
    json: &'j [u8],
) -> Result<S::Value, serde_json::Error> {
    let text = std::str::from_utf8(json).map_err(serde_json::Error::custom)?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Reads the members of an object; only those inside its members are looked at for doubled names.
struct Members;

impl<'de> DeserializeSeed<'de> for Members {
    type Value = Vec<Member>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some(name) = map.next_key::<String>()? {
            members.push((name, map.next_value_seed(Strict)?));
        }
        Ok(members)
    }
}

/// Reads any JSON value in which no object has a name twice.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON in which no name occurs twice")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
