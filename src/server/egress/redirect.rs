//! Where a target's `Location` leads the app.
//!
//! An app that follows redirects resolves them against the URL it asked for, which is this
//! listener's, and what it asks of this listener carries a credential. So one target could lead it to
//! another one, with that one's credential (`/billing/x` redirected to `/payments/refund`). What
//! is said relatively is about the target's own URL: it is written out in full where the target was
//! named in the path. What leads to this listener in so many words, or to another target of an app
//! that has it as its proxy, is left out.

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};
use url::Url;

use super::find::{self, Directed};
use crate::request::Host;
use crate::request::headers::single;

/// What a `Location` is relative to.
pub(super) struct Asked {
    /// The target's URL where the app named it in the path, else the app's own.
    url: Url,
    by_path: bool,
    /// The ports this listener is known by.
    ports: [Option<u16>; 2],
}

impl Asked {
    /// The request that `directed` says; `listens`: the configured port.
    pub(super) fn of(directed: &Directed<'_>, head: &Parts, listens: u16) -> Option<Self> {
        let rest = directed.path_and_query.as_str();
        let stated = single(&head.headers, &header::HOST).ok().flatten();
        let stated = stated.and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(Authority::as_str).or(stated);
        let own = authority.and_then(|own| Url::parse(&format!("http://{own}")).ok());
        let port = own.as_ref().and_then(Url::port_or_known_default);
        let url = if directed.by_path {
            directed.target.definition().server.url.join(rest).ok()?
        } else {
            own?.join(rest).ok()?
        };
        Some(Self {
            url,
            by_path: directed.by_path,
            ports: [Some(listens), port],
        })
    }

    /// A `Location` as the app is to read it; `None`: it would lead to this listener, or through it to
    /// what `is_others`.
    fn location(
        &self,
        said: &HeaderValue,
        is_others: impl Fn(&Url) -> bool,
    ) -> Option<HeaderValue> {
        let text = std::str::from_utf8(said.as_bytes()).ok()?;
        let to = self.url.join(text).ok()?;
        let stays = to.origin() == self.url.origin();
        if is_others(&to) || (self.leads_back(&to) && (self.by_path || !stays)) {
            return None;
        }
        // readers differ on the rest
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if plain && (is_absolute(text) || !self.by_path) {
            return Some(said.clone());
        }
        HeaderValue::from_str(to.as_str()).ok()
    }

    /// Whether this listener would take it for one of its own.
    fn leads_back(&self, to: &Url) -> bool {
        let host = to.host_str().and_then(|host| Host::parse(host).ok());
        let port = to.port_or_known_default();
        port.is_some()
            && self.ports.contains(&port)
            && host.is_some_and(|host| find::is_ours(&host))
    }
}

/// Whether it says a scheme and a host.
fn is_absolute(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Settles where these headers lead. `is_others`: another target is there, for an app whose proxy this
/// listener is.
pub(super) fn settle(
    headers: &mut HeaderMap,
    asked: Option<&Asked>,
    is_others: impl Fn(&Url) -> bool,
) {
    let header::Entry::Occupied(entry) = headers.entry(header::LOCATION) else {
        return;
    };
    let (_name, said) = entry.remove_entry_mult();
    let said: Vec<HeaderValue> = said.collect();
    for said in &said {
        if let Some(location) = asked.and_then(|asked| asked.location(said, &is_others)) {
            headers.append(header::LOCATION, location);
        } else {
            tracing::warn!(
                "a target's Location leads to this listener or another target, or cannot be read: left out"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, by_path: bool) -> Asked {
        Asked {
            url: url.parse().unwrap(),
            by_path,
            ports: [Some(7402), Some(80)],
        }
    }

    #[test]
    fn a_location_leads_to_no_other_target() {
        let by_path = asked("https://api.test/base/v1/x?y", true);
        let by_name = asked("http://billing.egress.localhost:7402/v1/x", false);
        let full = |rest: &str| Some(format!("https://api.test{rest}"));
        let as_said = |said: &str| Some(said.to_owned());
        for (said, for_path, for_name) in [
            (
                "/payments/refund",
                full("/payments/refund"),
                as_said("/payments/refund"),
            ),
            (
                "/.gatepost/token/x",
                full("/.gatepost/token/x"),
                as_said("/.gatepost/token/x"),
            ),
            (
                "../../payments",
                full("/payments"),
                as_said("../../payments"),
            ),
            (
                "next?page=2#a",
                full("/base/v1/next?page=2#a"),
                as_said("next?page=2#a"),
            ),
            ("?page=2", full("/base/v1/x?page=2"), as_said("?page=2")),
            (
                "https:/payments/x",
                full("/payments/x"),
                as_said("https:/payments/x"),
            ),
            (
                "//evil.test/x",
                as_said("https://evil.test/x"),
                as_said("//evil.test/x"),
            ),
            (
                "https://login.test/?next=http://127.0.0.1:7402/",
                as_said("https://login.test/?next=http://127.0.0.1:7402/"),
                as_said("https://login.test/?next=http://127.0.0.1:7402/"),
            ),
            (
                "app://signed-in",
                as_said("app://signed-in"),
                as_said("app://signed-in"),
            ),
            (
                "http://127.0.0.1:5000/x",
                as_said("http://127.0.0.1:5000/x"),
                as_said("http://127.0.0.1:5000/x"),
            ),
            (
                "http://billing.egress.localhost:7402/y",
                None,
                as_said("http://billing.egress.localhost:7402/y"),
            ),
            ("http://127.0.0.1:7402/payments/x", None, None),
            ("http://localhost/payments/x", None, None),
            ("HTTP://LOCALHOST.:7402/payments/x", None, None),
            ("http://[::1]:7402/payments/x", None, None),
            ("http://2130706433:7402/payments/x", None, None),
            ("http:\\\\127.0.0.1:7402\\payments", None, None),
            ("http://user@127.0.0.1:7402/payments", None, None),
            ("http://payments.egress.localhost:7402/", None, None),
            (
                "http://evil.test\\@127.0.0.1:7402/payments",
                as_said("http://evil.test/@127.0.0.1:7402/payments"),
                as_said("http://evil.test/@127.0.0.1:7402/payments"),
            ),
            ("http://payments.test/refund", None, None),
            (
                "//payments.test/refund",
                as_said("https://payments.test/refund"),
                None,
            ),
            ("http://", None, None),
        ] {
            for (asked, expected) in [(&by_path, &for_path), (&by_name, &for_name)] {
                let location = asked.location(&HeaderValue::from_str(said).unwrap(), |to| {
                    (to.scheme(), to.host_str()) == ("http", Some("payments.test"))
                });
                let text = location.as_ref().map(|value| value.to_str().unwrap());
                assert_eq!(
                    text,
                    expected.as_deref(),
                    "{said} by path: {}",
                    asked.by_path
                );
            }
        }
    }
}
