//! `[credentials]`: each client authenticates in exactly one way, at one endpoint.

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A key, its certificate, and another key.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let other = KeyPair::generate().unwrap();
        for (name, content) in [
            ("key", key.serialize_pem()),
            ("certificate", certificate.pem()),
            ("other", other.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    /// A client with these lines; `DIR` is the folder.
    fn client(&self, lines: &str) -> String {
        let directory = self.0.path().to_str().unwrap();
        let lines = lines.replace("DIR", directory);
        format!(
            "{SMALLEST}\n[credentials.c]\nkind = \"client_credentials\"\nclient_id = \"a\"\n{lines}\n"
        )
    }

    /// The last part of the only error's key, its message and its fix.
    #[track_caller]
    fn error(&self, lines: &str) -> (String, String, String) {
        let text = self.client(lines);
        let mut errors = bad(&text, &[]);
        assert_eq!(errors.len(), 1, "{lines}\n{}", ConfigErrors(errors));
        let error = errors.remove(0);
        assert!(error.line.is_some(), "{error:?}");
        let key = error.key.strip_prefix("credentials.c.").unwrap();
        (key.to_owned(), error.message, error.fix)
    }
}

const URL: &str = "token_url = \"https://login.example/token\"\n";
const SECRET: &str = "client_secret = { insecure_literal = \"s\" }\n";
const KEY: &str = "client_key_file = \"DIR/key\"\n";
const CERTIFICATE: &str = "client_certificate_file = \"DIR/certificate\"\n";
const ASSERTION: &str = "client_assertion_file = \"DIR/assertion\"\n";
const TENANT: &str = "tenant_id = \"11111111-2222-3333-4444-555555555555\"\n";

#[test]
fn each_mix_of_client_authentications_is_refused_with_its_key() {
    let files = Files::new();
    let rows: [(&[&str], &str, &str); 17] = [
        (&[URL], "client_secret", "nothing authenticates this client"),
        (
            &[URL, "auth_method = \"private_key_jwt\""],
            "client_secret",
            "nothing authenticates",
        ),
        (
            &[URL, SECRET, KEY],
            "client_key_file",
            "client_secret authenticates this client already",
        ),
        (
            &[URL, SECRET, ASSERTION],
            "client_assertion_file",
            "client_secret authenticates",
        ),
        (
            &[URL, KEY, ASSERTION],
            "client_assertion_file",
            "client_key_file authenticates",
        ),
        (
            &[URL, SECRET, "auth_method = \"private_key_jwt\""],
            "auth_method",
            "private_key_jwt does not go with client_secret",
        ),
        (
            &[URL, SECRET, "auth_method = \"none\""],
            "auth_method",
            "none does not go with client_secret",
        ),
        (
            &[URL, KEY, "auth_method = \"client_secret_basic\""],
            "auth_method",
            "client_secret_basic does not go with client_key_file",
        ),
        (
            &[URL, "auth_method = \"none\""],
            "auth_method",
            "only a client that authenticates",
        ),
        (
            &[URL, SECRET, CERTIFICATE],
            "client_certificate_file",
            "no key it could belong to",
        ),
        (
            &[URL, SECRET, "client_key_id = \"k\""],
            "client_key_id",
            "no key",
        ),
        (
            &[URL, ASSERTION, "client_assertion_audience = \"k\""],
            "client_assertion_audience",
            "no key",
        ),
        (
            &[URL, ASSERTION, "client_assertion_algorithm = \"RS256\""],
            "client_assertion_algorithm",
            "no key",
        ),
        (
            &[URL, "client_key_file = \"DIR/certificate\""],
            "client_key_file",
            "holds no private key",
        ),
        (
            &[URL, "client_key_file = \"DIR/none\""],
            "client_key_file",
            "cannot read",
        ),
        (
            &[URL, "client_key_file = \"DIR/other\"\n", CERTIFICATE],
            "client_certificate_file",
            "holds the key of another certificate",
        ),
        (
            &[URL, KEY, "client_assertion_algorithm = \"ES256\""],
            "client_assertion_algorithm",
            "the key does not sign by ES256",
        ),
    ];
    for (lines, key, words) in rows {
        let lines = lines.concat();
        let (found, message, fix) = files.error(&lines);
        assert_eq!(found, key, "{lines}");
        assert!(message.contains(words), "{lines}: {message}");
        assert!(!fix.is_empty());
    }
}

type Right = fn(&ClientAuthentication) -> bool;

#[test]
fn each_way_to_authenticate_is_accepted_alone() {
    let files = Files::new();
    let rows: [(&[&str], Right); 7] = [
        (&[URL, SECRET], |how| {
            matches!(how, ClientAuthentication::SecretBasic(_))
        }),
        (&[TENANT, SECRET], |how| {
            matches!(how, ClientAuthentication::SecretPost(_))
        }),
        (
            &[URL, SECRET, "auth_method = \"client_secret_post\""],
            |how| matches!(how, ClientAuthentication::SecretPost(_)),
        ),
        (
            &[URL, KEY],
            |how| matches!(how, ClientAuthentication::PrivateKeyJwt(key) if key.algorithm.is_none()),
        ),
        (
            &[
                URL,
                KEY,
                CERTIFICATE,
                "client_assertion_algorithm = \"PS512\"\nauth_method = \"private_key_jwt\"",
            ],
            |how| matches!(how, ClientAuthentication::PrivateKeyJwt(key) if key.certificate_file.is_some()),
        ),
        (&[URL, "client_key_file = \"DIR/other\""], |how| {
            matches!(how, ClientAuthentication::PrivateKeyJwt(_))
        }),
        (&[TENANT, ASSERTION], |how| {
            matches!(how, ClientAuthentication::Federated(_))
        }),
    ];
    for (lines, right) in rows {
        let mut lines = lines.concat();
        if lines.contains(TENANT) {
            lines.push_str("\nscopes = [\"api://orders/.default\"]");
        }
        let config = good(&files.client(&lines), &[]);
        let CredentialKind::ClientCredentials(found) = &config.credentials[0].kind else {
            panic!("client credentials")
        };
        assert!(right(&found.client.authentication), "{lines}: {found:?}");
    }
}

#[test]
fn an_application_asks_entra_for_one_default_scope() {
    let files = Files::new();
    let v1 = "token_url = \"https://login.microsoftonline.com/t/oauth2/token\"\n";
    let v2 = "token_url = \"https://login.microsoftonline.us/t/oauth2/v2.0/token\"\n";
    let rows: [(&[&str], &str, &str, &str); 8] = [
        (
            &[TENANT],
            "scopes",
            "missing",
            "scopes = [\"api://…/.default\"]",
        ),
        (
            &[TENANT, "scopes = [\"api://orders\"]"],
            "scopes[0]",
            "not for an application to ask",
            "\"api://orders/.default\"",
        ),
        (
            &[v2, "scopes = [\"https://graph.microsoft.com/User.Read\"]"],
            "scopes[0]",
            "not for an application",
            "\"https://graph.microsoft.com/.default\"",
        ),
        (
            &[
                TENANT,
                "scopes = [\"api://a/.default\", \"api://b/.default\"]",
            ],
            "scopes",
            "one application at a time",
            "further credential",
        ),
        (
            &[TENANT, "resource = \"api://orders\""],
            "resource",
            "a scope instead of a resource",
            "scopes = [\"api://orders/.default\"]",
        ),
        (
            &[v1, "scopes = [\"api://orders/.default\"]"],
            "scopes",
            "a resource instead of scopes",
            "tenant_id",
        ),
        (
            &["tenant_id = \"contoso.com\""],
            "tenant_id",
            "GUID",
            "Directory (tenant) ID",
        ),
        (
            &[URL, TENANT],
            "tenant_id",
            "another token endpoint",
            "keep one",
        ),
    ];
    for (lines, key, words, fix) in rows {
        let lines = format!("{}\n{SECRET}", lines.concat());
        let (found, message, suggested) = files.error(&lines);
        assert_eq!(found, key, "{lines}");
        assert!(message.contains(words), "{lines}: {message}");
        assert!(suggested.contains(fix), "{lines}: {suggested}");
    }
    let lines = format!("{TENANT}{SECRET}scopes = [\"api://orders/.default\"]");
    let config = good(&files.client(&lines), &[]);
    let CredentialKind::ClientCredentials(found) = &config.credentials[0].kind else {
        panic!("client credentials")
    };
    assert_eq!(
        found.client.token_url.as_str(),
        "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
    );
    let resource = format!("{v1}{SECRET}resource = \"api://orders\"");
    good(&files.client(&resource), &[]);
}

#[test]
fn user_password_and_refresh_token_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "r").unwrap();
    let token = token.to_str().unwrap();
    let two_lines = folder.path().join("lines");
    std::fs::write(&two_lines, "b\nc").unwrap();
    let two_lines = two_lines.to_str().unwrap();
    let basic = |user: &str, password: &str| {
        format!(
            "kind = \"basic\"\nusername = {user:?}\npassword = {{ insecure_literal = {password:?} }}"
        )
    };
    let refresh = |lines: &str| {
        format!(
            "kind = \"refresh_token\"\nclient_id = \"a\"\n{URL}refresh_token = {{ file = {token:?} }}\n{lines}"
        )
    };
    let table = |lines: &str| format!("{SMALLEST}\n[credentials.c]\n{lines}\n");
    for (lines, key, words) in [
        (basic("a:b", "c"), "username", "no `:`"),
        (
            format!("kind = \"basic\"\nusername = \"a\"\npassword = {{ file = {two_lines:?} }}"),
            "password",
            "no control characters",
        ),
        (refresh(""), "client_secret", "nothing authenticates"),
        (
            refresh(&format!("auth_method = \"none\"\nstate_file = {token:?}")),
            "state_file",
            "is read from this file",
        ),
        (
            refresh("auth_method = \"none\"\nstate_file = \"/nowhere/state\""),
            "state_file",
            "directory does not exist",
        ),
    ] {
        let errors = bad(&table(&lines), &[]);
        assert_eq!(errors.len(), 1, "{lines}\n{}", ConfigErrors(errors.clone()));
        assert_eq!(errors[0].key, format!("credentials.c.{key}"));
        assert!(errors[0].message.contains(words), "{}", errors[0].message);
    }
    // two of them, one file
    let two = format!(
        "{}[credentials.d]\n{}\n",
        table(&refresh("auth_method = \"none\"\nstate_file = \"/state\"")),
        refresh("auth_method = \"none\"\nstate_file = \"/state\""),
    );
    let errors = bad(&two, &[]);
    assert_eq!(errors.len(), 1, "{}", ConfigErrors(errors.clone()));
    assert_eq!(errors[0].key, "credentials.d.state_file");
    assert!(errors[0].message.contains("c keeps its refresh token"));
    let line = two.lines().count();
    assert_eq!(errors[0].line, Some(line));
    good(&table(&basic("a b", "c:d")), &[]);
    good(
        &table(&refresh("auth_method = \"none\"\nstate_file = \"/state\"")),
        &[],
    );
    good(&table(&refresh(SECRET)), &[]);
}
