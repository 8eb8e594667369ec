//! Identity headers: what the upstream is told about a principal (DESIGN §6).

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::authn::principal::Principal;
use crate::authz::enriched::Enriched;
use crate::request::IdentityNames;

/// How a list stands in one header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// `a,b`; a comma inside a name is `%2C`.
    #[default]
    Comma,
    /// `["a","b"]`, everything outside visible ASCII as `\u` escapes.
    Json,
}

/// The longest list in one header, as text: what a token's may come to. Most servers take less. A longer one
/// is not stated, as if it were not known.
const MOST_LIST_BYTES: usize = 48 * 1024;

/// About the bytes of [`IdentityHeaders::answer`] or [`IdentityHeaders::carried`]: a token is mostly
/// presented on one plane.
pub const MAP_BYTES: usize = 1536;

/// The identity headers of one principal, those with a value: rendered once per token, and what each
/// plane begins its own headers with.
#[derive(Debug, Default)]
pub struct IdentityHeaders {
    written: Vec<(HeaderName, HeaderValue)>,
    answer: Pattern,
    carried: Pattern,
    /// None before somebody asks.
    enriched: OnceLock<ArcSwapOption<Enriched>>,
}

/// A map that is copied from the second time on, which costs less than hashing its names again. A token
/// that comes once keeps none.
#[derive(Debug, Default)]
struct Pattern {
    wanted: AtomicBool,
    map: OnceLock<HeaderMap>,
}

impl Pattern {
    fn copy(&self, make: impl FnOnce() -> HeaderMap) -> HeaderMap {
        match self.map.get() {
            Some(map) => map.clone(),
            None if self.wanted.swap(true, Ordering::Relaxed) => self.map.get_or_init(make).clone(),
            None => make(),
        }
    }
}

impl IdentityHeaders {
    /// Them, in the order in which they are written.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.written.iter().map(|(name, value)| (name, value))
    }

    /// About how many bytes of memory they hold.
    #[must_use]
    pub fn size(&self) -> usize {
        let held = |(name, value): &(HeaderName, HeaderValue)| {
            size_of::<(HeaderName, HeaderValue)>() + name.as_str().len() + value.len()
        };
        MAP_BYTES + self.written.iter().map(held).sum::<usize>()
    }

    /// The headers of the answer that states them to a proxy; `make` makes the same each time.
    pub fn answer(&self, make: impl FnOnce() -> HeaderMap) -> HeaderMap {
        self.answer.copy(make)
    }

    /// The headers that a request to the upstream begins with; `make` makes the same each time.
    pub fn carried(&self, make: impl FnOnce() -> HeaderMap) -> HeaderMap {
        self.carried.copy(make)
    }

    /// The same principal with what was last learned of it beside its credential.
    #[must_use]
    pub fn enriched(&self) -> &ArcSwapOption<Enriched> {
        self.enriched.get_or_init(ArcSwapOption::empty)
    }
}

impl From<Vec<(HeaderName, HeaderValue)>> for IdentityHeaders {
    fn from(written: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self {
            written,
            answer: Pattern::default(),
            carried: Pattern::default(),
            enriched: OnceLock::new(),
        }
    }
}

/// Renders a principal's identity headers, those with a value only. `X-Request-ID` is not among
/// them: it belongs to the request.
#[must_use]
pub fn render(names: &IdentityNames, lists: ListFormat, principal: &Principal) -> IdentityHeaders {
    let mut written = Written {
        text: String::with_capacity(USUAL_BYTES),
        ends: Vec::with_capacity(10),
    };
    written.put(names.user_id.as_ref(), Some(&principal.user_id));
    written.put(names.tenant_id.as_ref(), principal.tenant_id.as_deref());
    written.put(names.user_name.as_ref(), principal.name.as_deref());
    written.put(names.user_email.as_ref(), principal.email.as_deref());
    written.put_list(names.user_groups.as_ref(), principal.groups.known(), lists);
    written.put_list(names.user_roles.as_ref(), principal.roles.known(), lists);
    written.put_list(
        names.user_permissions.as_ref(),
        principal.permissions.known(),
        lists,
    );
    written.put(names.issuer.as_ref(), Some(&principal.issuer));
    written.put(names.client_id.as_ref(), principal.client_id.as_deref());
    written.put(names.principal_kind.as_ref(), Some(principal.kind.as_str()));
    written.headers().into()
}

/// The most bytes that all values of a usual principal come to.
const USUAL_BYTES: usize = 256;

