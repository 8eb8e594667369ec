//! Small vectored writes as plain ones: `send` takes 0.2 µs less than `writev`, more than copying a
//! head and a short body together takes.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that are copied for one write.
const SMALL: usize = 4096;

thread_local! {
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes `bufs` to `stream`, as [`AsyncWrite::poll_write_vectored`] does.
pub fn poll_write_vectored(
    stream: Pin<&mut (impl AsyncWrite + ?Sized)>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = bufs {
        return stream.poll_write(cx, only);
    }
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() > SMALL {
        return stream.poll_write_vectored(cx, bufs);
    }
    TOGETHER.with(|together| match together.try_borrow_mut() {
        Ok(mut together) => {
            together.clear();
            for buf in bufs {
                together.extend_from_slice(buf);
            }
            stream.poll_write(cx, &together)
        }
        // a stream that writes to another one meanwhile
        Err(_in_use) => stream.poll_write_vectored(cx, bufs),
    })
}

/// A stream whose vectored writes are [`poll_write_vectored`].
#[derive(Debug)]
pub(super) struct Gathered<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_vectored(Pin::new(&mut self.0), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn every_byte_is_written_in_its_place_whatever_the_size() {
        for sizes in [
            vec![],
            vec![0],
            vec![10],
            vec![9000],
            vec![200, 1024],
            vec![0, 5, 0, 7],
            vec![SMALL, 1],
        ] {
            let (client, mut server) = tokio::io::duplex(16 * 1024);
            let mut client = Gathered(client);
            let chunks: Vec<Vec<u8>> = (1_u8..).zip(&sizes).map(|(n, &s)| vec![n; s]).collect();
            let bufs: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
            let written =
                std::future::poll_fn(|cx| Pin::new(&mut client).poll_write_vectored(cx, &bufs));
            let written = written.await.unwrap();
            drop(client);
            let mut read = Vec::new();
            server.read_to_end(&mut read).await.unwrap();
            let whole = chunks.concat();
            assert_eq!(read.len(), written, "{sizes:?}");
            assert!(whole.starts_with(&read), "{sizes:?}");
            if whole.len() <= SMALL {
                assert_eq!(read, whole, "{sizes:?}");
            }
        }
    }
}
