//! Where to connect: the addresses of one server, shared by all workers.
//!
//! Names are kept resolved in the background ([`resolve`]); what failed lately is left out
//! ([`health`]). Reading takes no lock. An address keeps its health for as long as DNS names it; one
//! that DNS no longer names is marked, and its connections are not used again.

mod health;
mod resolve;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::DropGuard;
use url::Host;

pub(super) use self::health::Address;
use self::health::Policy;
use self::resolve::{Resolve, System, keep_resolved};
use crate::client::jwks::Background;
use crate::config::{self, is_link_local};
use crate::telemetry::metrics::ServerMetrics;

/// How long the last answer is used while a name does not resolve. The address may be another
/// service's by then, which must not be sent our users' requests.
const HOLD: Duration = Duration::from_secs(30);

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    /// A name has no answer.
    #[error("cannot resolve {0}")]
    Name(String),
    /// A name leads to these addresses only, which a credential must not be sent to.
    #[error("{0}")]
    LinkLocal(String),
    /// The first answer did not come in time.
    #[error("no answer from the resolver in time")]
    Late,
}

/// The addresses of one server.
#[derive(Debug)]
pub(super) struct Addresses {
    set: ArcSwap<Set>,
    sources: Mutex<Vec<Source>>,
    /// Told of each new set.
    changed: watch::Sender<()>,
    policy: Arc<Policy>,
    /// Ends resolution when dropped.
    _hold: DropGuard,
}

/// What is known at one moment.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// The preferred ones first.
    addresses: Box<[Arc<Address>]>,
    /// How many are preferred. The others, of a name's other address family, are tried if those fail.
    preferred: usize,
    /// Whether a name was not answered yet.
    pending: bool,
    /// A name without an answer, and what the resolver said.
    trouble: Option<String>,
    /// A name that leads to a link-local address.
    link_local: Option<String>,
}

/// One configured endpoint.
#[derive(Debug)]
struct Source {
    endpoint: config::Endpoint,
    found: Vec<IpAddr>,
    /// Link-local addresses it leads to, which are not used.
    link_local: Vec<IpAddr>,
    answered: bool,
    failing: Option<(Instant, String)>,
}

impl Addresses {
    /// Starts resolving names in `background`; literals and `localhost` need none. Without
    /// `link_local` no name leads to such an address; a literal does, since the config names it.
    pub(super) fn start(
        server: &config::Server,
        link_local: bool,
        metrics: ServerMetrics,
        background: &Background,
    ) -> Arc<Self> {
        let resolver: Arc<dyn Resolve> = Arc::new(System);
        Self::resolved_by(&resolver, server, link_local, metrics, background)
    }

    fn resolved_by(
        resolver: &Arc<dyn Resolve>,
        server: &config::Server,
        link_local: bool,
        metrics: ServerMetrics,
        background: &Background,
    ) -> Arc<Self> {
        let stop = background.stop.child_token();
        let sources: Vec<Source> = server.endpoints.iter().map(Source::new).collect();
        let addresses = Arc::new(Self {
            set: ArcSwap::default(),
            sources: Mutex::new(sources),
            changed: watch::Sender::new(()),
            policy: Arc::new(Policy {
                server: server.url.authority().to_owned(),
                link_local,
                max_failures: server.max_failures,
                eject_for: server.eject_for,
                epoch: Instant::now(),
                metrics,
            }),
            _hold: stop.clone().drop_guard(),
        });
        addresses.update(|_sources| ());
        for (number, endpoint) in server.endpoints.iter().enumerate() {
            if let Some(name) = name_of(&endpoint.host) {
                background.tasks.spawn(keep_resolved(
                    Arc::downgrade(&addresses),
                    number,
                    name.to_owned(),
                    Arc::clone(resolver),
                    server.dns_refresh,
                    stop.clone(),
                ));
            }
        }
        addresses
    }

    /// The addresses now.
    pub(super) fn now(&self) -> Guard<Arc<Set>> {
        self.set.load()
    }

    /// Waits until there is an address, at most for the first answer of each name.
    pub(super) async fn known(&self, deadline: Instant) -> Result<(), Unresolved> {
        let mut changes = self.changed.subscribe();
        loop {
            {
                let set = self.now();
                if !set.addresses.is_empty() {
                    return Ok(());
                }
                if !set.pending {
                    if let Some(link_local) = &set.link_local {
                        return Err(Unresolved::LinkLocal(link_local.clone()));
                    }
                    let trouble = set.trouble.clone().unwrap_or_default();
                    return Err(Unresolved::Name(trouble));
                }
            }
            match timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Unresolved::Late),
            }
        }
    }

    /// Takes an answer for a source: whether it has addresses.
    pub(super) fn learn(&self, number: usize, answer: io::Result<Vec<IpAddr>>) -> bool {
        let answer = answer.and_then(|found| {
            if found.is_empty() {
                Err(io::Error::other("no addresses"))
            } else {
                Ok(found)
            }
        });
        let resolved = answer.is_ok();
        self.update(|sources| {
            if let Some(source) = sources.get_mut(number) {
                source.learn(answer, &self.policy);
            }
        });
        resolved
    }

    /// Changes the sources, and publishes what follows.
    fn update(&self, change: impl FnOnce(&mut [Source])) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let old = self.set.load_full();
        let set = Set::new(&sources, &old, &self.policy);
        let named = |set: &Set| {
            let all = set.addresses.iter();
            all.map(|address| address.at()).collect::<Vec<_>>()
        };
        let (before, after) = (named(&old), named(&set));
        let gone: Vec<_> = old
            .addresses
            .iter()
            .filter(|address| !after.contains(&address.at()))
            .cloned()
            .collect();
        self.set.store(Arc::new(set));
        drop(sources);
        for address in gone {
            address.leave();
        }
        if before != after {
            let server = &self.policy.server;
            tracing::debug!(%server, addresses = ?after, "addresses");
        }
        self.changed.send_replace(());
    }

    /// What `/status` shows.
    pub(super) fn report(&self) -> Value {
        let set = self.now();
        let addresses: Vec<Value> = set
            .addresses
            .iter()
            .map(|address| {
                let (failures, left) = address.report();
                json!({
                    "address": address.at().to_string(),
                    "ejected": !address.is_well(),
                    "failures": failures,
                    "ejected_for_seconds": left.as_secs(),
                })
            })
            .collect();
        let trouble = set.trouble.as_ref().or(set.link_local.as_ref());
        json!({ "addresses": addresses, "unresolved": trouble })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        for address in &self.set.load().addresses {
            address.leave();
        }
    }
}

