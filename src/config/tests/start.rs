//! Layers and the start without a file.

use super::*;
use crate::authn::issuer::{Accepted, Preset};

#[test]
fn the_smallest_file_starts_ingress_health_and_admin() {
    let config = good(SMALLEST, &[]);
    let ingress = config.ingress.unwrap();
    assert_eq!(ingress.listener.listen.to_string(), "0.0.0.0:7400");
    assert_eq!(ingress.listener.max_header_bytes, 64 << 10);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:7403");
    assert_eq!(config.health.listen.to_string(), "0.0.0.0:7404");
    assert!(config.forward_auth.is_none());
    assert!(config.egress.is_none());
    assert_eq!(config.routes.routes().len(), 1);
    assert_eq!(&*config.routes.routes()[0].name, "/**");
    assert_eq!(config.issuers[0].issuer.accepted_iss.len(), 2);
    assert_eq!(config.warnings, []);
}

#[test]
fn issuers_and_upstreams_keep_the_order_of_the_file() {
    let text = format!(
        "[issuers.zed]\nkind = \"oidc\"\nissuer = \"https://z.example\"\naudiences = [\"a\"]\n{SMALLEST}issuers = [\"users\", \"zed\"]\n"
    );
    let config = good(&text, &[]);
    let names: Vec<_> = config.issuers.iter().map(|i| &*i.issuer.name).collect();
    assert_eq!(names, ["zed", "users"]);
    let crate::authz::route::Access::Protected(protected) = &config.routes.routes()[0].access
    else {
        panic!("protected")
    };
    assert_eq!(protected.issuers, [1, 0]);
}

#[test]
fn unnamed_routes_get_names_of_their_own() {
    let text = format!(
        "{}methods = [\"GET\"]\n{}",
        SMALLEST,
        "[[routes]]\npath = \"/**\"\nmethods = [\"PUT\"]\nupstream = \"app\"\n\
         [[routes]]\nhosts = [\"a.example\"]\npath = \"/**\"\nupstream = \"app\"\n\
         [[routes]]\nname = \"/x\"\npath = \"/y\"\nupstream = \"app\"\n\
         [[routes]]\npath = \"/x\"\nupstream = \"app\"\n"
    );
    let config = good(&text, &[]);
    let names: Vec<_> = config
        .routes
        .routes()
        .iter()
        .map(|route| &*route.name)
        .collect();
    assert_eq!(names, ["/**", "PUT /**", "a.example/**", "/x", "/x #2"]);
}

#[test]
fn only_double_underscore_names_are_read() {
    let config = good(
        SMALLEST,
        &[
            ("GATEPOST_PORT", "tcp://10.0.0.1:7400"),
            ("GATEPOST_INGRESS_LISTEN", "127.0.0.1:1"),
            ("UPSTREAM_SERVICE", "nonsense"),
            ("AUTH_MIDDLEWARE_DISABLED", "true"),
            ("GATEPOST__INGRESS__LISTEN", "127.0.0.1:0"),
            ("GATEPOST__INGRESS__TRUSTED_PROXIES", "[\"10.0.0.0/16\"]"),
            ("GATEPOST__INGRESS__MAX_CONNECTIONS", "77"),
            ("GATEPOST__ERRORS__EXPOSE_REASON", "true"),
            ("GATEPOST__ERRORS__REALM", "12345"),
            ("GATEPOST__REQUEST_ID__TRUST", "any"),
            ("GATEPOST__LOG__LEVEL", "\"debug\""),
            ("GATEPOST__IDENTITY__USER_EMAIL", ""),
            ("GATEPOST__ISSUERS__USERS__CLIENT_IDS", "any"),
        ],
    );
    let ingress = config.ingress.unwrap();
    assert_eq!(ingress.listener.listen.port(), 0);
    assert_eq!(ingress.listener.max_connections, 77);
    assert!(ingress.trusted_proxies.trusts("10.0.9.9".parse().unwrap()));
    assert!(config.errors.expose_reason);
    assert_eq!(config.errors.realm, "12345");
    assert_eq!(config.log.level, "debug");
    assert_eq!(config.identity.user_email, None);
    assert!(matches!(
        config.issuers[0].issuer.preset,
        Preset::Cognito {
            client_ids: Accepted::Any,
            ..
        }
    ));
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let errors = bad(
        SMALLEST,
        &[
            ("GATEPOST__INGRES__LISTEN", "127.0.0.1:0"),
            ("GATEPOST__INGRESS__HEADER_TIMEOUT", "10"),
            ("GATEPOST__INGRESS__MAX_CONNECTIONS", "5\nlisten = 1"),
            ("GATEPOST__JWKS__SNAPSHOT_DIR", "12345"),
            ("GATEPOST__", "x"),
            ("GATEPOST__CREDENTIALS__X__KIND", "static_token"),
            ("GATEPOST__CREDENTIALS__X__TOKEN", "hunter2"),
            ("GATEPOST__CREDENTIALS__Y__KIND", "static_token"),
            (
                "GATEPOST__CREDENTIALS__Y__TOKEN",
                "{ insecure_literal = \"hunter2\" }",
            ),
        ],
    );
    assert_eq!(
        shown(&errors),
        [
            "GATEPOST__ \"\": not a key",
            "GATEPOST__CREDENTIALS__Y__TOKEN credentials.y.token: a secret cannot stand in a GATEPOST__ variable itself",
            "GATEPOST__CREDENTIALS__X__TOKEN credentials.x.token: expected a table, found a string",
            "GATEPOST__INGRES__LISTEN ingres: unknown key",
            "GATEPOST__INGRESS__HEADER_TIMEOUT ingress.header_timeout: not a duration: time unit needed, for example 10sec or 10ms",
            "GATEPOST__INGRESS__MAX_CONNECTIONS ingress.max_connections: expected a number, found a string",
        ]
    );
    assert!(!ConfigErrors(errors).to_string().contains("hunter2"));
}

