//! A small HTTP/1.1 client: one connection per request unless a [`Connection`] is held.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::DEADLINE;

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// With its whole body.
    pub(crate) async fn of(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The first value of a header, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        first(&self.headers, name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }
}

/// The first value of a header as text, empty if there is none.
pub(crate) fn first<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers
        .get_all(name)
        .iter()
        .next()
        .map_or("", |value| value.to_str().expect("a text header"))
}

/// A request being written.
#[derive(Debug)]
pub(crate) struct Call {
    to: SocketAddr,
    request: Request<Full<Bytes>>,
}

impl Call {
    /// A request of this method for `path` (with query), `Host` set to the address.
    pub(crate) fn new(method: Method, to: SocketAddr, path: &str) -> Self {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        request
            .headers_mut()
            .insert("host", to.to_string().parse().expect("a host"));
        Self { to, request }
    }

    pub(crate) fn get(to: SocketAddr, path: &str) -> Self {
        Self::new(Method::GET, to, path)
    }

    pub(crate) fn post(to: SocketAddr, path: &str) -> Self {
        Self::new(Method::POST, to, path)
    }

    /// Adds a header, beside others of its name; `host` alone is replaced.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        let value: HeaderValue = value.parse().expect("a header value");
        if name == "host" {
            self.request.headers_mut().insert(name, value);
        } else {
            self.request.headers_mut().append(name, value);
        }
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(self) -> Reply {
        Connection::open(self.to).await.send(self).await
    }
}

/// A kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Carries the bytes; ends with the connection.
    _driver: JoinSet<()>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("a listener");
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("an HTTP connection");
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong shows in the response.
            drop(connection.await);
        });
        Self {
            sender,
            _driver: driver,
        }
    }

    pub(crate) async fn send(&mut self, call: Call) -> Reply {
        let exchange = async {
            self.sender.ready().await.expect("an open connection");
            let response = self
                .sender
                .send_request(call.request)
                .await
                .expect("a response");
            Reply::of(response).await.expect("a whole body")
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .expect("a response in time")
    }
}

/// Sends these bytes and returns all that comes back until the other side closes the connection: for
/// requests no client library would send.
pub(crate) async fn raw(to: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.write_all(request).await.expect("a request sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(DEADLINE, exchange)
        .await
        .expect("the connection closed in time")
}
