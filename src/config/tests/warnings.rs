//! What is legal and warned of.

use super::*;

const BASE: &str = r#"
[issuers.users]
kind = "cognito"
user_pool_id = "us-east-1_ABC123DEF"
client_ids = ["1example23456789"]
[upstreams.app]
url = "http://127.0.0.1:3000"
[upstreams.other]
url = "http://127.0.0.1:3001"
"#;

/// Warnings of the base file with these routes: `name path [keys]`.
#[track_caller]
fn warned(routes: &[(&str, &str, &str)]) -> Vec<String> {
    let mut text = BASE.to_owned();
    for (name, path, keys) in routes {
        let upstream = if keys.contains("upstream") {
            ""
        } else {
            "upstream = \"app\""
        };
        text.extend([
            "[[routes]]\n",
            &format!("name = \"{name}\"\npath = \"{path}\"\n{upstream}\n"),
            keys,
            "\n",
        ]);
    }
    good(&text, &[])
        .warnings
        .into_iter()
        .map(|warning| format!("{}: {}", warning.key, warning.message))
        .collect()
}

const PUBLIC: &str = "auth = \"none\"";
const ADMINS: &str = "require = { groups = [\"admin\"] }";

#[test]
fn usual_tables_of_routes_are_not_warned_of() {
    for routes in [
        vec![("all", "/**", ""), ("health", "/healthz", PUBLIC)],
        vec![("all", "/**", PUBLIC), ("admin", "/admin/**", ADMINS)],
        vec![
            ("all", "/**", ""),
            ("static", "/static/**", PUBLIC),
            ("admin", "/admin/**", ADMINS),
        ],
        vec![
            ("read", "/orders/{id}", "methods = [\"GET\"]"),
            (
                "write",
                "/orders/{id}",
                "methods = [\"PUT\"]\nrequire = { groups = [\"a\"] }",
            ),
        ],
        vec![
            ("a", "/a/**", "hosts = [\"a.example\"]"),
            ("b", "/a/**", "hosts = [\"b.example\"]"),
        ],
        vec![
            ("a", "/a/**", "hosts = [\"a.example\"]"),
            (
                "b",
                "/a/**",
                "auth = \"none\"\nhosts = [\"b.example\"]\nupstream = \"other\"",
            ),
        ],
    ] {
        assert_eq!(warned(&routes), Vec::<String>::new(), "{routes:?}");
    }
}

