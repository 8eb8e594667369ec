//! Forward auth: the same passwords, challenges and locks in each dialect.

use super::{ADA, ASKS_BASIC, Setup, basic, challenges};
use crate::support::http::{Call, Reply};

async fn ask_as(setup: &Setup, dialect: &str, path: &str, pair: Option<&str>) -> Reply {
    let to = setup.gatepost.listener("forward_auth").await;
    let call = match dialect {
        "nginx" => Call::get(to, "/auth/nginx")
            .header("x-original-method", "GET")
            .header("x-original-url", &format!("https://api.test{path}")),
        "envoy" => Call::get(to, &format!("/auth/envoy{path}")),
        other => Call::get(to, &format!("/auth/{other}"))
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "api.test")
            .header("x-forwarded-uri", path),
    };
    let call = call.header("x-forwarded-for", "203.0.113.9");
    match pair {
        Some(pair) => call.header("authorization", &basic(pair)).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn every_dialect_asks_for_a_password_and_takes_it() {
    let setup = Setup::start("lockout = { attempts = 2 }").await;
    for dialect in ["nginx", "envoy", "traefik", "caddy", "haproxy"] {
        let nothing = ask_as(&setup, dialect, "/both", None).await;
        assert_eq!(nothing.status, 401, "{dialect}");
        assert_eq!(
            challenges(&nothing),
            ["Bearer realm=\"gatepost\"", ASKS_BASIC],
            "{dialect}"
        );
        let ada = ask_as(&setup, dialect, "/orders", Some(ADA)).await;
        assert_eq!(
            (ada.status.as_u16(), ada.header("x-user-id")),
            (200, "ada"),
            "{dialect}"
        );
    }
    for number in 0..2 {
        let guess = format!("bob:guess {number}");
        assert_eq!(
            ask_as(&setup, "nginx", "/orders", Some(&guess))
                .await
                .status,
            401
        );
    }
    // the client that the proxy names is locked out, not the proxy
    for (dialect, status) in [("nginx", 403), ("envoy", 429), ("traefik", 429)] {
        let reply = ask_as(&setup, dialect, "/orders", Some("bob:open sesame")).await;
        assert_eq!(reply.status.as_u16(), status, "{dialect}");
        assert!(!reply.header("retry-after").is_empty());
        if dialect == "nginx" {
            assert_eq!(reply.header("x-auth-reason"), "locked_out");
        }
    }
    assert_eq!(setup.ask("/orders", "bob:open sesame").await.status, 200);
}

#[tokio::test]
async fn validate_by_route_takes_passwords_and_counts_them() {
    let setup = Setup::start("lockout = { attempts = 2 }").await;
    let to = setup.gatepost.listener("forward_auth").await;
    let ask = async |path: &str, pair: &str| {
        let call = Call::get(to, path).header("authorization", &basic(pair));
        call.send().await
    };
    let named = "/api/v1/validate?route=all";
    let reply = ask(named, ADA).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["id"], "ada");
    assert_eq!(reply.json()["issuer"], "basic");
    assert!(reply.json()["expiry"].is_null() && reply.json()["groups"].is_null());
    // without a route it is about tokens
    assert_eq!(ask("/api/v1/validate", ADA).await.status, 401);
    for number in 0..2 {
        assert_eq!(ask(named, &format!("ada:guess {number}")).await.status, 401);
    }
    assert_eq!(ask(named, ADA).await.status, 429);
    // the client that a gateway names is another source than the gateway
    let of_client = Call::get(to, named).header("authorization", &basic(ADA));
    let reply = of_client.header("x-forwarded-for", "203.0.113.9").send();
    assert_eq!(reply.await.status, 200);
}
