//! `/api/v1/validate` with the real binary: who a token is about, whoever asks, however they ask.

use http::Method;
use serde_json::{Value, json};

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::issuer::{Signer, hmac_token, merge, now};
use crate::support::upstream::{Upstream, json};
use crate::support::wire;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// Two issuers; nobody is trusted to state a request.
fn config(keys: &str) -> String {
    format!(
        r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["10.0.0.0/8"]

        [issuers.users]
        kind = "jwt"
        issuer = "https://users.example"
        jwks_url = "{keys}"
        audiences = ["app"]
        algorithms = ["RS256"]
        claims = {{ tenant = "org", name = "name", email = "email" }}

        [issuers.robots]
        kind = "jwt"
        issuer = "https://robots.example"
        secret = {{ insecure_literal = "{SECRET}" }}
        audiences = ["app"]
        algorithms = ["HS256"]

        [[routes]]
        name = "ops"
        path = "/ops"
        methods = ["DELETE"]
        issuers = ["users"]
        token_from = ["header:x-token"]
        require = {{ groups = ["ops"] }}

        [[routes]]
        name = "open"
        path = "/open"
        auth = "none"
        "#
    )
}

struct Setup {
    gatepost: Gatepost,
    signer: Signer,
    _keys: Upstream,
}

async fn start() -> Setup {
    let signer = Signer::new("key-one");
    let set = json!({ "keys": [signer.jwk()] });
    let keys = Upstream::answering(move |_request| json(&set)).await;
    let gatepost = Gatepost::start(&config(&format!("{}/jwks", keys.url()))).await;
    gatepost.ready().await;
    Setup {
        gatepost,
        signer,
        _keys: keys,
    }
}

impl Setup {
    /// Ada's token, with claims added, replaced or (by `null`) removed.
    fn token(&self, changes: &Value) -> String {
        let mut claims = json!({
            "iss": "https://users.example", "aud": "app", "sub": "ada", "name": "Ada",
            "email": "ada@users.example", "org": "acme", "client_id": "web", "exp": now() + 600,
            "groups": ["ops"], "roles": ["editor"], "permissions": ["orders.read"],
            "scope": "orders/read orders/write",
        });
        merge(&mut claims, changes);
        self.signer.mint(&claims)
    }

    async fn call(&self, method: Method, query: &str) -> Call {
        let to = self.gatepost.listener("forward_auth").await;
        Call::new(method, to, &format!("/api/v1/validate{query}"))
    }

    async fn get(&self, query: &str, token: Option<&str>) -> Reply {
        let call = self.call(Method::GET, query).await;
        match token {
            Some(token) => call.bearer(token).send().await,
            None => call.send().await,
        }
    }
}

#[tokio::test]
async fn a_good_token_is_told_whole_whichever_issuer_proved_it() {
    let setup = start().await;
    let expiry = now() + 600;
    let reply = setup
        .get("", Some(&setup.token(&json!({ "exp": expiry }))))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(
        reply.json(),
        json!({
            "id": "ada", "name": "Ada", "email": "ada@users.example", "issuer": "users",
            "groups": ["ops"], "roles": ["editor"], "permissions": ["orders.read"],
            "scopes": ["orders/read", "orders/write"], "tenant": "acme", "client": "web",
            "kind": "user", "expiry": expiry,
        })
    );
    let line = setup.gatepost.line_of(&reply).await;
    assert_eq!(
        (&line["path"], &line["user_id"]),
        (&json!("/api/v1/validate"), &json!("ada"))
    );

    let robot = json!({
        "iss": "https://robots.example", "aud": "app", "sub": "batch", "client_id": "batch",
        "exp": expiry, "groups": { "of": "another form" },
    });
    let robot = hmac_token(SECRET.as_bytes(), "k", &robot);
    assert_eq!(
        setup.get("", Some(&robot)).await.json(),
        json!({
            "id": "batch", "name": null, "email": null, "issuer": "robots",
            "groups": null, "roles": [], "permissions": [], "scopes": [],
            "tenant": null, "client": "batch", "kind": "service", "expiry": expiry,
        })
    );
}

