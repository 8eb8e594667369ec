//! A config for the real binary before one upstream, and tokens it accepts.

use serde_json::{Value, json};

use super::issuer::{hmac_token, merge, now};

const SECRET: &str = "for tests alone, and thirty-two bytes or more";

/// Protects everything but `/public/**`; `/editors/**` wants the group `editors`. These are further
/// keys of the upstream, in TOML, one to a line.
pub(crate) fn config(upstream: &str, keys: &str) -> String {
    format!(
        r#"
        [issuers.own]
        kind = "jwt"
        issuer = "https://issuer.test"
        audiences = ["app"]
        algorithms = ["HS256"]
        secret = {{ insecure_literal = "{SECRET}" }}

        [upstreams.app]
        url = "{upstream}"
        {keys}

        [[routes]]
        path = "/**"
        upstream = "app"

        [[routes]]
        path = "/editors/**"
        require = {{ groups = ["editors"] }}
        upstream = "app"

        [[routes]]
        path = "/public/**"
        auth = "none"
        upstream = "app"
        "#
    )
}

/// A token of `ada`, good for an hour, with these claims added or replaced.
pub(crate) fn token(more: &Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "app", "sub": "ada", "exp": now() + 3600,
    });
    merge(&mut claims, more);
    hmac_token(SECRET.as_bytes(), "own", &claims)
}
