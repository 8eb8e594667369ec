//! An HTTP server in the test's own process that remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::http::first;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Recorded {
    /// The first value of a header, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        first(&self.headers, name)
    }
}

/// A response to send.
pub(crate) type Answer = Response<Full<Bytes>>;

/// `200` with this JSON.
pub(crate) fn json(value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(value.to_string().into()));
    answer.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    answer
}

/// An empty response of this status.
pub(crate) fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// A running server; stops when dropped.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    _server: JoinSet<()>,
}

impl Upstream {
    /// Answers every request `200 {}`.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| json(&serde_json::json!({}))).await
    }

    /// Answers as the function says.
    pub(crate) async fn answering(
        answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::answering_at(([127, 0, 0, 1], 0), answer).await
    }

    /// The same at this address.
    pub(crate) async fn answering_at(
        address: impl Into<SocketAddr>,
        answer: impl Fn(&Recorded) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address.into())
            .await
            .expect("the address");
        let address = listener.local_addr().expect("an address");
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let mut server = JoinSet::new();
        server.spawn(accept(listener, answer, Arc::clone(&recorded)));
        Self {
            address,
            recorded,
            _server: server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, oldest first.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.recorded.lock().expect("no test panicked").clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Recorded {
        self.requests().pop().expect("the upstream was asked")
    }
}

async fn accept(
    listener: TcpListener,
    answer: Arc<impl Fn(&Recorded) -> Answer + Send + Sync + 'static>,
    recorded: Arc<Mutex<Vec<Recorded>>>,
) {
    // Held here, so that they end when the server does.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let answer = Arc::clone(&answer);
        let recorded = Arc::clone(&recorded);
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = Arc::clone(&answer);
            let recorded = Arc::clone(&recorded);
            async move {
                let (head, body) = request.into_parts();
                let request = Recorded {
                    method: head.method,
                    uri: head.uri,
                    headers: head.headers,
                    body: body
                        .collect()
                        .await
                        .map(Collected::to_bytes)
                        .unwrap_or_default(),
                };
                let response = answer(&request);
                recorded.lock().expect("no test panicked").push(request);
                Ok::<_, Infallible>(response)
            }
        });
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is none of the test's business.
            drop(connection.await);
        });
    }
}
