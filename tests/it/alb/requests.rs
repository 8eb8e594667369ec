//! What becomes of requests that a load balancer has signed somebody in for.

use super::*;
use crate::support::http::{Call, Reply};

fn reason(reply: &Reply) -> String {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let reason = body.and_then(|body| Some(body.get("reason")?.as_str()?.to_owned()));
    reason.unwrap_or_default()
}

impl Site {
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut call = self.gatepost.get(path).await;
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.send().await
    }
}

#[tokio::test]
async fn the_user_is_named_and_groups_come_from_the_access_token() {
    let site = Site::start().await;
    let data = site.edge.says(&json!({}), &json!({}));
    let access = access_token(&site.pool, &json!({}));
    let alone = [
        ("x-amzn-oidc-data", data.as_str()),
        ("x-amzn-oidc-identity", "ada"),
    ];
    let reply = site.get("/x", &alone).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = site.app.last();
    for (name, value) in [
        ("x-user-id", "ada"),
        ("x-user-email", "ada@example.com"),
        ("x-auth-issuer", "edge"),
        ("x-client-id", CLIENT),
        ("x-principal-kind", "user"),
        ("x-user-groups", ""),
        ("x-amzn-oidc-data", data.as_str()),
        ("x-amzn-oidc-identity", "ada"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let refused = site.get("/ops/x", &alone).await;
    assert_eq!(
        (refused.status.as_u16(), reason(&refused).as_str()),
        (403, "groups_unresolved")
    );
    let with = [
        alone[0],
        alone[1],
        ("x-amzn-oidc-accesstoken", access.as_str()),
    ];
    for _ in 0..2 {
        let reply = site.get("/ops/x", &with).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let seen = site.app.last();
        assert_eq!(seen.header("x-user-groups"), "ops");
        assert_eq!(seen.header("x-user-email"), "ada@example.com");
        assert_eq!(seen.header("x-amzn-oidc-accesstoken"), access);
    }
    // where the client's token is not for the app, this one is not either
    let reply = site.get("/kept/x", &with).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(site.app.last().header("x-amzn-oidc-accesstoken"), "");
    assert_eq!(site.app.last().header("x-amzn-oidc-data"), data);
    assert_eq!(site.keys.requests().len(), 1, "one key, fetched once");
    let output = site.gatepost.output();
    assert!(
        !output.contains(&data) && !output.contains(&access),
        "logged"
    );
}

#[tokio::test]
async fn an_access_token_that_is_not_good_tells_nothing_and_anothers_is_refused() {
    let site = Site::start().await;
    let data = site.edge.says(&json!({}), &json!({}));
    for bad in [
        access_token(&site.pool, &json!({"exp": now() - 600})),
        access_token(&site.pool, &json!({"client_id": "other"})),
        access_token(&Signer::new("pool-1"), &json!({})),
        "opaque".to_owned(),
    ] {
        let headers = [
            ("x-amzn-oidc-data", data.as_str()),
            ("x-amzn-oidc-accesstoken", bad.as_str()),
        ];
        let reply = site.get("/x", &headers).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let seen = site.app.last();
        assert_eq!(
            (seen.header("x-user-id"), seen.header("x-user-groups")),
            ("ada", "")
        );
        assert_eq!(
            seen.header("x-amzn-oidc-accesstoken"),
            "",
            "not verified, not passed on"
        );
        let refused = site.get("/ops/x", &headers).await;
        assert_eq!(reason(&refused), "groups_unresolved");
    }
    let bobs = access_token(&site.pool, &json!({"sub": "bob"}));
    let headers = [
        ("x-amzn-oidc-data", data.as_str()),
        ("x-amzn-oidc-accesstoken", bobs.as_str()),
    ];
    let refused = site.get("/x", &headers).await;
    assert_eq!(
        (refused.status.as_u16(), reason(&refused).as_str()),
        (401, "claim_mismatch")
    );
    let headers = [
        ("x-amzn-oidc-data", data.as_str()),
        ("x-amzn-oidc-identity", "bob"),
    ];
    let refused = site.get("/x", &headers).await;
    assert_eq!(
        (refused.status.as_u16(), reason(&refused).as_str()),
        (401, "claim_mismatch")
    );
}

#[tokio::test]
async fn its_headers_pass_only_where_they_were_verified() {
    let site = Site::start().await;
    let data = site.edge.says(&json!({}), &json!({}));
    let access = access_token(&site.pool, &json!({}));
    let bearer = format!("Bearer {access}");
    let headers = [
        ("x-amzn-oidc-data", data.as_str()),
        ("x-amzn-oidc-identity", "ada"),
        ("x-amzn-oidc-accesstoken", access.as_str()),
        ("x_amzn_oidc_data", "forged"),
        ("x-amzn-oidc-other", "forged"),
        ("authorization", bearer.as_str()),
    ];
    for (path, passes) in [
        ("/public/x", false),
        ("/token/x", false),
        ("/x", true),
        ("/both/x", true),
    ] {
        let reply = site.get(path, &headers).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let seen = site.app.last();
        for name in [
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-amzn-oidc-accesstoken",
        ] {
            assert_eq!(seen.headers.contains_key(name), passes, "{path} {name}");
        }
        for name in ["x_amzn_oidc_data", "x-amzn-oidc-other"] {
            assert!(!seen.headers.contains_key(name), "{path} {name}");
        }
    }
    // the unsigned ones alone prove nobody
    let reply = site.get("/x", &headers[1..3]).await;
    assert_eq!(
        (reply.status.as_u16(), reason(&reply).as_str()),
        (401, "credential_missing")
    );
}

#[tokio::test]
async fn all_that_is_presented_must_be_good_and_a_statement_is_no_token() {
    let site = Site::start().await;
    let data = site.edge.says(&json!({}), &json!({}));
    let bad = site.edge.says(&json!({"client": "other"}), &json!({}));
    let good_token = format!("Bearer {}", access_token(&site.pool, &json!({})));
    let bad_token = format!("Bearer {}", access_token(&site.pool, &json!({"exp": 1})));
    let as_token = format!("Bearer {data}");
    for (headers, status, expected) in [
        (vec![("x-amzn-oidc-data", &data)], 200, ""),
        (vec![("authorization", &good_token)], 200, ""),
        (
            vec![("x-amzn-oidc-data", &data), ("authorization", &good_token)],
            200,
            "",
        ),
        (
            vec![("x-amzn-oidc-data", &data), ("authorization", &bad_token)],
            401,
            "token_expired",
        ),
        (
            vec![("x-amzn-oidc-data", &bad), ("authorization", &good_token)],
            401,
            "client_refused",
        ),
        (
            vec![("x-amzn-oidc-data", &data), ("x-amzn-oidc-data", &data)],
            400,
            "credential_ambiguous",
        ),
        (vec![("authorization", &as_token)], 401, "token_malformed"),
        (vec![], 401, "credential_missing"),
    ] {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let reply = site.get("/both/x", &headers).await;
        assert_eq!(
            (reply.status.as_u16(), reason(&reply).as_str()),
            (status, expected),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn forward_auth_and_validation_know_it_by_its_route() {
    let site = Site::start().await;
    let data = site.edge.says(&json!({}), &json!({}));
    let access = access_token(&site.pool, &json!({}));
    let forward_auth = site.gatepost.listener("forward_auth").await;
    let asked = |path: &str| {
        Call::get(forward_auth, path)
            .header("x-amzn-oidc-data", &data)
            .header("x-amzn-oidc-accesstoken", &access)
    };
    let answer = asked("/auth/traefik")
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "app.example")
        .header("x-forwarded-uri", "/ops/x")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-user-groups"), "ops");
    let named = asked("/api/v1/validate?route=ops").send().await;
    assert_eq!(named.status, 200, "{named:?}");
    assert_eq!(named.json()["id"], "ada");
    assert_eq!(named.json()["groups"], json!(["ops"]));
    // without a route it is about the token in Authorization
    let unnamed = asked("/api/v1/validate").send().await;
    assert_eq!(
        (unnamed.status.as_u16(), reason(&unnamed).as_str()),
        (401, "credential_missing")
    );
}

#[tokio::test]
async fn an_outage_of_the_access_tokens_keys_meets_only_who_needs_them() {
    let edge = Edge::new();
    let published = edge.publish().await;
    let app = Upstream::start().await;
    let down = Upstream::answering(|_request| upstream::status(StatusCode::BAD_GATEWAY)).await;
    let keys = format!("{}/keys", published.url());
    let gatepost = Gatepost::start(&config(&keys, &down.url(), &app)).await;
    let data = edge.says(&json!({}), &json!({}));
    let access = access_token(&Signer::new("pool-1"), &json!({}));
    let get = async |path: &str| {
        let call = gatepost.get(path).await.header("x-amzn-oidc-data", &data);
        call.header("x-amzn-oidc-accesstoken", &access).send().await
    };
    let reply = get("/x").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = app.last();
    for (name, value) in [
        ("x-user-id", "ada"),
        ("x-user-groups", ""),
        ("x-amzn-oidc-accesstoken", ""),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    let unclear = get("/ops/x").await;
    assert_eq!(
        (unclear.status.as_u16(), reason(&unclear).as_str()),
        (503, "keys_unavailable")
    );
}

#[tokio::test]
async fn an_outage_of_the_keys_is_no_denial() {
    let (_pool, pool_keys) = pool().await;
    let app = Upstream::start().await;
    let down = Upstream::answering(|_request| upstream::status(StatusCode::BAD_GATEWAY)).await;
    let gatepost = Gatepost::start(&config(&down.url(), &pool_keys.url(), &app)).await;
    // nothing is asked for before a token names a key
    gatepost.ready().await;
    assert!(down.requests().is_empty());
    let data = Edge::new().says(&json!({}), &json!({}));
    let reply = gatepost
        .get("/x")
        .await
        .header("x-amzn-oidc-data", &data)
        .send()
        .await;
    assert_eq!(
        (reply.status.as_u16(), reason(&reply).as_str()),
        (503, "keys_unavailable")
    );
    assert_ne!(reply.header("retry-after"), "");
    assert!(app.requests().is_empty());
    // what no key could make good costs no fetch
    let before = down.requests().len();
    for bad in [
        json!({"signer": "other"}),
        json!({"client": "other"}),
        json!({"exp": 1}),
        json!({"kid": "../x"}),
    ] {
        let data = Edge::new().says(&bad, &json!({}));
        let reply = gatepost
            .get("/x")
            .await
            .header("x-amzn-oidc-data", &data)
            .send()
            .await;
        assert_eq!(reply.status, 401, "{bad}");
    }
    assert_eq!(down.requests().len(), before);
}
