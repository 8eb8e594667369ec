//! The header plan (DESIGN §6): every header of the client in its order, less what ends at this
//! hop or is not the client's to say, then ours. The map is rebuilt, since removing from a
//! `HeaderMap` reorders it.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

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

/// What the client said that bears on a header of ours.
#[derive(Default)]
struct Merged {
    forwarded_for: String,
    forwarded: String,
    /// `X-Forwarded-Proto` and `-Host` are passed on.
    proto: bool,
    host: bool,
}

/// What becomes of one header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Drop,
    Keep,
    Host,
    Cookie,
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
    Forwarded,
    Trailer,
}

impl Plan<'_> {
    /// The headers for the upstream. `uri` is the request's: HTTP/2 and the absolute form name the
    /// host there.
    pub(super) fn rewrite(&self, client: &HeaderMap, uri: &Uri) -> Result<HeaderMap, Denial> {
        let listed = connection_listed(client);
        let mut out = HeaderMap::with_capacity(client.len() + 16);
        // the host as the client named it, port included
        let original_host = if let Some(host) = client.get_all(HOST).iter().next() {
            host.clone()
        } else {
            let authority = uri.authority().ok_or(Denial::HostInvalid)?;
            let host = HeaderValue::from_str(authority.as_str());
            let host = host.map_err(|_opaque| Denial::HostInvalid)?;
            out.append(HOST, self.host(&host));
            host
        };
        let mut cookies = 0;
        let mut merged = Merged::default();
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
                Fate::Host => {
                    out.append(HOST, self.host(&original_host));
                }
                Fate::Cookie => {
                    cookies += 1;
                    if cookies == 1
                        && let Some(cookie) = self.crumbs(client)
                    {
                        out.append(header::COOKIE, cookie);
                    }
                }
                Fate::ForwardedFor => push(&mut merged.forwarded_for, value),
                Fate::ForwardedProto => {
                    merged.proto = true;
                    out.append(name, value.clone());
                }
                Fate::ForwardedHost => {
                    merged.host = true;
                    out.append(name, value.clone());
                }
                Fate::Forwarded => push(&mut merged.forwarded, value),
                Fate::Trailer => {
                    let trailers = (self.trailers)();
                    if let Some(value) = announced(value, |name| trailers.passes(name)) {
                        out.append(header::TRAILER, value);
                    }
                }
            }
        }
        self.add(&mut out, merged, original_host)?;
        Ok(out)
    }

    fn fate(&self, name: &HeaderName, listed: &[HeaderName]) -> Fate {
        if *name == HOST {
            return Fate::Host;
        }
        if *name == header::TRAILER {
            return Fate::Trailer;
        }
        // `Expect` is answered on this hop, when the body is read
        if *name == header::EXPECT
            || is_hop_by_hop(name)
            || self.owned.owns(name)
            || listed.contains(name)
        {
            return Fate::Drop;
        }
        if self.keeps_token()
            && (*name == header::AUTHORIZATION
                || self.token_from.iter().any(|source| match source {
                    TokenSource::Header(header) => same_folded(name, header),
                    TokenSource::Authorization | TokenSource::Cookie(_) => false,
                }))
        {
            return Fate::Drop;
        }
        let replaced = self
            .attached
            .is_some_and(|attached| same_folded(name, attached));
        let stripped = self
            .forward
            .strip
            .iter()
            .any(|strip| same_folded(name, strip));
        if replaced || stripped {
            return Fate::Drop;
        }
        if states_origin(name) {
            // a trusted proxy speaks for itself in the usual spelling; `x_forwarded_for` beside it
            // is its client's
            if !self.trusted || !self.proxies.writes(name) || name.as_str().contains(['_', '.']) {
                return Fate::Drop;
            }
            if *name == X_FORWARDED_FOR {
                return Fate::ForwardedFor;
            }
            if *name == X_FORWARDED_PROTO {
                return Fate::ForwardedProto;
            }
            if *name == X_FORWARDED_HOST {
                return Fate::ForwardedHost;
            }
            if *name == header::FORWARDED {
                return Fate::Forwarded;
            }
        }
        if *name == header::COOKIE {
            return Fate::Cookie;
        }
        Fate::Keep
    }

    /// Whether the client's token stays here.
    fn keeps_token(&self) -> bool {
        self.forward.authorization != Authorization::Forward
    }

    /// One `Cookie` header: HTTP/2 splits it into crumbs (RFC 9113 8.2.3), HTTP/1.1 knows only one.
    /// Without the token, where that stays here.
    fn crumbs(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut values = headers.get_all(header::COOKIE).iter();
        let first = values.next()?;
        let tokens: Vec<&[u8]> = self
            .token_from
            .iter()
            .filter_map(|source| match source {
                TokenSource::Cookie(name) => Some(name.as_bytes()),
                TokenSource::Authorization | TokenSource::Header(_) => None,
            })
            .filter(|_name| self.keeps_token())
            .collect();
        let mut cookie = if tokens.is_empty() && values.next().is_none() {
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

    /// `Host` for the upstream.
    fn host(&self, original: &HeaderValue) -> HeaderValue {
        match &self.forward.host {
            HostRewrite::Upstream => self.upstream.host().clone(),
            HostRewrite::Preserve => original.clone(),
            HostRewrite::Literal(host) => host.clone(),
        }
    }

    /// Our own headers, after the client's.
    fn add(
        &self,
        out: &mut HeaderMap,
        merged: Merged,
        original_host: HeaderValue,
    ) -> Result<(), Denial> {
        let Merged {
            mut forwarded_for,
            mut forwarded,
            proto: has_proto,
            host: has_host,
        } = merged;
        self.hop.ask(out);
        let peer = self.downstream.peer.ip().to_canonical();
        let proto = match self.downstream.tls {
            Some(_) => "https",
            None => "http",
        };
        if self.forwarded_header {
            let host = original_host.to_str().unwrap_or_default();
            let element = match peer {
                IpAddr::V4(peer) => format!("for={peer};host=\"{host}\";proto={proto}"),
                IpAddr::V6(peer) => format!("for=\"[{peer}]\";host=\"{host}\";proto={proto}"),
            };
            join(&mut forwarded, &element);
        }
        if !forwarded.is_empty() {
            out.append(header::FORWARDED, value(forwarded)?);
        }
        let address = &self.downstream.address;
        out.append(
            X_FORWARDED_FOR,
            if forwarded_for.is_empty() {
                address.clone()
            } else {
                push(&mut forwarded_for, address);
                value(forwarded_for)?
            },
        );
        if !has_proto {
            out.append(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
        }
        if !has_host {
            out.append(X_FORWARDED_HOST, original_host);
        }
        for (name, value) in self.proven.iter().flat_map(|proven| proven.headers.iter()) {
            out.append(name, value.clone());
        }
        if let Some((name, id)) = self.request_id {
            out.append(name, id.clone());
        }
        if let Some(handle) = self.handle {
            out.append(HANDLE, handle.clone());
        }
        Ok(())
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
