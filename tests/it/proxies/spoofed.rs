//! What a client may try to say through a proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::HeaderMap;

use crate::support::http::raw;

/// The identity headers (DESIGN §6), folded. `x-request-id` is none: it names nobody.
const IDENTITY: &[&str] = &[
    "x-user-id",
    "x-tenant-id",
    "x-user-name",
    "x-user-email",
    "x-user-groups",
    "x-user-roles",
    "x-user-permissions",
    "x-auth-issuer",
    "x-client-id",
    "x-principal-kind",
];

/// Headers by which an app is told of another request than the one that was judged, folded.
const OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method-override",
    "x-method-override",
    "x-http-method",
    "x-forwarded-uri",
    "x-forwarded-method",
];

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// As apps behind CGI and WSGI read a name.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// What these headers say of who it is: folded name to all values that say something.
pub(super) fn identity(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    among(headers, IDENTITY)
}

/// What these headers say of another request.
pub(super) fn overrides(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    among(headers, OVERRIDES)
}

fn among(headers: &HeaderMap, names: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let name = folded(name.as_str());
        if names.contains(&name.as_str()) && !value.is_empty() {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            said.entry(name).or_default().push(value);
        }
    }
    said
}

/// Header lines by which a client would be somebody else, a request each.
pub(super) fn as_another() -> Vec<String> {
    let mut tried = Vec::new();
    for name in IDENTITY.iter().chain(OVERRIDES) {
        let words: Vec<&str> = name.split('-').collect();
        let capitalised: Vec<String> = words.iter().copied().map(capitalised).collect();
        tried.extend([
            format!("{name}: root\r\n"),
            format!("{}: root\r\n", name.to_uppercase()),
            format!("{}: root\r\n", capitalised.join("-")),
            format!("{}: root\r\n", capitalised.join("_")),
            format!("{}: root\r\n", capitalised.join(".")),
            // each separator apart
            format!("{}: root\r\n", words.join("_").replacen('_', "-", 1)),
            format!("{}: root\r\n", words.join("-").replacen('-', "_", 1)),
            format!("{}: root\r\n", words.join("-").replacen('-', ".", 1)),
            // twice, and both ways
            format!("{name}: root\r\n{name}: admin\r\n"),
            format!("{name}: \r\n{name}: root\r\n"),
            format!("{name}: root\r\n{}: root\r\n", words.join("_")),
            // so that the proxy drops what it sets itself
            format!("{name}: root\r\nConnection: close, {name}\r\n"),
        ]);
    }
    // all of them at once
    let all: Vec<String> = IDENTITY
        .iter()
        .map(|name| format!("{name}: root\r\n"))
        .collect();
    tried.push(all.concat());
    tried
}

/// Header lines by which a client would have another request judged than it makes, a request each.
pub(super) fn as_public() -> Vec<String> {
    let mut tried = Vec::new();
    for (name, value) in [
        ("X-Forwarded-Uri", "/public"),
        ("X-Forwarded-Path", "/public"),
        ("X-Original-URL", "/public"),
        ("X-Original-URL", "http://app.test/public"),
        ("X-Original-URI", "/public"),
        ("X-Rewrite-URL", "/public"),
        ("X-Envoy-Original-Path", "/public"),
        ("X-Forwarded-Prefix", "/public"),
        ("X-Original-Method", "GET"),
        ("X-Forwarded-Method", "GET"),
        ("X-HTTP-Method-Override", "GET"),
        ("X-Forwarded-Host", "other.test"),
        ("X-Forwarded-Proto", "https"),
    ] {
        let folded = folded(name);
        tried.extend([
            format!("{name}: {value}\r\n"),
            format!("{folded}: {value}\r\n"),
            format!("{name}: {value}\r\n{folded}: {value}\r\n"),
            format!("{}: {value}\r\n", folded.replace('-', "_")),
            format!("{}: {value}\r\n", folded.replace('-', ".")),
            format!("{name}: {value}\r\nConnection: close, {name}\r\n"),
        ]);
    }
    // a whole family
    tried.extend([
        "X-Original-URL: http://app.test/public\r\nX-Original-URI: /public\r\nX-Original-Method: GET\r\n"
            .to_owned(),
        "X-Forwarded-Uri: /public\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Host: app.test\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-For: 127.0.0.1\r\n"
            .to_owned(),
    ]);
    tried
}

/// The status of a request with these header lines, byte for byte. Its connection is closed.
pub(super) async fn send(to: SocketAddr, request_line: &str, token: &str, lines: &str) -> u16 {
    let close = if lines.contains("Connection:") {
        ""
    } else {
        "Connection: close\r\n"
    };
    let authorization = if token.is_empty() {
        String::new()
    } else {
        format!("Authorization: Bearer {token}\r\n")
    };
    let request =
        format!("{request_line} HTTP/1.1\r\nHost: app.test\r\n{authorization}{lines}{close}\r\n");
    let answer = raw(to, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {answer:?} to {request:?}"))
}
