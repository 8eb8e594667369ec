//! Gatepost attacked at its sockets, with what no client library would send.

mod big;
mod credentials;
mod crowds;
mod floods;
pub(crate) mod frames;
mod framing;
mod headers;
mod limits;
mod places;
pub(crate) mod recorder;
mod replies;
mod secrets;
mod windows;

use std::net::SocketAddr;
use std::time::Duration;

use gatepost::authz::Route;
use gatepost::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::recorder::Recorder;
use crate::support::DEADLINE;
use crate::support::gatepost::Gatepost;
use crate::support::upstream::Upstream;
use crate::support::world::{World, public, route, token};

/// A world with a strict upstream: `/admin/**` asks for a token, everything else is public.
async fn world(change: impl FnOnce(&mut Config)) -> (World, Recorder) {
    with(
        vec![public("open", "/**"), route("admin", "/admin/**")],
        change,
    )
    .await
}

async fn with(routes: Vec<Route>, change: impl FnOnce(&mut Config)) -> (World, Recorder) {
    let upstream = Recorder::start().await;
    let world = World::with(upstream.address, routes, |config| {
        // an attacker's half request ends soon
        let limits = &mut config.ingress.as_mut().unwrap().listener;
        limits.header_timeout = Duration::from_secs(1);
        limits.idle_timeout = Duration::from_secs(1);
        change(config);
    })
    .await;
    (world, upstream)
}

/// The real binary before an upstream, everything public, with these keys of `[ingress]`.
async fn sidecar(keys: &str) -> (Gatepost, Upstream) {
    sidecar_under(r#"exec "$@""#, keys).await
}

/// The same, run by this line of shell.
async fn sidecar_under(line: &str, keys: &str) -> (Gatepost, Upstream) {
    let upstream = Upstream::start().await;
    let config = format!(
        r#"
        [ingress]
        {keys}
        [upstreams.app]
        url = "{}"
        [[routes]]
        path = "/**"
        auth = "none"
        upstream = "app"
        "#,
        upstream.url()
    );
    (Gatepost::start_under(line, &config, &[]).await, upstream)
}

fn ada() -> String {
    let token = token(serde_json::json!({ "sub": "ada", "groups": ["ops"] }));
    format!("Authorization: Bearer {token}")
}

/// Sends these bytes and returns all that comes back until the other side closes, cleanly or not.
async fn talk(to: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // a refusal may come, and the connection go, before all is sent
        let _sent = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await;
    answer.unwrap_or_else(|_late| panic!("still open: {}", String::from_utf8_lossy(request)))
}

/// The status of the first response, if there is one.
fn first_status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}
