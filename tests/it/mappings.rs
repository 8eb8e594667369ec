//! `[mappings.X]` with the real binary: what an issuer's names mean, in the decision, for the upstream, and
//! in `gatepost test`.

use serde_json::{Value, json};

use crate::support::gatepost::{Gatepost, run};
use crate::support::http::{Call, Reply};
use crate::support::issuer::{hmac_token, now};
use crate::support::upstream::Upstream;

const SECRET: &str = "a secret of at least thirty-two bytes";

const CONFIG: &str = r#"
[issuers.staff]
kind = "jwt"
issuer = "https://staff.example"
secret = { insecure_literal = "a secret of at least thirty-two bytes" }
audiences = ["app"]
algorithms = ["HS256"]
claims = { roles = ["resource_access", "orders", "roles"] }
mapping = "orders"

[issuers.partner]
kind = "jwt"
issuer = "https://partner.example"
secret = { insecure_literal = "a secret of at least thirty-two bytes" }
audiences = ["app"]
algorithms = ["HS256"]

[mappings.orders]
prefixes = { groups = "orders-", scopes = "api://orders/" }
roles_from = ["roles", "groups"]
permissions_from = ["permissions", "scopes"]
role_permissions = { admin = ["orders.*"], reader = ["orders.read"] }

[upstreams.app]
url = "UPSTREAM"

[[routes]]
name = "read"
path = "/read"
issuers = ["staff", "partner"]
require = { permissions = ["orders.read"] }
upstream = "app"

[[routes]]
name = "delete"
path = "/delete"
issuers = ["staff", "partner"]
require = { permissions = ["orders.delete"], roles = { none = ["suspended"] } }
upstream = "app"
"#;

async fn get(gatepost: &Gatepost, path: &str, issuer: &str, claims: Value) -> Reply {
    let mut all = json!({
        "iss": format!("https://{issuer}.example"), "aud": "app", "sub": "ada", "exp": now() + 600,
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let token = hmac_token(SECRET.as_bytes(), "k", &all);
    let call = Call::get(gatepost.listener("ingress").await, path);
    call.bearer(&token).send().await
}

#[tokio::test]
async fn an_issuers_names_mean_what_its_mapping_says_and_nobody_elses_do() {
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&CONFIG.replace("UPSTREAM", &upstream.url())).await;
    let nested = |role: &str| json!({"resource_access": {"orders": {"roles": [role]}}});
    for (path, issuer, claims, expected) in [
        ("/read", "staff", json!({"groups": ["orders-reader"]}), 200),
        (
            "/delete",
            "staff",
            json!({"groups": ["orders-reader"]}),
            403,
        ),
        ("/delete", "staff", json!({"groups": ["orders-admin"]}), 200),
        ("/delete", "staff", nested("admin"), 200),
        // not without the prefix, not from where the names of others stand
        ("/delete", "staff", json!({"groups": ["admin"]}), 403),
        ("/delete", "staff", json!({"roles": ["admin"]}), 403),
        (
            "/read",
            "staff",
            json!({"scope": "api://orders/orders.read"}),
            200,
        ),
        ("/read", "staff", json!({"scope": "orders.read"}), 403),
        // a wildcard in a claim is a name
        ("/read", "staff", json!({"permissions": ["orders.*"]}), 403),
        (
            "/read",
            "staff",
            json!({"permissions": ["orders.read"]}),
            200,
        ),
        (
            "/delete",
            "staff",
            json!({"groups": ["orders-admin", "orders-suspended"]}),
            403,
        ),
        // the partner's names are its own
        (
            "/read",
            "partner",
            json!({"groups": ["orders-admin"], "roles": ["admin"]}),
            403,
        ),
        (
            "/read",
            "partner",
            json!({"permissions": ["orders.read"]}),
            200,
        ),
    ] {
        let reply = get(&gatepost, path, issuer, claims.clone()).await;
        assert_eq!(reply.status, expected, "{path} {issuer} {claims}");
    }
    let claims = json!({"groups": ["orders-admin", "finance"]});
    assert_eq!(get(&gatepost, "/delete", "staff", claims).await.status, 200);
    let seen = upstream.last();
    for (name, expected) in [
        ("x-user-groups", "admin"),
        ("x-user-roles", "admin"),
        ("x-user-permissions", "orders.*"),
    ] {
        assert_eq!(seen.header(name), expected, "{name}");
    }
}

#[test]
fn gatepost_test_reads_a_stated_principal_as_its_issuers_mapping_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let config = file(
        "gatepost.toml",
        &CONFIG.replace("UPSTREAM", "http://127.0.0.1:1"),
    );
    let cases = file(
        "cases.toml",
        r#"
        [[cases]]
        name = "admins of orders delete"
        request = { path = "/delete" }
        principal = { issuer = "staff", groups = ["orders-admin"] }
        expect = "allow"
        headers = { x-user-roles = "admin", x-user-permissions = "orders.*" }
        [[cases]]
        name = "those of the partner do not"
        request = { path = "/delete" }
        principal = { issuer = "partner", groups = ["orders-admin"] }
        expect = "deny:permission_missing"
        "#,
    );
    let output = run(&["test", "--config", &config, &cases], &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "2 cases: 2 as expected, 0 not\n");
}
