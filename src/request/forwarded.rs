//! Who the client is, behind which proxies: `X-Forwarded-*` from trusted peers only.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// `X-Forwarded-For`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The peers whose `X-Forwarded-*` are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether a peer is one of them. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// The client's address: the right-most `X-Forwarded-For` entry that is not one of ours, as
    /// each trusted proxy appends its peer. An entry that is no address ends the walk.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lists: Vec<&str> = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(|v| v.to_str().unwrap_or_default())
            .collect();
        for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            match address(entry.trim()) {
                Some(next) => client = next.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// An address as `X-Forwarded-For` writes it: `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`.
fn address(entry: &str) -> Option<IpAddr> {
    if let Ok(address) = entry.parse() {
        return Some(address);
    }
    if let Ok(socket) = entry.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Whether a header states where a request came from. Rebuilt by us unless a trusted peer sent it.
#[must_use]
pub fn states_origin(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with('x') && (folds_to(text, REAL_IP) || starts_folded(text, FAMILY))
        || *name == http::header::FORWARDED
}

const REAL_IP: &str = "x-real-ip";
const FAMILY: &str = "x-forwarded-";

fn folds_to(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && starts_folded(name, folded)
}

/// Whether a name begins with this in some spelling that folds to it.
fn starts_folded(name: &str, folded: &str) -> bool {
    name.len() >= folded.len()
        && name.bytes().zip(folded.bytes()).all(|(byte, expected)| {
            byte == expected || (expected == b'-' && matches!(byte, b'_' | b'.'))
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, lists: &[&str]) -> String {
        let trusted = TrustedProxies::new(trusted.iter().map(|n| n.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(list).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_address() {
        assert_eq!(client(&[], "1.1.1.1", &["9.9.9.9"]), "1.1.1.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 2.2.2.2"]),
            "2.2.2.2"
        );
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, 2.2.2.2, 10.0.0.7"]),
            "2.2.2.2"
        );
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6", "2.2.2.2:443"]),
            "2.2.2.2"
        );
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["6.6.6.6, nonsense"]),
            "10.0.0.1"
        );
        assert_eq!(
            client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["[2001:db8::1]:5"]),
            "2001:db8::1"
        );
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn every_spelling_of_the_forwarded_family_states_origin() {
        for text in [
            "x-forwarded-for",
            "x_forwarded_host",
            "x-forwarded-prefix",
            "x-real-ip",
            "forwarded",
            "x.forwarded.uri",
            "x_real_ip",
            "x.real-ip",
        ] {
            assert!(
                states_origin(&HeaderName::from_bytes(text.as_bytes()).unwrap()),
                "{text}"
            );
        }
        for text in ["x-forwarder", "x-real-ips", "x-real"] {
            assert!(!states_origin(&HeaderName::from_static(text)), "{text}");
        }
    }
}
