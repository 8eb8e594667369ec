//! The PROXY header (`HAProxy`'s PROXY protocol, versions 1 and 2) before a connection's first byte.
//!
//! It is read exactly: what follows belongs to TLS or HTTP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What every version 1 header begins with.
const TEXT: &[u8] = b"PROXY ";
/// What every version 2 header begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Length of the shortest header, `PROXY UNKNOWN` and a line break.
const SHORTEST: usize = 15;
/// Length of the longest version 1 header.
const LONGEST_TEXT: usize = 107;
/// Length of a version 2 header up to its addresses.
const BINARY_START: usize = 16;

/// The command of a version 2 header of a connection that carries nobody's but the proxy's own bytes.
const LOCAL: u8 = 0x20;

/// Whom a proxy carries that does not say so. Nobody's address: what they state of others must not
/// count as the proxy's own word.
pub(super) const SOMEBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Reads the header and nothing after it: the address of the client it names, [`SOMEBODY`] if it
/// names none (`UNKNOWN`, a Unix socket); `None` if the proxy speaks for itself (`LOCAL`).
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(BINARY) {
        read_more(stream, &mut header, BINARY_START - SHORTEST).await?;
        let length = match header.get(BINARY_START - 2..) {
            Some(&[high, low]) => u16::from_be_bytes([high, low]),
            Some(_) | None => return Err(malformed()),
        };
        read_more(stream, &mut header, length.into()).await?;
    } else if header.starts_with(TEXT) {
        read_line(stream, &mut header).await?;
    } else {
        return Err(malformed());
    }
    match ProxyHeader::parse(&header, ParseConfig::default()) {
        Ok((parsed, length)) if length == header.len() => {
            let local = header.starts_with(BINARY) && header.get(BINARY.len()) == Some(&LOCAL);
            let named = parsed.proxied_address().map(|proxied| proxied.source);
            Ok((!local).then(|| named.unwrap_or(SOMEBODY)))
        }
        Ok(_) | Err(_) => Err(malformed()),
    }
}

async fn read_more(stream: &mut TcpStream, header: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let start = header.len();
    header.resize(start + count, 0);
    let rest = header.get_mut(start..).unwrap_or_default();
    stream.read_exact(rest).await.map(|_count| ())
}

/// Reads to the end of the line, looking before each step, since its length is not told.
async fn read_line(stream: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    while !header.ends_with(b"\n") {
        let mut ahead = [0; LONGEST_TEXT];
        let room = LONGEST_TEXT.saturating_sub(header.len());
        let ahead = ahead.get_mut(..room).unwrap_or_default();
        if ahead.is_empty() {
            return Err(malformed());
        }
        let seen = stream.peek(ahead).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = ahead.iter().take(seen).position(|byte| *byte == b'\n');
        read_more(stream, header, line.map_or(seen, |end| end + 1)).await?;
    }
    Ok(())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a PROXY header")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const REST: &[u8] = b"GET / HTTP/1.1\r\n";

    /// What is read of `header`, written in parts, and what is left after it.
    async fn read_parts(header: &[u8], size: usize) -> io::Result<Option<SocketAddr>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client.set_nodelay(true).unwrap();
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let bytes: Vec<u8> = [header, REST].concat();
        let write = async {
            for part in bytes.chunks(size) {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let read = async {
            let read = read(&mut stream).await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, REST);
            Ok(read)
        };
        tokio::join!(write, read).1
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, body].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];
    const V6: &[u8] = &[
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // source
        0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // destination
        0xdc, 0x04, 0x01, 0xbb,
    ];

    #[tokio::test]
    async fn the_client_is_read_and_nothing_after_the_header() {
        let client = Some("192.0.2.1:56324");
        let somebody = Some("0.0.0.0:0");
        // the vectors of the specification's 2.1 and 2.2
        let cases: Vec<(Vec<u8>, Option<&str>)> = vec![
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
                client,
            ),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n".to_vec(),
                Some("[2001:db8::1]:56324"),
            ),
            (
                b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
                Some("255.255.255.255:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), somebody),
            (
                b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
                    .to_vec(),
                somebody,
            ),
            (binary(0x21, 0x11, V4), client),
            (binary(0x21, 0x21, V6), Some("[2001:db8::1]:56324")),
            // with a TLV behind, as AWS adds them
            (
                binary(0x21, 0x11, &[V4, &[0xea, 0, 2, 1, 0x76]].concat()),
                client,
            ),
            (binary(0x20, 0x00, b""), None),
            (binary(0x20, 0x11, V4), None),
            (binary(0x21, 0x00, b""), somebody),
            (binary(0x21, 0x31, &[7; 216]), somebody),
        ];
        for (header, expected) in cases {
            for size in [1, 3, 16, 1000] {
                let read = read_parts(&header, size).await;
                let shown = String::from_utf8_lossy(&header).into_owned();
                let read = read.unwrap_or_else(|error| panic!("{shown}: {error}"));
                let expected = expected.map(|text| text.parse().unwrap());
                assert_eq!(read, expected, "{shown} in parts of {size}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat();
        let cases: Vec<Vec<u8>> = vec![
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            b"PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            b"proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            long,
            binary(0x11, 0x11, V4),
            binary(0x22, 0x11, V4),
            binary(0x21, 0x41, V4),
            binary(0x21, 0x11, &V4[..11]),
            binary(0x21, 0x21, V4),
        ];
        for header in cases {
            let read = read_parts(&header, 1000).await;
            let shown = String::from_utf8_lossy(&header).into_owned();
            assert!(read.is_err(), "{shown}: {read:?}");
        }
    }

    #[tokio::test]
    async fn a_header_that_breaks_off_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for part in [&b""[..], b"PRO", b"PROXY TCP4 192.0.2.1 ", BINARY] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            client.write_all(part).await.unwrap();
            drop(client);
            let (mut stream, _peer) = listener.accept().await.unwrap();
            let error = read(&mut stream).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{part:?}");
        }
    }
}
