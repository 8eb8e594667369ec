//! What passes without a credential over gRPC: shadow mode, and preflights.

use gatepost::authz::route::{Access, Cors, Mode, Protected};

use super::*;
use crate::support::world::protected;

/// The identity that is written, if the request may go on.
async fn named(world: &World, request: CheckRequest) -> Option<String> {
    let response = check(world, request).await.unwrap();
    let HttpResponse::OkResponse(ok) = response.http_response.unwrap() else {
        return None;
    };
    ok.headers.into_iter().find_map(|option| {
        let header = option.header.unwrap();
        (header.key == "x-user-id").then_some(header.value)
    })
}

async fn world_of(route: Route) -> World {
    World::start(([127, 0, 0, 1], 9).into(), vec![route]).await
}

#[tokio::test]
async fn shadow_mode_lets_pass_whom_enforcing_would_refuse_and_the_log_says_so() {
    let shadow = Route {
        access: Access::Protected(Box::new(Protected {
            mode: Mode::Shadow,
            ..protected()
        })),
        ..route("shadow", "/**")
    };
    let world = world_of(shadow).await;
    for (number, (credential, who, reason)) in [
        (Some(bearer()), "ada", None),
        (Some("Bearer x.y.z".to_owned()), "", Some("token_malformed")),
        (None, "", Some("credential_missing")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut http = get("/x", &[("x-user-id", "root")]);
        if let Some(credential) = credential {
            http.headers.insert("authorization".to_owned(), credential);
        }
        for extensions in [&[][..], &[("route", "shadow")]] {
            let named = named(&world, about(http.clone(), extensions)).await;
            assert_eq!(named.as_deref(), Some(who), "{reason:?}");
        }
        let line = world.log(2 * number + 2).await.pop().unwrap();
        assert_eq!(line["decision"], "allow");
        let told = reason.map(serde_json::Value::from);
        assert_eq!(line.get("shadow_reason"), told.as_ref(), "{line}");
    }
}

#[tokio::test]
async fn a_preflight_passes_for_nobody_where_the_route_says_so() {
    let shared = Route {
        methods: vec![Method::GET],
        cors: Some(Cors::Pass),
        ..route("shared", "/**")
    };
    let world = world_of(shared).await;
    let origin = ("origin", "https://app.example");
    let asked = ("access-control-request-method", "GET");
    let credential = bearer();
    let credential = ("authorization", credential.as_str());
    for (headers, expected) in [
        (vec![origin, asked, credential], Some("")),
        (vec![origin, asked], Some("")),
        (vec![origin], None),
        (vec![asked], None),
        // two headers, as Envoy tells them
        (
            vec![("origin", "https://app.example,https://b.example"), asked],
            None,
        ),
        (
            vec![origin, ("access-control-request-method", "GET,PUT")],
            None,
        ),
        (vec![origin, asked, ("x-http-method", "DELETE")], None),
    ] {
        let mut http = get("/x", &headers);
        http.method = "OPTIONS".to_owned();
        http.headers
            .insert(":method".to_owned(), "OPTIONS".to_owned());
        for extensions in [&[][..], &[("route", "shared")]] {
            let named = named(&world, about(http.clone(), extensions)).await;
            assert_eq!(named.as_deref(), expected, "{headers:?}");
        }
    }
}
