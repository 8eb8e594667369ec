//! The admin listener, from outside.

use http::Method;
use serde_json::json;

use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::issuer::Signer;
use crate::support::upstream::{Upstream, json};

const SECRET: &str = "correct-horse-battery-staple-correct-horse";

async fn start() -> (Gatepost, Upstream) {
    let keys = json!({ "keys": [Signer::new("key-one").jwk()] });
    let issuer = Upstream::answering(move |_request| json(&keys)).await;
    let config = format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"

        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{0}/jwks"
        audiences = ["app"]
        algorithms = ["RS256"]

        [upstreams.app]
        url = "{0}"

        [[routes]]
        name = "health"
        path = "/healthz"
        auth = "none"
        upstream = "app"

        [[routes]]
        name = "orders"
        path = "/orders/**"
        methods = ["GET"]
        require = {{ groups = ["admin", "ops"] }}
        upstream = "app"

        [credentials.billing]
        kind = "api_key"
        header = "x-billing-key"
        value = {{ env = "BILLING_KEY" }}

        [[egress_targets]]
        name = "billing"
        url = "{0}"
        credential = "billing"
        "#,
        issuer.url()
    );
    let gatepost = Gatepost::start_with(&config, &[("BILLING_KEY", SECRET)]).await;
    gatepost.ready().await;
    (gatepost, issuer)
}

#[tokio::test]
async fn status_keys_and_config_are_shown_without_secrets() {
    let (gatepost, _issuer) = start().await;
    let admin = gatepost.listener("admin").await;
    let refused = gatepost.get("/nowhere").await.send().await;
    // counted before it is written
    gatepost.line_of(&refused).await;

    let index = Call::get(admin, "/").send().await.json();
    assert_eq!(index, json!({ "paths": ["/config", "/jwks", "/status"] }));

    let keys = Call::get(admin, "/jwks").send().await;
    assert!(keys.text().contains("key-one"), "{}", keys.text());
    assert!(
        !keys.text().contains("AQAB"),
        "no key material: {}",
        keys.text()
    );

    let status = Call::get(admin, "/status").send().await.json();
    assert_eq!(status["generation"], 1);
    assert_eq!(status["ready"], true);
    assert_eq!(status["routes"][0]["access"], "none");
    assert_eq!(status["routes"][1]["name"], "orders");
    assert_eq!(
        status["routes"][1]["access"]["require"],
        json!({ "groups": { "any": ["admin", "ops"] } })
    );
    assert_eq!(
        status["refusals_last_15_minutes"],
        json!([{ "reason": "no_route", "count": 1 }])
    );
    // this one at least; an earlier one may not have ended yet
    assert!(
        status["connections"]["admin"].as_u64() >= Some(1),
        "{status}"
    );

    let config = Call::get(admin, "/config").send().await;
    assert_eq!(config.header("cache-control"), "no-store");
    assert!(config.text().contains("BILLING_KEY"), "{}", config.text());

    for path in ["/", "/jwks", "/status", "/config"] {
        let reply = Call::get(admin, path).send().await;
        assert_eq!(reply.header("content-type"), "application/json");
        assert!(!reply.text().contains(SECRET), "{path}");
    }
}

#[tokio::test]
async fn other_hosts_and_other_sites_are_refused() {
    let (gatepost, _issuer) = start().await;
    let admin = gatepost.listener("admin").await;
    for path in ["/", "/jwks", "/status", "/config", "/elsewhere"] {
        let call = || Call::get(admin, path);
        for refused in [
            call().header("host", "evil.example"),
            call().header("origin", "https://evil.example"),
            call().header("sec-fetch-site", "cross-site"),
        ] {
            let reply = refused.send().await;
            assert_eq!(reply.status, 403, "{path}");
            assert!(!reply.text().contains('{'), "{}", reply.text());
        }
    }
    let posted = Call::new(Method::POST, admin, "/config").send().await;
    assert_eq!(
        (posted.status.as_u16(), posted.header("allow")),
        (405, "GET")
    );
}
