//! Servers: addresses, protocols, TLS files.

use std::path::Path;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use url::Host;

use super::*;

/// The smallest file with these lines in `[upstreams.app]`.
fn app(lines: &str) -> String {
    SMALLEST.replace(
        "url = \"http://127.0.0.1:3000\"",
        &format!("url = \"https://app.internal\"\n{lines}"),
    )
}

#[track_caller]
fn wrong(lines: &str, expected: &[&str]) {
    let found: Vec<String> = bad(&app(lines), &[])
        .iter()
        .map(|error| format!("{}: {}", error.key, error.message))
        .collect();
    assert_eq!(found, expected, "{lines}");
}

#[test]
fn a_server_is_where_its_addresses_are_or_else_its_url() {
    let server = |lines: &str| good(&app(lines), &[]).upstreams[0].server.clone();
    let endpoint = |host: &str, port| Endpoint {
        host: Host::parse(host).unwrap(),
        port,
    };
    assert_eq!(server("").endpoints, [endpoint("app.internal", 443)]);
    assert_eq!(
        server("addresses = [\"10.0.0.1:3000\", \"App-2.internal\", \"[::1]\"]").endpoints,
        [
            endpoint("10.0.0.1", 3000),
            endpoint("app-2.internal", 443),
            endpoint("[::1]", 443),
        ]
    );
    let http2 = server("protocol = \"http2\"\nmax_connections = 7\nread_timeout = \"9s\"");
    assert_eq!(http2.protocol, Protocol::Http2);
    assert_eq!(http2.max_connections, 7);
    assert_eq!(http2.read_timeout, Some(std::time::Duration::from_secs(9)));
}

#[test]
fn nonsense_about_a_server_is_refused() {
    for (lines, expected) in [
        (
            "addresses = []",
            "upstreams.app.addresses: an empty list asks or grants nothing",
        ),
        (
            "addresses = [\"a:1\", \"a:1\"]",
            "upstreams.app.addresses[1]: a:1 is named twice",
        ),
        (
            "addresses = [\"http://a\"]",
            "upstreams.app.addresses[0]: \"http://a\" is not a host with an optional port",
        ),
        (
            "protocol = \"h2c\"",
            "upstreams.app.protocol: unknown value \"h2c\"",
        ),
        (
            "max_connections = 0",
            "upstreams.app.max_connections: out of range",
        ),
        (
            "max_failures = 0",
            "upstreams.app.max_failures: out of range",
        ),
        (
            "dns_refresh = \"0s\"",
            "upstreams.app.dns_refresh: must be longer than zero",
        ),
        (
            "tls = { server_name = \"a b\" }",
            "upstreams.app.tls.server_name: \"a b\" is neither a host name nor an IP address",
        ),
        (
            "tls = { client_key_file = \"k\" }",
            "upstreams.app.tls.client_certificate_file: missing: a client certificate and its key go together",
        ),
        (
            "tls = { ca_file = \"/nonexistent/ca.pem\" }",
            "upstreams.app.tls.ca_file: cannot read /nonexistent/ca.pem: No such file or directory (os error 2)",
        ),
    ] {
        wrong(lines, &[expected]);
    }
    let plain = SMALLEST.replace("[[routes]]", "tls = { server_name = \"a\" }\n[[routes]]");
    assert_eq!(
        shown(&bad(&plain, &[])),
        ["10 upstreams.app.tls: http:// is without TLS"]
    );
}

/// Names of files in `folder`, as TOML.
fn files(folder: &Path, keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(key, file)| format!("{key} = {:?}", folder.join(file)))
        .collect();
    format!("tls = {{ {} }}", keys.join(", "))
}

#[test]
fn tls_files_are_loaded_watched_and_must_hold_what_they_are_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = CertifiedIssuer::self_signed(
        CertificateParams::new(Vec::new()).unwrap(),
        KeyPair::generate().unwrap(),
    )
    .unwrap();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    for (file, content) in [
        ("ca.pem", authority.pem()),
        ("client.pem", certificate.pem() + &authority.pem()),
        ("key.pem", key.serialize_pem()),
        ("other.pem", other.serialize_pem()),
        ("empty.pem", String::new()),
    ] {
        std::fs::write(folder.join(file), content).unwrap();
    }
    let whole = [
        ("ca_file", "ca.pem"),
        ("client_certificate_file", "client.pem"),
        ("client_key_file", "key.pem"),
    ];
    let config = good(&app(&files(folder, &whole)), &[]);
    let tls = config.upstreams[0].server.tls.clone();
    let roots = Certificates(vec![authority.der().clone()]);
    assert_eq!(tls.roots.as_ref(), Some(&roots));
    assert_eq!(tls.identity.as_ref().unwrap().chain.0.len(), 2);
    assert!(!format!("{tls:?}").contains("PRIVATE"), "{tls:?}");
    assert_eq!(
        config.watched,
        ["ca.pem", "client.pem", "key.pem"].map(|file| folder.join(file))
    );

    let broken = |keys: &[(&str, &str)]| {
        let errors = bad(&app(&files(folder, keys)), &[]);
        assert_eq!(errors.len(), 1, "{}", ConfigErrors(errors.clone()));
        assert!(!errors[0].fix.is_empty());
        format!("{}: {}", errors[0].key, errors[0].message)
    };
    let pair = |certificate, key| {
        [
            ("client_certificate_file", certificate),
            ("client_key_file", key),
        ]
    };
    for (said, expected) in [
        (broken(&[("ca_file", "key.pem")]), "holds no certificate"),
        (broken(&[("ca_file", "empty.pem")]), "holds no certificate"),
        (
            broken(&pair("empty.pem", "key.pem")),
            "holds no certificate",
        ),
        (
            broken(&pair("client.pem", "ca.pem")),
            "holds no private key",
        ),
        (
            broken(&pair("client.pem", "other.pem")),
            "the key of another certificate",
        ),
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let client = format!("[client]\nextra_ca_file = {:?}\n", folder.join("key.pem"));
    let errors = bad(&format!("{SMALLEST}{client}"), &[]);
    assert_eq!(errors[0].key, "client.extra_ca_file");
    assert!(errors[0].message.contains("holds no certificate"));
}

#[test]
fn plain_http_is_judged_by_where_it_goes() {
    let at = |url: &str, addresses: &str| {
        let lines = format!("url = \"{url}\"\naddresses = [{addresses}]");
        let text = SMALLEST.replace("url = \"http://127.0.0.1:3000\"", &lines);
        let warned = good(&text, &[]).warnings;
        warned
            .iter()
            .any(|warning| warning.key == "upstreams.app.url")
    };
    assert!(at("http://localhost", "\"10.0.0.1:80\""));
    assert!(at("http://localhost", "\"127.0.0.1:80\", \"10.0.0.1:80\""));
    assert!(!at("http://app.internal", "\"127.0.0.1:80\""));
    assert!(!at("https://localhost", "\"10.0.0.1:80\""));
    let egress = "[egress]\n[credentials.p]\nkind = \"pass_through\"\n[[egress_targets]]\nname = \"a\"\ncredential = \"p\"\nurl = \"http://localhost\"\naddresses = [\"10.0.0.1:80\"]\n";
    let errors = bad(&format!("{SMALLEST}{egress}"), &[]);
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].message.starts_with("plain http://"),
        "{}",
        errors[0]
    );
}