/// Headers that are being rendered. One text for all values, so that a token takes one block of memory for them.
struct Written<'n> {
    text: String,
    /// Where the value of each ends.
    ends: Vec<(&'n HeaderName, usize)>,
}

impl<'n> Written<'n> {
    fn put(&mut self, name: Option<&'n HeaderName>, value: Option<&str>) {
        if let (Some(name), Some(value)) = (name, value.filter(|value| !value.is_empty())) {
            push_encoded(&mut self.text, value, false);
            self.ends.push((name, self.text.len()));
        }
    }

    fn put_list(&mut self, name: Option<&'n HeaderName>, names: &[String], lists: ListFormat) {
        if let Some(name) = name
            && push_list(&mut self.text, names, lists)
        {
            self.ends.push((name, self.text.len()));
        }
    }

    fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let text = Bytes::from(self.text);
        let mut begin = 0;
        let mut written = Vec::with_capacity(self.ends.len());
        for (name, end) in self.ends {
            // every value was encoded to visible ASCII, so this cannot fail
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(begin..end)) {
                written.push((name.clone(), value));
            }
            begin = end;
        }
        written
    }
}

/// Percent-encodes everything outside visible ASCII, and `%`.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    push_encoded(&mut encoded, text, false);
    encoded
}

fn push_encoded(to: &mut String, text: &str, list_item: bool) {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%' && !(list_item && byte == b',');
    // each byte is looked at, which goes by many at once
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        to.push_str(text);
        return;
    }
    for byte in text.bytes() {
        if plain(byte) {
            to.push(char::from(byte));
        } else {
            // writing to a String cannot fail
            let _infallible = write!(to, "%{byte:02X}");
        }
    }
}

/// Whether there is a list to state; a too long one is not.
fn push_list(to: &mut String, names: &[String], lists: ListFormat) -> bool {
    let least = names.iter().map(|name| name.len() + 1).sum::<usize>();
    if names.is_empty() || least > MOST_LIST_BYTES {
        return false;
    }
    let begin = to.len();
    match lists {
        ListFormat::Comma => {
            for (number, name) in names.iter().enumerate() {
                if number > 0 {
                    to.push(',');
                }
                push_encoded(to, name, true);
            }
        }
        ListFormat::Json => push_ascii_json(to, names),
    }
    let length = to.len() - begin;
    let is_stated = (1..=MOST_LIST_BYTES).contains(&length);
    if !is_stated {
        to.truncate(begin);
    }
    is_stated
}

fn push_ascii_json(to: &mut String, names: &[String]) {
    for character in serde_json::Value::from(names).to_string().chars() {
        if character == ' ' || character.is_ascii_graphic() {
            to.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(to, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    use crate::authn::principal::{Names, PrincipalKind};

    fn odd() -> Principal {
        Principal {
            name: Some("Zoë 100%".to_owned()),
            groups: Names::Known(vec!["a,b".to_owned(), "c\r\nX-Evil: 1".to_owned()]),
            permissions: Names::Known(vec![]),
            ..Principal::alone(PrincipalKind::User, "users", "u-1".to_owned())
        }
    }

    #[test]
    fn odd_values_are_encoded_and_empty_ones_left_out() {
        let rendered = render(&IdentityNames::default(), ListFormat::Comma, &odd());
        let shown: Vec<_> = rendered
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                "x-user-id: u-1",
                "x-user-name: Zo%C3%AB%20100%25",
                "x-user-groups: a%2Cb,c%0D%0AX-Evil:%201",
                "x-auth-issuer: users",
                "x-principal-kind: user",
            ]
        );
    }

    fn join(names: &[String], lists: ListFormat) -> Option<String> {
        let mut list = "before".to_owned();
        let is_stated = push_list(&mut list, names, lists);
        let list = list.split_off("before".len());
        assert!(is_stated || list.is_empty());
        is_stated.then_some(list)
    }

    #[test]
    fn a_list_longer_than_any_tokens_is_not_stated() {
        for (name, most) in [("a".repeat(7), 6 * 1024), ("ä,".repeat(8), 673)] {
            let names = |number| vec![name.clone(); number];
            assert!(join(&names(most), ListFormat::Comma).is_some(), "{name}");
            assert_eq!(join(&names(most + 2), ListFormat::Comma), None);
        }
    }

    #[test]
    fn a_json_list_is_ascii_json() {
        let names = ["ä".to_owned(), "😀".to_owned(), "a,b".to_owned()];
        let json = join(&names, ListFormat::Json).unwrap();
        assert_eq!(json, r#"["\u00e4","\ud83d\ude00","a,b"]"#);
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), names);
    }
}
