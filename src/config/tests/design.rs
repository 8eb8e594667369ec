//! DESIGN §5.2's example, whole: what this version does not do is refused by name, and nothing else.

use super::*;

const EXAMPLE: &str = include_str!("design-5.2.toml");
const ENVIRONMENT: [(&str, &str); 3] = [
    ("LEGACY_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ("BILLING_SECRET", "s3cret"),
    ("DATABASE_URL", "postgres://unused"),
];

/// A query, where the example leaves one out.
const QUERY: &str = "select name from granted where issuer = :issuer and user_id = :user_id";

/// The example with a readable secret file instead of `/run/secrets/metrics-key`.
fn example(folder: &tempfile::TempDir) -> String {
    let key = folder.path().join("metrics-key");
    std::fs::write(&key, "k").unwrap();
    EXAMPLE
        .replace("/run/secrets/metrics-key", key.to_str().unwrap())
        .replace("select …", QUERY)
}

#[test]
fn exactly_the_later_capabilities_of_the_example_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let errors = bad(&example(&folder), &ENVIRONMENT);
    assert_eq!(
        shown(&errors),
        [
            "65 routes[2].auth[1]: API keys: not available in this version",
            "79 api_keys: the API-key service: not available in this version",
        ]
    );
}

#[test]
fn without_them_the_example_loads() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut skipping = false;
    for line in example(&folder).lines() {
        if line.starts_with('[') {
            skipping = ["[api_keys]"].iter().any(|table| line.starts_with(table));
        }
        if !skipping {
            text.push_str(&line.replace(", \"api_key\"]", "]"));
            text.push('\n');
        }
    }
    let config = good(&text, &ENVIRONMENT);
    assert_eq!(config.issuers.len(), 5);
    assert_eq!(config.routes.routes().len(), 3);
    assert!(config.forward_auth.is_some() && config.egress.is_some());
    let warned: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(warned, ["issuers.legacy.secret", "upstreams.mlflow.url"]);
}

#[test]
fn every_later_key_is_refused_by_name_wherever_it_stands() {
    let one = |table: &str, line: &str| format!("{SMALLEST}{table}\n{line}\n");
    let route = |line: &str| format!("{SMALLEST}{line}\n");
    for (key, text) in [
        (
            "api_keys",
            one("[api_keys]", "remote = { url = \"https://a\" }"),
        ),
        ("audit", one("[audit]", "")),
        ("trace", one("[trace]", "")),
        ("rate_limits", one("[rate_limits]", "")),
        ("resource_metadata", one("[resource_metadata]", "")),
        ("routes[0].auth[0]", route("auth = [\"api_key\"]")),
        (
            "routes[0].auth.all",
            route("auth = { all = [\"api_key\", \"bearer\"] }"),
        ),
        ("routes[0].forward_api_key", route("forward_api_key = true")),
        ("routes[0].rate_limit", route("rate_limit = \"10/s\"")),
        (
            "routes[0].resource_metadata",
            route("resource_metadata = true"),
        ),
    ] {
        let errors = bad(&text, &[]);
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, [key], "{text}\n{}", ConfigErrors(errors.clone()));
        assert!(
            errors[0]
                .message
                .ends_with(": not available in this version")
        );
    }
}
