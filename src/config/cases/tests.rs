use std::path::Path;

use super::*;
use crate::authn::PrincipalKind;
use crate::authn::principal::Names;
use crate::config::{Sources, load};

fn config() -> Config {
    let text = "\
[issuers.staff]
kind = \"jwt\"
issuer = \"https://staff.example\"
jwks_url = \"https://staff.example/keys\"
audiences = \"any\"
[[routes]]
name = \"orders\"
path = \"/orders/**\"
[forward_auth]
trusted_proxies = [\"10.0.0.0/8\"]
";
    load(&Sources {
        file: Some(file(text)),
        ..Sources::default()
    })
    .unwrap()
}

fn file(text: &str) -> SourceFile {
    SourceFile {
        name: "cases.toml".to_owned(),
        path: Some(PathBuf::from("rules/cases.toml")),
        text: text.to_owned(),
    }
}

fn good(text: &str) -> CaseFile {
    CaseFile::load(&file(text), &config()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Each error as `line:column: key: message; fix`.
fn bad(text: &str) -> Vec<String> {
    let errors = CaseFile::load(&file(text), &config()).unwrap_err().0;
    errors
        .iter()
        .map(|error| {
            let (line, column) = (error.line.unwrap_or(0), error.column.unwrap_or(0));
            let (key, message, fix) = (&error.key, &error.message, &error.fix);
            format!("{line}:{column}: {key}: {message}; {fix}")
        })
        .collect()
}

#[test]
fn a_case_is_read_with_its_defaults() {
    let file = good(
        "jwks = \"keys.json\"\nnow = \"2026-11-22T03:00:00Z\"\n\
         [[cases]]\nname = \"a\"\nrequest = { path = \"/orders/1\" }\nexpect = \"allow\"\n\
         [[cases]]\nname = \"b\"\nnow = \"7\"\nexpect = \"deny:group_missing\"\n\
         request = { path = \"/\", method = \"POST\", host = \"h\", headers = { x-a = [\"1\", \"2\"] } }\n\
         principal = { issuer = \"staff\", groups = [\"g\"], roles = \"unresolved\", claims = { deep = { plan = 7 } } }\n\
         [[cases]]\nname = \"c\"\nrequest = { path = \"/\" }\nexpect = \"allow\"\n\
         principal = { issuer = \"mtls\", user_id = \"CN=orders\" }\n",
    );
    assert_eq!(file.jwks.as_deref(), Some(Path::new("rules/keys.json")));
    let [a, b, c] = &file.cases[..] else {
        panic!("{file:?}")
    };
    assert_eq!((&*a.host, &a.method), ("localhost", &Method::GET));
    assert_eq!((a.place, a.now), ((3, 1), Some(UnixTime(1_795_316_400))));
    assert!(matches!(a.credential, Credential::None));
    assert_eq!(
        (b.expected, b.now),
        (Expected::Deny("group_missing"), Some(UnixTime(7)))
    );
    assert_eq!(b.headers.get_all("x-a").iter().count(), 2);
    let Credential::Principal(somebody) = &b.credential else {
        panic!("{b:?}")
    };
    assert_eq!(
        (&*somebody.user_id, somebody.kind),
        ("test-user", PrincipalKind::User)
    );
    assert_eq!(somebody.groups, Names::Known(vec!["g".to_owned()]));
    assert_eq!(somebody.roles, Names::Unresolved);
    assert_eq!(somebody.permissions, Names::Known(vec![]));
    assert_eq!(somebody.claims.find("deep").unwrap().to_value()["plan"], 7);
    let Credential::Principal(service) = &c.credential else {
        panic!("{c:?}")
    };
    // as a certificate's principal is
    assert_eq!(service.kind, PrincipalKind::Service);
    assert_eq!(service.client_id.as_deref(), Some("CN=orders"));
    assert_eq!(service.groups, Names::Unresolved);
}

#[test]
fn a_file_that_tests_nothing_is_an_error() {
    let said = "no cases: this would test nothing; write [[cases]] with name, request and expect";
    assert_eq!(bad(""), [format!("0:0: cases: {said}")]);
    assert_eq!(bad("cases = []\n"), [format!("1:1: cases: {said}")]);
    assert_eq!(bad("now = \"7\"\n"), [format!("0:0: cases: {said}")]);
    assert_eq!(
        bad("[[case]]\nname = \"a\"\n"),
        ["1:3: case: unknown key; did you mean `cases`?"]
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_fix() {
    let text = "\
nwo = \"7\"
[[cases]]
name = \"a\"
request = { path = \"/\", methd = \"POST\" }
expect = \"deny:group_mising\"
[[cases]]
request = { method = \"GET\" }
expect = \"perhaps\"
[[cases]]
name = \"c\"
request = { path = \"/\" }
principal = { issuer = \"staf\" }
expect = \"allow\"
[[cases]]
name = \"d\"
request = { path = \"/\" }
principal = { issuer = \"staff\" }
token = \"t\"
expect = \"allow\"
[[cases]]
name = \"e\"
request = { path = \"/\" }
principal = { issuer = \"mtls\", groups = [\"g\"] }
expect = \"deny:group_missing\"
headers = { x-user-id = \"u\" }
[[cases]]
name = \"f\"
now = 2026-11-22T03:00:00Z
request = { path = \"/\", headers = { \"x y\" = \"1\" } }
expect = \"deny:keys_unavailable\"
";
    let found = bad(text);
    let expected = [
        "1:1: nwo: unknown key; known here: jwks, now, cases",
        "4:25: cases[0].request.methd: unknown key; did you mean `method`?",
        "5:1: cases[0].expect: \"group_mising\" is no reason to deny: did you mean `group_missing`?; write it like \"deny:group_missing\"",
        "6:1: cases[1].name: missing; write name = \"name\"",
        "7:1: cases[1].request.path: missing; write path = \"/orders/17\"",
        "8:1: cases[1].expect: \"perhaps\" is neither `allow` nor `deny:REASON`; write it like \"deny:group_missing\"",
        "12:15: cases[2].principal.issuer: the config has no issuer \"staf\"; did you mean `staff`?",
        "14:1: cases[3]: one credential only; keep one of principal, token, token_file",
        "23:32: cases[4].principal.groups: a client certificate tells none; remove it",
        "25:1: cases[4].headers: the upstream is told nothing of what is refused; remove it, or expect \"allow\"",
        "28:1: cases[5].now: expected a string, found a date; write it like \"2026-11-22T03:00:00Z\"",
        "29:37: cases[5].request.headers.\"x y\": \"x y\" is not a header name; write it like x-user-id",
        "30:1: cases[5].expect: \"keys_unavailable\" is no reason to deny (docs/reason-codes.md); write it like \"deny:group_missing\"",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_token_is_never_repeated() {
    let text = "[[cases]]\nname = \"a\"\ntoken = \"s3cret\\n\"\nrequest = { path = \"/\" }\nexpect = \"allow\"\n";
    let said = bad(text).join("\n");
    assert!(
        said.contains("cases[0].token") && !said.contains("s3cret"),
        "{said}"
    );
    let kept = format!("{:?}", good(&text.replace("\\n", "")));
    assert!(!kept.contains("s3cret"), "{kept}");
}
