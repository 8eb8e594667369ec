//! The account of one request: opened when it arrives, closed when its response has ended, then
//! its log line is written and it is counted.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, header};
use tokio::time::Instant;

use crate::authz::Route;
use crate::authz::decision::Proven;
use crate::clock::UnixTime;
use crate::config::RequestIdTrust;
use crate::gate::Evidence;
use crate::reason::Refusal;
use crate::request::forwarded::TrustedProxies;
use crate::request::id::RequestId;
use crate::server::World;
use crate::server::body::Body;
use crate::telemetry::{Outcome, Plane, RequestLine, Telemetry};

/// `traceparent` (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Bytes of a path or `User-Agent` kept for the log.
const CAP: usize = 1024;
/// The client went away before the response: nginx's status, which no response carries.
const CLIENT_GONE: u16 = 499;

/// What will be told about one request.
pub(crate) struct Account {
    telemetry: Arc<Telemetry>,
    began: Instant,
    /// The same on the wall clock, since the epoch.
    arrived: Duration,
    request_id: RequestId,
    client: IpAddr,
    /// The route found, for the challenge of a 401.
    route: Option<Arc<Route>>,
    /// `None` once told.
    line: Option<Box<RequestLine>>,
    /// What the asker tells its client, where that is not the response's own status.
    told: Option<StatusCode>,
    /// Whether there is an outcome to tell.
    decided: bool,
}

impl Account {
    /// Opens the account of a request that `peer` sent, as `proxies` are trusted on its plane.
    pub(crate) fn open(
        world: &World,
        plane: Plane,
        head: &Parts,
        peer: IpAddr,
        proxies: &TrustedProxies,
    ) -> Self {
        let trusted = proxies.trusts(peer);
        let client = if trusted {
            proxies.client(peer, &head.headers)
        } else {
            peer.to_canonical()
        };
        Self::new(world, plane, head, client, trusted)
    }

    /// Opens the account of a request of the app itself, whose request id is believed.
    pub(crate) fn open_egress(world: &World, head: &Parts, peer: IpAddr) -> Self {
        Self::new(world, Plane::Egress, head, peer.to_canonical(), true)
    }

    fn new(world: &World, plane: Plane, head: &Parts, client: IpAddr, trusted: bool) -> Self {
        let arrived = world.clock.since_epoch();
        let request_id = request_id(world, &head.headers, trusted, arrived);
        Self {
            telemetry: Arc::clone(&world.telemetry),
            began: Instant::now(),
            arrived,
            line: Some(Box::new(RequestLine {
                request_id: request_id.clone(),
                trace_id: trace_id(&head.headers),
                plane,
                route: None,
                method: head.method.clone(),
                path: capped(head.uri.path()),
                status: StatusCode::from_u16(CLIENT_GONE)
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                outcome: Outcome::Allow,
                shadowed: None,
                principal: None,
                on_behalf_of: None,
                credential: None,
                replayed: false,
                key_id: None,
                token: None,
                certificate: None,
                memberships: None,
                decision_time: Duration::ZERO,
                upstream_time: None,
                response_bytes: 0,
                client,
                user_agent: text(&head.headers, &header::USER_AGENT).map(capped),
            })),
            request_id,
            client,
            route: None,
            told: None,
            decided: false,
        }
    }

    /// The account of what this request asks about: of a request of `client`, with this head.
    #[cfg(feature = "grpc")]
    pub(crate) fn about(self, world: &World, head: &Parts, client: IpAddr) -> Self {
        let plane = self
            .line
            .as_ref()
            .map_or(Plane::ForwardAuth, |line| line.plane);
        let mut account = Self::new(world, plane, head, client.to_canonical(), true);
        account.began = self.began;
        account
    }

    /// When the request arrived.
    pub(crate) fn arrived(&self) -> UnixTime {
        UnixTime(self.arrived.as_secs())
    }

