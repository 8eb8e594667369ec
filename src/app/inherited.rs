//! Listening sockets handed over by systemd, or by whoever starts us the same way (`LISTEN_FDS`,
//! `sd_listen_fds(3)`): one that is bound to a configured address is taken instead of binding it, so
//! that connections wait in the kernel while Gatepost restarts.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// The sockets we were started with.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<(SocketAddr, TcpListener)>);

impl Inherited {
    /// Takes them from the environment. What is no listening TCP socket is warned of.
    pub(super) fn take() -> Self {
        let mut fds = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..fds.len() {
            let taken = fds.take_tcp_listener(index).and_then(|socket| {
                let Some(socket) = socket else { return Ok(()) };
                socket.set_nonblocking(true)?;
                sockets.push((socket.local_addr()?, socket));
                Ok(())
            });
            if let Err(error) = taken {
                tracing::warn!(index, %error, "an inherited socket is not used");
            }
        }
        Self(sockets)
    }

    /// The socket that is bound to this address.
    pub(super) fn find(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(bound, _)| *bound == address)?;
        Some(self.0.swap_remove(index).1)
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for (address, _socket) in &self.0 {
            tracing::warn!(%address, "an inherited socket is not used: no listener has its address");
        }
    }
}
