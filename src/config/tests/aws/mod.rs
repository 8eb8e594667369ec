//! `kind = "aws"` and `{ aws_secret = "…" }`: which keys, region and endpoint they mean.

mod assertion;

use super::*;
use crate::config::{
    AwsCredential, AwsKeySource, AwsSource, ClientAuthentication, CredentialKind, IdentityPool,
};
use crate::secret::SecretSource;

const ROLE: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/creds?id=1");
const REGION: (&str, &str) = ("AWS_REGION", "eu-west-1");
const ENVIRONMENT: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "hunter2"),
];
const WEB: [(&str, &str); 2] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token"),
    ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
];

fn read(table: &str, environment: &[(&str, &str)]) -> Result<AwsCredential, Vec<String>> {
    let text = format!("[credentials.c]\nkind = \"aws\"\nservice = \"execute-api\"\n{table}\n");
    let config = load_with(&text, environment)?;
    let [source] = config.credentials.as_slice() else {
        return Err(vec!["no source".to_owned()]);
    };
    if let CredentialKind::Aws(aws) = &source.kind {
        Ok((**aws).clone())
    } else {
        Err(vec![format!("{source:?}")])
    }
}

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    load(&sources(&format!("{text}\n[egress]\n"), environment)).map_err(|errors| {
        let errors = errors.0.into_iter();
        errors
            .map(|error| format!("{}: {}", error.key, error.message))
            .collect()
    })
}

fn own(table: &str, environment: &[(&str, &str)]) -> AwsKeySource {
    match read(table, environment).unwrap().source {
        AwsSource::Own(keys) => keys,
        other @ AwsSource::IdentityPool(_) => panic!("{other:?}"),
    }
}

#[test]
fn keys_come_from_the_place_asked_for_or_the_first_as_sdks_have_it() {
    let everything = [&[ROLE, REGION][..], &ENVIRONMENT, &WEB].concat();
    let no_environment = [&[ROLE, REGION][..], &WEB].concat();
    let kind = |table: &str, environment: &[(&str, &str)]| match own(table, environment) {
        AwsKeySource::Kept { .. } => "environment",
        AwsKeySource::Container(_) => "task_role",
        AwsKeySource::WebIdentity(_) => "web_identity",
    };
    assert_eq!(kind("", &everything), "environment");
    assert_eq!(kind("", &no_environment), "web_identity");
    assert_eq!(kind("", &[ROLE, REGION]), "task_role");
    for source in ["environment", "web_identity", "task_role"] {
        assert_eq!(kind(&format!("source = \"{source}\""), &everything), source);
    }
}

#[test]
fn container_and_web_identity_are_read_as_sdks_read_them() {
    let AwsKeySource::Container(ecs) = own("", &[ROLE, REGION]) else {
        panic!();
    };
    assert_eq!(ecs.url.as_str(), "http://169.254.170.2/v2/creds?id=1");
    assert_eq!(ecs.authorization, None);
    let eks = [
        REGION,
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://[fd00:ec2::23]/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/run/eks"),
    ];
    let AwsKeySource::Container(eks) = own("", &eks) else {
        panic!();
    };
    assert_eq!(
        eks.authorization,
        Some(SecretSource::File("/run/eks".into()))
    );
    let AwsKeySource::WebIdentity(web) = own("", &[&[REGION][..], &WEB].concat()) else {
        panic!();
    };
    assert_eq!(
        web.endpoint.as_str(),
        "https://sts.eu-west-1.amazonaws.com/"
    );
    assert_eq!(web.session_name, "gatepost");
}

#[test]
fn plain_http_may_be_asked_for_keys_on_this_machine_and_the_platforms_addresses_only() {
    for (uri, allowed) in [
        ("http://127.0.0.1:1234/x", true),
        ("http://localhost/x", true),
        ("http://169.254.170.23/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1/credentials", true),
        ("https://keys.example/x", true),
        ("http://169.254.169.254/latest", false),
        ("http://keys.example/x", false),
        ("http://169.254.170.2.example/x", false),
        ("http://127.0.0.1.example/x", false),
        ("file:///etc/passwd", false),
        ("nonsense", false),
    ] {
        let environment = [REGION, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)];
        let read = read("source = \"task_role\"", &environment);
        assert_eq!(read.is_ok(), allowed, "{uri}: {read:?}");
    }
    // a relative one cannot lead elsewhere
    for relative in ["/x", "x", "//evil.example/x", "@evil.example/x"] {
        let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        let AwsKeySource::Container(ecs) = own("", &[REGION, (name, relative)]) else {
            panic!();
        };
        assert_eq!(ecs.url.host_str(), Some("169.254.170.2"), "{relative}");
    }
}

#[test]
fn an_identity_pool_is_asked_in_its_own_region() {
    let pool = "identity_pool_id = \"us-east-1:1-2\"";
    let found = read(pool, &[REGION]).unwrap();
    assert_eq!(found.region, "eu-west-1");
    let AwsSource::IdentityPool(IdentityPool { id, endpoint }) = found.source else {
        panic!();
    };
    assert_eq!(id, "us-east-1:1-2");
    assert_eq!(
        endpoint.as_str(),
        "https://cognito-identity.us-east-1.amazonaws.com/"
    );
}