    /// The client's address, as the proxies before us that are trusted state it.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// The route the gate found.
    pub(crate) fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// The request's id.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    fn note(&mut self, note: impl FnOnce(&mut RequestLine)) {
        if let Some(line) = &mut self.line {
            note(line);
        }
    }

    /// Forward auth: what was asked about, not how.
    pub(crate) fn concerns(&mut self, method: &Method, path: &str) {
        self.note(|line| {
            line.method = method.clone();
            line.path = capped(path);
        });
    }

    /// The gate has spoken.
    pub(crate) fn judged(&mut self, evidence: Evidence) {
        let Evidence {
            route,
            principal,
            key_id,
            token,
            certificate,
            cached,
            memberships,
            shadowed,
            ..
        } = evidence;
        if let Some(hit) = cached {
            self.telemetry.metrics.token_cache(hit);
        }
        let decision_time = self.began.elapsed();
        self.note(|line| {
            line.decision_time = decision_time;
            line.route = route.as_ref().map(|route| Arc::clone(&route.name));
            line.principal = principal;
            line.key_id = key_id;
            line.token = token;
            line.certificate = certificate;
            line.memberships = memberships;
            line.shadowed = shadowed.as_ref().map(Outcome::from);
        });
        self.route = route;
    }

    /// Egress: for this target.
    pub(crate) fn directed(&mut self, target: &Arc<str>) {
        self.note(|line| line.route = Some(Arc::clone(target)));
    }

    /// Egress: for this user, if one is known.
    pub(crate) fn for_user(&mut self, user: Option<&Proven>) {
        self.note(|line| line.principal = user.map(|user| Arc::clone(&user.principal)));
    }

    /// The credential of this source is used.
    pub(crate) fn lent(&mut self, credential: &Arc<str>) {
        self.note(|line| line.credential = Some(Arc::clone(credential)));
    }

    /// Egress: the target refused the first credential, and was asked again with another.
    pub(crate) fn replayed(&mut self) {
        self.note(|line| line.replayed = true);
    }

    /// Egress: the credential is there, and the request goes out.
    pub(crate) fn attached(&mut self) {
        let decision_time = self.began.elapsed();
        self.note(|line| line.decision_time = decision_time);
        self.allowed();
    }

    /// It may go on; from now on it is told, even if the client does not stay for the answer.
    pub(crate) fn allowed(&mut self) {
        self.decided = true;
    }

    /// A service acts for this user.
    pub(crate) fn on_behalf_of(&mut self, user: &str) {
        self.note(|line| line.on_behalf_of = Some(user.to_owned()));
    }

    /// The upstream's response head came after a wait that began then.
    pub(crate) fn answered(&mut self, asked: Instant) {
        self.note(|line| line.upstream_time = Some(asked.elapsed()));
    }

    /// It was refused.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.note(|line| line.outcome = Outcome::from(refusal));
    }

    /// Adds the request's id.
    pub(crate) fn identify(&self, world: &World, headers: &mut HeaderMap) {
        if let Some(name) = &world.config.identity.request_id {
            headers.insert(name, self.request_id.value().clone());
        }
    }

    /// The asker will tell its client this status, whatever the status of our response to the asker.
    #[cfg(feature = "grpc")]
    pub(crate) fn tells(&mut self, status: StatusCode) {
        self.told = Some(status);
    }

    /// Closes the account when `response`, which now tells the request's id, has been sent. `held`
    /// is dropped with it.
    pub(crate) fn close_after(
        mut self,
        world: &World,
        mut response: Response<Body>,
        held: impl Send + 'static,
    ) -> Response<Body> {
        self.identify(world, response.headers_mut());
        let status = self.told.unwrap_or(response.status());
        self.note(|line| line.status = status);
        self.decided = true;
        response.map(|body| {
            body.on_end(move |bytes| {
                self.note(|line| line.response_bytes = bytes);
                drop(self);
                drop(held);
            })
        })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take() else {
            return;
        };
        if std::thread::panicking() {
            line.status = StatusCode::INTERNAL_SERVER_ERROR;
            line.outcome = Outcome::Fail("internal_error");
            self.decided = true;
        }
        if self.decided {
            self.telemetry.record(*line);
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.line).finish()
    }
}

/// The id a believed peer sent, else a new UUID (version 7).
fn request_id(world: &World, headers: &HeaderMap, trusted: bool, arrived: Duration) -> RequestId {
    let believed = match world.config.request_id_trust {
        RequestIdTrust::Any => true,
        RequestIdTrust::TrustedProxies => trusted,
    };
    let sent = world.config.identity.request_id.as_ref();
    sent.filter(|_name| believed)
        .and_then(|name| RequestId::accept(headers, name))
        .or_else(|| new_id(arrived))
        .unwrap_or_else(RequestId::unknown)
}

/// Random bits of the ids to come: asking for many at once costs as much as asking for a few.
struct Bits {
    bytes: [u8; 1000],
    used: usize,
}

impl Bits {
    fn next(&mut self) -> Option<[u8; 10]> {
        if self.used >= self.bytes.len() {
            rand::fill(&mut self.bytes).ok()?;
            self.used = 0;
        }
        let next = self.bytes.get(self.used..)?.first_chunk()?;
        self.used += next.len();
        Some(*next)
    }
}

thread_local! {
    static BITS: RefCell<Bits> = const { RefCell::new(Bits { bytes: [0; 1000], used: 1000 }) };
}

fn new_id(arrived: Duration) -> Option<RequestId> {
    let random = BITS
        .try_with(|bits| bits.try_borrow_mut().ok()?.next())
        .ok()??;
    let millis = u64::try_from(arrived.as_millis()).ok()?;
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    RequestId::made(
        id.hyphenated()
            .encode_lower(&mut uuid::Uuid::encode_buffer()),
    )
}

/// The trace id of a well-formed `traceparent`.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let value = text(headers, &TRACEPARENT)?;
    let id = value.get(3..35)?;
    let well_formed = value.len() >= 55
        && value.as_bytes().get(2) == Some(&b'-')
        && value.as_bytes().get(35) == Some(&b'-')
        && id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && id.bytes().any(|byte| byte != b'0');
    well_formed.then(|| id.to_owned())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get_all(name).iter().next()?.to_str().ok()
}

fn capped(text: &str) -> String {
    let mut end = text.len().min(CAP);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
