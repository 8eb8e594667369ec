//! TLS of listeners, and routes that accept client certificates.

use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::*;
use crate::authn::credential::Kind;
use crate::authz::route::Access;

/// The clock of these tests: 2026-09-21T14:13:20Z.
const TODAY: (i32, u8, u8) = (2026, 9, 21);

/// A folder with a certificate, its key and a client CA.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.certificate((2026, 1, 1), (2027, 1, 1));
        let (ca, _key) = made((2026, 1, 1), (2027, 1, 1));
        files.write("ca.pem", &ca);
        files
    }

    fn certificate(&self, from: (i32, u8, u8), to: (i32, u8, u8)) {
        let (certificate, key) = made(from, to);
        self.write("tls.crt", &certificate);
        self.write("tls.key", &key);
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.0.path().join(name), content).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `[ingress] tls` with these files and what is given besides, behind the smallest file.
    fn config(&self, besides: &str) -> String {
        let at = self.path().display();
        let files = format!("certificate_file = \"{at}/tls.crt\", key_file = \"{at}/tls.key\"");
        let besides = besides.replace("ca.pem", &format!("{at}/ca.pem"));
        format!("{SMALLEST}[ingress]\ntls = {{ {files}{besides} }}\n")
    }

    /// Errors as `key: message`, the folder left out.
    #[track_caller]
    fn refused(&self, text: &str) -> Vec<String> {
        let folder = format!("{}/", self.path().display());
        bad(text, &[])
            .iter()
            .map(|error| {
                assert!(error.line.is_some() && !error.fix.is_empty(), "{error}");
                format!("{}: {}", error.key, error.message).replace(&folder, "")
            })
            .collect()
    }

    fn warned(&self, text: &str) -> Vec<String> {
        let folder = format!("{}/", self.path().display());
        good(text, &[])
            .warnings
            .iter()
            .map(|warning| format!("{}: {}", warning.key, warning.message).replace(&folder, ""))
            .collect()
    }
}

fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> (String, String) {
    let mut params = CertificateParams::new(vec!["gatepost.example".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "gatepost");
    params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn a_listener_with_tls_is_resolved_and_its_files_are_watched() {
    let files = Files::new();
    let config = good(&files.config(""), &[]);
    let tls = config.ingress.unwrap().listener.tls.unwrap();
    assert_eq!(tls.min_version, TlsVersion::V1_2);
    assert_eq!(tls.client_ca, None);
    for name in ["tls.crt", "tls.key"] {
        assert!(config.watched.contains(&files.path().join(name)), "{name}");
    }

    let besides = ", client_ca_file = \"ca.pem\", min_version = \"1.3\"";
    let config = good(&files.config(besides), &[]);
    let tls = config.ingress.unwrap().listener.tls.unwrap();
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    assert!(tls.client_ca.unwrap().required);
    assert!(config.watched.contains(&files.path().join("ca.pem")));

    let besides = ", client_ca_file = \"ca.pem\", client_certificate = \"optional\"";
    let config = good(&files.config(besides), &[]);
    assert!(
        !config
            .ingress
            .unwrap()
            .listener
            .tls
            .unwrap()
            .client_ca
            .unwrap()
            .required
    );

    let at = files.path().display();
    let tls =
        format!("tls = {{ certificate_file = \"{at}/tls.crt\", key_file = \"{at}/tls.key\" }}");
    let others = format!(
        "{SMALLEST}[forward_auth]\ntrusted_proxies = [\"10.0.0.0/16\"]\n{tls}\n[egress]\n{tls}\n[admin]\n{tls}\n[health]\n{tls}\n"
    );
    let config = good(&others, &[]);
    let with: Vec<_> = config
        .listeners()
        .into_iter()
        .filter(|(_, listener)| listener.is_some_and(|listener| listener.tls.is_some()))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(with, ["forward_auth", "egress", "admin", "health"]);
}

#[test]
fn files_that_cannot_be_used_are_mistakes_of_their_keys() {
    let files = Files::new();
    let (other, key_of_other) = made(TODAY, (2027, 1, 1));
    let ca = ", client_ca_file = \"ca.pem\"";
    let good_key = std::fs::read(files.path().join("tls.key")).unwrap();
    let good_key = std::str::from_utf8(&good_key).unwrap();
    for (name, content, besides, expected) in [
        (
            "tls.key",
            &*key_of_other,
            "",
            "ingress.tls.key_file: the file holds the key of another certificate",
        ),
        (
            "tls.key",
            &good_key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            "",
            "ingress.tls.key_file: the file holds an encrypted private key, and nobody is there to type a passphrase",
        ),
        (
            "tls.key",
            &other,
            "",
            "ingress.tls.key_file: the file holds no private key in PEM form",
        ),
        (
            "tls.crt",
            "",
            "",
            "ingress.tls.certificate_file: the file holds no certificate in PEM form",
        ),
        (
            "ca.pem",
            "",
            ca,
            "ingress.tls.client_ca_file: the file holds no certificate in PEM form",
        ),
        (
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            ca,
            "ingress.tls.client_ca_file: the file is not PEM",
        ),
    ] {
        let whole = std::fs::read(files.path().join(name)).unwrap();
        files.write(name, content);
        assert_eq!(files.refused(&files.config(besides)), [expected]);
        std::fs::write(files.path().join(name), whole).unwrap();
    }
    std::fs::remove_file(files.path().join("tls.crt")).unwrap();
    let refused = files.refused(&files.config(""));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].starts_with("ingress.tls.certificate_file: cannot read tls.crt: "),
        "{refused:?}"
    );
}