#[test]
fn secrets_are_shown_by_source_only() {
    let config = good(
        &format!(
            "{SMALLEST}[credentials.a]\nkind = \"static_token\"\ntoken = {{ env = \"TOKEN\" }}\n[credentials.b]\nkind = \"static_token\"\ntoken = {{ insecure_literal = \"hunter2\" }}\n"
        ),
        &[("TOKEN", "hunter3")],
    );
    assert_eq!(config.redacted["credentials"]["a"]["token"]["env"], "TOKEN");
    assert_eq!(
        config.redacted["credentials"]["b"]["token"]["insecure_literal"],
        "***"
    );
    assert_eq!(config.redacted["jwks"]["refresh_interval"], "30m");
    let all = format!("{config:?}");
    assert!(!all.contains("hunter"), "{all}");
}

const COGNITO: [(&str, &str); 2] = [
    ("COGNITO_USER_POOL_ID", "us-east-1_ABC123DEF"),
    ("COGNITO_CLIENT_ID", "1example23456789"),
];

fn with(
    base: &[(&'static str, &'static str)],
    more: &[(&'static str, &'static str)],
) -> Vec<(&'static str, &'static str)> {
    base.iter().chain(more).copied().collect()
}

#[test]
fn no_file_and_upstream_service_give_one_protected_route() {
    let config = good(
        "",
        &with(
            &COGNITO,
            &[
                ("UPSTREAM_SERVICE", "http://127.0.0.1:3000"),
                ("AWS_REGION", "eu-west-1"),
                ("JWK_REFRESH_INTERVAL", "600"),
                ("JWK_CACHE_TTL", "300"),
                ("JWKS_CACHE_USAGES", "1000"),
                ("AUTH_MIDDLEWARE_LOG_LEVEL", "WARNING"),
                ("AUTH_MIDDLEWARE_DISABLED", "false"),
            ],
        ),
    );
    assert_eq!(config.file, None);
    let [route] = config.routes.routes() else {
        panic!("one route")
    };
    assert_eq!(route.pattern.text, "/**");
    assert!(matches!(
        route.access,
        crate::authz::route::Access::Protected(_)
    ));
    assert_eq!(
        config.upstreams[0].server.url.as_str(),
        "http://127.0.0.1:3000/"
    );
    assert_eq!(config.jwks.refresh_interval.as_secs(), 300);
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].key, "JWKS_CACHE_USAGES");
}

#[test]
fn both_identity_providers_guard_the_one_route() {
    let config = good(
        "",
        &with(
            &COGNITO,
            &[
                ("UPSTREAM_SERVICE", "http://127.0.0.1:3000"),
                (
                    "AUTH_PROVIDER_AZURE_ENTRA_ID_TENANT_ID",
                    "11111111-2222-3333-4444-555555555555",
                ),
                ("AUTH_PROVIDER_AZURE_ENTRA_ID_AUDIENCE_ID", "api://orders"),
            ],
        ),
    );
    assert_eq!(config.issuers.len(), 2);
    let crate::authz::route::Access::Protected(protected) = &config.routes.routes()[0].access
    else {
        panic!("protected")
    };
    assert_eq!(protected.issuers, [0, 1]);
}

