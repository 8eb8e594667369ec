//! `client_assertion_aws`: a token of STS as a client's assertion.

use super::*;
use crate::authn::issuer::Algorithm;
use crate::config::{FederatedAssertion, OAuthClient, WebIdentityToken};

fn assertion(lines: &str, environment: &[(&str, &str)]) -> Result<WebIdentityToken, Vec<String>> {
    let text = format!(
        "[credentials.c]\nkind = \"client_credentials\"\nclient_id = \"c\"\n\
         scopes = [\"api://a/.default\"]\n{lines}\n"
    );
    let config = load_with(&text, environment)?;
    match (&config.credentials[0].kind, config.aws) {
        (CredentialKind::ClientCredentials(kind), Some(_keys)) => Ok(wanted(&kind.client)),
        other => Err(vec![format!("{other:?}")]),
    }
}

fn wanted(client: &OAuthClient) -> WebIdentityToken {
    let ClientAuthentication::Federated(FederatedAssertion::AwsSts(wanted)) =
        &client.authentication
    else {
        panic!("{client:?}");
    };
    wanted.clone()
}

const ENTRA: &str = "tenant_id = \"11111111-2222-3333-4444-555555555555\"";
const OTHER: &str = "token_url = \"https://i.test/token\"";

#[test]
fn an_assertion_of_sts_is_by_default_what_entra_takes() {
    let entra = format!("{ENTRA}\nclient_assertion_aws = {{}}");
    let found = assertion(&entra, &[ROLE, REGION]).unwrap();
    assert_eq!(found.audience, "api://AzureADTokenExchange");
    assert_eq!(found.algorithm, Algorithm::RS256);
    assert_eq!(found.seconds, 300);
    let url = "https://sts.eu-west-1.amazonaws.com/";
    assert_eq!(found.endpoint.as_str(), url);

    let other = format!(
        "{OTHER}\nauth_method = \"private_key_jwt\"\nclient_assertion_aws = {{ audience = \"b\", \
         algorithm = \"ES384\", duration = \"1h\", region = \"us-east-1\" }}"
    );
    let found = assertion(&other, &[ROLE]).unwrap();
    assert_eq!(found.audience, "b");
    assert_eq!(found.algorithm, Algorithm::ES384);
    assert_eq!(found.seconds, 3600);
    // not the global one: it does not issue them
    let url = "https://sts.us-east-1.amazonaws.com/";
    assert_eq!(found.endpoint.as_str(), url);
}

#[test]
fn an_assertion_that_sts_could_never_issue_or_nobody_takes_is_a_mistake() {
    for (endpoint, table, environment, expected) in [
        (OTHER, "{}", &[ROLE, REGION][..], "audience: missing"),
        (ENTRA, "{}", &[REGION], "this process has no AWS keys"),
        (ENTRA, "{}", &[ROLE], "there is no AWS region"),
        (
            ENTRA,
            "{ algorithm = \"ES384\" }",
            &[ROLE, REGION],
            "algorithm: Entra takes assertions by RS256 only",
        ),
        (
            ENTRA,
            "{ algorithm = \"PS256\" }",
            &[ROLE, REGION],
            "algorithm: STS does not sign by PS256",
        ),
        (
            ENTRA,
            "{ duration = \"59s\" }",
            &[ROLE, REGION],
            "duration: STS issues tokens for 60 s to 1 h",
        ),
        (
            ENTRA,
            "{ duration = \"2h\" }",
            &[ROLE, REGION],
            "duration: STS issues tokens for 60 s to 1 h",
        ),
        (
            ENTRA,
            "{}",
            &[
                ROLE,
                REGION,
                ("AWS_ENDPOINT_URL_STS", "https://sts.amazonaws.com"),
            ],
            "the global endpoint of STS issues no such tokens",
        ),
        (
            ENTRA,
            "{}\nclient_assertion_file = \"/run/token\"",
            &[ROLE, REGION],
            "client_assertion_file authenticates this client already",
        ),
        (
            ENTRA,
            "{}\nclient_assertion_algorithm = \"RS256\"",
            &[ROLE, REGION],
            "client_assertion_algorithm: there is no key it could belong to",
        ),
    ] {
        let lines = format!("{endpoint}\nclient_assertion_aws = {table}");
        let mistakes = assertion(&lines, environment).unwrap_err();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(expected),
            "{lines}: {mistakes:?}"
        );
    }
}