#[test]
fn what_cannot_sign_is_a_mistake() {
    let with = |table: &'static str, environment: &[(&'static str, &'static str)]| {
        read(table, environment).unwrap_err()
    };
    let all = [&[REGION, ROLE][..], &ENVIRONMENT].concat();
    for (table, environment, expected) in [
        (
            "",
            &[REGION][..],
            "credentials.c.source: this process has no AWS keys",
        ),
        (
            "source = \"environment\"",
            &[REGION, ROLE],
            "the environment holds no AWS keys",
        ),
        (
            "source = \"task_role\"",
            &ENVIRONMENT,
            "there is no task role",
        ),
        (
            "source = \"web_identity\"",
            &[REGION, ROLE],
            "there is no web identity",
        ),
        ("", &[ROLE], "credentials.c.region: there is no AWS region"),
        (
            "region = \"eu-west-1.evil.example/\"",
            &[ROLE],
            "is no AWS region",
        ),
        (
            "",
            &[REGION, ENVIRONMENT[0]],
            "without AWS_SECRET_ACCESS_KEY",
        ),
        ("", &[REGION, WEB[0]], "without AWS_ROLE_ARN"),
        ("identity_pool_id = \"abc\"", &all, "is no identity pool id"),
        (
            "source = \"task_role\"\nidentity_pool_id = \"eu-west-1:1\"",
            &all,
            "source and identity_pool_id name two sources of keys",
        ),
        (
            "session_token = { env = \"T\" }",
            &all,
            "session_token belongs to access_key_id",
        ),
        (
            "access_key_id = { env = \"AWS_ACCESS_KEY_ID\" }",
            &all,
            "credentials.c.secret_access_key: missing",
        ),
        ("source = \"imds\"", &all, "credentials.c.source"),
    ] {
        let mistakes = with(table, environment);
        assert!(
            mistakes.iter().any(|mistake| mistake.contains(expected)),
            "{table}: {mistakes:?}"
        );
    }
    let plain = [REGION, ROLE, ("AWS_ENDPOINT_URL", "http://aws.example")];
    let mistakes = with("identity_pool_id = \"eu-west-1:1\"", &plain);
    assert!(
        mistakes[0].contains("AWS_ENDPOINT_URL is no https:// URL"),
        "{mistakes:?}"
    );
}

#[test]
fn a_route_cannot_replace_authorization_by_a_signature() {
    let text = r#"
        [credentials.c]
        kind = "aws"
        service = "s3"
        [issuers.i]
        kind = "oidc"
        issuer = "https://i.test"
        audiences = ["a"]
        [upstreams.app]
        url = "http://127.0.0.1:1"
        [[routes]]
        path = "/**"
        upstream = "app"
        authorization = { replace = "c" }
    "#;
    let mistakes = load_with(text, &[REGION, ROLE]).unwrap_err();
    assert_eq!(
        mistakes,
        ["routes[0].authorization.replace: [credentials.c] signs requests and writes no header"]
    );
}

fn secret(place: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let text = format!(
        "[credentials.c]\nkind = \"client_credentials\"\ntoken_url = \"https://i.test/token\"\n\
         client_id = \"c\"\nclient_secret = {place}\n"
    );
    load_with(&text, environment)
}

#[test]
fn a_secret_is_asked_for_in_the_region_of_its_arn() {
    let arn = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:billing-AbCdEf";
    let other = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:4566");
    let none = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    for (id, environment, region, endpoint) in [
        (
            arn,
            &[ROLE, REGION][..],
            "cn-north-1",
            "https://secretsmanager.cn-north-1.amazonaws.com.cn/",
        ),
        (
            "billing",
            &[ROLE, REGION],
            "eu-west-1",
            "https://secretsmanager.eu-west-1.amazonaws.com/",
        ),
        (
            "billing",
            &[ROLE, REGION, other],
            "eu-west-1",
            "http://127.0.0.1:4566/",
        ),
        (
            "billing",
            &[ROLE, REGION, other, none],
            "eu-west-1",
            "https://secretsmanager.eu-west-1.amazonaws.com/",
        ),
    ] {
        let place = format!("{{ aws_secret = \"{id}\", json_key = \"k\" }}");
        let config = secret(&place, environment).unwrap();
        let CredentialKind::ClientCredentials(kind) = &config.credentials[0].kind else {
            panic!();
        };
        let ClientAuthentication::SecretBasic(SecretSource::Aws(secret)) =
            &kind.client.authentication
        else {
            panic!("{kind:?}");
        };
        assert_eq!((secret.id.as_str(), secret.region.as_str()), (id, region));
        assert_eq!(secret.json_key.as_deref(), Some("k"));
        assert_eq!(secret.endpoint.as_str(), endpoint);
        assert!(matches!(config.aws, Some(AwsKeySource::Container(_))));
        let shown = config.redacted["credentials"]["c"]["client_secret"]["aws_secret"].as_str();
        assert_eq!(shown, Some(id));
    }
}

#[test]
fn a_secret_that_could_never_come_is_a_mistake() {
    for (place, environment, expected) in [
        (
            "{ aws_secret = \"b\" }",
            &[REGION][..],
            "this process has no AWS keys",
        ),
        ("{ aws_secret = \"b\" }", &[ROLE], "there is no AWS region"),
        (
            "{ aws_secret = \"arn:aws:s3:::bucket\" }",
            &[ROLE, REGION],
            "this ARN is not a secret's",
        ),
        ("{ aws_secret = \"\" }", &[ROLE, REGION], "is empty"),
        ("{ json_key = \"k\" }", &[ROLE, REGION], "one place only"),
        (
            "{ env = \"A\", json_key = \"k\" }",
            &[ROLE, REGION],
            "one place only",
        ),
        (
            "{ env = \"A\", aws_secret = \"k\" }",
            &[ROLE, REGION],
            "one place only",
        ),
        (
            "{ env = \"A\", file = \"k\" }",
            &[ROLE, REGION],
            "one place only",
        ),
        ("{}", &[ROLE, REGION], "an empty table"),
    ] {
        let mistakes = secret(place, environment).unwrap_err();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(expected),
            "{place}: {mistakes:?}"
        );
    }
}
