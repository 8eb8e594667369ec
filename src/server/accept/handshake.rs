//! The stream that HTTP comes by: after the TLS handshake, where the listener has TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::Serving;
use crate::server::tls::{NoHandshake, Secured};

/// A connection's stream.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The stream, and what its handshake told. `None`: it is to be closed, and that has been counted.
pub(super) async fn shake(
    serving: &Serving,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Stream, Option<Secured>)> {
    if serving.limits.tls.is_none() {
        return Some((Either::Left(stream), None));
    }
    let (termination, now) = {
        let world = serving.world.as_ref()?.load();
        (Arc::clone(world.tls.of(serving.name)?), world.clock.now())
    };
    // boxed: plain connections do not carry its size about
    let shaken = Box::pin(termination.accept(stream, serving.limits.header_timeout, now));
    match shaken.await {
        Ok((stream, tls)) => Some((Either::Right(Box::new(stream)), Some(tls))),
        Err(error) => {
            if !matches!(error, NoHandshake::Left) {
                let metrics = &serving.telemetry.metrics;
                metrics.tls_handshake_failed(serving.name);
            }
            tracing::debug!(listener = serving.name, %peer, %error, "no TLS handshake");
            None
        }
    }
}
