//! `config/default.toml` is the reference: every key of the schema stands in it, with its default
//! or an example, and nothing else does; and what it says about defaults is true.

use std::collections::BTreeSet;

use super::super::layers::DEFAULT;
use super::*;

/// The reference with its examples switched on.
fn uncommented() -> String {
    DEFAULT
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if example.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                example
            }
            Some(_prose) => "",
            None => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every key a schema knows: names of tables become `*`, lists `[]`.
fn schema_keys(schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let Some(schema) = schema.as_object() else {
        return;
    };
    for branch in schema::branches(schema) {
        for (key, inner) in branch
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let path = format!("{path}.{key}");
            keys.insert(path.clone());
            schema_keys(inner, &path, keys);
        }
        if let Some(inner) = branch
            .get("additionalProperties")
            .filter(|inner| inner.is_object())
        {
            schema_keys(inner, &format!("{path}.*"), keys);
        }
        if let Some(inner) = branch.get("items") {
            schema_keys(inner, &format!("{path}[]"), keys);
        }
    }
}

/// Every key a value holds, spelled as [`schema_keys`] does.
fn value_keys(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(table) => {
            for (key, inner) in table {
                let tables = [
                    ".credentials",
                    ".issuers",
                    ".mappings",
                    ".memberships",
                    ".upstreams",
                ];
                let open = tables.contains(&path)
                    || path.ends_with(".claims") && path.contains("require")
                    || path.ends_with(".required_claims")
                    || path.ends_with(".role_permissions");
                let path = if open {
                    format!("{path}.*")
                } else {
                    format!("{path}.{key}")
                };
                keys.insert(path.clone());
                value_keys(inner, &path, keys);
            }
        }
        Value::Array(list) => {
            for inner in list {
                value_keys(inner, &format!("{path}[]"), keys);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn whole() -> Value {
    layers::merge(&Layer::Text(&uncommented()), &Value::Null).unwrap()
}

#[test]
fn every_key_of_the_schema_is_in_the_reference_and_no_other() {
    let (mut known, mut mentioned) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(schema(), "", &mut known);
    value_keys(&whole(), "", &mut mentioned);
    // one of several places: prose, since only one may be given
    for prose in [
        ".issuers.*.jwks_file",
        ".issuers.*.public_key_file",
        ".issuers.*.token.form",
    ] {
        let key = prose.rsplit('.').next().unwrap();
        assert!(DEFAULT.contains(&format!("# {key} = ")), "{key}");
        known.remove(prose);
    }
    // other kinds of login than the one that is shown: as prose, and those of a client as in a source
    assert!(DEFAULT.contains("(a service of yours: url)"));
    known.remove(".login.url");
    known.retain(|key| {
        let of_client = key.strip_prefix(".login.");
        !of_client.is_some_and(|rest| mentioned.contains(&format!(".credentials.*.{rest}")))
            || mentioned.contains(key)
    });
    // the three spellings of a condition are shown for roles
    let spelled = |key: &String| {
        let condition = ["any", "all", "none"]
            .iter()
            .any(|part| key.ends_with(&format!(".{part}")));
        let secret = [
            "env",
            "file",
            "insecure_literal",
            "aws_secret",
            "json_key",
            "replace",
        ]
        .iter()
        .any(|part| key.ends_with(&format!(".{part}")));
        condition || secret
    };
    let missing: Vec<_> = known
        .difference(&mentioned)
        .filter(|key| !spelled(key))
        .collect();
    assert_eq!(missing, Vec::<&String>::new(), "not in config/default.toml");
    for part in ["any", "all", "none"] {
        assert!(mentioned.contains(&format!(".routes[].require.roles.{part}")));
    }
    for part in [
        "env = ",
        "file = ",
        "insecure_literal = ",
        "aws_secret = ",
        "replace = ",
    ] {
        assert!(DEFAULT.contains(&format!("{{ {part}")), "{part}");
    }
    let unknown: Vec<_> = mentioned
        .difference(&known)
        .filter(|key| !key.ends_with(".*"))
        .collect();
    assert_eq!(unknown, Vec::<&String>::new(), "not in the schema");
}

#[test]
fn the_examples_of_the_reference_are_well_formed() {
    let mut mistakes = Mistakes::default();
    walk::walk(&whole(), &mut mistakes);
    assert_eq!(mistakes.found, []);
}

#[test]
fn the_reference_alone_is_sound_and_only_lacks_something_to_do() {
    let errors = bad(DEFAULT, &[]);
    assert_eq!(errors.len(), 1, "{}", ConfigErrors(errors.clone()));
    assert!(errors[0].message.starts_with("nothing to do"));
}

/// What an example says "without it" or as its value is what holds without it.
#[test]
fn planes_that_start_on_demand_have_the_defaults_the_reference_shows() {
    let tables = "[forward_auth]\ntrusted_proxies = [\"10.0.0.0/16\"]\n[egress]\n";
    let short = good(&format!("{SMALLEST}{tables}"), &[]);
    let whole = whole();
    let shown = |plane: &str, key: &str| whole[plane][key].as_str().unwrap().to_owned();
    for (plane, listener) in [
        ("ingress", &short.ingress.unwrap().listener),
        ("forward_auth", &short.forward_auth.unwrap().listener),
        ("egress", &short.egress.as_ref().unwrap().listener),
        ("admin", &short.admin),
        ("health", &short.health),
    ] {
        assert_eq!(listener.listen.to_string(), shown(plane, "listen"));
        for (key, duration) in [
            ("header_timeout", listener.header_timeout),
            ("idle_timeout", listener.idle_timeout),
        ] {
            assert_eq!(
                humantime::parse_duration(&shown(plane, key)).unwrap(),
                duration,
                "{plane}.{key}"
            );
        }
        assert_eq!(shown(plane, "max_header_bytes"), "64KiB");
        assert_eq!(listener.max_header_bytes, 64 << 10);
        assert_eq!(shown(plane, "max_uri_bytes"), "16KiB");
        assert_eq!(listener.max_uri_bytes, 16 << 10);
        assert_eq!(listener.max_body_bytes, None);
        assert_eq!(listener.max_connections_per_peer, None);
        let http2 = listener.http2;
        for (key, limit) in [
            ("max_headers", listener.max_headers),
            ("max_connections", listener.max_connections),
            ("http2_max_streams", http2.max_streams as usize),
            ("http2_max_resets", http2.max_resets as usize),
            (
                "http2_max_control_frames",
                http2.max_control_frames as usize,
            ),
        ] {
            assert_eq!(whole[plane][key], limit, "{plane}.{key}");
        }
    }
    assert_eq!(shown("egress", "replay_body_bytes"), "64KiB");
    assert_eq!(short.egress.unwrap().replay_body_bytes, 64 << 10);
    let upstream = &whole["upstreams"]["app"];
    let server = &short.upstreams[0].server;
    assert_eq!(upstream["protocol"], "auto");
    assert_eq!(server.protocol, Protocol::Auto);
    assert_eq!(upstream["max_connections"], server.max_connections);
    assert_eq!(upstream["max_failures"], server.max_failures);
    for (key, duration) in [
        ("connect_timeout", server.connect_timeout),
        ("timeout", server.timeout),
        ("idle_timeout", server.idle_timeout),
        ("dns_refresh", server.dns_refresh),
        ("eject_for", server.eject_for),
    ] {
        let text = upstream[key].as_str().unwrap();
        assert_eq!(humantime::parse_duration(text).unwrap(), duration, "{key}");
    }
    assert_eq!(whole["issuers"]["users"]["leeway"], "60s");
    assert_eq!(short.issuers[0].issuer.leeway, 60);
}

/// Each file under `config/examples` loads, in the environment its first line names.
#[test]
fn the_examples_load() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        let secrets = tempfile::tempdir().unwrap();
        let text = text.replace("/run/secrets", secrets.path().to_str().unwrap());
        for name in ["billing-secret", "crm-key"] {
            std::fs::write(secrets.path().join(name), "s3cret").unwrap();
        }
        let secret = "0123456789abcdef0123456789abcdef";
        let config = good(&text, &[("LEGACY_JWT_SECRET", secret)]);
        assert!(
            !config.routes.routes().is_empty() || config.egress.is_some(),
            "{path:?}"
        );
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn the_schema_closes_every_table_and_requires_no_default() {
    fn closed(schema: &Value) {
        if let Some(table) = schema.as_object() {
            if table.contains_key("properties") {
                assert_eq!(table["additionalProperties"], false, "{table:?}");
            }
            assert!(!table.contains_key("$ref"));
            table.values().for_each(closed);
        }
        if let Some(list) = schema.as_array() {
            list.iter().for_each(closed);
        }
    }
    closed(schema());
    assert_eq!(schema().get("required"), None);
    assert_eq!(
        schema()["properties"]["jwks"]["properties"]["refresh_interval"]["default"],
        "30m"
    );
}
