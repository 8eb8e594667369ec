//! Services that act for a user: which may, and what the upstream is told.

use gatepost::authz::Route;
use gatepost::authz::route::{Access, OnBehalfOf, Protected};
use serde_json::json;

use crate::support::wire::{Wire, ask, status};
use crate::support::world::{World, bearer, protected, route, token};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_allowed_service_may_state_the_user_it_acts_for() {
    let upstream = Wire::answering(OK).await;
    let acting = Route {
        access: Access::Protected(Box::new(Protected {
            on_behalf_of: Some(OnBehalfOf {
                clients: vec!["batch".to_owned()],
                groups: None,
                tenants: vec!["t1".to_owned()],
            }),
            ..protected()
        })),
        ..route("acting", "/**")
    };
    let world = World::start(upstream.address, vec![acting]).await;
    let batch = bearer(&token(
        json!({"sub": "batch", "client_id": "batch", "groups": ["g"]}),
    ));
    let other = bearer(&token(json!({"sub": "other", "client_id": "other"})));
    let get = "GET / HTTP/1.1";
    let identity = |prefix: &str| -> Vec<String> {
        let headers = upstream.last_headers();
        let ours = [
            "x-user",
            "x-tenant",
            "x-client",
            "x-auth",
            "x-principal",
            prefix,
        ];
        headers
            .into_iter()
            .filter(|line| {
                ours.iter()
                    .any(|name| !name.is_empty() && line.starts_with(name))
            })
            .collect()
    };

    let lines = [
        get,
        "Host: a",
        &batch,
        "X-User-ID: ada",
        "X-Tenant-ID: t1",
        "x_user_id: eve",
    ];
    let answer = ask(world.ingress(), &lines).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(
        identity("x_user"),
        [
            "x-user-id: ada",
            "x-tenant-id: t1",
            "x-client-id: batch",
            "x-auth-issuer: legacy",
            "x-principal-kind: service",
        ]
    );
    let line = world.log(1).await.remove(0);
    assert_eq!(line["on_behalf_of"], "ada");
    assert_eq!(line["client_id"], "batch");

    let lines = [get, "Host: a", &batch];
    assert_eq!(status(&ask(world.ingress(), &lines).await), 200);
    assert_eq!(identity("")[0], "x-user-id: batch");

    let lines = [get, "Host: a", &other, "X-User-ID: ada"];
    assert_eq!(status(&ask(world.ingress(), &lines).await), 200);
    assert_eq!(identity("")[0], "x-user-id: other");

    let asked = upstream.heard().len();
    let long = format!("X-User-ID: {}", "x".repeat(257));
    for (lines, code) in [
        (vec!["X-User-ID: ada", "X-User-ID: ada"], 400),
        (vec!["X-User-ID: a b"], 400),
        (vec!["X-User-ID:"], 400),
        (vec![long.as_str()], 400),
        (vec!["X-User-ID: ada", "X-Tenant-ID: t2"], 403),
    ] {
        let lines = [vec![get, "Host: a", &batch], lines].concat();
        let answer = ask(world.ingress(), &lines).await;
        assert_eq!(status(&answer), code, "{lines:?} {answer}");
    }
    assert_eq!(upstream.heard().len(), asked);
}