/// A name to be resolved. `localhost` is this machine, whatever a resolver says (RFC 6761 6.3).
fn name_of(host: &Host) -> Option<&str> {
    match host {
        Host::Domain(name) if name == "localhost" => None,
        Host::Domain(name) => Some(name),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

impl Source {
    fn new(endpoint: &config::Endpoint) -> Self {
        let found = match &endpoint.host {
            Host::Domain(name) if name == "localhost" => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Host::Domain(_) => Vec::new(),
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        Self {
            answered: !found.is_empty(),
            endpoint: endpoint.clone(),
            found,
            link_local: Vec::new(),
            failing: None,
        }
    }

    fn learn(&mut self, answer: io::Result<Vec<IpAddr>>, policy: &Policy) {
        let server = &*policy.server;
        let name = &self.endpoint.host;
        self.answered = true;
        let error = match answer {
            Ok(found) => {
                if self.failing.take().is_some() {
                    tracing::info!(server, %name, "the name resolves again");
                }
                let refused = |ip: &IpAddr| !policy.link_local && is_link_local(*ip);
                let (link_local, found): (Vec<_>, Vec<_>) = found.into_iter().partition(refused);
                if self.link_local != link_local && !link_local.is_empty() {
                    tracing::error!(server, %name, addresses = ?link_local, "the name leads to link-local addresses: no credential is sent there unless `url` or `addresses` has the address itself");
                }
                self.link_local = link_local;
                self.found = found;
                return;
            }
            Err(error) => error.to_string(),
        };
        let now = Instant::now();
        let since = self.failing.as_ref().map(|(since, _error)| *since);
        if since.is_none() {
            tracing::warn!(server, %name, error, hold = ?HOLD, "the name does not resolve: what it was is used for a while");
        }
        let since = since.unwrap_or(now);
        if now >= since + HOLD && !self.found.is_empty() {
            tracing::error!(server, %name, error, "the name does not resolve: its addresses are given up");
            self.found.clear();
        }
        self.failing = Some((since, error));
    }
}

impl Set {
    fn new(sources: &[Source], old: &Self, policy: &Arc<Policy>) -> Self {
        let mut tiers = [Vec::new(), Vec::new()];
        for source in sources {
            let family = source.found.first().map(IpAddr::is_ipv4);
            for ip in &source.found {
                let at = SocketAddr::new(*ip, source.endpoint.port);
                let [preferred, others] = &mut tiers;
                if preferred.contains(&at) || others.contains(&at) {
                    continue;
                }
                if Some(ip.is_ipv4()) == family {
                    preferred.push(at);
                } else {
                    others.push(at);
                }
            }
        }
        let [preferred, others] = tiers;
        let known = |at: &SocketAddr| {
            let mut old = old.addresses.iter();
            match old.find(|address| address.at() == *at) {
                Some(address) => Arc::clone(address),
                None => Arc::new(Address::new(*at, policy)),
            }
        };
        let trouble = sources.iter().find_map(|source| {
            let (_since, error) = source.failing.as_ref()?;
            Some(format!("{}: {error}", source.endpoint.host))
        });
        let link_local = sources.iter().find_map(|source| {
            let address = source.link_local.first()?;
            let host = &source.endpoint.host;
            Some(format!("{host} leads to the link-local address {address}"))
        });
        Self {
            preferred: preferred.len(),
            addresses: preferred.iter().chain(&others).map(known).collect(),
            pending: sources.iter().any(|source| !source.answered),
            trouble,
            link_local,
        }
    }

    /// The address for a request, none of those it `tried` already: by `turn` one of those that are
    /// well, the one ejection of which ends first if none is.
    pub(super) fn pick(&self, turn: usize, tried: &[Arc<Address>]) -> Option<&Arc<Address>> {
        if let [only] = &*self.addresses {
            return Some(only).filter(|address| untried(address, tried));
        }
        let untried = |address: &&Arc<Address>| untried(address, tried);
        let (preferred, others) = self.addresses.split_at_checked(self.preferred)?;
        for tier in [preferred, others] {
            let mut open = tier.iter().filter(untried);
            if let Some(back) = open.clone().find(|address| address.takes_trial()) {
                return Some(back);
            }
            let count = open.clone().filter(|address| address.is_well()).count();
            if let Some(number) = turn.checked_rem(count) {
                return open
                    .by_ref()
                    .filter(|address| address.is_well())
                    .nth(number);
            }
        }
        let open = self.addresses.iter().filter(untried);
        open.min_by_key(|address| address.until())
    }

    /// How many there are beside those `tried`.
    pub(super) fn left(&self, tried: &[Arc<Address>]) -> usize {
        let all = self.addresses.iter();
        all.filter(|address| untried(address, tried)).count()
    }
}

fn untried(address: &Arc<Address>, tried: &[Arc<Address>]) -> bool {
    !tried.iter().any(|other| Arc::ptr_eq(other, address))
}

#[cfg(test)]
mod tests;
