//! Who the client is, behind which proxies: `X-Forwarded-*` and `Forwarded` from trusted peers only.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

/// `X-Forwarded-For`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Which header of a trusted proxy names its client. Only one: a proxy that writes one of them
/// passes the other on as its client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// `X-Forwarded-For`
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), its `for` parameters.
    Forwarded,
}

/// The peers whose word about where a request came from is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    client_address: ClientAddress,
}

impl TrustedProxies {
    /// These networks, which name the client in `X-Forwarded-For`.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self {
            networks,
            client_address: ClientAddress::default(),
        }
    }

    /// The same networks, which name the client in this header.
    #[must_use]
    pub fn naming(self, client_address: ClientAddress) -> Self {
        Self {
            client_address,
            ..self
        }
    }

    /// Whether a peer is one of them. An IPv4 address mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// Whether a trusted proxy writes this header. The other one that names clients it passes on as
    /// its own client sent it.
    #[must_use]
    pub fn writes(&self, name: &HeaderName) -> bool {
        match self.client_address {
            ClientAddress::XForwardedFor => *name != FORWARDED,
            ClientAddress::Forwarded => *name != X_FORWARDED_FOR,
        }
    }

    /// The client's address: the right-most entry that is not one of ours, as each trusted proxy
    /// appends its peer. An entry that is no address ends the walk.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        match self.client_address {
            ClientAddress::XForwardedFor => {
                let lists = headers.get_all(X_FORWARDED_FOR).iter().rev();
                let entries = lists.flat_map(|list| text(list).rsplit(','));
                self.walk(peer, entries.map(|entry| address(entry.trim())))
            }
            ClientAddress::Forwarded => {
                let lists = headers.get_all(FORWARDED).iter();
                let elements: Vec<_> = lists
                    .flat_map(|list| unquoted_split(text(list), ','))
                    .map(forwarded_for)
                    .collect();
                self.walk(peer, elements.into_iter().rev())
            }
        }
    }

    /// Goes from `peer` back through what each proxy said, as long as it is ours.
    fn walk(&self, peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for entry in entries {
            if !self.trusts(client) {
                break;
            }
            match entry {
                Some(next) => client = next.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// The text of a header; empty, hence no address, if it is not ASCII.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// The address in an element of `Forwarded`: `for=1.2.3.4`, `For="[::1]:5";proto=https`. None if it
/// is hidden (`unknown`, `_name`), missing or said twice.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut nodes = unquoted_split(element, ';')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _node)| name.trim().eq_ignore_ascii_case("for"));
    let (_name, node) = nodes.next()?;
    if nodes.next().is_some() {
        return None;
    }
    // a quote its client left open swallows what the proxy wrote behind it
    if ends_quoted(element) {
        return None;
    }
    let node = node.trim();
    // no address needs an escape, so one that has an escape is none
    let quoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    address(quoted.unwrap_or(node))
}

/// Splits at separators outside of quoted strings (RFC 9110 5.6.4).
fn unquoted_split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    text.split(move |character| {
        quotes.pass(character);
        character == separator && !quotes.open
    })
}

/// Whether a quoted string (RFC 9110 5.6.4) is still open at the end.
fn ends_quoted(text: &str) -> bool {
    let mut quotes = Quotes::default();
    text.chars().for_each(|character| quotes.pass(character));
    quotes.open
}

#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    fn pass(&mut self, character: char) {
        let literal = std::mem::take(&mut self.escaped);
        match character {
            '\\' if self.open && !literal => self.escaped = true,
            '"' if !literal => self.open = !self.open,
            _other => {}
        }
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

/// Whether a header states where a request came from, the client's certificate included. Rebuilt by
/// us, or removed, unless a trusted peer sent it.
#[must_use]
pub fn states_origin(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with('x') && (folds_to(text, REAL_IP) || starts_folded(text, FAMILY))
        || *name == FORWARDED
        || states_certificate(text)
}

/// Whether a header tells what a proxy in front saw of the client's certificate: RFC 9440, AWS's
/// load balancers, NGINX and its ingress controller. Envoy's is one of `X-Forwarded-*`.
fn states_certificate(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'c') => CERTIFICATE.iter().any(|known| folds_to(name, known)),
        Some(b's' | b'x') => CERTIFICATE_FAMILIES
            .iter()
            .any(|family| starts_folded(name, family)),
        _other => false,
    }
}

