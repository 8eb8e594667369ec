//! JSON objects in which no name occurs twice, read into one list of values that refer to the text: neither
//! names nor strings are copied, and an object is three blocks of memory, however much is in it.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::json::Json;

/// A JSON object, and all that is in it.
#[derive(Clone)]
pub(in crate::authn) struct Object {
    text: String,
    /// Strings that were sent with escapes, as they are meant.
    unescaped: String,
    /// Each value before what it holds; in an object, each name before its value. The first is the object.
    nodes: Vec<Node>,
    /// Those of its own members, as they were sent.
    names: Vec<Name>,
}

/// A value.
#[derive(Clone, Copy)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(Span),
    /// How many of the nodes after it are in it.
    Array(u32),
    /// The same.
    Object(u32),
}

/// Where a string stands: counted in the text, and behind its end in what is kept without escapes.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from: u32,
    bytes: u32,
}

/// Where the name of a member is among the nodes.
#[derive(Clone, Copy)]
struct Name {
    mark: u32,
    at: u32,
}

/// What two equal names have in common, and two others mostly not.
fn mark(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let [length, ..] = bytes.len().to_le_bytes();
    let last = bytes.len().saturating_sub(1);
    u32::from_le_bytes([length, byte(0), byte(bytes.len() / 2), byte(last)])
}

/// The longest text that is read, in bytes: so that no number here is larger than 32 bits.
const LONGEST: usize = 1 << 30;

/// How many names are compared with each other as they stand. More are sorted, so that nobody can make it long.
const FEW: usize = 32;

impl Object {
    /// Parses one JSON object, strictly: UTF-8, no name twice at any depth (RFC 7515 4 and RFC 7519 4 let a
    /// parser refuse them; one that keeps either could disagree with the next reader), nothing after it, and
    /// no deeper than the parser's bound of 128.
    pub(in crate::authn) fn parse(json: Vec<u8>) -> Result<Self, serde_json::Error> {
        let text = String::from_utf8(json).map_err(serde_json::Error::custom)?;
        if text.len() > LONGEST {
            return Err(serde_json::Error::custom("longer than a gibibyte"));
        }
        let mut reader = Reader {
            text: &text,
            unescaped: String::new(),
            // of what is in tokens, about as much as there is
            nodes: Vec::with_capacity(text.len() / 16 + 8),
            names: Vec::with_capacity(FEW),
        };
        let mut parser = serde_json::Deserializer::from_str(&text);
        Next(&mut reader).deserialize(&mut parser)?;
        parser.end()?;
        let Reader {
            unescaped,
            nodes,
            names,
            ..
        } = reader;
        if !matches!(nodes.first(), Some(Node::Object(_))) {
            return Err(serde_json::Error::custom("not an object"));
        }
        Ok(Self {
            text,
            unescaped,
            nodes,
            names,
        })
    }

    /// The object itself.
    pub(in crate::authn) fn root(&self) -> Json<'_> {
        Json::of(self, 0)
    }

    /// The member of this name.
    pub(in crate::authn) fn find(&self, name: &str) -> Option<Json<'_>> {
        let sought = mark(name);
        let mut like_it = self.names.iter().filter(|known| known.mark == sought);
        let known = like_it.find(|known| self.name(**known) == name)?;
        Some(Json::of(self, known.at as usize + 1))
    }

    fn name(&self, name: Name) -> &str {
        Json::of(self, name.at as usize)
            .as_str()
            .unwrap_or_default()
    }

    /// Those members that `is_left_out` does not mean.
    pub(super) fn without(&self, is_left_out: impl Fn(&str, Json<'_>) -> bool) -> Self {
        let mut nodes = vec![Node::Null];
        let mut names = Vec::new();
        for name in &self.names {
            // a name stands right before its value
            let at = name.at as usize;
            let value = Json::of(self, at + 1);
            if !is_left_out(self.name(*name), value) {
                names.push(Name {
                    at: short(nodes.len()),
                    ..*name
                });
                nodes.extend_from_slice(self.nodes.get(at..value.past()).unwrap_or_default());
            }
        }
        close(&mut nodes, 0, Node::Object);
        Self {
            text: self.text.clone(),
            unescaped: self.unescaped.clone(),
            nodes,
            names,
        }
    }

    /// About how many bytes of memory it holds.
    pub(super) fn size(&self) -> usize {
        self.text.capacity()
            + self.unescaped.capacity()
            + self.nodes.capacity() * size_of::<Node>()
            + self.names.capacity() * size_of::<Name>()
    }

    /// The node at this place; behind the last one, nothing.
    pub(super) fn node(&self, at: usize) -> Node {
        self.nodes.get(at).copied().unwrap_or(Node::Null)
    }

    /// All of them.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn string(&self, span: Span) -> &str {
        resolve(span, &self.text, &self.unescaped)
    }
}

