//! The one path normaliser. What it accepts can be read in one way only; the rule and the upstream
//! see the same bytes (RFC 3986 6.2.2: unreserved characters decoded, hex digits upper case).

use std::borrow::Cow;

use crate::reason::Denial;

/// A path that every reader reads alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'r> {
    text: Cow<'r, str>,
    encoded_slash: bool,
}

/// Bytes with one reading: unreserved, sub-delims, `:`, `@` and `/` of RFC 3986, and the ASCII marks
/// it does not know but clients leave as they are. Not `%`, `;`, `\`, `#`, `?`, space, control bytes
/// or anything above ASCII.
#[expect(
    clippy::indexing_slicing,
    reason = "a byte indexes 256 places, at compile time"
)]
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut rest: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~.!$&'()*+,=:@/\"<>[]^`{|}";
    while let [byte, more @ ..] = rest {
        plain[*byte as usize] = true;
        rest = more;
    }
    plain
};

impl<'r> Path<'r> {
    /// Normalises a path without query or fragment. [`Denial::PathAmbiguous`] for dot segments,
    /// empty segments, encoded dots, backslashes, path parameters, control bytes, doubly encoded
    /// delimiters, and percent-encoding that is broken or not UTF-8.
    pub fn parse(raw: &'r str) -> Result<Self, Denial> {
        let bytes = raw.as_bytes();
        if bytes.first() != Some(&b'/') {
            return Err(Denial::PathAmbiguous);
        }
        let mut encoded = false;
        let mut previous = 0;
        for &byte in bytes {
            match byte {
                b'/' if previous == b'/' => return Err(Denial::PathAmbiguous),
                b'%' => encoded = true,
                other if PLAIN.get(usize::from(other)) == Some(&true) => {}
                _ambiguous => return Err(Denial::PathAmbiguous),
            }
            previous = byte;
        }
        if raw
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err(Denial::PathAmbiguous);
        }
        if encoded {
            decode(raw)
        } else {
            Ok(Self {
                text: Cow::Borrowed(raw),
                encoded_slash: false,
            })
        }
    }

    /// The normalised path: what rules match and the upstream receives.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it holds `%2F`, which only a route with `allow_encoded_slashes` takes.
    #[must_use]
    pub fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Its segments. One trailing slash is not a segment: `/admin/` is covered by a rule for
    /// `/admin`, since most upstreams serve both alike.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        segments(&self.text)
    }
}

/// Splits `/a/b/` into `a`, `b`; the root has none.
pub fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner.split('/').filter(|segment| !segment.is_empty())
}

fn decode(raw: &str) -> Result<Path<'static>, Denial> {
    let mut text = String::with_capacity(raw.len());
    let mut encoded_slash = false;
    let mut high = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        if !before.is_empty() {
            utf8(&mut high)?;
            text.push_str(before);
        }
        let digits = escape.get(1..3).ok_or(Denial::PathAmbiguous)?;
        let byte = hex(digits).ok_or(Denial::PathAmbiguous)?;
        rest = escape.get(3..).ok_or(Denial::PathAmbiguous)?;
        if byte < 0x80 {
            utf8(&mut high)?;
        } else {
            high.push(byte);
        }
        match byte {
            // dot, backslash, control bytes
            b'.' | b'\\' | 0..=0x1f | 0x7f => return Err(Denial::PathAmbiguous),
            b'/' => encoded_slash = true,
            _other => {}
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&digits.to_ascii_uppercase());
        }
    }
    utf8(&mut high)?;
    text.push_str(rest);
    if decodes_again(&text) || hides_dot_segment(&text) {
        return Err(Denial::PathAmbiguous);
    }
    Ok(Path {
        text: Cow::Owned(text),
        encoded_slash,
    })
}

/// Whether a second decoding would find structure. Asked of the result: `%25%32%65` is `%252e`.
fn decodes_again(text: &str) -> bool {
    text.match_indices("%25").any(|(at, escape)| {
        let digits = text.get(at + escape.len()..).and_then(|rest| rest.get(..2));
        digits.and_then(hex).is_some_and(is_delimiter)
    })
}

