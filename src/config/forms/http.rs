//! Forms of HTTP: addresses, URLs, headers, methods, patterns.

use std::net::SocketAddr;
use std::str::FromStr as _;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::Form;
use crate::authn::credential::TokenSource;
use crate::authz::route::{HostPattern, PathPattern};

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
pub(in crate::config) struct OptionalHeader(pub(in crate::config) Option<HeaderName>);

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
pub(in crate::config) struct Realm(pub(in crate::config) HeaderValue);

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

/// A host to connect to, with an optional port.
#[derive(Clone, Debug)]
pub(in crate::config) struct HostPort {
    pub(in crate::config) host: Host,
    pub(in crate::config) port: Option<u16>,
}

impl Form for HostPort {
    const FORMAT: &'static str = "host-and-port";
    const EXAMPLE: &'static str = "app-2.internal:3000";
    fn read(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            // the colons of a bare IPv6 address are none of a port
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            Some(_) | None => (text, None),
        };
        let wrong = || format!("{text:?} is not a host with an optional port");
        let host = Host::parse(host).map_err(|_error| wrong())?;
        let port = port.map(str::parse::<u16>).transpose();
        let port = port.map_err(|_error| wrong())?;
        if port == Some(0) {
            return Err("nothing listens on port 0".to_owned());
        }
        Ok(Self { host, port })
    }
}

/// The name a server's certificate is for: a host name or an IP address.
#[derive(Clone, Debug)]
pub(in crate::config) struct CertificateName(pub(in crate::config) ServerName<'static>);

impl Form for CertificateName {
    const FORMAT: &'static str = "certificate-name";
    const EXAMPLE: &'static str = "app.internal";
    fn read(text: &str) -> Result<Self, String> {
        ServerName::try_from(text.to_owned())
            .map(Self)
            .map_err(|_error| format!("{text:?} is neither a host name nor an IP address"))
    }
}

/// `upstream`, `preserve`, or a host with an optional port.
#[derive(Clone, Debug)]
pub(in crate::config) struct HostHeader(pub(in crate::config) crate::authz::route::HostRewrite);

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

/// A literal path prefix without trailing slash.
#[derive(Clone, Debug)]
pub(in crate::config) struct StripPrefix(pub(in crate::config) String);

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_address_is_a_host_with_an_optional_port() {
        for (text, host, port) in [
            ("10.0.0.1:3000", "10.0.0.1", Some(3000)),
            ("app-2.internal:80", "app-2.internal", Some(80)),
            ("App.internal", "app.internal", None),
            ("[::1]:3000", "[::1]", Some(3000)),
            ("[::1]", "[::1]", None),
        ] {
            let read = HostPort::read(text).unwrap();
            assert_eq!((read.host.to_string().as_str(), read.port), (host, port));
        }
        for text in [
            "",
            ":80",
            "::1",
            "a:b",
            "a:0",
            "a:65536",
            "http://a:80",
            "a:80/x",
            "a b",
        ] {
            assert!(HostPort::read(text).is_err(), "{text}");
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
