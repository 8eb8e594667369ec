//! What hyper and tokio cost when nothing is decided: the floor under Gatepost's figures.
//!
//!     floor proxy  LISTEN WORKERS SHAPE UPSTREAM       passes every request on, unchanged
//!     floor verify LISTEN WORKERS SHAPE UPSTREAM KEY   the same, if its bearer token was signed (RS256) by
//!                                                      this key (PEM); 401 if not; looks at no claim
//!     floor answer LISTEN WORKERS SHAPE                answers 200 without a body
//!
//! SHAPE: `per-core` is one current-thread runtime for each worker, each connection handed to the one
//! with the fewest open, as Gatepost does; `multi` is one multi-thread runtime with that many workers.
//!
//! A naive stand-in: no timeout, no limit, no retry, no shutdown, HTTP/1.1 only. Never put it before
//! anything.

use std::convert::Infallible;
use std::error::Error;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONNECTION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version, server};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (listen, workers, shape, upstream, key) = match arguments[..] {
        ["proxy", listen, workers, shape, upstream] => {
            (listen, workers, shape, Some(upstream), None)
        }
        ["verify", listen, workers, shape, upstream, key] => (
            listen,
            workers,
            shape,
            Some(upstream),
            Some(public_key(key)?),
        ),
        ["answer", listen, workers, shape] => (listen, workers, shape, None, None),
        _ => {
            let usage = "LISTEN WORKERS per-core|multi [UPSTREAM [KEY]]";
            return Err(format!("usage: floor proxy|verify|answer {usage}").into());
        }
    };
    let workers = Worker::start(shape, workers.parse()?, upstream, key)?;
    let listener = TcpListener::bind(listen)?;
    loop {
        let (stream, _) = listener.accept()?;
        let least = workers
            .iter()
            .min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        least.ok_or("no workers")?.serve(stream)?;
    }
}

/// A runtime, what it serves, and how many connections it has open.
struct Worker {
    runtime: Handle,
    upstream: Option<Arc<Upstream>>,
    open: Arc<AtomicUsize>,
}

impl Worker {
    fn start(
        shape: &str,
        count: usize,
        upstream: Option<&str>,
        key: Option<ParsedPublicKey>,
    ) -> Result<Vec<Self>, Failure> {
        let runtimes = match shape {
            "per-core" => (0..count)
                .map(|_| Builder::new_current_thread().enable_io().build())
                .collect::<Result<Vec<Runtime>, _>>()?,
            "multi" => vec![
                Builder::new_multi_thread()
                    .worker_threads(count)
                    .enable_io()
                    .build()?,
            ],
            _ => return Err("the shape is `per-core` or `multi`".into()),
        };
        Ok(runtimes
            .into_iter()
            .map(|runtime| Self::on(runtime, upstream, key.clone()))
            .collect())
    }

    fn on(runtime: Runtime, upstream: Option<&str>, key: Option<ParsedPublicKey>) -> Self {
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        let upstream = upstream.map(|address| {
            Arc::new(Upstream {
                address: address.to_owned(),
                key,
                idle: Mutex::default(),
            })
        });
        Self {
            runtime: handle,
            upstream,
            open: Arc::default(),
        }
    }

    fn serve(&self, stream: std::net::TcpStream) -> Result<(), Failure> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.open.fetch_add(1, Ordering::Relaxed);
        let (upstream, open) = (self.upstream.clone(), Arc::clone(&self.open));
        self.runtime.spawn(async move {
            // a client that leaves is no news, and what fails here fails the client's request
            drop(serve(stream, upstream).await);
            open.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    }
}

async fn serve(
    stream: std::net::TcpStream,
    upstream: Option<Arc<Upstream>>,
) -> Result<(), Failure> {
    let io = TokioIo::new(TcpStream::from_std(stream)?);
    let http = server::conn::http1::Builder::new();
    match upstream {
        Some(upstream) => {
            let pass = service_fn(move |request| pass(request, Arc::clone(&upstream)));
            http.serve_connection(io, pass).await?;
        }
        None => {
            let answer =
                service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
            http.serve_connection(io, answer).await?;
        }
    }
    Ok(())
}

/// The one upstream, and connections to it that nobody uses now.
struct Upstream {
    address: String,
    /// Who must have signed what is passed on.
    key: Option<ParsedPublicKey>,
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Upstream {
    fn take(&self) -> Option<SendRequest<Incoming>> {
        self.idle.lock().ok()?.pop()
    }

    async fn connection(&self) -> Result<SendRequest<Incoming>, Failure> {
        while let Some(mut connection) = self.take() {
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

async fn pass(
    mut request: Request<Incoming>,
    upstream: Arc<Upstream>,
) -> Result<Response<Either<Reply, Empty<Bytes>>>, Failure> {
    if let Some(key) = &upstream.key
        && signed(&request, key).is_none()
    {
        let mut refused = Response::new(Either::Right(Empty::new()));
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(refused);
    }
    request.headers_mut().remove(CONNECTION);
    *request.version_mut() = Version::HTTP_11;
    let mut connection = upstream.connection().await?;
    let reply = connection.send_request(request).await?;
    Ok(reply.map(|body| {
        Either::Left(Reply {
            body,
            lent: Some((connection, upstream)),
        })
    }))
}

/// Nothing but one verification, with the key parsed before.
fn signed(request: &Request<Incoming>, key: &ParsedPublicKey) -> Option<()> {
    let token = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (text, signature) = token.strip_prefix("Bearer ")?.rsplit_once('.')?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    key.verify_sig(text.as_bytes(), &signature).ok()
}

fn public_key(file: &str) -> Result<ParsedPublicKey, Failure> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let der = BASE64_STANDARD.decode(lines.collect::<String>())?;
    Ok(ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der)?)
}

/// A reply's body, which gives its connection back once it has been read to its end.
struct Reply {
    body: Incoming,
    lent: Option<(SendRequest<Incoming>, Arc<Upstream>)>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some((connection, upstream)) = self.lent.take()
            && self.body.is_end_stream()
            && let Ok(mut idle) = upstream.idle.lock()
        {
            idle.push(connection);
        }
    }
}
