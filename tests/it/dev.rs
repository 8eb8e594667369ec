//! `gatepost dev` as a user meets it: the real binary, the lines it prints, a shell and curl.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::support::gatepost::binary;

/// A running `gatepost dev` on ports of its own. Killed when dropped.
pub(crate) struct Dev {
    child: Child,
    /// What it printed, up to the last line to paste.
    pub(crate) printed: String,
    pub(crate) base_port: u16,
    /// Kept open: the request log goes on writing to it.
    _rest: Lines<BufReader<ChildStdout>>,
}

impl Dev {
    /// Starts it and reads until everything is printed: from then on it serves.
    pub(crate) fn start() -> Self {
        let mut child = Command::new(binary())
            .args(["dev", "--base-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            printed.push_str(&line);
            printed.push('\n');
            if line.ends_with("/readyz") {
                break;
            }
        }
        let base_port = printed
            .split_once("http://127.0.0.1:")
            .and_then(|(_, rest)| rest.split_once(' '))
            .unwrap_or_else(|| panic!("no address in what dev printed: {printed:?}"));
        let base_port = base_port.0.trim().parse().unwrap();
        Self {
            child,
            printed,
            base_port,
            _rest: lines,
        }
    }

    /// The lines to paste, each with the comment above it.
    pub(crate) fn lines(&self) -> Vec<(&str, &str)> {
        let lines: Vec<_> = self.printed.lines().collect();
        lines
            .iter()
            .zip(lines.iter().skip(1))
            .filter_map(|(comment, line)| Some((comment.strip_prefix("# ")?, *line)))
            .collect()
    }

    /// A token, as `gatepost dev token` prints it, without the line break.
    pub(crate) fn token(&self, whose: &[&str]) -> String {
        let base_port = self.base_port.to_string();
        let output = gatepost(&[&["dev", "token", "--base-port", &base_port], whose].concat());
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // already gone is as good
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the binary to its end.
pub(crate) fn gatepost(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().unwrap()
}

/// Runs a line as a user would.
fn paste(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

/// Whether curl is here. Without it the test is skipped and says so, unless all tests are asked for.
fn has_curl() -> bool {
    let found = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        let all = std::env::var_os("GATEPOST_TESTS").is_some_and(|tests| tests == "all");
        assert!(!all, "GATEPOST_TESTS=all, but there is no curl");
        println!("skipped: there is no curl");
    }
    found
}

#[test]
fn every_printed_line_works_when_pasted() {
    if !has_curl() {
        return;
    }
    let dev = Dev::start();
    let expected: [(&str, &[&str]); 9] = [
        (
            "200: ada",
            &[
                "\"x-user-id: 6f1d2c3b-4a59-4e68-8d77-9a0b1c2d3e4f\"",
                "\"x-user-groups: admins,readers\"",
                "\"x-principal-kind: user\"",
                "\"x-request-id: ",
                "\"path\": \"/admin/users\"",
            ],
        ),
        ("401: no token", &["www-authenticate: bearer"]),
        ("403: bob", &["application/problem+json"]),
        ("explain", &["group_missing"]),
        (
            "200: a service",
            &[
                "\"x-client-id: dev-service\"",
                "\"x-principal-kind: service\"",
            ],
        ),
        ("200: a public", &["\"path\": \"/healthz\""]),
        (
            "200: forward auth",
            &[
                "\nx-user-id: 6f1d2c3b-4a59-4e68-8d77-9a0b1c2d3e4f\r\n",
                "\nx-user-groups: admins,readers\r\n",
            ],
        ),
        (
            "200: egress",
            &["\"authorization: bearer eyj", "\"path\": \"/invoices/7\""],
        ),
        ("200: ready", &[]),
    ];
    let lines = dev.lines();
    assert_eq!(lines.len(), expected.len(), "{}", dev.printed);
    for ((comment, line), (start, holds)) in lines.into_iter().zip(expected) {
        assert!(comment.starts_with(start), "{comment}");
        let output = paste(line);
        let text = String::from_utf8(output.stdout).unwrap().to_lowercase();
        match comment
            .split_once(": ")
            .and_then(|(code, _)| code.parse().ok())
        {
            Some(code) => {
                let code: u16 = code;
                assert!(
                    text.starts_with(&format!("http/1.1 {code}")),
                    "{line}\n{text}"
                );
            }
            None => assert_eq!(output.status.code(), Some(1), "{line}\n{text}"),
        }
        for part in holds {
            assert!(text.contains(part), "{line}\nlacks {part:?}:\n{text}");
        }
        assert!(!text.contains(".eyj"), "a token is shown:\n{text}");
    }
}

#[test]
fn a_token_stands_alone_on_its_line() {
    let dev = Dev::start();
    for whose in [&["--user", "bob"][..], &["--service"], &["--id"]] {
        let token = dev.token(whose);
        assert_eq!(token.split('.').count(), 3, "{whose:?}");
        assert!(!token.contains(char::is_whitespace), "{whose:?}");
    }
    let base_port = dev.base_port.to_string();
    let nobody = gatepost(&["dev", "token", "--base-port", &base_port, "--user", "eve"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(nobody.stdout.is_empty());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("invalid_grant"));
}

#[test]
fn a_port_in_use_is_named_with_the_fix() {
    let dev = Dev::start();
    let base_port = dev.base_port.to_string();
    let second = gatepost(&["dev", "--base-port", &base_port]);
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        error.contains(&format!("port {base_port} (ingress) is in use"))
            && error.contains("--base-port"),
        "{error}"
    );
}

#[test]
fn an_interrupt_ends_it_cleanly() {
    let mut dev = Dev::start();
    assert!(
        paste(&format!("kill -INT {}", dev.child.id()))
            .status
            .success()
    );
    assert!(dev.child.wait().unwrap().success());
}

#[test]
fn a_token_comes_from_a_running_issuer_on_loopback_only() {
    // port 9 of ten that start at 1: nobody listens there
    let none = gatepost(&["dev", "token", "--base-port", "1"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("gatepost dev"));
    let afar = gatepost(&["dev", "token", "--issuer", "http://192.0.2.1:7408"]);
    assert_eq!(afar.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&afar.stderr).contains("loopback"));
}
