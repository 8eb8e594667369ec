//! Groups, roles and permissions that are kept outside the token, with the real binary. Each kind of
//! store gives the same decisions.

mod file;
mod graph;
mod http;
#[cfg(feature = "sql")]
mod sql;

use serde_json::{Value, json};

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::issuer::{hmac_token, merge, now};

const SECRET: &str = "for tests alone, and thirty-two bytes or more";

/// Two issuers, and routes whose rules ask the store `main`: this is its table, in TOML.
fn config(upstream: &str, store: &str) -> String {
    let issuer = |name: &str| {
        format!(
            r#"
            [issuers.{name}]
            kind = "jwt"
            issuer = "https://{name}.test"
            audiences = ["app"]
            algorithms = ["HS256"]
            secret = {{ insecure_literal = "{SECRET}" }}
            claims = {{ tenant = "org" }}
            "#
        )
    };
    let route = |path: &str, more: &str| {
        format!(
            r#"
            [[routes]]
            name = "{path}"
            path = "/{path}/**"
            upstream = "app"
            issuers = ["users", "staff"]
            {more}
            "#
        )
    };
    [
        issuer("users"),
        issuer("staff"),
        format!("[upstreams.app]\nurl = \"{upstream}\"\n"),
        "[forward_auth]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n".to_owned(),
        route(
            "admins",
            "memberships = \"main\"\nrequire = { groups = [\"admins\"] }",
        ),
        route(
            "unbanned",
            "memberships = \"main\"\nrequire = { groups = { none = [\"banned\"] } }",
        ),
        route(
            "writers",
            "memberships = \"main\"\nrequire = { permissions = [\"orders.write\"], roles = [\"editor\"] }",
        ),
        route(
            "shadow",
            "mode = \"shadow\"\nmemberships = \"main\"\nrequire = { groups = [\"admins\"] }",
        ),
        route("named", "memberships = \"main\""),
        route("claims", "require = { groups = [\"admins\"] }"),
        store.to_owned(),
    ]
    .concat()
}

/// A token of this user of this issuer, with these claims added or replaced.
fn token(issuer: &str, user: &str, more: &Value) -> String {
    let mut claims = json!({
        "iss": format!("https://{issuer}.test"), "aud": "app", "sub": user, "exp": now() + 3600,
    });
    merge(&mut claims, more);
    hmac_token(SECRET.as_bytes(), "own", &claims)
}

/// What is answered this user on this path.
async fn ask(gatepost: &Gatepost, path: &str, token: &str) -> Reply {
    gatepost.get(path).await.bearer(token).send().await
}

/// The status, and the reason where it was refused.
async fn outcome(gatepost: &Gatepost, path: &str, token: &str) -> String {
    let reply = ask(gatepost, path, token).await;
    let line = gatepost.line_of(&reply).await;
    match line["reason"].as_str() {
        Some(reason) => format!("{} {reason}", reply.status.as_u16()),
        None => reply.status.as_u16().to_string(),
    }
}

/// What `/api/v1/validate` says of this token on this route.
async fn validated(gatepost: &Gatepost, route: &str, token: &str) -> Value {
    let to = gatepost.listener("forward_auth").await;
    let call = Call::get(to, &format!("/api/v1/validate?route={route}"));
    call.bearer(token).send().await.json()
}

/// Who is in what, whatever the store: `ada` and `mallory` of `users`, nobody else.
const ADA_GROUPS: [&str; 3] = ["admins", "a,b", "line\nbreak"];

/// What every store decides that says so.
async fn decides(gatepost: &Gatepost) {
    let none = json!({});
    let claimed =
        json!({ "groups": ["admins"], "roles": ["editor"], "permissions": ["orders.write"] });
    for (path, issuer, user, claims, expected) in [
        ("/admins/1", "users", "ada", &none, "200"),
        ("/admins/1", "users", "bob", &none, "403 group_missing"),
        // the token does not speak for the store
        ("/admins/1", "users", "bob", &claimed, "403 group_missing"),
        ("/writers/1", "users", "bob", &claimed, "403 role_missing"),
        ("/writers/1", "users", "ada", &none, "200"),
        // another issuer's ada is somebody else
        ("/admins/1", "staff", "ada", &none, "403 group_missing"),
        ("/unbanned/1", "users", "bob", &none, "200"),
        (
            "/unbanned/1",
            "users",
            "mallory",
            &none,
            "403 group_missing",
        ),
        // SQL and paths in a user id are a user id
        (
            "/admins/1",
            "users",
            "x' or '1'='1",
            &none,
            "403 group_missing",
        ),
        ("/admins/1", "users", "x/../ada", &none, "403 group_missing"),
        // a route that names no store asks none
        ("/claims/1", "users", "bob", &claimed, "200"),
        ("/claims/1", "users", "ada", &none, "403 group_missing"),
    ] {
        let token = token(issuer, user, claims);
        let outcome = outcome(gatepost, path, &token).await;
        assert_eq!(outcome, expected, "{path} {issuer} {user} {claims}");
    }
    // what a client writes beside its token makes it nobody else
    for (name, value) in [
        ("x-user-id", "ada"),
        ("x_user_id", "ada"),
        ("x-user-groups", "admins"),
        ("x-auth-issuer", "users"),
    ] {
        let token = token("users", "bob", &none);
        let call = gatepost.get("/admins/1").await.bearer(&token);
        let reply = call.header(name, value).send().await;
        assert_eq!(reply.status, 403, "{name}");
    }
    let valid = validated(gatepost, "admins", &token("users", "ada", &none)).await;
    assert_eq!(valid["groups"], json!(ADA_GROUPS));
}
