//! `[login]`: whom it asks, and what cannot work.

use super::*;

fn with(login: &str) -> String {
    format!("{SMALLEST}\n[login]\n{login}\n")
}

#[test]
fn each_kind_says_whom_it_asks() {
    let login = |text: &str| good(&with(text), &[]).login.unwrap();
    let cognito = login("kind = \"cognito\"\nregion = \"eu-west-1\"\nclient_id = \"x\"");
    let LoginKind::Cognito {
        endpoint,
        client_id,
        client_secret,
    } = &cognito.kind
    else {
        panic!("{cognito:?}");
    };
    assert_eq!(
        endpoint.as_str(),
        "https://cognito-idp.eu-west-1.amazonaws.com/"
    );
    assert_eq!((&**client_id, client_secret), ("x", &None));
    assert_eq!(
        (
            &*cognito.path,
            cognito.max_concurrent,
            cognito.lockout.attempts
        ),
        ("/auth/login", 32, 10)
    );
    let grant = login(
        "kind = \"password_grant\"\ntoken_url = \"https://login.example/token\"\nclient_id = \"x\"\n\
         auth_method = \"none\"\nscopes = [\"a\", \"b\"]\npath = \"/in\"\nlockout = { attempts = 3 }",
    );
    let LoginKind::PasswordGrant { client, scopes } = &grant.kind else {
        panic!("{grant:?}");
    };
    assert_eq!(
        (client.token_url.as_str(), scopes.len()),
        ("https://login.example/token", 2)
    );
    assert_eq!((&*grant.path, grant.lockout.attempts), ("/in", 3));
    let http = login("kind = \"http\"\nurl = \"https://login.example/in\"\nmax_concurrent = 4");
    assert_eq!(http.max_concurrent, 4);
    let stated = "kind = \"cognito\"\nclient_id = \"x\"";
    let by_variable = good(&with(stated), &[("AWS_REGION", "eu-west-3")])
        .login
        .unwrap();
    let LoginKind::Cognito { endpoint, .. } = by_variable.kind else {
        panic!("another kind");
    };
    assert_eq!(
        endpoint.host_str(),
        Some("cognito-idp.eu-west-3.amazonaws.com")
    );
}

#[test]
fn what_cannot_work_or_would_show_a_password_is_a_mistake() {
    for (login, expected) in [
        (
            "kind = \"cognito\"\nclient_id = \"x\"",
            "login.region: there is no AWS region",
        ),
        (
            "kind = \"cognito\"\nregion = \"eu-west-1\"",
            "login.client_id: missing",
        ),
        ("kind = \"http\"", "login.url: missing"),
        (
            "kind = \"http\"\nurl = \"http://login.example/in\"",
            "login.url: plain http:// to another host",
        ),
        (
            "kind = \"cognito\"\nendpoint = \"http://cognito.example/\"\nclient_id = \"x\"",
            "login.endpoint: plain http:// to another host",
        ),
        (
            "kind = \"password_grant\"\nclient_id = \"x\"\nauth_method = \"none\"",
            "login: there is no token endpoint",
        ),
        ("kind = \"ldap\"", "login.kind: unknown value"),
        (
            "kind = \"http\"\nurl = \"https://a.example\"\npath = \"/in/{x}\"",
            "login.path: ",
        ),
        (
            "kind = \"http\"\nurl = \"https://a.example\"\nmax_concurrent = 0",
            "login.max_concurrent: out of range",
        ),
    ] {
        let errors = bad(&with(login), &[]);
        let told: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect();
        assert!(
            told.iter().any(|told| told.starts_with(expected)),
            "{expected}\n{told:?}"
        );
    }
    let text = with("kind = \"http\"\nurl = \"https://a.example\"");
    let nowhere = text.replace("upstream = \"app\"\n", "").replace(
        "[login]",
        "[forward_auth]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[login]",
    );
    let errors = bad(&nowhere, &[]);
    assert!(
        errors
            .iter()
            .any(|error| error.key == "login" && error.message.contains("ingress")),
        "{errors:?}"
    );
}
