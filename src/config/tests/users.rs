//! Egress credentials that are made from a user's: `token_exchange`.

use super::*;

/// An egress target whose credential is `credential`, without ingress.
fn egress(keys: &str) -> String {
    format!(
        "[egress]\n\
         [credentials.service]\n\
         kind = \"client_credentials\"\n\
         token_url = \"https://login.example/token\"\n\
         client_id = \"c\"\n\
         client_secret = {{ env = \"SECRET\" }}\n\
         [credentials.own]\n\
         kind = \"pass_through\"\n\
         [credentials.user]\n\
         kind = \"token_exchange\"\n\
         client_id = \"c\"\n\
         client_secret = {{ env = \"SECRET\" }}\n\
         {keys}\n\
         [[egress_targets]]\n\
         name = \"orders\"\n\
         url = \"https://orders.example\"\n\
         credential = \"user\"\n"
    )
}

const SECRET: &[(&str, &str)] = &[("SECRET", "s")];
const RFC: &str = "token_url = \"https://login.example/token\"";
const ENTRA: &str = "token_url = \"https://login.microsoftonline.com/t/oauth2/v2.0/token\"";

#[track_caller]
fn exchange(keys: &str) -> TokenExchange {
    let text = format!("{SMALLEST}{}", egress(keys));
    let config = good(&text, SECRET);
    let warnings: Vec<_> = config.warnings.iter().map(|w| &w.key).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    let source = config.credentials.into_iter().find(|s| *s.name == *"user");
    let CredentialKind::TokenExchange(definition) = source.unwrap().kind else {
        panic!("another kind");
    };
    *definition
}

#[test]
fn an_exchange_asks_as_rfc_8693_says_and_at_entra_on_behalf_of() {
    let plain = exchange(RFC);
    assert_eq!(plain.max_subjects, 10_000);
    assert_eq!(
        plain.profile,
        ExchangeProfile::Rfc8693(Rfc8693 {
            subject_token_type: ACCESS_TOKEN_TYPE.to_owned(),
            requested_token_type: None,
            audiences: vec![],
            resources: vec![],
            actor: None,
        })
    );
    let full = exchange(&format!(
        "{RFC}\naudience = [\"a\", \"b\"]\nresource = \"urn:r\"\nactor = \"service\"\n\
         subject_token_type = \"id_token\"\nrequested_token_type = \"urn:acme:t\"\nmax_subjects = 7"
    ));
    assert_eq!(full.max_subjects, 7);
    assert_eq!(
        full.profile,
        ExchangeProfile::Rfc8693(Rfc8693 {
            subject_token_type: "urn:ietf:params:oauth:token-type:id_token".to_owned(),
            requested_token_type: Some("urn:acme:t".to_owned()),
            audiences: vec!["a".to_owned(), "b".to_owned()],
            resources: vec!["urn:r".to_owned()],
            actor: Some("service".into()),
        })
    );
    let scopes = "scopes = [\"api://billing/.default\"]";
    for keys in [
        format!("{ENTRA}\n{scopes}"),
        format!("tenant_id = \"11111111-2222-3333-4444-555555555555\"\n{scopes}"),
        format!("{RFC}\nprofile = \"entra_on_behalf_of\"\n{scopes}"),
    ] {
        let found = exchange(&keys);
        assert_eq!(found.profile, ExchangeProfile::EntraOnBehalfOf, "{keys}");
    }
}

#[test]
fn an_exchange_that_cannot_work_is_refused() {
    for (keys, expected) in [
        (
            format!("{RFC}\nactor = \"nobody\""),
            "credentials.user.actor: there is no [credentials.nobody]",
        ),
        (
            format!("{RFC}\nactor = \"own\""),
            "credentials.user.actor: own has no token of its own",
        ),
        (
            format!("{RFC}\nactor = \"user\""),
            "credentials.user.actor: user has no token of its own",
        ),
        (
            format!("{RFC}\nrequested_token_type = \"refresh_token\""),
            "credentials.user.requested_token_type: such a token cannot be sent as a bearer token",
        ),
        (
            format!("{RFC}\nsubject_token_type = \"acess_token\""),
            "credentials.user.subject_token_type: \"acess_token\" is neither a URI nor one of \
             access_token, id_token, jwt, refresh_token, saml1, saml2",
        ),
        (
            format!("{RFC}\nmax_subjects = 0"),
            "credentials.user.max_subjects: out of range",
        ),
        (
            ENTRA.to_owned(),
            "credentials.user.scopes: missing: Entra wants to know what the token is for",
        ),
        (
            format!("{ENTRA}\nscopes = [\"a\"]\nprofile = \"rfc8693\""),
            "credentials.user.profile: Entra does not know RFC 8693",
        ),
        (
            format!("{ENTRA}\nscopes = [\"a\"]\naudience = \"a\""),
            "credentials.user.audience: on-behalf-of has no such parameter",
        ),
    ] {
        let text = format!("{SMALLEST}{}", egress(&keys));
        let errors: Vec<_> = bad(&text, SECRET)
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect();
        assert_eq!(errors, [expected], "{keys}");
    }
}

