//! `gatepost test`: the decisions of the engine that serves, the difference it tells, and its exit codes.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::gatepost::run;
use crate::support::issuer::Signer;

const SECRETS: [(&str, &str); 1] = [("LEGACY_JWT_SECRET", "0123456789abcdef0123456789abcdef")];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    String::from_utf8(std::fs::read(path).unwrap()).unwrap()
}

/// A folder with a config and files beside it.
struct Rules(tempfile::TempDir);

impl Rules {
    fn new(config: &str, files: &[(&str, &str)]) -> Self {
        let rules = Self(tempfile::tempdir().unwrap());
        rules.write("gatepost.toml", config);
        for (name, text) in files {
            rules.write(name, text);
        }
        rules
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Exit code, standard output, standard error; without the folder's name.
    fn test(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let folder = format!("{}/", self.0.path().display());
        let config = format!("{folder}gatepost.toml");
        let mut all = vec!["test".to_owned(), "--config".to_owned(), config];
        all.extend(arguments.iter().map(|argument| {
            let file = Path::new(argument).extension().is_some();
            let folder = if file { &*folder } else { "" };
            format!("{folder}{argument}")
        }));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let Output {
            status,
            stdout,
            stderr,
        } = run(&all, &SECRETS);
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&folder, "");
        (status.code(), text(stdout), text(stderr))
    }
}

/// The fenced blocks of that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    page.split("\n```")
        .filter_map(|part| Some(part.strip_prefix(language)?.strip_prefix('\n')?.to_owned()))
        .collect()
}

const EXAMPLE: &str = "config/examples/two-issuers.toml";

#[test]
fn the_shipped_cases_hold_and_the_page_shows_what_a_changed_rule_prints() {
    let config = read(EXAMPLE);
    let page = read("docs/testing-rules.md");
    let shown = blocks(&page, "toml").remove(0);
    let shipped = read("deploy/ci/cases.toml");
    let rules = Rules::new(
        &config,
        &[("shipped.toml", &shipped), ("cases.toml", &shown)],
    );
    assert_eq!(
        rules.test(&["shipped.toml", "cases.toml"]),
        (
            Some(0),
            "10 cases: 10 as expected, 0 not\n".to_owned(),
            String::new()
        )
    );

    let changed = config.replacen(r#"groups = ["ops"]"#, r#"groups = ["ops", "readers"]"#, 1);
    assert_ne!(changed, config);
    rules.write("gatepost.toml", &changed);
    let golden = format!("{}\n", blocks(&page, "text").remove(0));
    assert_eq!(
        rules.test(&["cases.toml"]),
        (Some(1), golden, String::new())
    );
    // every case of every file is judged
    let (code, said, _) = rules.test(&["shipped.toml", "cases.toml"]);
    assert_eq!(code, Some(1));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.ends_with("10 cases: 8 as expected, 2 not\n"), "{said}");
}

#[test]
fn the_action_shown_is_the_one_shipped_and_names_files_that_fit() {
    let action = read("deploy/ci/github-actions.yml");
    let shown = blocks(&read("docs/testing-rules.md"), "yaml").remove(0);
    assert!(action.contains(shown.trim_end()), "{shown}");
    let command = "test --config gatepost.toml cases.toml";
    assert!(action.contains(command));
    for (name, value) in SECRETS {
        assert!(action.contains(&format!("{name}: {value}")));
    }
}

const ROUTES: &str = r#"
[issuers.users]
kind = "jwt"
issuer = "https://users.example"
jwks_url = "http://127.0.0.1:1/keys"
audiences = ["orders"]

[upstreams.app]
url = "http://127.0.0.1:3000"

[[routes]]
name = "public"
path = "/public"
auth = "none"
upstream = "app"

[[routes]]
name = "mixed"
path = "/mixed"
require = { groups = ["g"] }
upstream = "app"
authorization = "strip"

[[routes]]
name = "open"
path = "/open"
optional = true
upstream = "app"

[[routes]]
name = "trial"
path = "/trial"
mode = "shadow"
require = { groups = ["g"] }
upstream = "app"

[[routes]]
name = "acting"
path = "/acting"
on_behalf_of = { clients = ["batch"], tenants = ["acme"] }
upstream = "app"

[[routes]]
name = "shared"
path = "/shared"
cors = { origins = ["https://pages.example"] }
upstream = "app"
"#;

