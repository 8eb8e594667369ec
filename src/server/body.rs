//! The one response body: nothing, a few bytes (and trailers), an upstream's stream, or what follows a `101`, and
//! what to do when it ends.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::pool::{Reply, ReplyError};
use crate::request::trailers::{response_passes, scrub};
use crate::server::tunnel::Tunnel;

/// A response body. Counts the bytes it hands out and tells whoever asked with
/// [`Body::on_end`], once, when it ends or the client goes away.
pub struct Body {
    kind: Kind,
    sent: u64,
    end: Option<Box<dyn FnOnce(u64) + Send>>,
}

enum Kind {
    Empty,
    Full(Bytes),
    Trailed(Bytes, HeaderMap),
    Streamed(Reply),
    Tunnel(Box<Tunnel>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() {
            Kind::Empty
        } else {
            Kind::Full(bytes)
        })
    }

    /// These bytes and then these trailers, as gRPC ends its messages.
    #[must_use]
    pub fn trailed(bytes: Bytes, trailers: HeaderMap) -> Self {
        Self::of(Kind::Trailed(bytes, trailers))
    }

    /// What a server we called sends, as it comes.
    #[must_use]
    pub fn streamed(reply: Reply) -> Self {
        Self::of(Kind::Streamed(reply))
    }

    /// What follows a `101`: no body, but bytes of another protocol, which the connection copies
    /// with [`Body::run_tunnel`] once the head is sent.
    #[must_use]
    pub fn tunnel(tunnel: Tunnel) -> Self {
        Self::of(Kind::Tunnel(Box::new(tunnel)))
    }

    /// Copies what follows a `101` to its end, or until `stop`; nothing if this is another body.
    pub(super) async fn run_tunnel(
        &mut self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        stop: impl Future<Output = ()>,
    ) {
        if let Kind::Tunnel(tunnel) = &mut self.kind {
            tunnel.run(client, stop).await;
        }
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            sent: 0,
            end: None,
        }
    }

    /// Calls `end` with the bytes handed out when this body is dropped: at its end, or when the
    /// client goes away. Replaces an earlier one.
    #[must_use]
    pub fn on_end(mut self, end: impl FnOnce(u64) + Send + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end(match &self.kind {
                Kind::Tunnel(tunnel) => tunnel.sent(),
                Kind::Empty | Kind::Full(_) | Kind::Trailed(..) | Kind::Streamed(_) => self.sent,
            });
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Empty => "empty",
            Kind::Full(_) => "full",
            Kind::Trailed(..) => "trailed",
            Kind::Streamed(_) => "streamed",
            Kind::Tunnel(_) => "tunnel",
        };
        f.debug_struct("Body")
            .field("kind", &kind)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let this = self.get_mut();
        let frame = match &mut this.kind {
            Kind::Empty | Kind::Tunnel(_) => return Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                this.kind = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::Trailed(bytes, trailers) => Some(Ok(if bytes.is_empty() {
                let trailers = std::mem::take(trailers);
                this.kind = Kind::Empty;
                Frame::trailers(trailers)
            } else {
                Frame::data(std::mem::take(bytes))
            })),
            Kind::Streamed(reply) => std::task::ready!(Pin::new(reply).poll_frame(cx)),
        };
        let frame = frame.map(|frame| frame.map(scrubbed));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.sent = this.sent.saturating_add(bytes as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => true,
            Kind::Full(_) | Kind::Trailed(..) => false,
            Kind::Streamed(reply) => reply.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty | Kind::Tunnel(_) => SizeHint::with_exact(0),
            Kind::Full(bytes) | Kind::Trailed(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Streamed(reply) => reply.size_hint(),
        }
    }
}

/// A server's trailers less those that may not pass.
fn scrubbed(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(scrub(trailers, response_passes)),
        Err(data) => data,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use http_body_util::BodyExt as _;

    use super::*;

    fn counted(body: Body) -> (Body, Arc<AtomicU64>) {
        let sent = Arc::new(AtomicU64::new(u64::MAX));
        let seen = Arc::clone(&sent);
        let body = body.on_end(move |bytes| seen.store(bytes, Ordering::SeqCst));
        (body, sent)
    }

    #[tokio::test]
    async fn the_end_is_told_the_bytes_handed_out() {
        let (body, sent) = counted(Body::full("seven b"));
        assert_eq!(body.size_hint().exact(), Some(7));
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "seven b");
        assert_eq!(sent.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn trailers_come_after_the_bytes() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let (body, sent) = counted(Body::trailed(
            Bytes::from_static(b"five!"),
            trailers.clone(),
        ));
        assert!(!body.is_end_stream());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "five!");
        assert_eq!(sent.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn a_dropped_body_ends_with_what_was_sent() {
        let (body, sent) = counted(Body::full("never sent"));
        drop(body);
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        assert!(Body::full("").is_end_stream());
    }
}
