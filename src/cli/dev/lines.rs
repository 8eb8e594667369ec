//! What `gatepost dev` prints: where everything listens, and lines to paste.

use std::fmt::Write as _;
use std::path::Path;

use crate::cli::dev::ports::{DEFAULT_BASE, LISTENERS, Ports};
use crate::cli::dev::tokens::POOL_ID;

/// The text, ready to print. `proxied`: curl would ask a proxy for loopback addresses too.
pub(super) fn render(ports: Ports, program: &Path, proxied: bool) -> String {
    let mut text = String::from(
        "Gatepost dev: an issuer, an echo service and every plane, on loopback only. Ctrl-C stops it.\n\n",
    );
    for (listener, offset) in LISTENERS {
        let origin = ports.origin(offset);
        let about = match listener {
            "admin" => "/jwks /status /config",
            "health" => "/livez /readyz /metrics",
            "issuer" => "users ada (groups admins, readers) and bob (readers)",
            "echo" => "the upstream: answers with what it received",
            _plane => "",
        };
        let path = if listener == "issuer" {
            format!("/{POOL_ID}")
        } else {
            String::new()
        };
        // writing to a String cannot fail
        let _infallible = writeln!(
            text,
            "{}",
            format!("  {listener:<13} {origin}{path}  {about}").trim_end()
        );
    }
    text.push_str("\nPaste into another terminal:\n");
    for (comment, line) in lines(ports, program, proxied) {
        let _infallible = write!(text, "\n# {comment}\n{line}\n");
    }
    text
}

/// Each line with what it shows.
fn lines(ports: Ports, program: &Path, proxied: bool) -> Vec<(&'static str, String)> {
    let program = quote(&program.to_string_lossy());
    let curl = if proxied {
        "curl -sSi --noproxy 127.0.0.1"
    } else {
        "curl -sSi"
    };
    let moved = ports.base() != DEFAULT_BASE;
    let base_port = if moved {
        format!(" --base-port {}", ports.base())
    } else {
        String::new()
    };
    let dev = if moved {
        format!("--dev={}", ports.base())
    } else {
        "--dev".to_owned()
    };
    let token = |whose: &str| format!("{program} dev token {whose}{base_port}");
    let bearer = |whose: &str| format!("-H \"Authorization: Bearer $({})\"", token(whose));
    let [ingress, forward_auth, egress, health] = [0, 1, 2, 4].map(|offset| ports.origin(offset));
    vec![
        (
            "200: ada is in group admins. The echo shows X-User-ID, X-User-Groups, X-Request-ID",
            format!("{curl} {ingress}/admin/users {}", bearer("--user ada")),
        ),
        ("401: no token", format!("{curl} {ingress}/admin/users")),
        (
            "403: bob is not in group admins",
            format!("{curl} {ingress}/admin/users {}", bearer("--user bob")),
        ),
        (
            "explain: why was bob refused?",
            format!(
                "{} | {program} explain {dev} --path /admin/users --token-file -",
                token("--user bob")
            ),
        ),
        (
            "200: a service with scope orders/read",
            format!("{curl} {ingress}/reports/today {}", bearer("--service")),
        ),
        ("200: a public route", format!("{curl} {ingress}/healthz")),
        (
            "200: forward auth, as Traefik asks; the identity headers are in the answer",
            format!(
                "{curl} {forward_auth}/auth/traefik -H 'X-Forwarded-Method: GET' \
                 -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-Host: app.example.com' \
                 -H 'X-Forwarded-Uri: /admin/users' {}",
                bearer("--user ada")
            ),
        ),
        (
            "200: egress. The app sends no token; at the echo there is one of client dev-service",
            format!("{curl} {egress}/echo/invoices/7"),
        ),
        ("200: ready to serve", format!("{curl} {health}/readyz")),
    ]
}

/// A word for a POSIX shell.
fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_blanks_and_quotes_is_one_word() {
        assert_eq!(quote("/srv/gatepost"), "/srv/gatepost");
        assert_eq!(quote("/my dir/it's"), r"'/my dir/it'\''s'");
    }

    #[test]
    fn moved_ports_reach_every_line() {
        let text = render(Ports::new(9300).unwrap(), Path::new("gatepost"), false);
        assert!(!text.contains("740"), "{text}");
        let commands: Vec<_> = text
            .lines()
            .filter(|line| line.contains("gatepost ") && !line.starts_with("Gatepost"))
            .collect();
        assert_eq!(commands.len(), 5, "{text}");
        for line in commands {
            assert!(line.contains("--base-port 9300"), "{line}");
        }
        assert!(text.contains("explain --dev=9300"), "{text}");
    }
}
