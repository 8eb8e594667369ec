//! Issuers that are asked about their tokens.

use super::*;
use crate::authn::issuer::Accepted;
use crate::config::settings::Warning;

const ASKED: &str = r#"
[issuers.opaque]
kind = "introspection"
issuer = "https://op.example"
audiences = ["app"]
client_id = "gatepost"
client_secret = { env = "S" }
"#;
const REMOTE: &str =
    "[issuers.custom]\nkind = \"remote\"\nurl = \"https://auth.example/validate\"\n";

fn file(route: &str, more: &str) -> String {
    format!("{SMALLEST}{route}\n{ASKED}{more}\n{REMOTE}")
}

#[test]
fn both_kinds_say_whom_to_ask_and_for_how_long_an_answer_holds() {
    let text = file("issuers = [\"users\", \"opaque\"]", "cache = \"30s\"");
    let config = good(&text, &[("S", "s3cret")]);
    let KeyLocation::Asked(asked) = &config.issuers[1].keys else {
        panic!("asked");
    };
    assert_eq!(asked.protocol.word(), "introspection");
    let url = "https://op.example/.well-known/openid-configuration";
    assert_eq!(asked.url().as_str(), url);
    assert_eq!(
        (asked.cache.as_secs(), asked.negative_cache.as_secs()),
        (30, 10)
    );
    let opaque = config.issuers[1].issuer.opaque().unwrap();
    assert_eq!(
        opaque.audiences,
        Some(Accepted::OneOf(vec!["app".to_owned()]))
    );
    assert!(!opaque.accept_jwt);
    let KeyLocation::Asked(asked) = &config.issuers[2].keys else {
        panic!("asked");
    };
    let TokenProtocol::Remote(remote) = &asked.protocol else {
        panic!("remote");
    };
    assert_eq!(
        (&remote.method, &remote.handed_over),
        (&http::Method::GET, &HandedOver::Authorization)
    );
}

#[test]
fn what_could_not_work_is_a_mistake_of_its_key() {
    let one = "issuers = [\"opaque\"]";
    let here = file(one, "");
    let replaced = |from: &str, to: &str| here.replace(from, to);
    for (text, key) in [
        (
            file("issuers = [\"opaque\", \"custom\"]", ""),
            "routes[0].issuers[1]",
        ),
        (replaced("audiences = [\"app\"]", ""), "issuers.opaque"),
        (
            replaced("issuer = \"https://op.example\"", ""),
            "issuers.opaque",
        ),
        (
            replaced("client_secret = { env = \"S\" }", ""),
            "issuers.opaque.client_secret",
        ),
        (
            replaced("https://op.example", "http://op.example"),
            "issuers.opaque.issuer",
        ),
        (
            replaced("https://auth.example", "http://auth.example"),
            "issuers.custom.url",
        ),
        (
            file(one, "algorithms = [\"RS256\"]"),
            "issuers.opaque.algorithms",
        ),
        (file(one, "typ = [\"at+jwt\"]"), "issuers.opaque.typ"),
        (file(one, "required = true"), "issuers.opaque.required"),
        (file(one, "cache = \"500ms\""), "issuers.opaque.cache"),
        (
            file(one, "negative_cache = \"1500ms\""),
            "issuers.opaque.negative_cache",
        ),
        (file(one, "timeout = \"11s\""), "issuers.opaque.timeout"),
        (
            file(one, "")
                + "[issuers.lb]\nkind = \"alb\"\nregion = \"eu-west-1\"\nissuer = \"https://op.example\"\n\
             client_ids = [\"c\"]\naccess_token = \"custom\"\n\
             signer = \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/a/1\"\n",
            "issuers.lb.access_token",
        ),
        (
            file(one, "") + "method = \"POST\"\ntoken = { json = \"a\", form = \"b\" }\n",
            "issuers.custom.token",
        ),
        (
            file(one, "") + "method = \"GET\"\ntoken = { json = \"a\" }\n",
            "issuers.custom.method",
        ),
        (
            file(one, "") + "method = \"PUT\"\n",
            "issuers.custom.method",
        ),
    ] {
        let errors = bad(&text, &[("S", "s3cret")]);
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, [key], "{text}\n{}", ConfigErrors(errors.clone()));
    }
}

#[test]
fn what_lets_in_more_than_is_meant_is_warned_of() {
    let of = |more: &str| {
        let text = file("issuers = [\"opaque\"]", "").replace("audiences = [\"app\"]", more);
        let warnings = good(&text, &[("S", "s3cret")]).warnings;
        let of_it = |warning: &&Warning| warning.key == "issuers.opaque";
        warnings.iter().filter(of_it).count()
    };
    assert_eq!(of("audiences = [\"app\"]"), 0);
    assert_eq!(of("client_ids = [\"app\"]"), 1);
}
