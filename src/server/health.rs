//! The health listener: `/livez`, `/readyz`, `/metrics`, nothing else. It stands on any address, so
//! it tells names from the configuration at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::gate::{KeySource as _, KeysNow};
use crate::server::World;
use crate::server::body::Body;
use crate::server::plain::Plain;

/// Whether this process wants requests. Clones share it: the health listener reads what the
/// lifecycle says. One per process, outlives reloads.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// From now on `/readyz` says 503: the process is about to stop. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}

/// Answers one request: `GET` and `HEAD` of
///
/// - `/livez`: 200 while the process runs
/// - `/readyz`: 200, or 503 while required issuers never had keys, the fleet's deny-list was never read, or
///   draining; JSON says which
/// - `/metrics`: docs/metrics.md
#[must_use]
pub fn answer<B>(world: &World, readiness: &Readiness, request: &Request<B>) -> Response<Body> {
    reply(
        request,
        || {
            let missing = missing_issuers(world);
            ready(
                readiness,
                world.keys.is_ready(),
                world.fleet.deny_list_read(),
                &missing,
            )
        },
        || {
            let metrics = &world.telemetry.metrics;
            metrics.cached_tokens(world.gate.cached_tokens());
            let (handles, bytes) = world.handles.held();
            metrics.handles(handles, bytes);
            metrics.render()
        },
    )
}

fn reply<B>(
    request: &Request<B>,
    ready: impl FnOnce() -> Plain,
    metrics: impl FnOnce() -> String,
) -> Response<Body> {
    let method = request.method();
    let is_read = method == Method::GET || method == Method::HEAD;
    let plain = match request.uri().path() {
        "/livez" | "/readyz" | "/metrics" if !is_read => Plain::method_not_allowed("GET, HEAD"),
        "/livez" => Plain::text(StatusCode::OK, "ok\n"),
        "/readyz" => ready(),
        "/metrics" => Plain::metrics(metrics()),
        _other => Plain::not_found(),
    };
    plain.respond(method)
}

/// Required issuers that have no usable keys at this moment.
fn missing_issuers(world: &World) -> Vec<Arc<str>> {
    let issuers = world.config.issuers.iter().enumerate();
    issuers
        .filter(|(number, issuer)| {
            issuer.required && matches!(world.keys.find(*number), KeysNow::Unavailable { .. })
        })
        .map(|(_, issuer)| Arc::clone(&issuer.issuer.name))
        .collect()
}

fn ready(
    readiness: &Readiness,
    keys_ready: bool,
    deny_list_read: Option<bool>,
    missing: &[Arc<str>],
) -> Plain {
    let draining = readiness.is_draining();
    let ready = keys_ready && deny_list_read != Some(false) && !draining;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let missing: Vec<&str> = missing.iter().map(AsRef::as_ref).collect();
    let mut said = json!({ "ready": ready, "draining": draining, "issuers_without_keys": missing });
    if let (Some(read), Some(members)) = (deny_list_read, said.as_object_mut()) {
        members.insert("deny_list_read".to_owned(), read.into());
    }
    Plain::json(status, &said)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(method: Method, path: &str, ready: Plain) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        let response = reply(&request, || ready, || "a_metric 1\n".to_owned());
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn not_asked() -> Plain {
        Plain::not_found()
    }

    #[tokio::test]
    async fn health_serves_three_paths_and_nothing_else() {
        for (method, path, status, body) in [
            (Method::GET, "/livez", 200, "ok\n"),
            (Method::HEAD, "/livez", 200, ""),
            (Method::GET, "/livez?full=1", 200, "ok\n"),
            (Method::GET, "/metrics", 200, "a_metric 1\n"),
            (Method::POST, "/livez", 405, "method not allowed\n"),
            (Method::GET, "/livez/", 404, "not found\n"),
            (Method::GET, "/", 404, "not found\n"),
            (Method::GET, "/config", 404, "not found\n"),
        ] {
            let (found, text) = ask(method.clone(), path, not_asked()).await;
            assert_eq!((found.as_u16(), text.as_str()), (status, body), "{path}");
        }
    }

    #[tokio::test]
    async fn readyz_is_503_until_issuers_have_keys_and_again_when_draining() {
        let readiness = Readiness::default();
        let users: [Arc<str>; 1] = [Arc::from("users")];
        let cold = ready(&readiness, false, None, &users);
        assert_eq!(
            ask(Method::GET, "/readyz", cold).await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"ready":false,"draining":false,"issuers_without_keys":["users"]}"#.to_owned()
            )
        );
        let warm = ready(&readiness, true, None, &[]);
        assert_eq!(
            ask(Method::GET, "/readyz", warm).await,
            (
                StatusCode::OK,
                r#"{"ready":true,"draining":false,"issuers_without_keys":[]}"#.to_owned()
            )
        );
        let denied = ready(&readiness, true, Some(false), &[]);
        assert_eq!(
            ask(Method::GET, "/readyz", denied).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        readiness.drain();
        let draining = ready(&readiness, true, None, &[]);
        assert_eq!(
            ask(Method::GET, "/readyz", draining).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
}
