//! The import rule (src/lib.rs), read from the source: a breach fails with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// Each folder or file under `src/` and the crate's own modules it may name.
const MAY_IMPORT: [(&str, &[&str]); 13] = [
    ("request", &["certificate", "reason", "request"]),
    (
        "authn",
        &[
            "authn",
            "certificate",
            "clock",
            "reason",
            "request",
            "secret",
            "steps",
        ],
    ),
    (
        "authz",
        &["authn", "authz", "clock", "reason", "request", "steps"],
    ),
    (
        "gate",
        &[
            "authn",
            "authz",
            "certificate",
            "clock",
            "gate",
            "reason",
            "request",
            "steps",
        ],
    ),
    (
        "telemetry",
        &[
            "authn",
            "certificate",
            "clock",
            "config",
            "reason",
            "request",
            "telemetry",
        ],
    ),
    (
        "config",
        &[
            "authn",
            "authz",
            "certificate",
            "clock",
            "config",
            "reason",
            "request",
            "secret",
        ],
    ),
    (
        "client",
        &[
            "authn",
            "authz",
            "certificate",
            "client",
            "clock",
            "config",
            "gate",
            "reason",
            "request",
            "secret",
            "telemetry",
        ],
    ),
    (
        "store",
        &[
            "authn",
            "client",
            "clock",
            "config",
            "gate",
            "reason",
            "secret",
            "store",
            "telemetry",
        ],
    ),
    (
        "server",
        &[
            "authn",
            "authz",
            "certificate",
            "client",
            "clock",
            "config",
            "gate",
            "reason",
            "request",
            "secret",
            "server",
            "steps",
            "store",
            "telemetry",
        ],
    ),
    ("certificate", &["certificate", "clock"]),
    ("reason", &[]),
    ("secret", &[]),
    ("steps", &[]),
];

/// What the pure folders never name: runtimes, sockets, the environment, the disk, clocks.
const IMPURE: [&str; 11] = [
    "tokio",
    "hyper",
    "reqwest",
    "rustls",
    "figment",
    "std::env",
    "std::fs",
    "std::thread",
    "SystemTime",
    "Instant",
    "SystemClock",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a line: without comments and text in quotes.
fn code(line: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => {
                characters.next();
            }
            '"' => quoted = !quoted,
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            other if !quoted => text.push(other),
            _text => {}
        }
    }
    text
}

fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let edge =
            |character: Option<char>| !character.is_some_and(|c| c.is_alphanumeric() || c == '_');
        edge(code.split_at(at).0.chars().next_back())
            && edge(code.split_at(at + word.len()).1.chars().next())
    })
}

/// Breaches in one file, as `file:line: what`.
fn breaches(layer: &str, file: &str, source: &str) -> Vec<String> {
    let (_, allowed) = MAY_IMPORT.iter().find(|(name, _)| *name == layer).unwrap();
    let pure = matches!(layer, "request" | "authn" | "authz");
    let mut found = Vec::new();
    let mut of_tests = false;
    for (number, line) in source.lines().enumerate() {
        // tests may use what they need: in a file of their own, or from here to the end
        if of_tests && line.ends_with('{') {
            break;
        }
        of_tests = line.starts_with("#[cfg(test)]");
        let mut code = code(line);
        // the two parsers in rustls: bytes in, key out
        for parser in ["rustls::pki_types", "rustls::server::ParsedCertificate"] {
            code = code.replace(parser, "");
        }
        for (at, _) in code.match_indices("crate::") {
            let module: String = code
                .split_at(at + 7)
                .1
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if module.is_empty() {
                found.push(format!(
                    "{file}:{}: name one module after `crate::`",
                    number + 1
                ));
            } else if !allowed.contains(&module.as_str()) {
                found.push(format!(
                    "{file}:{}: {layer} may not import {module}",
                    number + 1
                ));
            }
        }
        for word in IMPURE.iter().filter(|_| pure) {
            if names(&code, word) {
                found.push(format!(
                    "{file}:{}: {layer} is pure and may not name {word}",
                    number + 1
                ));
            }
        }
    }
    found
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it reads the source")]
fn imports_point_down_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (layer, _) in MAY_IMPORT {
        let mut files = Vec::new();
        let file = root.join(layer).with_extension("rs");
        if file.is_file() {
            files.push(file);
        } else {
            sources(&root.join(layer), &mut files);
        }
        assert!(
            !files.is_empty(),
            "src/{layer} is gone: this test must be told"
        );
        for path in files {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            // a module's own test file or folder is test code
            if name.ends_with("tests.rs") || name.contains("/tests/") {
                continue;
            }
            found.extend(breaches(
                layer,
                &format!("src/{name}"),
                &fs::read_to_string(&path).unwrap(),
            ));
        }
    }
    assert!(
        found.is_empty(),
        "the import rule is broken:\n{}",
        found.join("\n")
    );
}

/// A principal that is supposed, not proven, is for `gatepost test` alone.
#[test]
#[expect(clippy::disallowed_methods, reason = "it reads the source")]
fn nothing_that_serves_supposes_a_principal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut found: Vec<String> = files
        .iter()
        .filter(|path| {
            let source = fs::read_to_string(path).unwrap();
            source
                .lines()
                .any(|line| code(line).contains("check_stated"))
        })
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["cli/test/judge.rs", "gate/mod.rs"]);
}

#[test]
fn a_breach_is_named_with_file_and_line() {
    let source = "//! uses tokio\nuse http::Method;\nuse tokio::time;\nuse crate::{client, x};\nlet s = \"hyper\";\n";
    assert_eq!(
        breaches("authz", "src/authz/rule.rs", source),
        [
            "src/authz/rule.rs:3: authz is pure and may not name tokio",
            "src/authz/rule.rs:4: name one module after `crate::`",
        ]
    );
    assert_eq!(
        breaches("gate", "src/gate/mod.rs", "\nuse crate::client::upstream;"),
        ["src/gate/mod.rs:2: gate may not import client"]
    );
    let after_a_test_module = "#[cfg(test)]\nmod tests;\n\nuse crate::client::tls;";
    assert_eq!(breaches("gate", "f", after_a_test_module).len(), 1);
    let in_a_test_module = "#[cfg(test)]\nmod tests {\n    use crate::client::tls;";
    assert!(breaches("gate", "f", in_a_test_module).is_empty());
    assert!(breaches("request", "f", "let hyperbole = 1; // reqwest").is_empty());
}