/// One case: the lines after its name.
fn case(name: &str, rest: &str) -> String {
    format!("[[cases]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn every_kind_of_route_is_judged_as_it_is_served() {
    let acting = |headers: &str, rest: &str| {
        format!(
            "request = {{ path = \"/acting\", headers = {{ {headers} }} }}\n\
             principal = {{ issuer = \"users\", kind = \"service\", client_id = \"batch\" }}\n{rest}"
        )
    };
    let cases = [
        case(
            "public",
            "request = { path = \"/public\" }\nexpect = \"allow\"\nroute = \"public\"\nheaders = { x-user-id = \"\" }",
        ),
        case(
            "public, spoofed",
            "request = { path = \"/public\", headers = { x-user-id = \"eve\", x-b = \"1\" } }\nexpect = \"allow\"\nheaders = { x-user-id = \"\", x-b = \"1\" }",
        ),
        case(
            "anonymous",
            "request = { path = \"/open\" }\nexpect = \"allow\"",
        ),
        case(
            "known, but not in it",
            "request = { path = \"/mixed\" }\nprincipal = { issuer = \"users\" }\nexpect = \"deny:group_missing\"",
        ),
        case(
            "elsewhere",
            "request = { path = \"/mixed\" }\nprincipal = { issuer = \"users\", groups = \"unresolved\" }\nexpect = \"deny:groups_unresolved\"",
        ),
        case(
            "a second credential",
            "request = { path = \"/mixed\", headers = { authorization = \"Bearer a.b.c\" } }\nprincipal = { issuer = \"users\", groups = [\"g\"] }\nexpect = \"deny:credential_ambiguous\"",
        ),
        case(
            "a certificate where none is taken",
            "request = { path = \"/shared\" }\nprincipal = { issuer = \"mtls\" }\nexpect = \"deny:credential_missing\"",
        ),
        case(
            "ambiguous",
            "request = { path = \"/a//b\" }\nexpect = \"deny:path_ambiguous\"",
        ),
        case(
            "no host",
            "request = { path = \"/public\", host = \"a b\" }\nexpect = \"deny:host_invalid\"",
        ),
        case(
            "nowhere",
            "request = { path = \"/nowhere\" }\nexpect = \"deny:no_route\"",
        ),
        case(
            "a preflight",
            "request = { path = \"/shared\", method = \"OPTIONS\", headers = { origin = \"https://pages.example\", access-control-request-method = \"GET\" } }\nexpect = \"allow\"\nroute = \"shared\"",
        ),
        case(
            "on behalf",
            &acting(
                "x-user-id = \"ada\"",
                "expect = \"allow\"\nheaders = { x-user-id = \"ada\", x-client-id = \"batch\" }",
            ),
        ),
        case(
            "on behalf, a foreign tenant",
            &acting(
                "x-user-id = \"ada\", x-tenant-id = \"evil\"",
                "expect = \"deny:client_refused\"",
            ),
        ),
        // judged as if enforced, and said so
        case(
            "in trial",
            "request = { path = \"/trial\" }\nprincipal = { issuer = \"users\" }\nexpect = \"deny:group_missing\"",
        ),
    ];
    let rules = Rules::new(ROUTES, &[("cases.toml", &cases.concat())]);
    let (code, said, wrong) = rules.test(&["cases.toml"]);
    assert_eq!((code, &*wrong), (Some(0), ""), "{said}");
    let [trial, count] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}")
    };
    assert!(
        trial.ends_with(
            ": in trial: deny:group_missing, as expected; route \"trial\"; rule groups: wants any of [\"g\"], \
             has []; not enforced yet: the route is in shadow mode"
        ),
        "{trial}"
    );
    assert_eq!(count, "14 cases: 14 as expected, 0 not");
}