#[tokio::test]
async fn what_is_not_good_is_refused_with_its_status_and_a_body() {
    let setup = start().await;
    let expired = setup.token(&json!({ "exp": now() - 600 }));
    let foreign = setup.token(&json!({ "aud": "another" }));
    let unknown = setup.token(&json!({ "iss": "https://evil.example" }));
    let nameless = setup.token(&json!({ "sub": null }));
    let forged = Signer::new("key-one").mint(&json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada", "exp": now() + 600,
    }));
    for (token, challenge) in [
        (None, r#"Bearer realm="gatepost""#),
        (
            Some(&expired),
            r#"Bearer realm="gatepost", error="invalid_token""#,
        ),
        (
            Some(&foreign),
            r#"Bearer realm="gatepost", error="invalid_token""#,
        ),
        (
            Some(&unknown),
            r#"Bearer realm="gatepost", error="invalid_token""#,
        ),
        (
            Some(&nameless),
            r#"Bearer realm="gatepost", error="invalid_token""#,
        ),
        (
            Some(&forged),
            r#"Bearer realm="gatepost", error="invalid_token""#,
        ),
    ] {
        let reply = setup.get("", token.map(String::as_str)).await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), challenge);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.json()["status"], 401);
        assert_eq!(reply.header("x-auth-reason"), "");
    }
    let good = format!("Authorization: Bearer {}", setup.token(&json!({})));
    let to = setup.gatepost.listener("forward_auth").await;
    let line = "GET /api/v1/validate HTTP/1.1";
    let twice = wire::ask(to, &[line, "Host: a", &good, &good]).await;
    assert_eq!(wire::status(&twice), 400, "{twice}");
    let elsewhere = Call::get(to, "/api/v1/validate/").send().await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn any_method_is_answered_alike_and_no_page_may_read_it() {
    let setup = start().await;
    let token = setup.token(&json!({}));
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PURGE", "HEAD"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let call = setup.call(method.clone(), "").await.body("ignored");
        let call = call.header("origin", "https://app.example");
        let call = call.header("access-control-request-method", "GET");
        let reply = call.bearer(&token).send().await;
        assert_eq!(reply.status, 200, "{method}");
        assert_eq!(reply.body.is_empty(), method == Method::HEAD, "{method}");
        assert_eq!(reply.header("access-control-allow-origin"), "");
        let denied = setup.call(method.clone(), "").await.send().await;
        assert_eq!(denied.status, 401, "{method}");
        assert_eq!(denied.body.is_empty(), method == Method::HEAD, "{method}");
    }
}

#[tokio::test]
async fn a_route_lends_its_issuers_its_places_and_its_rule() {
    let setup = start().await;
    let ada = setup.token(&json!({}));
    let eve = setup.token(&json!({ "sub": "eve", "groups": [] }));
    let robot = hmac_token(
        SECRET.as_bytes(),
        "k",
        &json!({ "iss": "https://robots.example", "aud": "app", "sub": "batch",
                 "exp": now() + 600, "groups": ["ops"] }),
    );
    for (token, status) in [
        (Some(&ada), 200),
        (Some(&eve), 403),
        (Some(&robot), 401),
        (None, 401),
    ] {
        let mut call = setup.call(Method::GET, "?route=ops").await;
        if let Some(token) = token {
            call = call.header("x-token", &format!("Bearer {token}"));
        }
        let reply = call.send().await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.json().get("id").is_some(), status == 200);
    }
    // not where this route reads it
    assert_eq!(setup.get("?route=ops", Some(&ada)).await.status, 401);
    let open = setup.get("?x=1&route=open", Some("nonsense")).await;
    assert_eq!(
        (open.status.as_u16(), &open.json()["kind"]),
        (200, &json!("anonymous"))
    );
    assert_eq!(open.json()["id"], Value::Null);
    for (query, status) in [
        ("?route=nothing", 404),
        ("?route=", 404),
        ("?route=ops&route=open", 400),
        ("?Route=ops", 200),
    ] {
        let reply = setup.get(query, Some(&ada)).await;
        assert_eq!(reply.status, status, "{query}");
    }
}

#[tokio::test]
async fn an_outage_is_neither_good_nor_bad() {
    let signer = Signer::new("key-one");
    let gatepost = Gatepost::start(&config("http://127.0.0.1:9/jwks")).await;
    let to = gatepost.listener("forward_auth").await;
    let token = signer.mint(&json!({
        "iss": "https://users.example", "aud": "app", "sub": "ada", "exp": now() + 600,
    }));
    let reply = Call::get(to, "/api/v1/validate")
        .bearer(&token)
        .send()
        .await;
    assert_eq!(reply.status, 503);
    assert_ne!(reply.header("retry-after"), "");
    assert_eq!(reply.header("www-authenticate"), "");
    assert_eq!(gatepost.line_of(&reply).await["reason"], "keys_unavailable");
}

#[tokio::test]
async fn the_documented_members_are_those_of_an_answer() {
    let page = include_str!("../../docs/validate.md");
    let example = page.lines().find(|line| line.starts_with('{')).unwrap();
    let documented: Value = serde_json::from_str(example).unwrap();
    let setup = start().await;
    let reply = setup.get("", Some(&setup.token(&json!({})))).await;
    // in this order
    let names = |text: &str| -> Vec<String> {
        let members = text
            .split("\":")
            .map(|part| part.rsplit('"').next().unwrap());
        members.map(str::to_owned).collect()
    };
    assert_eq!(
        names(example).split_last().unwrap().1,
        names(reply.text()).split_last().unwrap().1
    );
    for name in documented.as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not explained"
        );
    }
}
