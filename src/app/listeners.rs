//! Sockets: bound once at start, before anything else is built.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::StartError;
use super::inherited::Inherited;
use crate::config::{self, Config};

/// Where each plane listens, once bound.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each field is named after its plane")]
pub struct Addresses {
    pub ingress: Option<SocketAddr>,
    pub forward_auth: Option<SocketAddr>,
    pub egress: Option<SocketAddr>,
    pub admin: SocketAddr,
    pub health: SocketAddr,
}

/// The first listener whose table differs.
pub(super) fn changed_listener(old: &Config, new: &Config) -> Option<&'static str> {
    old.listeners()
        .into_iter()
        .zip(new.listeners())
        .find(|(old, new)| old.1 != new.1)
        .map(|(old, _)| old.0)
}

/// A bound socket with its limits.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) name: &'static str,
    pub(super) limits: config::Listener,
    pub(super) socket: TcpListener,
}

/// Every bound socket.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) ingress: Option<Bound>,
    pub(super) forward_auth: Option<Bound>,
    pub(super) egress: Option<Bound>,
    pub(super) admin: Bound,
    pub(super) health: Bound,
}

impl Bound {
    async fn new(
        name: &'static str,
        limits: &config::Listener,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let address = limits.listen;
        let socket = match inherited.find(address) {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(address).await,
        }
        .map_err(|source| StartError::Listen {
            listener: name,
            address,
            source,
        })?;
        let bound = Self {
            name,
            limits: limits.clone(),
            socket,
        };
        tracing::info!(listener = name, address = %bound.address()?, "listening");
        Ok(bound)
    }

    fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let mut inherited = Inherited::take();
        let mut optional = async |name, limits: Option<&config::Listener>| match limits {
            Some(limits) => Bound::new(name, limits, &mut inherited).await.map(Some),
            None => Ok(None),
        };
        let [ingress, forward_auth, egress, _, _] = config.listeners();
        Ok(Self {
            ingress: optional(ingress.0, ingress.1).await?,
            forward_auth: optional(forward_auth.0, forward_auth.1).await?,
            egress: optional(egress.0, egress.1).await?,
            admin: Bound::new("admin", &config.admin, &mut inherited).await?,
            health: Bound::new("health", &config.health, &mut inherited).await?,
        })
    }

    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        let of = |bound: &Option<Bound>| bound.as_ref().map(Bound::address).transpose();
        Ok(Addresses {
            ingress: of(&self.ingress)?,
            forward_auth: of(&self.forward_auth)?,
            egress: of(&self.egress)?,
            admin: self.admin.address()?,
            health: self.health.address()?,
        })
    }
}