/// Whether a server that decodes `%2F` first would find a dot segment, or one that decodes `%3B` and
/// then cuts parameters off.
fn hides_dot_segment(text: &str) -> bool {
    text.split('/')
        .flat_map(|segment| segment.split("%2F"))
        .filter_map(|part| part.split("%3B").next())
        .any(|part| matches!(part, "." | ".."))
}

/// What a second decoding would turn into structure.
fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'.' | b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f)
}

/// A run of bytes above ASCII must be UTF-8: overlong forms of `/` and `.` are not.
fn utf8(run: &mut Vec<u8>) -> Result<(), Denial> {
    if std::str::from_utf8(run).is_err() {
        return Err(Denial::PathAmbiguous);
    }
    run.clear();
    Ok(())
}

fn hex(digits: &str) -> Option<u8> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for raw in [
            "",
            "admin",
            "*",
            "//",
            "/a//b",
            "/a/../b",
            "/..",
            "/a/.",
            "/./a",
            "/a/%2e%2e/b",
            "/%2E",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0d%0a",
            "/a;x=1",
            "/;/a",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/%c0%af",
            "/%c0%ae",
            "/%ff",
            "/%e0%80%af",
            "/%c3/x",
            "/a%252e",
            "/a%252F",
            "/a%255c",
            "/a%2500",
            "/a%25252f",
            "/a b",
            "/a\tb",
            "/a#b",
            "/a?b",
            "/é",
            "/%7f",
            "/a%253b",
            "/a/%25%32%65",
            "/a%25%32F",
            "/k/..%2fa",
            "/k/a%2f..",
            "/k/a%2F.%2Fb",
            "/k/..%3b/a",
            "/k/.%3Bx/a",
            "/k/a%2f..%3B",
        ] {
            assert_eq!(
                Path::parse(raw).map(|p| p.as_str().to_owned()),
                Err(Denial::PathAmbiguous),
                "{raw}"
            );
        }
    }

    #[test]
    fn equal_paths_become_equal_bytes() {
        for (raw, normal) in [
            ("/", "/"),
            ("/orders/7", "/orders/7"),
            ("/%61dmin", "/admin"),
            ("/a%7eb/%2D", "/a~b/-"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/100%25", "/100%25"),
            ("/a%3bb", "/a%3Bb"),
            ("/a.b/..c/d..", "/a.b/..c/d.."),
            ("/x{y}[z]|", "/x{y}[z]|"),
            ("/runs/get:batch@2,a=b", "/runs/get:batch@2,a=b"),
        ] {
            assert_eq!(Path::parse(raw).unwrap().as_str(), normal, "{raw}");
        }
        assert!(Path::parse("/k/a%2fb").unwrap().has_encoded_slash());
        assert_eq!(Path::parse("/k/a%2fb").unwrap().as_str(), "/k/a%2Fb");
    }

    #[test]
    fn a_trailing_slash_is_no_segment() {
        let all = |raw: &str| segments(raw).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all("/"), Vec::<String>::new());
        assert_eq!(all("/a/b/"), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in "/[a-zA-Z0-9%./;~+-]{0,24}") {
            if let Ok(path) = Path::parse(&raw) {
                let again = Path::parse(path.as_str());
                prop_assert_eq!(again.as_ref().map(Path::as_str), Ok(path.as_str()));
                // nothing a lenient reader could resolve differently
                let decoded: String = percent_encoding::percent_decode_str(path.as_str()).decode_utf8().unwrap().into_owned();
                if !path.has_encoded_slash() {
                    prop_assert!(!decoded.split('/').any(|s| s == "." || s == ".."));
                    prop_assert!(!decoded.contains("//"));
                }
                prop_assert!(!decoded.contains('\\'));
            }
        }
    }
}
