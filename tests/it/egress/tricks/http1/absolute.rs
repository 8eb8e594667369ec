//! The absolute form, as a client of a proxy writes it.

use super::super::Ends::{At, Refused};
use super::super::Name::{Billing, Named, Plain};
use super::try_all;

#[tokio::test]
async fn no_absolute_form_moves_a_credential() {
    const NAMED: &str = "api.internal.example:8080";
    // authority and path; Host says the same
    let tricks = [
        ("http://api.internal.example:8080", "/x", At(Named, "/x")),
        ("http://API.Internal.EXAMPLE:8080", "/x", At(Named, "/x")),
        ("HTTP://api.internal.example:8080", "/x", At(Named, "/x")),
        ("http://api.internal.example.:8080", "/x", At(Named, "/x")),
        ("http://api.internal.example:08080", "/x", At(Named, "/x")),
        (
            "http://api.internal.example:8080",
            "?@EVIL/",
            At(Named, "/?@EVIL/"),
        ),
        (
            "http://api.internal.example:8080",
            "#@EVIL/",
            At(Named, "/"),
        ),
        (
            "http://api.internal.example:8080",
            "/@EVIL/",
            At(Named, "/@EVIL/"),
        ),
        ("http://api.internal.example:8080", "//EVIL/", Refused(400)),
        ("http://api.internal.example:8080", "/../x", Refused(400)),
        ("http://api.internal.example:8080", "\\@EVIL/", Refused(400)),
        ("http://api.internal.example..:8080", "/x", Refused(403)),
        ("http://api.internal.example", "/x", Refused(403)),
        ("http://api.internal.example:", "/x", Refused(403)),
        ("http://api.internal.example:80", "/x", Refused(403)),
        ("http://api.internal.example:8081", "/x", Refused(403)),
        ("http://api.internal.example:73616", "/x", Refused(400)),
        ("http://api.internal.example:+8080", "/x", Refused(400)),
        ("http://api.internal.example:8080:8080", "/x", Refused(400)),
        ("http://api.internal.example:8080,EVIL", "/x", Refused(400)),
        ("http://user@api.internal.example:8080", "/x", Refused(400)),
        (
            "http://user:pw@api.internal.example:8080",
            "/x",
            Refused(400),
        ),
        ("http://api.internal.example:8080@EVIL", "/x", Refused(400)),
        ("http://EVIL@api.internal.example:8080", "/x", Refused(400)),
        ("http://api.internal.example%40EVIL", "/x", Refused(400)),
        (
            "http://EVIL\\@api.internal.example:8080",
            "/x",
            Refused(400),
        ),
        ("http://api%2einternal.example:8080", "/x", Refused(400)),
        (
            "http://api.internal.example%00.evil.test:8080",
            "/x",
            Refused(400),
        ),
        (
            "http://api.internal.example.evil.test:8080",
            "/x",
            Refused(403),
        ),
        (
            "http://evil.test.api.internal.example:8080",
            "/x",
            Refused(403),
        ),
        ("http://xapi.internal.example:8080", "/x", Refused(403)),
        // IDN: lookalikes in either form
        ("http://api.\u{131}nternal.example:8080", "/x", Refused(400)),
        (
            "http://api\u{3002}internal.example:8080",
            "/x",
            Refused(400),
        ),
        (
            "http://\u{ff41}pi.internal.example:8080",
            "/x",
            Refused(400),
        ),
        (
            "http://api.xn--nternal-q4a.example:8080",
            "/x",
            Refused(403),
        ),
        // other schemes
        ("https://api.internal.example:8080", "/x", Refused(403)),
        ("ftp://api.internal.example:8080", "/x", Refused(403)),
        ("ws://api.internal.example:8080", "/x", Refused(403)),
        ("http://secure.internal.example", "/x", Refused(403)),
        ("http://secure.internal.example:443", "/x", Refused(403)),
        ("https://secure.internal.example", "/x", Refused(403)),
        ("https://secure.internal.example:443", "/x", Refused(403)),
        // who is no target
        ("http://evil.test", "/billing/x", Refused(403)),
        ("http://EVIL", "/x", Refused(403)),
        ("http://EVIL", "/base/x", Refused(403)),
        ("http://2130706433", "/billing/x", Refused(403)),
        ("http://127.1", "/billing/x", Refused(403)),
        ("http://0x7f.0.0.1", "/billing/x", Refused(403)),
        ("http://0177.0.0.1", "/billing/x", Refused(403)),
        ("http://0.0.0.0", "/billing/x", Refused(403)),
        ("http://[::]", "/billing/x", Refused(403)),
        ("http://[::ffff:127.0.0.1]", "/billing/x", Refused(403)),
        ("http://[::1]evil.test", "/billing/x", Refused(400)),
        ("http://169.254.169.254", "/latest/meta-data/", Refused(403)),
        ("http://metadata.google.internal", "/x", Refused(403)),
        // out of a base path
        ("http://BILLING", "/base/x", At(Billing, "/base/x")),
        ("http://BILLING", "/%62ase/x", At(Billing, "/base/x")),
        ("http://BILLING", "/", Refused(403)),
        ("http://BILLING", "/basement", Refused(403)),
        ("http://BILLING", "/Base/x", Refused(403)),
        ("http://BILLING", "/base/../x", Refused(400)),
        ("http://BILLING", "/base%2F..%2Fx", Refused(400)),
        ("http://BILLING", "/base;/x", Refused(400)),
        ("http://PLAIN", "/base/x", At(Plain, "/base/x")),
        // by its name the egress listener is itself, whatever the port
        ("http://OWN", "/billing/x", At(Billing, "/base/x")),
        ("http://EVIL", "/billing/x", At(Billing, "/base/x")),
        (
            "http://plain.egress.localhost",
            "/billing/x",
            At(Plain, "/billing/x"),
        ),
    ];
    let mut all: Vec<_> = tricks
        .iter()
        .map(|(url, path, ends)| {
            let (_scheme, host) = url.split_once("://").unwrap();
            (format!("GET {url}{path} HTTP/1.1\r\nHost: {host}"), *ends)
        })
        .collect();
    // Host says something else, or nothing
    for (line, host, ends) in [
        ("http://EVIL/billing/x", "Host: OWN", Refused(400)),
        ("http://OWN/billing/x", "Host: EVIL", Refused(400)),
        (
            "http://api.internal.example:8080/x",
            "Host: OWN",
            Refused(400),
        ),
        (
            "http://api.internal.example:8080/x",
            "Host: evil.test",
            Refused(400),
        ),
        (
            "http://api.internal.example:8080/x",
            "Host: api.internal.example",
            Refused(400),
        ),
        (
            "http://api.internal.example:8080/x",
            "Host: api.internal.example.:8080",
            Refused(400),
        ),
        ("http:api.internal.example:8080/x", NAMED, Refused(400)),
        ("http:/api.internal.example:8080/x", NAMED, Refused(400)),
        ("http:///api.internal.example:8080/x", NAMED, Refused(400)),
        ("http://", NAMED, Refused(400)),
        ("://api.internal.example:8080/x", NAMED, Refused(403)),
        ("javascript:alert(1)", NAMED, Refused(400)),
        ("file:///etc/passwd", NAMED, Refused(400)),
    ] {
        let host = if host == NAMED {
            "Host: api.internal.example:8080"
        } else {
            host
        };
        all.push((format!("GET {line} HTTP/1.1\r\n{host}"), ends));
    }
    try_all(all).await;
}
