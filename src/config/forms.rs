//! The forms a string can have: durations, sizes, URLs, patterns. Each is read once, while the
//! file is checked, so that a mistake is reported with its line.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

use crate::authn::credential::TokenSource;
use crate::authn::issuer::Algorithm;
use crate::authz::route::{HostPattern, PathPattern};

/// A value written as a string of a certain form.
pub(super) trait Form: Sized {
    /// `format` in the schema.
    const FORMAT: &'static str;
    /// One well-formed value.
    const EXAMPLE: &'static str;
    /// Reads it; on error, what is wrong. The message must not repeat a text that may hold a secret.
    fn read(text: &str) -> Result<Self, String>;
}

/// A string of form `F`, as read.
#[derive(Clone, Debug)]
pub(super) struct Text<F>(pub(super) F);

impl<'de, F: Form> Deserialize<'de> for Text<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        F::read(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<F: Form> JsonSchema for Text<F> {
    fn schema_name() -> Cow<'static, str> {
        F::FORMAT.into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": F::FORMAT, "examples": [F::EXAMPLE] })
    }
}

/// What is wrong with a string of this `format`, and a well-formed example; `None` if it is fine.
pub(super) fn fault(format: &str, text: &str) -> Option<(String, &'static str)> {
    fn of<F: Form>(format: &str, text: &str) -> Option<(String, &'static str)> {
        if F::FORMAT != format {
            return None;
        }
        F::read(text).err().map(|message| (message, F::EXAMPLE))
    }
    [
        of::<Duration>,
        of::<Positive>,
        of::<Size>,
        of::<Url>,
        of::<SocketAddr>,
        of::<IpNet>,
        of::<HeaderName>,
        of::<OptionalHeader>,
        of::<Realm>,
        of::<HostHeader>,
        of::<Method>,
        of::<HostPattern>,
        of::<PathPattern>,
        of::<TokenSource>,
        of::<Algorithm>,
        of::<NonEmpty>,
        of::<StripPrefix>,
        of::<Domain>,
    ]
    .into_iter()
    .find_map(|check| check(format, text))
}

impl Form for Duration {
    const FORMAT: &'static str = "duration";
    const EXAMPLE: &'static str = "60s";
    fn read(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|error| format!("not a duration: {error}"))
    }
}

/// A duration longer than nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positive(pub(super) Duration);

impl Form for Positive {
    const FORMAT: &'static str = "positive-duration";
    const EXAMPLE: &'static str = "30s";
    fn read(text: &str) -> Result<Self, String> {
        let duration = Duration::read(text)?;
        if duration.is_zero() {
            return Err("must be longer than zero".to_owned());
        }
        Ok(Self(duration))
    }
}

/// A number of bytes, more than zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl Form for Size {
    const FORMAT: &'static str = "size";
    const EXAMPLE: &'static str = "64KiB";
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let unit: u64 = match unit.trim() {
            "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _unknown => {
                return Err("not a size: a whole number and B, KB, MB, GB, KiB, MiB or GiB".into());
            }
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| "not a size above zero".to_owned())
    }
}

impl Form for Url {
    const FORMAT: &'static str = "http-url";
    const EXAMPLE: &'static str = "https://host.example/path";
    // the text is never repeated: it may hold a password
    fn read(text: &str) -> Result<Self, String> {
        let url = Self::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("a URL here begins with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL here holds no user or password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("a URL here has neither query nor fragment".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the URL names no host".to_owned());
        }
        Ok(url)
    }
}

impl Form for SocketAddr {
    const FORMAT: &'static str = "socket-address";
    const EXAMPLE: &'static str = "127.0.0.1:7400";
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_error| "not an IP address and port".to_owned())
    }
}

impl Form for IpNet {
    const FORMAT: &'static str = "network";
    const EXAMPLE: &'static str = "10.0.0.0/16";
    fn read(text: &str) -> Result<Self, String> {
        let network = Self::from_str(text)
            .ok()
            .or_else(|| {
                text.parse()
                    .ok()
                    .map(|address: std::net::IpAddr| address.into())
            })
            .ok_or_else(|| "not a network".to_owned())?;
        if network.prefix_len() == 0 {
            return Err("`/0` would trust every peer".to_owned());
        }
        Ok(network)
    }
}

impl Form for HeaderName {
    const FORMAT: &'static str = "header-name";
    const EXAMPLE: &'static str = "x-api-key";
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|_error| format!("{text:?} is not a header name"))
    }
}

/// A header name, or `""` for none.
#[derive(Clone, Debug)]
pub(super) struct OptionalHeader(pub(super) Option<HeaderName>);

impl Form for OptionalHeader {
    const FORMAT: &'static str = "header-name-or-empty";
    const EXAMPLE: &'static str = "X-User-ID";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        HeaderName::read(text).map(|name| Self(Some(name)))
    }
}

/// The `realm` of a challenge, which stands between quotes.
#[derive(Clone, Debug)]
pub(super) struct Realm(pub(super) HeaderValue);

impl Form for Realm {
    const FORMAT: &'static str = "realm";
    const EXAMPLE: &'static str = "gatepost";
    fn read(text: &str) -> Result<Self, String> {
        let plain = text
            .bytes()
            .all(|b| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'\\'));
        HeaderValue::from_str(text)
            .ok()
            .filter(|_value| plain)
            .map(Self)
            .ok_or_else(|| "a realm is printable ASCII without `\"` and `\\`".to_owned())
    }
}

/// `upstream`, `preserve`, or a host with an optional port.
#[derive(Clone, Debug)]
pub(super) struct HostHeader(pub(super) crate::authz::route::HostRewrite);

