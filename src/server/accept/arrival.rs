//! What a connection goes through before anything of it is read as TLS or HTTP: its PROXY header,
//! and whether its client may have one more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::peers::{Counted, Peers};
use super::{Serving, proxy_header};
use crate::config;
use crate::reason::Denial;
use crate::server::respond;
use crate::telemetry::metrics::Refused;

/// How long a refused client may take to read why: closed at once, the kernel might tell it of a
/// reset before the answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most refused clients told why at once; others are closed.
const MOST_FAREWELLS: usize = 64;

/// The state of one listener's limits on arrivals.
#[derive(Debug)]
pub(super) struct Arrivals {
    peers: Option<Arc<Peers>>,
    farewells: Semaphore,
}

/// Who has arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The client, or the proxy that spoke for itself.
    pub(super) peer: SocketAddr,
    /// Its place among the client's connections, where those are limited.
    pub(super) counted: Option<Counted>,
}

impl Arrivals {
    pub(super) fn new(limits: &config::Listener) -> Self {
        Self {
            peers: limits
                .max_connections_per_peer
                .map(|most| Arc::new(Peers::new(most))),
            farewells: Semaphore::new(MOST_FAREWELLS),
        }
    }

    /// Who is at the other end of `stream`, which `socket` is. `Err`: it is to be closed, and that
    /// has been counted.
    pub(super) async fn admit(
        &self,
        serving: &Serving,
        stream: &mut TcpStream,
        socket: SocketAddr,
    ) -> Result<Arrived, Refused> {
        let mut peer = socket;
        let refused = if serving.limits.proxy_protocol && serving.trusts(socket.ip()) {
            let header = proxy_header::read(stream);
            match tokio::time::timeout(serving.limits.header_timeout, header).await {
                Ok(Ok(client)) => {
                    peer = client.unwrap_or(socket);
                    None
                }
                Ok(Err(error)) => {
                    tracing::debug!(listener = serving.name, %socket, %error, "no PROXY header");
                    Some(Refused::ProxyHeader)
                }
                Err(_late) => Some(Refused::ProxyHeader),
            }
        } else {
            None
        };
        let counted = match (&self.peers, refused) {
            (_, Some(refused)) => Err(refused),
            (Some(peers), None) if !serving.trusts(peer.ip()) => {
                peers.admit(peer.ip()).map(Some).ok_or(Refused::PeerLimit)
            }
            (Some(_) | None, None) => Ok(None),
        };
        match counted {
            Ok(counted) => Ok(Arrived { peer, counted }),
            Err(refused) => {
                let metrics = &serving.telemetry.metrics;
                metrics.connection_refused(serving.name, refused);
                Err(refused)
            }
        }
    }

    /// Tells a client over HTTP/1.1 that it has too many connections, then closes. Over TLS it would
    /// be shaken hands with first, the very work that it has had enough of: closes at once.
    pub(super) async fn turn_away(&self, serving: &Serving, mut stream: TcpStream) {
        if serving.limits.tls.is_some() {
            return;
        }
        let Ok(_farewell) = self.farewells.try_acquire() else {
            return;
        };
        serving.rejected(&Denial::ConnectionLimit);
        let farewell = async {
            let answer = respond::early_bytes(&Denial::ConnectionLimit);
            stream.write_all(&answer).await?;
            stream.shutdown().await?;
            let mut unread = [0; 1024];
            while stream.read(&mut unread).await? > 0 {}
            std::io::Result::Ok(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, farewell).await {
            tracing::debug!(listener = serving.name, %error, "a refused client left");
        }
    }
}
