//! The header plan (DESIGN §6): ours, then every header of the client in its order, less what ends at
//! this hop or is not the client's to say. The map is rebuilt, since removing from a `HeaderMap`
//! reorders it; most of ours are copied from a map that is kept with the principal.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::authn::alb;
use crate::authn::credential::TokenSource;
use crate::authz::decision::Proven;
use crate::authz::route::{Authorization, Forward, HostRewrite};
use crate::client::pool::Pool;
use crate::reason::Denial;
use crate::request::forwarded::{
    TrustedProxies, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, states_origin,
};
use crate::request::headers::{connection_listed, is_hop_by_hop, same_folded};
use crate::request::trailers::announced;
use crate::request::{OwnedHeaders, RequestTrailers};
use crate::server::accept::Downstream;
use crate::server::handles::HANDLE;
use crate::server::hop::Hop;

/// What becomes of one request's headers.
pub(super) struct Plan<'r> {
    /// Headers no client may set here.
    pub(super) owned: &'r OwnedHeaders,
    /// Trailers that may pass.
    pub(super) trailers: &'r (dyn Fn() -> RequestTrailers + Sync),
    /// Host, `Authorization`, further headers to strip.
    pub(super) forward: &'r Forward,
    /// What the client asks of this hop.
    pub(super) hop: &'r Hop,
    /// Where the client's token may stand: not passed on where `Authorization` is not.
    pub(super) token_from: &'r [TokenSource],
    /// Whose identity headers are written.
    pub(super) proven: Option<&'r Proven>,
    /// The header our own credential is going to stand in.
    pub(super) attached: Option<&'r HeaderName>,
    /// `X-Auth-Handle`
    pub(super) handle: Option<&'r HeaderValue>,
    /// `X-Request-ID` and its configured name.
    pub(super) request_id: Option<(&'r HeaderName, &'r HeaderValue)>,
    /// Where it goes.
    pub(super) upstream: &'r Pool,
    /// Who sent it.
    pub(super) downstream: &'r Downstream,
    /// Whether `peer` is believed about where it came from.
    pub(super) trusted: bool,
    /// And about what.
    pub(super) proxies: &'r TrustedProxies,
    /// Whether `Forwarded` is written too.
    pub(super) forwarded_header: bool,
}

/// The headers of ours that are in each request, first and in this order: values for the places that
/// [`Plan::places`] keeps.
struct Ours {
    host: HeaderValue,
    forwarded_for: HeaderValue,
    forwarded_proto: HeaderValue,
    forwarded_host: HeaderValue,
}

/// What becomes of one header of the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Drop,
    Keep,
    Cookie,
    Trailer,
}