impl Form for HostHeader {
    const FORMAT: &'static str = "host-rewrite";
    const EXAMPLE: &'static str = "upstream";
    fn read(text: &str) -> Result<Self, String> {
        use crate::authz::route::HostRewrite;
        Ok(Self(match text {
            "upstream" => HostRewrite::Upstream,
            "preserve" => HostRewrite::Preserve,
            literal => {
                let value = crate::request::Host::parse(literal)
                    .ok()
                    .and_then(|_host| HeaderValue::from_str(literal).ok());
                HostRewrite::Literal(value.ok_or_else(|| {
                    format!("{literal:?} is neither `upstream`, `preserve` nor a host")
                })?)
            }
        }))
    }
}

impl Form for Method {
    const FORMAT: &'static str = "method";
    const EXAMPLE: &'static str = "GET";
    fn read(text: &str) -> Result<Self, String> {
        let method = Self::from_bytes(text.as_bytes())
            .map_err(|_error| format!("{text:?} is not a method"))?;
        if matches!(method, Self::TRACE | Self::CONNECT) {
            return Err(format!("{text} is never served"));
        }
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(format!(
                "methods are case-sensitive: write {:?}",
                text.to_ascii_uppercase()
            ));
        }
        Ok(method)
    }
}

impl Form for HostPattern {
    const FORMAT: &'static str = "host-pattern";
    const EXAMPLE: &'static str = "*.example.com";
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| {
            format!("{text:?} is not a host, `*.` and a host, or `*` (without port)")
        })
    }
}

impl Form for PathPattern {
    const FORMAT: &'static str = "path-pattern";
    const EXAMPLE: &'static str = "/orders/{id}/**";
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(ToOwned::to_owned)
    }
}

impl Form for TokenSource {
    const FORMAT: &'static str = "token-source";
    const EXAMPLE: &'static str = "header:authorization";
    fn read(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("header:") {
            let name = HeaderName::read(name)?;
            return Ok(if name == http::header::AUTHORIZATION {
                Self::Authorization
            } else {
                Self::Header(name)
            });
        }
        match text.strip_prefix("cookie:") {
            Some(name) if HeaderName::from_str(name).is_ok() => Ok(Self::Cookie(name.to_owned())),
            Some(_other) => Err("not a cookie name".to_owned()),
            None => Err("a token stands in `header:NAME` or `cookie:NAME`".to_owned()),
        }
    }
}

impl Form for Algorithm {
    const FORMAT: &'static str = "algorithm";
    const EXAMPLE: &'static str = "RS256";
    fn read(text: &str) -> Result<Self, String> {
        Self::from_name(text).ok_or_else(|| {
            format!(
                "{text:?} is none of {}",
                Self::ALL.map(Self::as_str).join(", ")
            )
        })
    }
}

/// A text with something in it, and no control characters.
#[derive(Clone, Debug)]
pub(super) struct NonEmpty(pub(super) String);

impl Form for NonEmpty {
    const FORMAT: &'static str = "non-empty";
    const EXAMPLE: &'static str = "name";
    fn read(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A literal path prefix without trailing slash.
#[derive(Clone, Debug)]
pub(super) struct StripPrefix(pub(super) String);

impl Form for StripPrefix {
    const FORMAT: &'static str = "path-prefix";
    const EXAMPLE: &'static str = "/mlflow";
    fn read(text: &str) -> Result<Self, String> {
        use crate::authz::route::Segment;
        let pattern = PathPattern::parse(text).map_err(ToOwned::to_owned)?;
        let literal = pattern
            .segments
            .iter()
            .all(|segment| matches!(segment, Segment::Literal(_)));
        if !literal || pattern.segments.is_empty() || text.ends_with('/') {
            return Err("a prefix is literal segments without trailing slash".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// A Cognito domain: its prefix (`acme`) or a whole host.
#[derive(Clone, Debug)]
pub(super) struct Domain(pub(super) String);

impl Form for Domain {
    const FORMAT: &'static str = "domain";
    const EXAMPLE: &'static str = "acme";
    fn read(text: &str) -> Result<Self, String> {
        match Host::parse(text) {
            Ok(Host::Domain(host)) => Ok(Self(host)),
            _other => Err("a domain is a prefix (`acme`) or a host, without scheme".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("64KiB", 65536), ("1 MB", 1_000_000), ("7B", 7)] {
            assert_eq!(Size::read(text).unwrap().0, bytes);
        }
        for text in ["64", "0B", "", "KiB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert!(Size::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_holds_no_password_query_or_fragment() {
        assert!(Url::read("http://127.0.0.1:3000/base").is_ok());
        for text in [
            "ftp://a",
            "http://u:hunter2@a",
            "http://a/?q",
            "http://a/#f",
            "a",
            "http://",
        ] {
            let message = Url::read(text).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn no_network_trusts_everyone() {
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/0", "nonsense", ""] {
            assert!(IpNet::read(text).is_err(), "{text}");
        }
        assert_eq!(IpNet::read("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    }

    #[test]
    fn a_method_is_upper_case_and_served() {
        for text in ["get", "TRACE", "CONNECT", "", "A B"] {
            assert!(<Method as Form>::read(text).is_err(), "{text}");
        }
        assert!(<Method as Form>::read("PURGE").is_ok());
    }

    #[test]
    fn a_token_source_names_a_header_or_cookie() {
        assert_eq!(
            TokenSource::read("header:Authorization"),
            Ok(TokenSource::Authorization)
        );
        assert_eq!(
            TokenSource::read("cookie:session"),
            Ok(TokenSource::Cookie("session".to_owned()))
        );
        for text in ["query:token", "authorization", "cookie:", "cookie:a=b"] {
            assert!(TokenSource::read(text).is_err(), "{text}");
        }
    }
}