#[test]
fn keys_that_contradict_each_other_are_mistakes() {
    let files = Files::new();
    assert_eq!(
        files.refused(&files.config(", client_certificate = \"optional\"")),
        ["ingress.tls.client_certificate: nothing says whose certificates are accepted"]
    );
    assert_eq!(
        files.refused(&files.config(", min_version = \"1.1\"")),
        ["ingress.tls.min_version: unknown value \"1.1\""]
    );
    assert_eq!(
        files.refused(&format!(
            "{SMALLEST}[ingress]\ntls = {{ key_file = \"k\" }}\n"
        )),
        ["ingress.tls.certificate_file: missing"]
    );
}

#[test]
fn a_certificate_that_runs_out_or_is_not_yet_valid_is_warned_of() {
    let files = Files::new();
    let date = |day| (2026, 9, day);
    for (from, to, expected) in [
        ((2026, 1, 1), (2027, 1, 1), None),
        ((2026, 1, 1), (2026, 10, 6), None),
        (
            (2026, 1, 1),
            (2026, 10, 5),
            Some("expires on 2026-10-05T00:00:00Z"),
        ),
        (
            (2026, 1, 1),
            date(21),
            Some("expired on 2026-09-21T00:00:00Z"),
        ),
        (
            date(22),
            (2027, 1, 1),
            Some("is valid from 2026-09-22T00:00:00Z"),
        ),
    ] {
        files.certificate(from, to);
        let expected: Vec<_> = expected
            .map(|what| {
                format!("ingress.tls.certificate_file: the certificate of \"CN=gatepost\" {what}")
            })
            .into_iter()
            .collect();
        assert_eq!(files.warned(&files.config("")), expected, "{from:?} {to:?}");
    }
    files.certificate((2026, 1, 1), (2027, 1, 1));
    let (old, _key) = made((2020, 1, 1), (2021, 1, 1));
    files.write("ca.pem", &old);
    assert_eq!(
        files.warned(&files.config(", client_ca_file = \"ca.pem\"")),
        [
            "ingress.tls.client_ca_file: the certificate of \"CN=gatepost\" expired on 2021-01-01T00:00:00Z"
        ]
    );
}

/// The smallest file with `[ingress] tls` and a second route.
fn route(files: &Files, besides: &str, route: &str) -> String {
    let route = format!("[[routes]]\nname = \"m\"\npath = \"/m/**\"\n{route}\n");
    files.config(besides) + &route
}

#[test]
fn a_route_accepts_client_certificates_alone_or_beside_tokens() {
    let files = Files::new();
    let ca = ", client_ca_file = \"ca.pem\"";
    for (auth, accepts, issuers) in [
        ("[\"mtls\"]", vec![Kind::Mtls], vec![]),
        (
            "[\"mtls\", \"bearer\"]",
            vec![Kind::Mtls, Kind::Bearer],
            vec![0],
        ),
        (
            "[\"bearer\", \"mtls\"]",
            vec![Kind::Bearer, Kind::Mtls],
            vec![0],
        ),
        ("[\"bearer\"]", vec![Kind::Bearer], vec![0]),
    ] {
        let text = route(&files, ca, &format!("auth = {auth}\nupstream = \"app\""));
        let config = good(&text, &[]);
        let Access::Protected(asked) = &config.routes.named("m").unwrap().access else {
            panic!("public");
        };
        assert_eq!(
            (&asked.accepts, &asked.issuers),
            (&accepts, &issuers),
            "{auth}"
        );
    }
    // two issuers, and none to name where no token is read
    let issuer = "[issuers.staff]\nkind = \"entra\"\ntenant_id = \"11111111-2222-3333-4444-555555555555\"\naudiences = [\"a\"]\n";
    let text = SMALLEST.replace("path = \"/**\"", "path = \"/**\"\nissuers = [\"users\"]");
    let text = route(&files, ca, "auth = [\"mtls\"]\nupstream = \"app\"").replace(SMALLEST, &text);
    good(&(text + issuer), &[]);
}

#[test]
fn client_certificates_that_nobody_could_show_are_mistakes() {
    let files = Files::new();
    let ca = ", client_ca_file = \"ca.pem\"";
    let mtls = "auth = [\"mtls\"]\nupstream = \"app\"";
    let unread = "this route reads no token, and a certificate has names only";
    for (besides, written, expected) in [
        (
            "",
            mtls.to_owned(),
            vec![
                "routes[1].auth: no client can show a certificate: ingress does not ask for any"
                    .to_owned(),
            ],
        ),
        (
            ca,
            "auth = [\"mtls\", \"mtls\"]\nupstream = \"app\"".to_owned(),
            vec!["routes[1].auth[1]: \"mtls\" is named twice".to_owned()],
        ),
        (
            ca,
            format!(
                "{mtls}\nissuers = [\"users\"]\ntoken_from = [\"cookie:t\"]\nrequire = {{ groups = [\"a\"], principal = \"user\" }}"
            ),
            vec![
                format!("routes[1].issuers: {unread}"),
                format!("routes[1].token_from: {unread}"),
                format!("routes[1].require.groups: {unread}"),
                "routes[1].require.principal: a certificate names a service: nobody could pass"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(files.refused(&route(&files, besides, &written)), expected);
    }
    let asked = "[forward_auth]\ntrusted_proxies = [\"10.0.0.0/16\"]\n";
    let refused = files.refused(&(route(&files, ca, "auth = [\"mtls\"]") + asked));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].starts_with("routes[1].auth: without an upstream"),
        "{refused:?}"
    );

    let named = route(&files, ca, mtls).replace("[issuers.users]", "[issuers.mtls]");
    assert_eq!(
        files.refused(&named),
        ["issuers.mtls: the name stands for client certificates, which a route accepts"]
    );
}