#[test]
fn an_unreachable_route_is_warned_of() {
    assert_eq!(
        warned(&[
            ("a", "/a/{id}", "methods = [\"GET\"]"),
            ("b", "/a/*", "methods = [\"PUT\"]")
        ]),
        [
            "routes[1]: route b is unreachable: route a is more specific and matches every path of it"
        ]
    );
    assert_eq!(
        warned(&[
            ("a", "/a/b", ""),
            ("b", "/a", "upstream = \"other\"\nhosts = [\"x.example\"]")
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn a_public_hole_in_a_protected_area_is_warned_of() {
    assert_eq!(
        warned(&[
            ("admin", "/admin/**", ADMINS),
            ("help", "/admin/help/**", PUBLIC)
        ]),
        ["routes[1]: route help is public, inside the protected route admin"]
    );
}

#[test]
fn another_host_or_prefix_to_the_same_paths_is_warned_of() {
    let beside = "routes[1]: route open reaches the same upstream paths as route admin under a weaker rule, by another host or prefix (clients choose Host)";
    let on_a = "hosts = [\"a.example\"]\nrequire = { groups = [\"admin\"] }";
    for open in [PUBLIC, "", "optional = true"] {
        assert_eq!(
            warned(&[("admin", "/admin/**", on_a), ("open", "/**", open)]),
            [beside],
            "{open}"
        );
    }
    assert_eq!(
        warned(&[
            ("admin", "/admin/**", ADMINS),
            (
                "open",
                "/pub/**",
                "auth = \"none\"\nstrip_prefix = \"/pub\""
            ),
        ]),
        [beside]
    );
    let users_on_a = "hosts = [\"a.example\"]";
    assert_eq!(
        warned(&[
            ("admin", "/admin/**", users_on_a),
            ("open", "/**", "optional = true"),
        ]),
        [beside]
    );
    // as strong, or for other methods: nothing to say
    assert_eq!(
        warned(&[("admin", "/admin/**", on_a), ("same", "/**", ADMINS)]),
        Vec::<String>::new()
    );
    assert_eq!(
        warned(&[
            (
                "admin",
                "/admin/**",
                &format!("{on_a}\nmethods = [\"PUT\"]")
            ),
            ("open", "/**", "methods = [\"GET\"]"),
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn shadow_mode_is_warned_of_and_weaker_than_any_rule() {
    let loud = "routes[1].mode: route open is in shadow mode and protects nothing: who would be refused is let through and noted";
    let shadow = &format!("{ADMINS}\nmode = \"shadow\"");
    assert_eq!(
        warned(&[("all", "/**", ""), ("open", "/admin/**", shadow)]),
        [loud]
    );
    let on_a = &format!("hosts = [\"a.example\"]\n{ADMINS}");
    let beside = "routes[1]: route open reaches the same upstream paths as route admin under a weaker rule, by another host or prefix (clients choose Host)";
    let mut both = warned(&[("admin", "/admin/**", on_a), ("open", "/admin/**", shadow)]);
    both.sort();
    assert_eq!(both, [loud, beside]);
    assert_eq!(
        warned(&[("all", "/**", "mode = \"enforce\"")]),
        Vec::<String>::new()
    );
}

#[test]
fn a_route_that_answers_nobody_is_warned_of() {
    let text = format!("{SMALLEST}[[routes]]\npath = \"/x\"\n");
    let keys: Vec<_> = good(&text, &[])
        .warnings
        .into_iter()
        .map(|w| w.key)
        .collect();
    assert_eq!(keys, ["routes[1]"]);
}

#[test]
fn settings_that_weaken_are_warned_of() {
    for (text, key) in [
        (
            SMALLEST.replace("[\"1example23456789\"]", "\"any\""),
            "issuers.users.client_ids",
        ),
        (
            SMALLEST.replace(
                "[upstreams.app]",
                "claims = { user_id = \"email\" }\n[upstreams.app]",
            ),
            "issuers.users.claims.user_id",
        ),
        (
            SMALLEST.replace("[upstreams.app]", "leeway = \"1h\"\n[upstreams.app]"),
            "issuers.users.leeway",
        ),
        (
            SMALLEST.replace(
                "[upstreams.app]",
                "insecure_http = true\njwks_url = \"http://keys.example\"\n[upstreams.app]",
            ),
            "issuers.users.jwks_url",
        ),
        (
            SMALLEST.replace("127.0.0.1", "app.example"),
            "upstreams.app.url",
        ),
        (
            format!(
                "{SMALLEST}[egress]\n[credentials.k]\nkind = \"pass_through\"\n[[egress_targets]]\nname = \"m\"\nurl = \"https://metadata.test\"\naddresses = [\"10.0.0.1\", \"169.254.169.254\"]\ncredential = \"k\"\n"
            ),
            "egress_targets[0]",
        ),
        (
            format!("{SMALLEST}[egress]\nlisten = \"0.0.0.0:7402\"\nallow_non_loopback = true\n"),
            "egress.listen",
        ),
        (
            format!(
                "{SMALLEST}[credentials.a]\nkind = \"static_token\"\ntoken = {{ insecure_literal = \"x\" }}\n"
            ),
            "credentials.a.token",
        ),
    ] {
        let keys: Vec<_> = good(&text, &[])
            .warnings
            .into_iter()
            .map(|w| w.key)
            .collect();
        assert_eq!(keys, [key], "{text}");
    }
}
