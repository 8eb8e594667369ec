//! Trailers both ways, over each pair of protocols.

use std::net::SocketAddr;

use bytes::Bytes;
use gatepost::authz::Route;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::wire::{Wire, ask, body, send, status, values};
use crate::support::world::{World, forward, public};

/// Trailers that may pass, and some that may not.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                      Trailer: X-Checksum, Content-Length, X-Auth-Reason\r\nTrailer: X-More\r\n\r\n\
                      2\r\nok\r\n0\r\nX-Checksum: 7\r\nContent-Length: 9\r\nX-Auth-Reason: no\r\n\
                      x_auth.reason: no\r\nSet-Cookie: a=b\r\nX-More: 1\r\nX-Unannounced: 2\r\n\r\n";

fn trailers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let list = list.iter().map(|&(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    list.collect()
}

/// A response over HTTP/2: its body and trailers.
async fn ask_http2(
    to: SocketAddr,
    request: http::request::Builder,
    sent: HeaderMap,
) -> (Bytes, Option<HeaderMap>) {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    // of no known length: a stated one leaves no room for trailers in HTTP/1.1
    let frames = [
        Frame::data(Bytes::from_static(b"body")),
        Frame::trailers(sent),
    ];
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request: Request<_> = request.body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let answer = response.into_body().collect().await.unwrap();
    let trailers = answer.trailers().cloned();
    (answer.to_bytes(), trailers)
}

#[tokio::test]
async fn an_http1_client_that_takes_trailers_gets_those_announced() {
    let upstream = Wire::answering(ANSWER).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let lines = ["GET / HTTP/1.1", "Host: a", "TE: deflate, trailers"];
    let heard = ask(world.ingress(), &lines).await;
    assert_eq!(values(&heard, "trailer"), ["x-checksum, x-more"]);
    assert_eq!(
        body(&heard),
        "2\r\nok\r\n0\r\nx-checksum: 7\r\nx-more: 1\r\n\r\n"
    );
    let asked = upstream.heard().remove(0);
    assert_eq!(values(&asked, "te"), ["trailers"]);
    assert_eq!(values(&asked, "connection"), ["te"]);

    let heard = ask(world.ingress(), &["GET / HTTP/1.1", "Host: a"]).await;
    assert_eq!(values(&heard, "trailer"), Vec::<&str>::new());
    assert_eq!(body(&heard), "2\r\nok\r\n0\r\n\r\n");
    let asked = upstream.heard().remove(1);
    assert_eq!(values(&asked, "te"), Vec::<&str>::new());
}

#[tokio::test]
async fn an_http2_client_exchanges_trailers_with_an_http1_upstream() {
    let upstream = Wire::answering(ANSWER).await;
    let world = World::start(upstream.address, vec![public("open", "/**")]).await;
    let request = Request::post("http://a.test/").header("trailer", "x-sum, x-user-id");
    let sent = trailers(&[
        ("x-sum", "3"),
        ("x-user-id", "root"),
        ("x-unannounced", "1"),
    ]);
    let (answer, received) = ask_http2(world.ingress(), request, sent).await;
    assert_eq!(answer, "ok");
    let received = received.expect("trailers");
    let expected = trailers(&[("x-checksum", "7"), ("x-more", "1"), ("x-unannounced", "2")]);
    assert_eq!(received, expected);
    let asked = upstream.heard().remove(0);
    assert_eq!(values(&asked, "trailer"), ["x-sum"]);
    assert_eq!(body(&asked), "4\r\nbody\r\n0\r\nx-sum: 3\r\n\r\n");
}

#[tokio::test]
async fn what_a_route_strips_is_no_trailer_either() {
    let upstream = Wire::answering(ANSWER).await;
    let route = Route {
        forward: Some(gatepost::authz::route::Forward {
            strip: [HeaderName::from_static("x-internal")].into(),
            ..forward()
        }),
        ..public("open", "/**")
    };
    let world = World::start(upstream.address, vec![route]).await;
    let heard = send(
        world.ingress(),
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
         Trailer: X-Internal, x_internal, X-Sum\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Internal: 1\r\nx_internal: 1\r\nX-Sum: 6\r\n\r\n",
    )
    .await;
    assert_eq!(status(&heard), 200);
    let asked = upstream.heard().remove(0);
    assert_eq!(values(&asked, "trailer"), ["x-sum"]);
    assert_eq!(body(&asked), "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n");
}
