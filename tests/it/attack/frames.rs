//! HTTP/2 frame by frame (RFC 9113), as no library would send it.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::DEADLINE;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// `ENHANCE_YOUR_CALM`
pub(crate) const CALM: u32 = 11;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block (RFC 7541): `GET` of a path shorter than 127 bytes.
pub(crate) fn get(path: &str) -> Vec<u8> {
    // :method GET, :scheme http, then :authority and :path as literals
    let mut block = vec![0x82, 0x86, 0x41, 1, b'a', 0x44];
    block.push(u8::try_from(path.len()).unwrap());
    block.extend(path.as_bytes());
    block
}

/// A request without a body.
pub(crate) fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(path))
}

/// A connection whose client does as it likes.
#[derive(Debug)]
pub(crate) struct Http2 {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Http2 {
    /// Says hello.
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends bytes; whether the other side still takes any.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(DEADLINE, self.stream.write_all(bytes));
        sent.await.expect("somebody reads").is_ok()
    }

    /// The next frame: type, flags, payload. `None` once the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let read = async {
            loop {
                if let Some((header, rest)) = self.unread.split_first_chunk::<9>() {
                    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
                    let length = usize::try_from(length).unwrap();
                    if rest.len() >= length {
                        let frame = (header[3], header[4], rest[..length].to_vec());
                        self.unread.drain(..9 + length);
                        return Some(frame);
                    }
                }
                if self.stream.read_buf(&mut self.unread).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .expect("a frame, or the end")
    }

    /// Whether everything sent so far has been read: the other side answers a PING, or has closed.
    pub(crate) async fn caught_up(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, b"are you?")).await && {
            loop {
                match self.next().await {
                    Some((PING, flags, _)) if flags & ACK != 0 => break true,
                    Some(_) => {}
                    None => break false,
                }
            }
        }
    }

    /// Reads to the end of the connection: the error code of GOAWAY, if one came.
    pub(crate) async fn farewell(mut self) -> Option<u32> {
        let mut code = None;
        while let Some((kind, _flags, payload)) = self.next().await {
            if kind == GOAWAY {
                let bytes = &payload[4..8];
                code = Some(u32::from_be_bytes(bytes.try_into().unwrap()));
            }
        }
        code
    }
}
