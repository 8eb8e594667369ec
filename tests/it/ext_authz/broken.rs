//! What is no message.

use std::time::Duration;

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::CheckRequest;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;
use tonic::Code;

use super::{told, world};
use crate::support::world::World;

/// The gRPC status of a call with these bytes, and whether a message came with it.
async fn raw<B>(world: &World, body: B) -> (String, bool)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = tokio::net::TcpStream::connect(world.forward_auth());
    let io = TokioIo::new(stream.await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::post("http://gatepost/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let codes = [&head.headers, &trailers].map(|headers| headers.get_all("grpc-status").iter());
    let codes: Vec<_> = codes.into_iter().flatten().collect();
    let [code] = codes[..] else {
        panic!("one grpc-status: {codes:?}");
    };
    let code = code.to_str().unwrap().to_owned();
    (code, !body.to_bytes().is_empty())
}

fn framed(length: usize, message: &[u8]) -> Full<Bytes> {
    let length = u32::try_from(length).unwrap();
    let mut bytes = vec![0];
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    Full::new(bytes.into())
}

#[tokio::test]
async fn what_is_no_message_is_an_error_and_never_an_answer() {
    let world = world(|_config| {}).await;
    for (what, body) in [
        ("nothing", Full::default()),
        ("half a frame", Full::new(Bytes::from_static(&[0, 0, 0]))),
        ("a frame without its end", framed(10, b"abc")),
        ("garbage", framed(4, &[0xff; 4])),
        ("a huge length", framed(u32::MAX as usize, b"abc")),
        (
            "a compressed message",
            Full::new(Bytes::from_static(&[1, 0, 0, 0, 1, 0])),
        ),
        (
            "no frame",
            Full::new(Bytes::from_static(b"{\"allow\": true}")),
        ),
    ] {
        assert_eq!(raw(&world, body).await, ("3".to_owned(), false), "{what}");
    }
    let large = 2 << 20;
    let refused = raw(&world, framed(large, &vec![0; large])).await;
    assert_eq!(refused, ("8".to_owned(), false), "too large");
    let lines = world.log(8).await;
    for line in &lines[..7] {
        assert_eq!(line["reason"], "request_malformed", "{line}");
        assert_eq!(line["status"], 400);
    }
    assert_eq!(lines[7]["reason"], "body_too_large");

    // an empty message is one, and says nothing
    let (code, message) = raw(&world, framed(0, b"")).await;
    assert_eq!((code.as_str(), message), ("0", true));
    let (code, _told) = told(&world, CheckRequest::default()).await;
    assert_eq!(code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_that_does_not_come_is_not_waited_for() {
    let world = world(|config| {
        let listener = &mut config.forward_auth.as_mut().unwrap().listener;
        listener.header_timeout = Duration::from_millis(200);
    })
    .await;
    let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
    assert_eq!(raw(&world, silent).await, ("4".to_owned(), false));
    let line = world.log(1).await.remove(0);
    assert_eq!(line["reason"], "request_timeout");
}
