//! Load balancers as issuers, and the routes that believe them.

use super::*;
use crate::authn::alb;
use crate::authn::credential::Kind;
use crate::authn::issuer::Preset;
use crate::authz::route::Access;

const EDGE: &str = r#"
[issuers.edge]
kind = "alb"
region = "us-east-1"
issuer = "https://issuer.example"
client_ids = ["c"]
signer = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188"
"#;

/// [`SMALLEST`] whose route has these keys too, with [`EDGE`] and these further keys of it.
fn file(route: &str, more: &str) -> String {
    format!("{SMALLEST}{route}\n{EDGE}{more}\n")
}

#[test]
fn a_load_balancer_says_where_its_keys_are_and_whose_access_token_counts() {
    let config = good(&file("auth = [\"alb\"]", "access_token = \"users\""), &[]);
    let edge = &config.issuers[1];
    let url = alb::keys_url("us-east-1").unwrap();
    assert_eq!(
        edge.keys,
        KeyLocation::PemByKeyId(Url::parse(&url).unwrap())
    );
    let Preset::Alb { access_token, .. } = &edge.issuer.preset else {
        panic!("{edge:?}");
    };
    assert_eq!(access_token.as_deref(), Some("users"));
    let Access::Protected(asked) = &config.routes.routes()[0].access else {
        panic!("protected");
    };
    assert_eq!(
        (&asked.accepts, &asked.issuers),
        (&vec![Kind::Alb], &vec![1])
    );
    let local = file("auth = [\"alb\"]", "keys_url = \"http://127.0.0.1:9/keys\"");
    assert!(good(&local, &[]).warnings.is_empty());
}

#[test]
fn one_of_each_kind_needs_no_name_unless_both_could_be_meant() {
    for route in ["", "auth = [\"bearer\"]", "auth = [\"alb\"]"] {
        good(&file(route, ""), &[]);
    }
    let missing = bad(&file("auth = [\"alb\", \"bearer\"]", ""), &[]);
    assert_eq!(missing[0].key, "routes[0].issuers");
    good(
        &file(
            "auth = [\"alb\", \"bearer\"]\nissuers = [\"edge\", \"users\"]",
            "",
        ),
        &[],
    );
}

#[test]
fn what_could_never_work_is_a_mistake_of_its_key() {
    for (route, more, expected) in [
        (
            "issuers = [\"edge\"]",
            "",
            vec![
                "routes[0].issuers[0]: this issuer proves by \"alb\", which this route does not accept",
                "routes[0].issuers: none of these proves by \"bearer\"",
            ],
        ),
        (
            "auth = [\"alb\"]\nissuers = [\"users\"]",
            "",
            vec![
                "routes[0].issuers[0]: this issuer proves by \"bearer\", which this route does not accept",
                "routes[0].issuers: none of these proves by \"alb\"",
            ],
        ),
        (
            "auth = [\"alb\", \"bearer\"]\nissuers = [\"edge\"]",
            "",
            vec!["routes[0].issuers: none of these proves by \"bearer\""],
        ),
        (
            "auth = [\"alb\"]\ntoken_from = [\"cookie:t\"]",
            "",
            vec!["routes[0].token_from: this route reads no bearer token"],
        ),
        (
            "",
            "access_token = \"nobody\"",
            vec!["issuers.edge.access_token: there is no [issuers.nobody]"],
        ),
        (
            "",
            "access_token = \"edge\"",
            vec!["issuers.edge.access_token: a load balancer issues no access tokens"],
        ),
        (
            "",
            "access_token = \"users\"\nclaims = { groups = \"g\" }",
            vec!["issuers.edge.claims.groups: the access token of [issuers.users] tells these"],
        ),
        (
            "",
            "algorithms = [\"RS256\"]",
            vec!["issuers.edge.algorithms: a load balancer signs by ES256"],
        ),
        (
            "",
            "keys_url = \"http://keys.example\"",
            vec![
                "issuers.edge.keys_url: plain http:// to another host carries keys or credentials in the clear",
            ],
        ),
        (
            "",
            "keys_url = \"https://keys.example?x\"",
            vec!["issuers.edge.keys_url: a URL here has neither query nor fragment"],
        ),
    ] {
        let mut errors: Vec<String> = bad(&file(route, more), &[])
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect();
        errors.sort_by_key(|error| error.contains("none of these"));
        assert_eq!(errors, expected, "{route} {more}");
    }
    let elsewhere = file("", "").replace("region = \"us-east-1\"", "region = \"eu-west-1\"");
    assert_eq!(bad(&elsewhere, &[])[0].key, "issuers.edge.signer");
    let none = file("", "").replace("region = \"us-east-1\"", "region = \"evil.example/\"");
    assert_eq!(bad(&none, &[])[0].key, "issuers.edge.region");
    let nobody = format!("{SMALLEST}auth = [\"alb\"]\n");
    assert_eq!(
        bad(&nobody, &[])[0].message,
        "a protected route needs an issuer of kind \"alb\", and none is configured"
    );
}
