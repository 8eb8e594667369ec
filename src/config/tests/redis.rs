//! `[redis]`: what can seal and be reached without showing a password.

use super::*;

/// 32 bytes in base64.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn table(rest: &str) -> String {
    format!("{SMALLEST}[redis]\n{rest}\n")
}

fn keys(names: &[&str]) -> String {
    let each: Vec<String> = names
        .iter()
        .map(|name| format!("{{ id = \"{name}\", secret = {{ env = \"SEALING_KEY\" }} }}"))
        .collect();
    format!("sealing_keys = [{}]", each.join(", "))
}

const ENVIRONMENT: [(&str, &str); 3] = [
    ("SEALING_KEY", KEY),
    ("SHORT", "AAEC"),
    ("PASSWORD", "hunter2"),
];

#[test]
#[cfg(feature = "redis")]
fn a_redis_table_is_resolved_with_its_defaults_and_shows_no_secret() {
    let text = table(&format!(
        "url = \"rediss://cache.example/2\"\npassword = {{ env = \"PASSWORD\" }}\n{}",
        keys(&["new", "old"])
    ));
    let config = good(&text, &ENVIRONMENT);
    let redis = config.redis.as_ref().unwrap();
    assert_eq!(redis.endpoint.to_string(), "cache.example:6379");
    assert_eq!((redis.database, redis.prefix.as_str()), (2, "gatepost:"));
    assert_eq!(redis.timeout, std::time::Duration::from_millis(250));
    assert_eq!(redis.sealing_keys.len(), 2);
    assert_eq!(redis.sealing_keys[0].bytes[..4], [0, 1, 2, 3]);
    assert!(redis.tls.is_some());
    for shown in [format!("{redis:?}"), config.redacted.to_string()] {
        assert!(
            !shown.contains("hunter2") && !shown.contains(KEY),
            "{shown}"
        );
        assert!(!shown.contains("[0, 1, 2"), "{shown}");
    }
    assert!(good(SMALLEST, &[]).redis.is_none());
}

#[test]
#[cfg(feature = "redis")]
fn what_would_not_seal_or_would_show_a_password_is_refused() {
    let plain = "url = \"redis://127.0.0.1\"\n";
    let two = keys(&["a", "a"]);
    let one = keys(&["a"]);
    for (rest, expected) in [
        (one.clone(), "redis.url: missing"),
        (plain.to_owned(), "redis.sealing_keys: missing"),
        (
            format!("{plain}sealing_keys = []"),
            "redis.sealing_keys: an empty list",
        ),
        (
            format!("{plain}{two}"),
            "redis.sealing_keys[1].id: \"a\" names another",
        ),
        (
            format!("{plain}sealing_keys = [{{ id = \"a\", secret = {{ env = \"SHORT\" }} }}]"),
            "redis.sealing_keys[0].secret: the secret is not 32 bytes",
        ),
        (
            format!("{plain}sealing_keys = [{{ id = \"a\", secret = \"{KEY}\" }}]"),
            "redis.sealing_keys[0].secret: ",
        ),
        (
            format!("url = \"redis://:hunter2@cache.example\"\n{one}"),
            "redis.url: holds a user or a password",
        ),
        (
            format!("url = \"redis://cache.example\"\npassword = {{ env = \"PASSWORD\" }}\n{one}"),
            "redis.url: redis:// to another host carries the password",
        ),
        (
            format!("{plain}username = \"u\"\n{one}"),
            "redis.username: a user without",
        ),
        (
            format!("{plain}timeout = \"6s\"\n{one}"),
            "redis.timeout: longer than 5 s",
        ),
        (
            format!("{plain}prefix = \"a{{b\"\n{one}"),
            "redis.prefix: not 1 to 128",
        ),
        (
            format!("{plain}tls = {{}}\n{one}"),
            "redis.tls: redis:// is without TLS",
        ),
    ] {
        let errors = bad(&table(&rest), &ENVIRONMENT);
        let found = shown(&errors).join("\n");
        assert!(found.contains(expected), "{rest}\n{found}");
        let whole: String = errors.iter().map(ToString::to_string).collect();
        assert!(
            !whole.contains("hunter2") && !whole.contains(KEY),
            "{whole}"
        );
        assert!(errors.iter().all(|error| !error.fix.is_empty()));
    }
}

#[test]
#[cfg(feature = "redis")]
fn plaintext_to_another_host_is_warned_of() {
    for (rest, warned) in [
        ("url = \"redis://127.0.0.1\"", false),
        ("url = \"rediss://cache.example\"", false),
        ("url = \"redis://cache.example\"", true),
        (
            "url = \"redis://cache.example\"\npassword = { env = \"PASSWORD\" }\ninsecure_plaintext = true",
            true,
        ),
    ] {
        let config = good(&table(&format!("{rest}\n{}", keys(&["a"]))), &ENVIRONMENT);
        let found = config
            .warnings
            .iter()
            .any(|warning| warning.key == "redis.url");
        assert_eq!(found, warned, "{rest}");
    }
}

#[test]
#[cfg(not(feature = "redis"))]
fn a_build_without_redis_says_so() {
    let text = table(&format!("url = \"redis://127.0.0.1\"\n{}", keys(&["a"])));
    let errors = bad(&text, &ENVIRONMENT);
    assert!(shown(&errors)[0].contains("built without Redis"));
}
