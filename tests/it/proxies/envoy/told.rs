//! What the files themselves say of identity headers.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gatepost::request::IdentityNames;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{GRPC, HTTP, start};
use crate::proxies::{Places, shipped};
use crate::support::counterparts::or_skip;
use crate::support::upstream::Upstream;

#[test]
fn both_files_remove_the_same_and_http_takes_every_identity_header() {
    let removed = |file: &'static str| -> Vec<&str> {
        let lines = file.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with("- remove_on_match"))
            .collect()
    };
    assert_eq!(removed(HTTP), removed(GRPC));
    assert_eq!(removed(HTTP).len(), 7);
    let (_, taken) = HTTP.split_once("allowed_upstream_headers:").expect("there");
    for name in IdentityNames::default().iter() {
        assert!(taken.contains(&format!("{{ exact: {name} }}")), "{name}");
    }
}

/// An app of HTTP/2 that keeps the trailers of its requests.
async fn app(trailers: Arc<Mutex<Vec<HeaderMap>>>) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _peer) = listener.accept().await.expect("a connection");
            let trailers = Arc::clone(&trailers);
            let service = service_fn(move |request: Request<Incoming>| {
                let trailers = Arc::clone(&trailers);
                async move {
                    let body = request.into_body().collect().await.expect("a body");
                    let sent = body.trailers().cloned().unwrap_or_default();
                    trailers.lock().expect("no test panicked").push(sent);
                    Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            connections.spawn(async move {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn trailers_name_nobody_either() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (address, _app) = app(Arc::clone(&seen)).await;
    let gatepost = Upstream::start().await;
    let places = Places {
        gatepost: gatepost.address,
        app: address,
    };
    let over_http2 = shipped(
        HTTP,
        &[(
            "  - name: app\n    type: STRICT_DNS\n",
            "  - name: app\n    type: STRICT_DNS\n    typed_extension_protocol_options:\n      \
             envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n        \
             \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n        \
             explicit_http_config: { http2_protocol_options: {} }\n",
        )],
    );
    let proxy = or_skip!(start(&places, &over_http2).await);

    let stream = TcpStream::connect(proxy.address)
        .await
        .expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let trailers = ["x-user-id", "x_user_id", "x.auth.role", "x-checksum"]
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
    let frames = [
        Frame::data(Bytes::from_static(b"body")),
        Frame::trailers(trailers.into_iter().collect()),
    ];
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post("http://app.test/upload").body(body);
    let reply = sender.send_request(request.expect("a request")).await;
    assert_eq!(reply.expect("an answer").status(), 200);
    let seen = seen.lock().expect("no test panicked").clone();
    let names: Vec<_> = seen.iter().flat_map(HeaderMap::keys).collect();
    assert_eq!(names, ["x-checksum"]);
}