#[test]
fn no_file_and_egress_targets_open_egress() {
    for (domain, host) in [
        ("acme", "acme.auth.us-east-1.amazoncognito.com"),
        ("https://login.example/", "login.example"),
    ] {
        let domain: &'static str = domain;
        let config = good(
            "",
            &with(
                &COGNITO,
                &[
                    (
                        "EGRESS_TARGETS",
                        "billing=https://billing.example, crm=https://crm.example/v1",
                    ),
                    ("COGNITO_CLIENT_SECRET", "s3cret"),
                    ("COGNITO_DOMAIN", domain),
                    ("SERVICE_AUTH_TOKEN", "t0ken"),
                    ("TOKEN_CACHE_TTL", "900"),
                    ("TOKEN_REFRESH_THRESHOLD", "60"),
                ],
            ),
        );
        assert!(config.ingress.is_none());
        assert_eq!(
            config.egress.unwrap().listener.listen.to_string(),
            "127.0.0.1:7402"
        );
        assert_eq!(config.egress_targets.len(), 2);
        assert_eq!(&*config.egress_targets[1].name, "crm");
        let names: Vec<_> = config.egress_targets[0]
            .credentials
            .iter()
            .map(|name| &**name)
            .collect();
        assert_eq!(names, ["cognito", "service"]);
        let CredentialKind::ClientCredentials(cognito) = &config.credentials[0].kind else {
            panic!("client credentials")
        };
        assert_eq!(
            cognito.client.token_url.as_str(),
            format!("https://{host}/oauth2/token")
        );
        assert!(matches!(
            cognito.client.authentication,
            ClientAuthentication::SecretPost(_)
        ));
        assert_eq!(cognito.freshness.max_reuse.unwrap().as_secs(), 900);
        assert_eq!(cognito.freshness.refresh_before.unwrap().as_secs(), 60);
    }
}

#[test]
fn a_start_without_a_file_says_what_is_missing() {
    let errors = bad("", &[]);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].fix.contains("UPSTREAM_SERVICE"));
    assert!(errors[0].fix.contains("EGRESS_TARGETS"));
    for (environment, variable, words) in [
        (
            with(
                &COGNITO,
                &[
                    ("UPSTREAM_SERVICE", "http://127.0.0.1:1"),
                    ("COGNITO_REGION", "eu-west-1"),
                ],
            ),
            Some("COGNITO_REGION"),
            "the pool is in us-east-1, not in eu-west-1",
        ),
        (
            with(
                &COGNITO,
                &[
                    ("UPSTREAM_SERVICE", "http://127.0.0.1:1"),
                    ("AUTH_MIDDLEWARE_DISABLED", "true"),
                ],
            ),
            Some("AUTH_MIDDLEWARE_DISABLED"),
            "authentication cannot be switched off",
        ),
        (
            with(&COGNITO, &[("UPSTREAM_SERVICE", "127.0.0.1:1")]),
            Some("UPSTREAM_SERVICE"),
            "not a URL: relative URL without a base",
        ),
        (
            vec![("UPSTREAM_SERVICE", "http://127.0.0.1:1")],
            Some("UPSTREAM_SERVICE"),
            "UPSTREAM_SERVICE is protected, and no issuer is configured",
        ),
        (
            vec![
                ("UPSTREAM_SERVICE", "http://127.0.0.1:1"),
                ("USER_POOL_ID", "us-east-1_A"),
            ],
            Some("COGNITO_CLIENT_ID"),
            "missing beside the user pool: a pool's tokens are for its clients, not for everyone",
        ),
        (
            with(
                &COGNITO,
                &[
                    ("UPSTREAM_SERVICE", "http://127.0.0.1:1"),
                    ("USER_POOL_ID", "us-east-1_B"),
                ],
            ),
            Some("USER_POOL_ID"),
            "COGNITO_USER_POOL_ID and USER_POOL_ID differ",
        ),
        (
            vec![("EGRESS_TARGETS", "a=https://a.example")],
            Some("EGRESS_TARGETS"),
            "there is no credential for the egress targets",
        ),
        (
            vec![
                ("EGRESS_TARGETS", "https://a.example"),
                ("SERVICE_AUTH_TOKEN", "x"),
            ],
            Some("EGRESS_TARGETS"),
            "not a list of targets",
        ),
        (
            with(
                &COGNITO,
                &[
                    ("UPSTREAM_SERVICE", "http://127.0.0.1:1"),
                    ("JWK_REFRESH_INTERVAL", "30m"),
                ],
            ),
            Some("JWK_REFRESH_INTERVAL"),
            "not a whole number above zero",
        ),
    ] {
        let errors = bad("", &environment);
        let found: Vec<_> = errors
            .iter()
            .map(|error| (error.variable.as_deref(), error.message.as_str()))
            .collect();
        assert_eq!(found, [(variable, words)]);
    }
}