#[test]
fn what_differs_is_told_route_and_headers_too_and_in_json() {
    let cases = [
        case(
            "route",
            "request = { path = \"/public\" }\nexpect = \"allow\"\nroute = \"mixed\"",
        ),
        case(
            "header",
            "request = { path = \"/mixed\" }\nprincipal = { issuer = \"users\", user_id = \"bob\", groups = [\"g\"] }\n\
             expect = \"allow\"\nheaders = { x-user-id = \"ada\", x-tenant-id = \"acme\" }",
        ),
        case(
            "good",
            "request = { path = \"/shared\" }\nexpect = \"deny:credential_missing\"",
        ),
    ];
    let rules = Rules::new(ROUTES, &[("cases.toml", &cases.concat())]);
    let (code, said, _) = rules.test(&["cases.toml"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "cases.toml:1: route: expected route \"mixed\", got \"public\"; route \"public\"; access: public route\n\
         cases.toml:6: header: expected x-tenant-id: \"acme\", got nothing, expected x-user-id: \"ada\", got \"bob\"; \
         route \"mixed\"; rule groups: wants any of [\"g\"], has [\"g\"]\n\
         3 cases: 1 as expected, 2 not\n"
    );
    let (code, said, _) = rules.test(&["--format", "json", "cases.toml"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(
        (&report["ok"], &report["passed"], &report["failed"]),
        (&json!(false), &json!(1), &json!(2))
    );
    assert_eq!(
        report["cases"][2],
        json!({
            "file": "cases.toml",
            "line": 12,
            "name": "good",
            "ok": true,
            "expected": "deny:credential_missing",
            "decided": "deny:credential_missing",
            "route": "shared",
            "ground": "credential: no bearer token",
            "shadow": false,
            "differences": [],
        })
    );
}

#[test]
fn a_token_is_verified_with_the_keys_that_are_given_and_never_passes_without() {
    let signer = Signer::new("k1");
    let now = 1_795_316_400;
    let token = signer.mint(&json!({
        "iss": "https://users.example", "aud": "orders", "sub": "ada", "iat": now, "exp": now + 60, "groups": ["g"],
    }));
    let top = "jwks = \"keys.json\"\nnow = \"2026-11-22T03:00:00Z\"\n";
    let cases = [
        case("good", "request = { path = \"/mixed\" }\ntoken_file = \"ada.jwt\"\nexpect = \"allow\"\nheaders = { x-user-id = \"ada\", authorization = \"\" }"),
        case("later", "now = \"2026-11-23T03:00:00Z\"\nrequest = { path = \"/mixed\" }\ntoken_file = \"ada.jwt\"\nexpect = \"deny:token_expired\""),
        case("inline", &format!("request = {{ path = \"/mixed\" }}\ntoken = \"{token}\"\nexpect = \"deny:group_missing\"")),
    ]
    .concat();
    let keys = json!({ "keys": [signer.jwk()] }).to_string();
    let rules = Rules::new(
        ROUTES,
        &[
            ("cases.toml", &format!("{top}{cases}")),
            ("keys.json", &keys),
            ("ada.jwt", &format!("{token}\n")),
        ],
    );
    let (code, said, wrong) = rules.test(&["cases.toml"]);
    assert_eq!((code, &*wrong), (Some(1), ""), "{said}");
    assert!(
        said.contains("cases.toml:15: inline: expected deny:group_missing, got allow; "),
        "{said}"
    );
    assert!(said.ends_with("3 cases: 2 as expected, 1 not\n"), "{said}");

    // without keys nothing is decided, not even where shadow mode would let the request through
    let trial = case(
        "trial",
        "request = { path = \"/trial\" }\ntoken_file = \"ada.jwt\"\nexpect = \"allow\"",
    );
    rules.write("cases.toml", &format!("{cases}{trial}"));
    let (code, said, wrong) = rules.test(&["cases.toml"]);
    assert_eq!((code, &*said), (Some(78), ""), "{wrong}");
    assert!(wrong.ends_with("4 errors\n"), "{wrong}");
    assert!(
        wrong.starts_with(
            "cases.toml:1:1: cases[0].token_file: \"good\" cannot be decided without keys (issuer \"users\": \
             they are at the issuer)\n  fix: write jwks = \"keys.json\" at the top of the file"
        ),
        "{wrong}"
    );
    for part in token.split('.') {
        assert!(
            !said.contains(part) && !wrong.contains(part),
            "a token is printed"
        );
    }
}

#[test]
fn what_cannot_be_used_is_78_every_error_at_once() {
    let rules = Rules::new(
        ROUTES,
        &[("bad.toml", "[[cases]]\nnam = \"a\"\n"), ("empty.toml", "")],
    );
    let (code, said, wrong) = rules.test(&["bad.toml", "empty.toml", "absent.toml"]);
    assert_eq!((code, &*said), (Some(78), ""));
    for part in [
        "bad.toml:2:1: cases[0].nam: unknown key\n  fix: did you mean `name`?",
        "cases[0].request: missing",
        "cases[0].expect: missing",
        "empty.toml: cases: no cases",
        "absent.toml: cannot read it",
    ] {
        assert!(wrong.contains(part), "{part}\n{wrong}");
    }
    let (code, said, _) = rules.test(&["--format", "json", "empty.toml"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["ok"]), (Some(78), &json!(false)));
    assert_eq!(report["errors"][0]["key"], "cases");

    rules.write("gatepost.toml", "[ingres]\n");
    let (code, _, wrong) = rules.test(&["empty.toml"]);
    assert_eq!(code, Some(78));
    assert!(wrong.contains("ingres: unknown key"), "{wrong}");
    assert_eq!(
        run(&["test"], &[]).status.code(),
        Some(2),
        "no file is no test"
    );
}
