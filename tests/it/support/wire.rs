//! HTTP/1.1 byte by byte: an upstream that keeps what it was sent and answers what it is told, and
//! a client that sends what no library would.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::DEADLINE;

/// An upstream of raw bytes. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    /// Bytes to send, for [`Wire::told`].
    pub(crate) tell: mpsc::UnboundedSender<&'static str>,
    /// Told when a connection was closed by the other side.
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
    _server: JoinSet<()>,
}

impl Wire {
    /// Answers each request with these bytes.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::start(Some(answer)).await
    }

    /// Answers nothing but what goes through [`Wire::tell`].
    pub(crate) async fn told() -> Self {
        Self::start(None).await
    }

    async fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (tell, mut told) = mpsc::unbounded_channel();
        let (close, closed) = mpsc::unbounded_channel();
        let mut server = JoinSet::new();
        let kept = Arc::clone(&heard);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _peer) = listener.accept().await.unwrap();
                let (kept, close) = (Arc::clone(&kept), close.clone());
                if let Some(answer) = answer {
                    connections.spawn(async move {
                        while let Some(request) = read_request(&mut stream).await {
                            kept.lock().unwrap().push(request);
                            stream.write_all(answer.as_bytes()).await.unwrap();
                            if answer.is_empty() {
                                return;
                            }
                        }
                    });
                } else {
                    // one connection at a time, so that what is told has one receiver
                    let Some(request) = read_request(&mut stream).await else {
                        continue;
                    };
                    kept.lock().unwrap().push(request);
                    let mut rest = [0; 64];
                    loop {
                        tokio::select! {
                            Some(bytes) = told.recv() => {
                                let bytes: &str = bytes;
                                stream.write_all(bytes.as_bytes()).await.unwrap();
                            }
                            read = stream.read(&mut rest) => {
                                if read.unwrap_or(0) == 0 {
                                    close.send(()).unwrap();
                                    break;
                                }
                            }
                        }
                    }
                }
            }
        });
        Self {
            address,
            heard,
            tell,
            closed,
            _server: server,
        }
    }

    /// Every request so far, byte for byte.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The last request, its header lines without the request line.
    pub(crate) fn last_headers(&self) -> Vec<String> {
        let request = self.heard().pop().expect("the upstream was asked");
        let (head, _body) = request.split_once("\r\n\r\n").unwrap();
        head.lines().skip(1).map(str::to_owned).collect()
    }
}

/// Reads until it has heard this.
pub(crate) async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        while !heard.ends_with(end.as_bytes()) {
            let read = stream.read_buf(&mut heard).await.unwrap();
            assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&heard));
        }
    };
    let read = tokio::time::timeout(DEADLINE, reading).await;
    read.unwrap_or_else(|_late| panic!("only {}", String::from_utf8_lossy(&heard)));
    String::from_utf8(heard).unwrap()
}

/// One request: its head, and the body that `Content-Length` or chunks announce.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if whole(&bytes) {
            return String::from_utf8(bytes).ok();
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let field = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    if let Some(length) = field("content-length") {
        return body.len() >= length.parse::<usize>().unwrap();
    }
    field("transfer-encoding").is_none() || body.ends_with("\r\n\r\n")
}

/// Sends bytes on a new connection and reads until it is closed.
pub(crate) async fn send(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Sends a request head (lines without line breaks) for one response, then reads it.
pub(crate) async fn ask(to: SocketAddr, lines: &[&str]) -> String {
    let mut lines = lines.to_vec();
    lines.push("Connection: close");
    send(to, &format!("{}\r\n\r\n", lines.join("\r\n"))).await
}

/// The status of a response.
pub(crate) fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).expect(response);
    status.parse().expect(response)
}

/// The values of a response header, in order.
pub(crate) fn values<'r>(response: &'r str, name: &str) -> Vec<&'r str> {
    let (head, _body) = response.split_once("\r\n\r\n").expect(response);
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(field, _value)| field.eq_ignore_ascii_case(name))
        .map(|(_field, value)| value)
        .collect()
}

/// The body of a response.
pub(crate) fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").expect(response).1
}
