//! What end-to-end tests stand on: the real binary ([`gatepost`]), an upstream that remembers
//! ([`upstream`]), issuers of our own ([`issuer`], [`entra`]), other people's servers and clients
//! ([`counterparts`]) and programs ([`programs`]), and a small HTTP client ([`http`]). Everything on
//! loopback, on free ports, gone when dropped.

pub(crate) mod cognito;
pub(crate) mod counterparts;
#[cfg(feature = "sql")]
pub(crate) mod databases;
pub(crate) mod entra;
pub(crate) mod gatepost;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod key_client;
#[cfg(feature = "sql")]
pub(crate) mod pgbouncer;
pub(crate) mod programs;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod secure;
pub(crate) mod sidecar;
pub(crate) mod signals;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod wire;
pub(crate) mod world;
pub(crate) mod wrk;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;

/// How long a test waits for anything. Passing never depends on it, only how soon a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// An address at which nobody listens, nor will while this lives.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) address: SocketAddr,
    _bound: TcpSocket,
}

impl Gone {
    pub(crate) fn take() -> Self {
        Self::beside(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Where somebody listens with `SO_REUSEPORT`: from when that one is gone, nobody does.
    pub(crate) fn beside(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseport(true).expect("a socket");
        socket.bind(address).expect("a free port");
        Self {
            address: socket.local_addr().expect("its address"),
            _bound: socket,
        }
    }
}

/// Asks again and again until there is an answer, or panics naming what was waited for.
pub(crate) async fn eventually<T, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    eventually_within(DEADLINE, what, ask).await
}

/// The same for what may take longer.
pub(crate) async fn eventually_within<T, F>(
    deadline: Duration,
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + deadline;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < end, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
