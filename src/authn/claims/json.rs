//! The values in an [`Object`].

use std::fmt;

use serde_json::{Map, Number, Value};

use super::object::{Node, Object};

/// A JSON value, where it stands.
#[derive(Clone, Copy)]
pub struct Json<'o> {
    object: &'o Object,
    at: usize,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind<'o> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// A text, escapes undone.
    String(&'o str),
    /// A list.
    Array(Items<'o>),
    /// An object, each name once.
    Object(Members<'o>),
}

impl<'o> Json<'o> {
    pub(super) fn of(object: &'o Object, at: usize) -> Self {
        Self { object, at }
    }

    /// Where the next one stands.
    pub(super) fn past(self) -> usize {
        self.at + 1 + self.node().inner()
    }

    fn node(self) -> Node {
        self.object.node(self.at)
    }

    /// What it is.
    #[must_use]
    pub fn kind(self) -> Kind<'o> {
        let inside = || Items {
            object: Some(self.object),
            at: self.at + 1,
            past: self.past(),
        };
        match self.node() {
            Node::Null => Kind::Null,
            Node::Bool(value) => Kind::Bool(value),
            Node::Unsigned(value) => Kind::Number(value.into()),
            Node::Signed(value) => Kind::Number(value.into()),
            Node::Float(value) => Number::from_f64(value).map_or(Kind::Null, Kind::Number),
            Node::String(span) => Kind::String(self.object.string(span)),
            Node::Array(_) => Kind::Array(inside()),
            Node::Object(_) => Kind::Object(Members(inside())),
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(self) -> Option<&'o str> {
        if let Node::String(span) = self.node() {
            Some(self.object.string(span))
        } else {
            None
        }
    }

    /// The number, if it is a whole one from zero on.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        if let Node::Unsigned(value) = self.node() {
            Some(value)
        } else {
            None
        }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.node(), Node::Null)
    }

    /// What is in it, if it is a list.
    #[must_use]
    pub fn items(self) -> Option<Items<'o>> {
        if let Kind::Array(items) = self.kind() {
            Some(items)
        } else {
            None
        }
    }

    /// What is in it, if it is an object.
    #[must_use]
    pub fn members(self) -> Option<Members<'o>> {
        if let Kind::Object(members) = self.kind() {
            Some(members)
        } else {
            None
        }
    }

    /// The member of this name, if it is an object that has one.
    #[must_use]
    pub fn find(self, name: &str) -> Option<Self> {
        self.members()?.find_named(name)
    }

    /// A copy that stands for itself.
    #[must_use]
    pub fn to_value(self) -> Value {
        match self.kind() {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(value),
            Kind::Number(value) => Value::Number(value),
            Kind::String(text) => Value::from(text),
            Kind::Array(items) => items.map(Self::to_value).collect(),
            Kind::Object(members) => {
                let members = members.map(|(name, value)| (name.to_owned(), value.to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

impl PartialEq for Json<'_> {
    /// Whatever order their members have.
    fn eq(&self, other: &Self) -> bool {
        self.to_value() == other.to_value()
    }
}

/// As JSON text.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

/// The values of a list.
#[derive(Clone, Debug, Default)]
pub struct Items<'o> {
    object: Option<&'o Object>,
    at: usize,
    past: usize,
}

impl<'o> Iterator for Items<'o> {
    type Item = Json<'o>;

    fn next(&mut self) -> Option<Json<'o>> {
        let object = self.object.filter(|_| self.at < self.past)?;
        let next = Json::of(object, self.at);
        self.at = next.past();
        Some(next)
    }
}

/// The members of an object, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Members<'o>(Items<'o>);

impl<'o> Members<'o> {
    /// The member of this name.
    #[must_use]
    pub fn find_named(self, name: &str) -> Option<Json<'o>> {
        let Self(Items { object, at, past }) = self;
        let object = object?;
        let mut left = object.nodes().get(at..past)?;
        while let [Node::String(known), value, ..] = left {
            // most differ in their lengths
            if known.len() == name.len() && object.string(*known) == name {
                return Some(Json::of(object, past - left.len() + 1));
            }
            left = left.get(2 + value.inner()..)?;
        }
        None
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clone().next().is_none()
    }
}

impl<'o> Iterator for Members<'o> {
    type Item = (&'o str, Json<'o>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self(items) = self;
        Some((items.next()?.as_str()?, items.next()?))
    }
}
