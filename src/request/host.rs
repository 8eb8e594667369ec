//! The host a request names, read once and strictly (RFC 9112 3.2, RFC 9113 8.3.1).

use std::borrow::Cow;

use http::{HeaderMap, Uri, header};

use crate::reason::Denial;

/// A host in lower case, without port and trailing dot. An IPv6 literal keeps its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'r> {
    name: Cow<'r, str>,
    port: Option<u16>,
}

impl<'r> Host<'r> {
    /// The host of a request: `Host` and `:authority` (or the absolute form's authority) must agree
    /// where both are given, and one of them must be.
    pub fn of(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Self, Denial> {
        let mut named = headers.get_all(header::HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err(Denial::HostInvalid);
        }
        let header = match header {
            Some(value) => Some(value.to_str().map_err(|_opaque| Denial::HostInvalid)?),
            None => None,
        };
        match (uri.authority(), header) {
            (Some(authority), Some(header)) if !authority.as_str().eq_ignore_ascii_case(header) => {
                Err(Denial::HostInvalid)
            }
            (Some(authority), _header) => Self::parse(authority.as_str()),
            (None, Some(header)) => Self::parse(header),
            (None, None) => Err(Denial::HostInvalid),
        }
    }

    /// Reads `host[:port]`. No userinfo, no path, no list.
    pub fn parse(authority: &'r str) -> Result<Self, Denial> {
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let end = rest.find(']').ok_or(Denial::HostInvalid)?;
            let literal = rest.get(..end).ok_or(Denial::HostInvalid)?;
            if literal.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(Denial::HostInvalid);
            }
            authority.split_at(end + 2)
        } else {
            let colon = authority.bytes().position(|byte| byte == b':');
            authority.split_at(colon.unwrap_or(authority.len()))
        };
        let port = match port.strip_prefix(':') {
            Some("") => None,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                let port = digits.parse().map_err(|_too_large| Denial::HostInvalid)?;
                Some(port)
            }
            None if port.is_empty() => None,
            Some(_) | None => return Err(Denial::HostInvalid),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let literal = host.starts_with('[');
        let (mut name_valid, mut lower) = (true, true);
        for byte in host.bytes() {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {}
                b'A'..=b'Z' => lower = false,
                _other => name_valid = literal,
            }
        }
        if host.is_empty() || host.len() > 255 || !name_valid {
            return Err(Denial::HostInvalid);
        }
        let name = if lower {
            Cow::Borrowed(host)
        } else {
            Cow::Owned(host.to_ascii_lowercase())
        };
        Ok(Self { name, port })
    }

    /// Whether it names this machine. A loopback listener takes no other name: DNS can send a
    /// browser here under any (rebinding).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }

    /// The host's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The port it was named with.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_is_lower_case_without_port_and_dot() {
        for (raw, host) in [
            ("API.Example.com:8443", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("127.0.0.1:7400", "127.0.0.1"),
            ("[::1]:7400", "[::1]"),
            ("my_service.local:", "my_service.local"),
        ] {
            assert_eq!(Host::parse(raw).unwrap().as_str(), host);
        }
    }

    #[test]
    fn a_malformed_host_is_refused() {
        for raw in [
            "",
            ".",
            ":80",
            "a@b",
            "user:pw@host",
            "a,b",
            "a b",
            "a/b",
            "a:b",
            "a:99999",
            "[::1",
            "[x]",
            "[::1]x",
            "a:80:90",
            "a#b",
            "a?b",
            "a\\b",
        ] {
            assert_eq!(Host::parse(raw), Err(Denial::HostInvalid), "{raw}");
        }
    }

    #[test]
    fn missing_doubled_and_contradicting_hosts_are_refused() {
        let mut headers = HeaderMap::new();
        let origin: Uri = "/x".parse().unwrap();
        assert_eq!(Host::of(&origin, &headers), Err(Denial::HostInvalid));
        headers.append(header::HOST, HeaderValue::from_static("a.test"));
        assert_eq!(Host::of(&origin, &headers).unwrap().as_str(), "a.test");
        let absolute: Uri = "http://b.test/x".parse().unwrap();
        assert_eq!(Host::of(&absolute, &headers), Err(Denial::HostInvalid));
        let absolute: Uri = "http://A.test/x".parse().unwrap();
        assert_eq!(Host::of(&absolute, &headers).unwrap().as_str(), "a.test");
        headers.append(header::HOST, HeaderValue::from_static("a.test"));
        assert_eq!(Host::of(&origin, &headers), Err(Denial::HostInvalid));
    }
}