const CERTIFICATE: [&str; 2] = ["client-cert", "client-cert-chain"];
const CERTIFICATE_FAMILIES: [&str; 3] = ["x-amzn-mtls-clientcert", "x-ssl-client-", "ssl-client-"];

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
    use super::*;

    const OURS: &[&str] = &["10.0.0.0/8", "fd00::/8"];

    fn client(header: ClientAddress, peer: &str, lists: &[&str]) -> String {
        let ours = OURS.iter().map(|network| network.parse().unwrap());
        let trusted = TrustedProxies::new(ours.collect()).naming(header);
        let mut headers = HeaderMap::new();
        for list in lists {
            let name = match header {
                ClientAddress::XForwardedFor => X_FORWARDED_FOR,
                ClientAddress::Forwarded => FORWARDED,
            };
            headers.append(name, HeaderValue::from_bytes(list.as_bytes()).unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_address() {
        for (peer, lists, expected) in [
            ("1.1.1.1", &["9.9.9.9"][..], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["6.6.6.6, 2.2.2.2, 10.0.0.7"], "2.2.2.2"),
            ("10.0.0.1", &["6.6.6.6", "2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["6.6.6.6, 2.2.2.2", "10.0.0.7"], "2.2.2.2"),
            // an ALB with `routing.http.xff_client_port.enabled`
            ("10.0.0.1", &["6.6.6.6,2.2.2.2:443"], "2.2.2.2"),
            ("10.0.0.1", &["[2001:db8::1]:5"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:2.2.2.2"], "2.2.2.2"),
            ("fd00::1", &["2.2.2.2, fd00::2"], "2.2.2.2"),
            // what is no address ends the walk at the last proxy of ours
            ("10.0.0.1", &["6.6.6.6, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, nonsense, 10.0.0.7"], "10.0.0.7"),
            ("10.0.0.1", &["6.6.6.6, "], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6", "caf\u{e9}"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.7"], "10.0.0.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let client = client(ClientAddress::XForwardedFor, peer, lists);
            assert_eq!(client, expected, "{peer} {lists:?}");
        }
    }

    #[test]
    fn forwarded_names_the_client_the_same_way_where_it_is_asked() {
        for (peer, lists, expected) in [
            ("1.1.1.1", &["for=9.9.9.9"][..], "1.1.1.1"),
            ("10.0.0.1", &["for=6.6.6.6, for=2.2.2.2"], "2.2.2.2"),
            ("10.0.0.1", &["for=6.6.6.6", "for=2.2.2.2"], "2.2.2.2"),
            (
                "10.0.0.1",
                &["For=2.2.2.2;proto=https;by=10.0.0.9, host=a;for=10.0.0.7"],
                "2.2.2.2",
            ),
            ("10.0.0.1", &[r#"for="[2001:db8::1]:4711""#], "2001:db8::1"),
            ("10.0.0.1", &[r#"for="[2001:db8::1]""#], "2001:db8::1"),
            ("10.0.0.1", &[r#"for="2.2.2.2:80""#], "2.2.2.2"),
            // separators within quotes separate nothing
            (
                "10.0.0.1",
                &[r#"for=2.2.2.2;host="a, for=6.6.6.6""#],
                "2.2.2.2",
            ),
            (
                "10.0.0.1",
                &[r#"for=2.2.2.2;host="\", for=6.6.6.6;""#],
                "2.2.2.2",
            ),
            // hidden, missing, doubled or malformed: the walk ends
            ("10.0.0.1", &["for=6.6.6.6, for=unknown"], "10.0.0.1"),
            ("10.0.0.1", &["for=6.6.6.6, for=_hidden"], "10.0.0.1"),
            ("10.0.0.1", &["for=6.6.6.6, proto=https"], "10.0.0.1"),
            ("10.0.0.1", &["for=6.6.6.6;for=2.2.2.2"], "10.0.0.1"),
            (
                "10.0.0.1",
                &[r#"for=6.6.6.6;x=", for=2.2.2.2;proto=https"#],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                &[r#"for=6.6.6.6;x=", for="[2001:db8::1]""#],
                "10.0.0.1",
            ),
            (
                "10.0.0.1",
                &[r#"for=6.6.6.6, for=", for=7.7.7.7"#],
                "10.0.0.1",
            ),
            ("10.0.0.1", &[r#"for=", for="[2001:db8::1]""#], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let client = client(ClientAddress::Forwarded, peer, lists);
            assert_eq!(client, expected, "{peer} {lists:?}");
        }
    }

    #[test]
    fn the_header_a_proxy_does_not_write_says_nothing() {
        let ours = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static("2.2.2.2"));
        headers.append(FORWARDED, HeaderValue::from_static("for=3.3.3.3"));
        let peer = "10.0.0.1".parse().unwrap();
        let client = |header| {
            let trusted = TrustedProxies::new(ours.clone()).naming(header);
            trusted.client(peer, &headers).to_string()
        };
        assert_eq!(client(ClientAddress::XForwardedFor), "2.2.2.2");
        assert_eq!(client(ClientAddress::Forwarded), "3.3.3.3");
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
            "x-forwarded-client-cert",
            "client-cert",
            "client_cert_chain",
            "x-amzn-mtls-clientcert",
            "x-amzn-mtls-clientcert-subject",
            "x_ssl_client_s_dn",
            "ssl-client-verify",
        ] {
            assert!(
                states_origin(&HeaderName::from_bytes(text.as_bytes()).unwrap()),
                "{text}"
            );
        }
        for text in [
            "x-forwarder",
            "x-real-ips",
            "x-real",
            "client-certs",
            "ssl-clients",
            "x-client",
        ] {
            assert!(!states_origin(&HeaderName::from_static(text)), "{text}");
        }
    }
}
