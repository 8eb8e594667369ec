//! Issuers that could not prove anything are refused.

use super::*;

#[test]
fn issuers_that_prove_nothing_are_refused() {
    let jwt = |keys: &str| {
        format!(
            "{SMALLEST}issuers = [\"users\"]\n[issuers.j]\nkind = \"jwt\"\nissuer = \"i\"\naudiences = [\"a\"]\n{keys}"
        )
    };
    let long = "k".repeat(32);
    let environment = [("LONG", long.as_str()), ("SHORT", "hunter2"), ("EMPTY", "")];
    for (keys, expected) in [
        ("", vec!["issuers.j: no keys are named"]),
        (
            "jwks_url = \"https://a.example\"\njwks_file = \"x\"",
            vec!["issuers.j: keys are named twice"],
        ),
        (
            "secret = { env = \"SHORT\" }",
            vec!["issuers.j.secret: the secret is shorter than its hash (32 bytes)"],
        ),
        (
            "secret = { env = \"LONG\" }\nalgorithms = [\"HS512\"]",
            vec!["issuers.j.secret: the secret is shorter than its hash (64 bytes)"],
        ),
        ("secret = { env = \"LONG\" }", vec![]),
        (
            "secret = { env = \"LONG\" }\nalgorithms = [\"HS256\", \"RS256\"]",
            vec!["issuers.j.algorithms[1]: a secret does not verify RS256"],
        ),
        (
            "jwks_url = \"https://a.example\"\nalgorithms = [\"HS256\"]",
            vec!["issuers.j.algorithms[0]: HS256 is only for kind = \"jwt\" with a secret"],
        ),
        (
            "jwks_url = \"https://a.example\"\nalgorithms = [\"none\"]",
            vec![
                "issuers.j.algorithms[0]: \"none\" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512",
            ],
        ),
        (
            "secret = { env = \"ABSENT\" }",
            vec!["issuers.j.secret.env: environment variable ABSENT is not set, or empty"],
        ),
        (
            "secret = { env = \"EMPTY\" }",
            vec!["issuers.j.secret.env: environment variable EMPTY is not set, or empty"],
        ),
        (
            "secret = \"hunter2\"",
            vec!["issuers.j.secret: expected a table, found a string"],
        ),
        (
            "secret = { env = \"LONG\", file = \"x\" }",
            vec!["issuers.j.secret: one place only"],
        ),
        (
            "jwks_url = \"http://other.example/keys\"",
            vec![
                "issuers.j.jwks_url: plain http:// to another host carries keys or credentials in the clear",
            ],
        ),
        ("jwks_url = \"http://127.0.0.1:1/keys\"", vec![]),
        (
            "jwks_url = \"http://other.example/keys\"\ninsecure_http = true",
            vec![],
        ),
    ] {
        let found = match load(&sources(&jwt(keys), &environment)) {
            Ok(_config) => Vec::new(),
            Err(errors) => {
                assert!(!errors.to_string().contains("hunter2"), "{errors}");
                errors
                    .0
                    .iter()
                    .map(|error| format!("{}: {}", error.key, error.message))
                    .collect()
            }
        };
        assert_eq!(found, expected, "{keys}");
    }
    let errors = bad(&jwt("secret = \"hunter2\""), &environment);
    assert_eq!(errors[0].fix, "write it like { env = \"NAME\" }");
}

#[test]
fn key_files_are_read_at_load() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    let text = format!(
        "{SMALLEST}issuers = [\"users\"]\n[issuers.j]\nkind = \"jwt\"\nissuer = \"i\"\naudiences = [\"a\"]\npublic_key_file = {file:?}\n"
    );
    assert_eq!(bad(&text, &[])[0].key, "issuers.j.public_key_file");
    std::fs::write(&file, "no key").unwrap();
    assert_eq!(bad(&text, &[])[0].key, "issuers.j.public_key_file");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&file, pair.public_key_pem()).unwrap();
    let config = good(&text, &[]);
    assert_eq!(config.watched, [file]);
}

#[test]
fn the_audience_is_never_optional() {
    for (kind, key) in [
        (
            "kind = \"cognito\"\nuser_pool_id = \"us-east-1_A\"",
            "client_ids",
        ),
        (
            "kind = \"oidc\"\nissuer = \"https://i.example\"",
            "audiences",
        ),
        (
            "kind = \"jwt\"\nissuer = \"i\"\njwks_url = \"https://i.example\"",
            "audiences",
        ),
        (
            "kind = \"entra\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"",
            "audiences",
        ),
    ] {
        let errors = bad(
            &format!("[forward_auth]\ntrusted_proxies = [\"10.0.0.1\"]\n[issuers.x]\n{kind}\n"),
            &[],
        );
        assert_eq!(
            shown(&errors),
            [format!("3 issuers.x.{key}: missing")],
            "{kind}"
        );
    }
}

#[test]
fn a_profile_needs_an_endpoint_that_is_known_or_told() {
    let issuer = |kind: &str, keys: &str| {
        format!("{SMALLEST}issuers = [\"users\"]\n[issuers.j]\nkind = \"{kind}\"\n{keys}")
    };
    let oidc = "issuer = \"https://a.example\"\naudiences = [\"a\"]\n";
    let unknown =
        "issuer = \"partner\"\njwks_url = \"https://a.example/keys\"\naudiences = [\"a\"]\n";
    let pool = "user_pool_id = \"us-east-1_ABC123DEF\"\nclient_ids = [\"a\"]\n";
    let tenant = "tenant_id = \"11111111-2222-3333-4444-555555555555\"\naudiences = [\"a\"]\n";
    let asked = "profile = \"userinfo\"\n";
    let at = |url: &str| format!("userinfo_url = \"{url}\"\n");
    for (kind, keys, expected) in [
        ("oidc", [oidc, asked, ""].concat(), vec![]),
        ("cognito", [pool, asked, ""].concat(), vec![]),
        (
            "oidc",
            [unknown, asked, &at("https://a.example/me")].concat(),
            vec![],
        ),
        (
            "oidc",
            [unknown, asked].concat(),
            vec!["issuers.j.profile: the issuer is no URL, so nothing tells its userinfo endpoint"],
        ),
        (
            "oidc",
            [oidc, &at("https://a.example/me")].concat(),
            vec!["issuers.j.userinfo_url: nothing is asked there"],
        ),
        (
            "oidc",
            [oidc, asked, &at("http://a.example/me")].concat(),
            vec![
                "issuers.j.userinfo_url: plain http:// to another host carries keys or credentials in the clear",
            ],
        ),
        (
            "oidc",
            [oidc, "profile = \"graph\"\n"].concat(),
            vec!["issuers.j.profile: unknown value \"graph\""],
        ),
        (
            "jwt",
            [unknown, asked].concat(),
            vec!["issuers.j.profile: unknown key"],
        ),
        // its endpoint takes tokens for Microsoft Graph only
        (
            "entra",
            [tenant, asked].concat(),
            vec!["issuers.j.profile: unknown key"],
        ),
        (
            "oidc",
            [oidc, asked, &at("https://ada:pw@a.example/me")].concat(),
            vec!["issuers.j.userinfo_url: a URL here holds no user or password"],
        ),
    ] {
        let text = issuer(kind, &keys);
        let found: Vec<String> = match load(&sources(&text, &[])) {
            Ok(_config) => Vec::new(),
            Err(errors) => errors
                .0
                .iter()
                .map(|error| format!("{}: {}", error.key, error.message))
                .collect(),
        };
        assert_eq!(found, expected, "{text}");
    }
}
