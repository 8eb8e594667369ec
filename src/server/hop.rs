//! What a client asks of this hop alone, and what we ask of the next in its place: to switch
//! protocols (`Upgrade`), to send trailers (`TE`). RFC 9110 7.6.1.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::client::pool::{Pool, Reply, Switched};
use crate::reason::Failure;
use crate::request::Offer;
use crate::request::trailers::{announced, names_trailers, response_passes};
use crate::server::body::Body;
use crate::server::tunnel::Tunnel;
use crate::telemetry::{Plane, Telemetry};

/// No tunnel is promised to live longer.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What one request asks of this hop.
#[derive(Debug)]
pub(super) struct Hop {
    /// The protocols it offers to switch to.
    pub(super) offer: Option<Offer>,
    /// It says that it takes trailers.
    te: bool,
    /// So it must in HTTP/2.
    http2: bool,
}

/// On what terms a connection may be upgraded.
#[derive(Debug)]
pub(super) struct Terms<'t> {
    /// How long the tunnel may exist; `None`: without end.
    pub(super) lifetime: Option<Duration>,
    /// How long nothing may pass through it.
    pub(super) idle_timeout: Duration,
    pub(super) plane: Plane,
    pub(super) telemetry: &'t Arc<Telemetry>,
}

impl Hop {
    /// What the request with this head asks of a server behind `pool`. One with a body offers
    /// nothing: what its end would mean to the next protocol, nobody says.
    pub(super) fn of(head: &Parts, body: &Incoming, pool: &Pool) -> Self {
        let offer = Offer::of(head.version, &head.headers);
        Self {
            offer: offer.filter(|_offer| body.is_end_stream() && pool.may_switch()),
            te: head.headers.get_all(header::TE).iter().any(names_trailers),
            http2: head.version == Version::HTTP_2,
        }
    }

    /// Asks the same of the next hop.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        let options = match (&self.offer, self.te) {
            (None, false) => return,
            (Some(_), false) => "upgrade",
            (None, true) => "te",
            (Some(_), true) => "upgrade, te",
        };
        headers.append(header::CONNECTION, HeaderValue::from_static(options));
        if let Some(offer) = &self.offer {
            headers.append(header::UPGRADE, offer.value().clone());
        }
        if self.te {
            headers.append(header::TE, HeaderValue::from_static("trailers"));
        }
    }

    /// A server's response for this client, its headers rewritten by `rewrite`, which leaves none of
    /// this hop. A `101` becomes a tunnel if it names a protocol that was offered, and is
    /// [`Failure::UpstreamProtocol`] if not.
    pub(super) fn pass_on(
        &self,
        response: Response<Reply>,
        terms: &Terms<'_>,
        rewrite: impl FnOnce(HeaderMap) -> HeaderMap,
    ) -> Result<Response<Body>, Failure> {
        let (mut head, reply) = response.into_parts();
        head.version = Version::HTTP_11;
        if head.status.is_informational() {
            let offer = self.offer.as_ref();
            let protocol = offer.and_then(|offer| offer.accepted(&head.headers));
            let (Some(protocol), Some(upstream)) = (protocol, reply.into_switched()) else {
                return Err(Failure::UpstreamProtocol);
            };
            head.headers = rewrite(head.headers);
            let upgrade = HeaderValue::from_static("upgrade");
            head.headers.insert(header::CONNECTION, upgrade);
            head.headers.insert(header::UPGRADE, protocol);
            let body = Body::tunnel(terms.tunnel(upstream));
            return Ok(Response::from_parts(head, body));
        }
        // HTTP/1.1 sends no trailer that is not announced
        let trailers: Vec<HeaderValue> = if self.te || self.http2 {
            let all = head.headers.get_all(header::TRAILER).iter();
            all.filter_map(|value| announced(value, response_passes))
                .collect()
        } else {
            Vec::new()
        };
        head.headers = rewrite(head.headers);
        for value in trailers {
            head.headers.append(header::TRAILER, value);
        }
        Ok(Response::from_parts(head, Body::streamed(reply)))
    }
}

impl Terms<'_> {
    fn tunnel(&self, upstream: Switched) -> Tunnel {
        let lifetime = self.lifetime.map(|lifetime| lifetime.min(LONGEST));
        Tunnel::new(
            upstream,
            lifetime.map(|lifetime| Instant::now() + lifetime),
            self.idle_timeout,
            self.plane,
            Arc::clone(self.telemetry),
        )
    }
}