#[test]
fn a_call_for_a_user_without_ingress_is_warned_of() {
    let warned = |text: &str| -> Vec<String> {
        let warnings = good(text, SECRET).warnings.into_iter();
        warnings.map(|warning| warning.key).collect()
    };
    let text = egress(RFC);
    assert_eq!(warned(&text), ["egress_targets[0].credential"]);
    assert_eq!(
        warned(&text.replace("\"user\"\n", "\"own\"\nforward_user = true\n")),
        ["egress_targets[0].forward_user"]
    );
}

/// A second issuer, which the only route names.
fn two_issuers(keys: &str) -> String {
    let file = SMALLEST.replace(
        "[upstreams.app]",
        "[issuers.staff]\nkind = \"entra\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\n\
         audiences = [\"api://a\"]\n[upstreams.app]",
    );
    format!("{file}issuers = [\"users\"]\n{}", egress(keys))
}

fn mistakes(text: &str) -> Vec<String> {
    let errors = bad(text, SECRET);
    let written = errors
        .iter()
        .map(|error| format!("{}: {}", error.key, error.message));
    written.collect()
}

#[test]
fn with_two_issuers_a_source_that_sends_users_tokens_says_whose() {
    let issuers = |text: &str, name: &str| -> Vec<String> {
        let mut sources = good(text, SECRET).credentials.into_iter();
        let source = sources.find(|source| *source.name == *name).unwrap();
        source
            .issuers
            .iter()
            .map(|name| (**name).to_owned())
            .collect()
    };
    let one = format!("{SMALLEST}{}", egress(RFC));
    for (source, expected) in [
        ("user", &["users"][..]),
        ("own", &["users"]),
        ("service", &[]),
    ] {
        assert_eq!(issuers(&one, source), expected, "{source}");
    }
    let missing = "missing: with two or more issuers, a source that sends users' tokens says whose";
    assert_eq!(
        mistakes(&two_issuers(RFC)),
        [
            format!("credentials.own.issuers: {missing}"),
            format!("credentials.user.issuers: {missing}")
        ]
    );
    let own = "kind = \"pass_through\"\n";
    let stated = |issuer: &str| {
        let text = two_issuers(&format!("{RFC}\nissuers = [\"{issuer}\"]"));
        text.replace(own, &format!("{own}issuers = [\"users\", \"staff\"]\n"))
    };
    assert_eq!(issuers(&stated("staff"), "user"), ["staff"]);
    assert_eq!(issuers(&stated("staff"), "own"), ["users", "staff"]);
    assert_eq!(
        mistakes(&stated("partners")),
        ["credentials.user.issuers[0]: there is no [issuers.partners]"]
    );
}

#[test]
fn a_route_replaces_by_a_users_credential_only_where_every_caller_has_a_token() {
    let route = |keys: &str| {
        format!(
            "{SMALLEST}[[routes]]\npath = \"/x\"\nupstream = \"app\"\n{keys}\n{}",
            egress(RFC)
        )
    };
    for (name, is_theirs) in [("user", true), ("own", true), ("service", false)] {
        let replace = format!("authorization = {{ replace = \"{name}\" }}\n");
        good(&route(&replace), SECRET);
        for (keys, why) in [
            ("auth = \"none\"", "a public route verifies none"),
            (
                "optional = true",
                "an optional route lets callers without one pass",
            ),
        ] {
            let text = route(&format!("{replace}{keys}"));
            if is_theirs {
                let expected = format!(
                    "routes[1].authorization.replace: [credentials.{name}] is made from the \
                     caller's token, and {why}"
                );
                assert_eq!(mistakes(&text), [expected]);
            } else {
                good(&text, SECRET);
            }
        }
        let mtls = mistakes_of_mtls(&route(&format!("{replace}auth = [\"mtls\"]")));
        assert_eq!(mtls, is_theirs, "{name}");
    }
}

/// Whether the route's replacement is among the mistakes of this file, whose listener has no TLS.
fn mistakes_of_mtls(text: &str) -> bool {
    let mut mistakes = mistakes(text).into_iter();
    mistakes.any(|mistake| mistake.ends_with("this route accepts none"))
}