impl Plan<'_> {
    /// The headers for the upstream. `uri` is the request's: HTTP/2 and the absolute form name the
    /// host there.
    pub(super) fn rewrite(&self, client: &HeaderMap, uri: &Uri) -> Result<HeaderMap, Denial> {
        // the host as the client named it, port included
        let host = match (client.get_all(HOST).iter().next(), uri.authority()) {
            (Some(host), _) => host.clone(),
            (None, Some(authority)) => {
                HeaderValue::from_str(authority.as_str()).map_err(|_opaque| Denial::HostInvalid)?
            }
            (None, None) => return Err(Denial::HostInvalid),
        };
        let mut out = match self.proven {
            Some(proven) => proven.headers.carried(|| self.places()),
            None => self.places(),
        };
        let forwarded = self.forwarded(client, &host)?;
        self.fill(&mut out, self.ours(client, host)?);
        let listed = connection_listed(client);
        let mut cookies = 0;
        for (name, value) in client {
            match self.fate(name, &listed) {
                Fate::Drop => {}
                Fate::Keep => {
                    let mut value = value.clone();
                    if *name == header::AUTHORIZATION {
                        value.set_sensitive(true);
                    }
                    out.append(name, value);
                }
                Fate::Cookie => {
                    cookies += 1;
                    if cookies == 1
                        && let Some(cookie) = self.crumbs(client)
                    {
                        out.append(header::COOKIE, cookie);
                    }
                }
                Fate::Trailer => {
                    let trailers = (self.trailers)();
                    if let Some(value) = announced(value, |name| trailers.passes(name)) {
                        out.append(header::TRAILER, value);
                    }
                }
            }
        }
        self.hop.ask(&mut out);
        if let Some(forwarded) = forwarded {
            out.append(header::FORWARDED, forwarded);
        }
        if let Some(handle) = self.handle {
            out.append(HANDLE, handle.clone());
        }
        Ok(out)
    }

    /// The names of [`Ours`] and of the request id, without values, then the identity headers.
    fn places(&self) -> HeaderMap {
        // with room for what a client mostly sends
        let mut places = HeaderMap::with_capacity(24);
        let empty = HeaderValue::from_static("");
        for name in [HOST, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST] {
            places.append(name, empty.clone());
        }
        if let Some((name, _id)) = self.request_id {
            places.append(name, empty);
        }
        for (name, value) in self.proven.iter().flat_map(|proven| proven.headers.iter()) {
            places.append(name, value.clone());
        }
        places
    }

    fn fill(&self, out: &mut HeaderMap, ours: Ours) {
        let Ours {
            host,
            forwarded_for,
            forwarded_proto,
            forwarded_host,
        } = ours;
        let id = self.request_id.map(|(_name, id)| id.clone());
        let values = [host, forwarded_for, forwarded_proto, forwarded_host];
        for (place, value) in out.values_mut().zip(values.into_iter().chain(id)) {
            *place = value;
        }
    }

    fn ours(&self, client: &HeaderMap, host: HeaderValue) -> Result<Ours, Denial> {
        let address = &self.downstream.address;
        let mut addresses = self.said(client, &X_FORWARDED_FOR);
        Ok(Ours {
            forwarded_for: if addresses.is_empty() {
                address.clone()
            } else {
                push(&mut addresses, address);
                value(addresses)?
            },
            // as the nearest proxy saw them
            forwarded_proto: match self.stated(client, &X_FORWARDED_PROTO).last() {
                Some(stated) => stated.clone(),
                None => HeaderValue::from_static(self.scheme()),
            },
            forwarded_host: match self.stated(client, &X_FORWARDED_HOST).last() {
                Some(stated) => stated.clone(),
                None => host.clone(),
            },
            host: match &self.forward.host {
                HostRewrite::Upstream => self.upstream.host().clone(),
                HostRewrite::Preserve => host,
                HostRewrite::Literal(host) => host.clone(),
            },
        })
    }

    /// `Forwarded`: what the client's proxies said, and what we do if so configured.
    fn forwarded(
        &self,
        client: &HeaderMap,
        host: &HeaderValue,
    ) -> Result<Option<HeaderValue>, Denial> {
        let mut forwarded = self.said(client, &header::FORWARDED);
        if self.forwarded_header {
            let host = host.to_str().unwrap_or_default();
            let proto = self.scheme();
            let element = match self.downstream.peer.ip().to_canonical() {
                IpAddr::V4(peer) => format!("for={peer};host=\"{host}\";proto={proto}"),
                IpAddr::V6(peer) => format!("for=\"[{peer}]\";host=\"{host}\";proto={proto}"),
            };
            join(&mut forwarded, &element);
        }
        if forwarded.is_empty() {
            Ok(None)
        } else {
            value(forwarded).map(Some)
        }
    }

    /// How the client reached us.
    fn scheme(&self) -> &'static str {
        match self.downstream.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// What a trusted proxy says in a header that it writes.
    fn stated<'c>(
        &self,
        client: &'c HeaderMap,
        name: &HeaderName,
    ) -> impl Iterator<Item = &'c HeaderValue> {
        let believed = self.trusted && self.proxies.writes(name) && !self.removes(name);
        believed
            .then(|| client.get_all(name).iter())
            .into_iter()
            .flatten()
    }

    /// The same as one list.
    fn said(&self, client: &HeaderMap, name: &HeaderName) -> String {
        let mut list = String::new();
        for value in self.stated(client, name) {
            push(&mut list, value);
        }
        list
    }

    fn fate(&self, name: &HeaderName, listed: &[HeaderName]) -> Fate {
        if *name == header::TRAILER {
            return Fate::Trailer;
        }
        // the host is ours to write; `Expect` is answered on this hop, when the body is read
        if *name == HOST
            || *name == header::EXPECT
            || is_hop_by_hop(name)
            || listed.contains(name)
            || self.removes(name)
        {
            return Fate::Drop;
        }
        if states_origin(name) {
            // a trusted proxy speaks for itself in the usual spelling; `x_forwarded_for` beside it
            // is its client's
            if !self.trusted || !self.proxies.writes(name) || name.as_str().contains(['_', '.']) {
                return Fate::Drop;
            }
            // merged into ours
            if [
                X_FORWARDED_FOR,
                X_FORWARDED_PROTO,
                X_FORWARDED_HOST,
                header::FORWARDED,
            ]
            .contains(name)
            {
                return Fate::Drop;
            }
        }
        if *name == header::COOKIE {
            return Fate::Cookie;
        }
        Fate::Keep
    }

    /// Whether a header of this name is not the client's to send here, whoever it is.
    fn removes(&self, name: &HeaderName) -> bool {
        let token = || {
            *name == header::AUTHORIZATION
                || self.token_from.iter().any(|source| match source {
                    TokenSource::Header(header) => same_folded(name, header),
                    TokenSource::Authorization | TokenSource::Cookie(_) => false,
                })
        };
        let verified = self.proven.is_some_and(|proven| proven.alb.holds(name));
        (self.owned.owns(name) && !verified)
            || (self.keeps_token() && *name == alb::ACCESS_TOKEN)
            || (self.keeps_token() && token())
            || self
                .attached
                .is_some_and(|attached| same_folded(name, attached))
            || self
                .forward
                .strip
                .iter()
                .any(|strip| same_folded(name, strip))
    }

    /// Whether the client's token stays here.
    fn keeps_token(&self) -> bool {
        self.forward.authorization != Authorization::Forward
    }

    /// One `Cookie` header: HTTP/2 splits it into crumbs (RFC 9113 8.2.3), HTTP/1.1 knows only one.
    /// Without the token, where that stays here.
    fn crumbs(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut cookies = headers.get_all(header::COOKIE).iter();
        let first = cookies.next()?;
        let tokens: Vec<&[u8]> = self
            .token_from
            .iter()
            .filter_map(|source| match source {
                TokenSource::Cookie(name) => Some(name.as_bytes()),
                TokenSource::Authorization | TokenSource::Header(_) => None,
            })
            .filter(|_name| self.keeps_token())
            .collect();
        let mut cookie = if tokens.is_empty() && cookies.next().is_none() {
            first.clone()
        } else {
            let mut all: Vec<&[u8]> = headers
                .get_all(header::COOKIE)
                .iter()
                .map(HeaderValue::as_bytes)
                .collect();
            if !tokens.is_empty() {
                all = all
                    .into_iter()
                    .flat_map(|value| value.split(|byte| *byte == b';'))
                    .map(<[u8]>::trim_ascii)
                    .filter(|pair| {
                        let name = pair.split(|byte| *byte == b'=').next();
                        !name.is_some_and(|name| tokens.contains(&name))
                    })
                    .collect();
            }
            if all.is_empty() {
                return None;
            }
            HeaderValue::from_maybe_shared(Bytes::from(all.join(&b"; "[..]))).ok()?
        };
        cookie.set_sensitive(true);
        Some(cookie)
    }
}

fn push(list: &mut String, value: &HeaderValue) {
    if let Ok(text) = value.to_str() {
        join(list, text);
    }
}

fn join(list: &mut String, item: &str) {
    if !list.is_empty() && !item.is_empty() {
        list.push_str(", ");
    }
    list.push_str(item);
}

fn value(text: String) -> Result<HeaderValue, Denial> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_opaque| Denial::RequestMalformed)
}
