//! The body of a response, which drives its connection and gives it back at its end.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Http1;
use super::lane::Lane;

/// A response's body. Dropped before its end, it closes its HTTP/1.1 connection, or resets its
/// HTTP/2 stream.
pub struct Reply {
    incoming: Incoming,
    /// The connection, until the body has ended.
    http1: Option<(Box<Http1>, Arc<Lane>)>,
}

impl Reply {
    /// A body that comes by an HTTP/1.1 connection of `lane`.
    pub(super) async fn by_http1(incoming: Incoming, http1: Box<Http1>, lane: Arc<Lane>) -> Self {
        let mut reply = Self {
            incoming,
            http1: Some((http1, lane)),
        };
        if reply.incoming.is_end_stream() {
            poll_fn(|cx| {
                reply.release(cx);
                Poll::Ready(())
            })
            .await;
        }
        reply
    }

    /// A body that comes by a connection with a task of its own.
    pub(super) fn by_http2(incoming: Incoming) -> Self {
        Self {
            incoming,
            http1: None,
        }
    }

    fn release(&mut self, cx: &mut Context<'_>) {
        if let Some((mut http1, lane)) = self.http1.take()
            && http1.is_idle(cx)
        {
            lane.put(http1);
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some((http1, _lane)) = &mut this.http1
        {
            http1.drive(cx);
            polled = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        match &polled {
            Poll::Ready(Some(Ok(_frame))) if !this.incoming.is_end_stream() => {}
            Poll::Ready(Some(Err(_broken))) => this.http1 = None,
            Poll::Ready(Some(Ok(_)) | None) => this.release(cx),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}