/// Without members.
impl Default for Object {
    fn default() -> Self {
        Self {
            text: String::new(),
            unescaped: String::new(),
            nodes: vec![Node::Object(0)],
            names: Vec::new(),
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl Node {
    /// How many nodes after this one are in it.
    pub(super) fn inner(self) -> usize {
        match self {
            Self::Array(inner) | Self::Object(inner) => inner as usize,
            Self::Null
            | Self::Bool(_)
            | Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float(_)
            | Self::String(_) => 0,
        }
    }
}

impl Span {
    /// How long the string is, in bytes.
    pub(super) fn len(self) -> usize {
        self.bytes as usize
    }
}

fn resolve<'t>(span: Span, text: &'t str, unescaped: &'t str) -> &'t str {
    let from = span.from as usize;
    let (text, from) = match from.checked_sub(text.len()) {
        None => (text, from),
        Some(behind) => (unescaped, behind),
    };
    text.get(from..from + span.len()).unwrap_or_default()
}

/// Notes how much is in the array or object at this place: all that came since.
fn close(nodes: &mut [Node], at: usize, kind: fn(u32) -> Node) {
    let inner = short(nodes.len() - at - 1);
    if let Some(node) = nodes.get_mut(at) {
        *node = kind(inner);
    }
}

/// A number that is no larger than twice [`LONGEST`].
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// An object while it is read.
struct Reader<'j> {
    text: &'j str,
    unescaped: String,
    nodes: Vec<Node>,
    /// Those of the objects that are open, of the innermost one last.
    names: Vec<Name>,
}

impl Reader<'_> {
    /// Where this part of the text stands, or its copy.
    fn span(&mut self, part: &str, is_of_text: bool) -> Span {
        let from = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        let from = if is_of_text && from < self.text.len() {
            from
        } else {
            self.unescaped.push_str(part);
            self.text.len() + self.unescaped.len() - part.len()
        };
        Span {
            from: short(from),
            bytes: short(part.len()),
        }
    }

    /// Notes the name that was read last.
    fn note_name(&mut self) -> Option<()> {
        let at = self.nodes.len().checked_sub(1)?;
        let mark = mark(self.string(at)?);
        self.names.push(Name {
            mark,
            at: short(at),
        });
        Some(())
    }

    fn string(&self, at: usize) -> Option<&str> {
        match self.nodes.get(at) {
            Some(Node::String(span)) => Some(resolve(*span, self.text, &self.unescaped)),
            _no_string => None,
        }
    }

    /// Whether a name occurs twice among those from this one on.
    fn is_twice(&self, from: usize) -> bool {
        let names = self.names.get(from..).unwrap_or_default();
        let text = |name: &Name| self.string(name.at as usize);
        let is_same = |a: &Name, b: &Name| a.mark == b.mark && text(a) == text(b);
        if names.len() > FEW {
            let mut sorted = names.to_vec();
            sorted.sort_unstable_by_key(|name| (name.mark, text(name)));
            let mut pairs = sorted.windows(2);
            return pairs.any(|pair| matches!(pair, [a, b] if is_same(a, b)));
        }
        let mut left = names;
        while let [name, others @ ..] = left {
            if others.iter().any(|other| is_same(name, other)) {
                return true;
            }
            left = others;
        }
        false
    }
}

/// Reads the next value, or name.
struct Next<'r, 'j>(&'r mut Reader<'j>);

impl<'de> DeserializeSeed<'de> for Next<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Next<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON in which no name occurs twice")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.nodes.push(Node::Null);
        Ok(())
    }

    fn visit_bool<E>(self, v: bool) -> Result<(), E> {
        self.0.nodes.push(Node::Bool(v));
        Ok(())
    }

    fn visit_i64<E>(self, v: i64) -> Result<(), E> {
        self.0.nodes.push(Node::Signed(v));
        Ok(())
    }

    fn visit_u64<E>(self, v: u64) -> Result<(), E> {
        self.0.nodes.push(Node::Unsigned(v));
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<(), E> {
        if !v.is_finite() {
            return Err(E::custom("not a finite number"));
        }
        self.0.nodes.push(Node::Float(v));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<(), E> {
        let span = self.0.span(v, true);
        self.0.nodes.push(Node::String(span));
        Ok(())
    }

    fn visit_str<E>(self, v: &str) -> Result<(), E> {
        let span = self.0.span(v, false);
        self.0.nodes.push(Node::String(span));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(reader) = self;
        let at = reader.nodes.len();
        reader.nodes.push(Node::Null);
        while let Some(()) = seq.next_element_seed(Next(reader))? {}
        close(&mut reader.nodes, at, Node::Array);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(reader) = self;
        let at = reader.nodes.len();
        let names = reader.names.len();
        reader.nodes.push(Node::Null);
        while let Some(()) = map.next_key_seed(Next(reader))? {
            reader
                .note_name()
                .ok_or_else(|| A::Error::custom("a name is no string"))?;
            map.next_value_seed(Next(reader))?;
        }
        close(&mut reader.nodes, at, Node::Object);
        if reader.is_twice(names) {
            return Err(A::Error::custom("a name occurs twice"));
        }
        // those of the outermost are kept
        if at > 0 {
            reader.names.truncate(names);
        }
        Ok(())
    }
}
