//! Amazon Cognito user pools, as moto issues their tokens.

use crate::support::cognito::Pool;
use crate::support::counterparts::{self, free_port, or_skip};
use crate::support::eventually;
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::upstream::{Upstream, json as answer_json};

const GROUPS: &[&str] = &["admins"];

/// Before this upstream, with this issuer.
fn config(issuer: &str, upstream: &Upstream) -> String {
    format!(
        r#"
        {issuer}

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        upstream = "app"

        [[routes]]
        name = "admin"
        path = "/admin/**"
        require = {{ groups = ["admins"] }}
        upstream = "app"

        [[routes]]
        path = "/public"
        auth = "none"
        upstream = "app"
        "#,
        upstream.url()
    )
}

#[tokio::test]
async fn a_group_member_passes_and_the_upstream_learns_who_it_is() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&pool.issuer(), &upstream)).await;
    gatepost.ready().await;

    let ada = pool.sign_in("ada", &["admins"]).await;
    let reply = gatepost
        .get("/admin/users?all=1")
        .await
        .bearer(&ada.access)
        .header("x-user-id", "root")
        .send()
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");

    let seen = upstream.last();
    assert_eq!(seen.method, "GET");
    assert_eq!(seen.uri.to_string(), "/admin/users?all=1");
    assert_eq!(seen.headers.get_all("x-user-id").iter().count(), 1);
    assert_eq!(seen.header("x-user-id"), ada.sub);
    assert_eq!(seen.header("x-user-groups"), "admins");
    assert_eq!(seen.header("x-client-id"), pool.client_id);
    assert_eq!(seen.header("x-principal-kind"), "user");
    assert_eq!(
        seen.header("authorization"),
        format!("Bearer {}", ada.access)
    );

    let line = gatepost.line_of(&reply).await;
    assert_eq!(line["user_id"], ada.sub);
    assert_eq!(line["route"], "admin");
    assert!(
        !gatepost.output().contains(&ada.access),
        "the token was logged"
    );
}

#[tokio::test]
async fn who_is_not_in_the_group_gets_403() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&pool.issuer(), &upstream)).await;
    gatepost.ready().await;

    let bob = pool.sign_in("bob", &[]).await;
    let allowed = gatepost.get("/").await.bearer(&bob.access).send().await;
    assert_eq!(allowed.status, 200);
    let denied = gatepost
        .get("/admin")
        .await
        .bearer(&bob.access)
        .send()
        .await;
    assert_eq!(denied.status, 403);
    assert_eq!(gatepost.line_of(&denied).await["reason"], "group_missing");
    assert_eq!(upstream.requests().len(), 1, "a denied request was carried");
}

#[tokio::test]
async fn a_token_of_another_pool_is_refused_although_the_same_key_signed_it() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let other = Pool::create(&cognito, GROUPS).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&pool.issuer(), &upstream)).await;
    gatepost.ready().await;

    let eve = other.sign_in("eve", &["admins"]).await;
    let denied = gatepost
        .get("/admin")
        .await
        .bearer(&eve.access)
        .send()
        .await;
    assert_eq!(denied.status, 401);
    assert_eq!(gatepost.line_of(&denied).await["reason"], "issuer_unknown");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn an_id_token_is_refused_where_access_tokens_are_asked_for() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&pool.issuer(), &upstream)).await;
    gatepost.ready().await;

    let ada = pool.sign_in("ada", &["admins"]).await;
    let denied = gatepost.get("/").await.bearer(&ada.id).send().await;
    assert_eq!(denied.status, 401);
    assert_eq!(
        gatepost.line_of(&denied).await["reason"],
        "token_use_mismatch"
    );
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn known_keys_go_on_serving_when_the_issuer_stops() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&pool.issuer(), &upstream)).await;
    gatepost.ready().await;

    let ada = pool.sign_in("ada", &[]).await;
    let bob = pool.sign_in("bob", &[]).await;
    assert_eq!(
        gatepost
            .get("/")
            .await
            .bearer(&ada.access)
            .send()
            .await
            .status,
        200
    );
    drop(cognito);
    // Bob's token has not been seen yet: it needs the key, not the verified-token cache.
    for token in [&ada.access, &bob.access] {
        assert_eq!(
            gatepost.get("/").await.bearer(token).send().await.status,
            200
        );
    }
    assert_eq!(gatepost.health("/readyz").await.status, 200);
}

#[tokio::test]
async fn started_without_its_issuer_it_is_live_refuses_with_503_and_recovers() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, GROUPS).await;
    let token = pool.sign_in("ada", &[]).await.access;
    let keys = pool.keys().await;
    let upstream = Upstream::start().await;
    // Nobody listens on this port yet.
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let gatepost = Gatepost::start(&config(&pool.issuer_at(&url), &upstream)).await;

    assert_eq!(gatepost.health("/livez").await.status, 200);
    assert_eq!(gatepost.health("/readyz").await.status, 503);
    let public = gatepost.get("/public").await.send().await;
    assert_eq!(public.status, 200);
    let refused = gatepost.get("/").await.bearer(&token).send().await;
    assert_eq!(refused.status, 503);
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(
        gatepost.line_of(&refused).await["reason"],
        "keys_unavailable"
    );
    assert_eq!(
        upstream.requests().len(),
        1,
        "only the public request was carried"
    );

    let _issuer = Upstream::answering_at(([127, 0, 0, 1], port), move |_| answer_json(&keys)).await;
    gatepost.ready().await;
    let ingress = gatepost.listener("ingress").await;
    let reply = eventually("an allowed request", || async {
        let reply = Call::get(ingress, "/").bearer(&token).send().await;
        (reply.status != 503).then_some(reply)
    })
    .await;
    assert_eq!(reply.status, 200);
}
