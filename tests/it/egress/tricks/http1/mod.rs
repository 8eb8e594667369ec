//! In HTTP/1.1, byte by byte.

mod absolute;

use super::Ends::{At, Refused};
use super::Name::{Billing, Plain};
use super::{Ends, Scene};
use crate::support::http::raw;

/// Sends `head` and reads the status of the answer.
async fn ask(scene: &Scene, head: &str) -> u16 {
    let head = scene.filled(head);
    let (line, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let request = format!("{line}\r\nConnection: close\r\n{rest}\r\n\r\n");
    let answer = raw(scene.gatepost.at, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    status.parse().unwrap_or_default()
}

/// Tries each: a head without its last empty line, and where it ends.
async fn try_all(tricks: Vec<(String, Ends)>) {
    let scene = Scene::new().await;
    let mut wrong = Vec::new();
    for (head, ends) in tricks {
        let before = scene.heard();
        let status = ask(&scene, &head).await;
        let expected = match ends {
            Refused(status) => status,
            At(..) => 200,
        };
        if status != expected {
            wrong.push(format!("{head:?} -> {status}, not {expected}"));
        }
        if let Err(what) = scene.check(before, ends) {
            wrong.push(format!("{head:?} -> {status}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_request_line_moves_a_credential() {
    let tricks = [
        // another host in the path
        ("//EVIL/x", Refused(400)),
        ("///EVIL/x", Refused(400)),
        ("/\\EVIL/x", Refused(400)),
        ("\\\\EVIL\\x", Refused(400)),
        ("/http://EVIL/x", Refused(400)),
        ("/http:/EVIL/x", Refused(403)),
        ("/EVIL/x", Refused(403)),
        ("/billing//EVIL/x", Refused(400)),
        ("/billing/http://EVIL/x", Refused(400)),
        ("/billing/http:/EVIL/x", At(Billing, "/base/http:/EVIL/x")),
        (
            "/billing/http:%2F%2FEVIL/x",
            At(Billing, "/base/http:%2F%2FEVIL/x"),
        ),
        ("/billing/@EVIL/x", At(Billing, "/base/@EVIL/x")),
        ("/billing@EVIL/x", Refused(403)),
        ("/billing:80@EVIL/x", Refused(403)),
        ("/billing%40EVIL/x", Refused(403)),
        ("/billing:@EVIL", Refused(403)),
        ("EVIL", Refused(400)),
        ("@EVIL/x", Refused(400)),
        ("billing/x", Refused(400)),
        ("*", Refused(400)),
        // out of the target
        ("/billing/..", Refused(400)),
        ("/billing/../plain/x", Refused(400)),
        ("/billing/x/../../../x", Refused(400)),
        ("/billing/./x", Refused(400)),
        ("/../billing/x", Refused(400)),
        ("/./billing/x", Refused(400)),
        ("/billing/%2e%2e/x", Refused(400)),
        ("/billing/.%2e/x", Refused(400)),
        ("/billing/%2E./x", Refused(400)),
        ("/billing/..%2fx", Refused(400)),
        ("/billing/x%2f..", Refused(400)),
        ("/billing/%2e%2e%2fx", Refused(400)),
        ("/billing%2f..%2f..%2fx", Refused(400)),
        ("/billing/%2e%2e%5cx", Refused(400)),
        ("/billing/..%5cx", Refused(400)),
        ("/billing/..\\x", Refused(400)),
        ("/billing\\..\\x", Refused(400)),
        ("/billing/..%c0%afx", Refused(400)),
        ("/billing/%c0%ae%c0%ae/x", Refused(400)),
        ("/billing/%252e%252e/x", Refused(400)),
        ("/billing/..%252fx", Refused(400)),
        ("/billing/%25%32%65%25%32%65/x", Refused(400)),
        ("/billing/..;/x", Refused(400)),
        ("/billing/..%3b/x", Refused(400)),
        ("/billing;x=/x", Refused(400)),
        ("/billing/...", At(Billing, "/base/...")),
        // between targets
        ("/billing%2Fplain/x", Refused(403)),
        ("/BILLING/x", Refused(403)),
        ("/billing./x", Refused(403)),
        ("/billing%20/x", Refused(403)),
        ("/b%C4%B1lling/x", Refused(403)),
        ("/b\u{131}lling/x", Refused(400)),
        ("/billing,plain/x", Refused(403)),
        ("/?/billing/x", Refused(403)),
        ("/", Refused(403)),
        ("/%62illing/x", At(Billing, "/base/x")),
        ("/plain/billing/x", At(Plain, "/billing/x")),
        // what ends the path early for one reader and not for the other
        ("/billing?@EVIL/", At(Billing, "/base?@EVIL/")),
        ("/billing?/../../x", At(Billing, "/base?/../../x")),
        (
            "/billing/x?u=http://EVIL/",
            At(Billing, "/base/x?u=http://EVIL/"),
        ),
        ("/billing/x#@EVIL/", At(Billing, "/base/x")),
        ("/billing#/../../plain/x", At(Billing, "/base")),
        ("/billing%23@EVIL/x", Refused(403)),
        ("/billing/x%00.EVIL", Refused(400)),
        ("/billing/x%0d%0aHost:%20EVIL", Refused(400)),
        ("/billing/x%20HTTP/1.1%0d%0aHost:%20EVIL", Refused(400)),
        ("/billing/x\tHTTP/1.1", Refused(400)),
        // our own names
        ("/.gatepost/token/billing", Refused(403)),
        ("/.gatepost/aws/billing", Refused(403)),
        ("/billing/.gatepost/x", At(Billing, "/base/.gatepost/x")),
    ];
    let of = |line: &str| format!("GET {line} HTTP/1.1\r\nHost: OWN");
    try_all(tricks.map(|(line, ends)| (of(line), ends)).into()).await;
}

#[tokio::test]
async fn no_host_moves_a_credential() {
    let tricks = [
        ("localhost", At(Billing, "/base/x")),
        ("LOCALHOST.:7402", At(Billing, "/base/x")),
        ("[::1]:7402", At(Billing, "/base/x")),
        ("127.0.0.1:", At(Billing, "/base/x")),
        ("", Refused(400)),
        (".", Refused(400)),
        (":7402", Refused(400)),
        ("evil.test", Refused(403)),
        ("localhost.evil.test", Refused(403)),
        ("127.0.0.1.evil.test", Refused(403)),
        ("evil.test.localhost", Refused(403)),
        ("127.0.0.2", Refused(403)),
        ("0.0.0.0", Refused(403)),
        ("[::]", Refused(403)),
        ("[::ffff:127.0.0.1]", Refused(403)),
        ("[::1%25lo]", Refused(400)),
        ("localhost, EVIL", Refused(400)),
        ("localhost EVIL", Refused(400)),
        ("localhost@EVIL", Refused(400)),
        ("EVIL@localhost", Refused(400)),
        ("localhost:80@EVIL", Refused(400)),
        ("localhost/EVIL", Refused(400)),
        ("localhost\\EVIL", Refused(400)),
        ("localhost#EVIL", Refused(400)),
        ("localhost?EVIL", Refused(400)),
        ("http://localhost", Refused(400)),
        ("loc\u{e4}lhost", Refused(400)),
        ("localhost%00", Refused(400)),
        ("localhost\r\nHost: EVIL", Refused(400)),
        ("EVIL\r\nHost: localhost", Refused(400)),
        ("localhost\r\nHost: localhost", Refused(400)),
        ("localhost\r\nhOST: EVIL", Refused(400)),
        ("localhost\r\n EVIL", Refused(400)),
        ("localhost\r\nHost : EVIL", Refused(400)),
        // a target's own name: the path is all its own
        ("billing.egress.localhost", At(Billing, "/base/billing/x")),
        ("Plain.Egress.LocalHost.:1", At(Plain, "/billing/x")),
        ("egress.localhost", Refused(403)),
        (".egress.localhost", Refused(403)),
        ("nobody.egress.localhost", Refused(403)),
        ("billing.plain.egress.localhost", Refused(403)),
        ("billing.egress.localhost.evil.test", Refused(403)),
        ("billing.egress.localhost@EVIL", Refused(400)),
        ("billing%2eegress.localhost", Refused(400)),
        ("billing_egress.localhost", Refused(403)),
    ];
    let of = |host: &str| format!("GET /billing/x HTTP/1.1\r\nHost: {host}");
    let mut all: Vec<_> = tricks.map(|(host, ends)| (of(host), ends)).into();
    all.push((
        "GET /billing/x HTTP/1.1\r\nX-Host: none".to_owned(),
        Refused(400),
    ));
    all.push((
        "GET /billing/x HTTP/1.0\r\nX-Host: none".to_owned(),
        Refused(400),
    ));
    all.push((
        "GET http://EVIL/x HTTP/1.0\r\nX-Host: none".to_owned(),
        Refused(403),
    ));
    all.push(("GET /billing/x".to_owned(), Refused(400)));
    try_all(all).await;
}

#[tokio::test]
async fn no_other_header_or_method_moves_a_credential() {
    let there = At(Billing, "/base/x");
    let mut all = Vec::new();
    for header in [
        "X-Forwarded-Host: EVIL",
        "X_Forwarded_Host: EVIL",
        "X-Forwarded-Server: EVIL",
        "X-Forwarded-Prefix: //EVIL",
        "X-Forwarded-Uri: http://EVIL/",
        "Forwarded: host=EVIL;proto=https",
        "X-Host: EVIL",
        "X-Original-Host: EVIL",
        "X-Original-URL: http://EVIL/",
        "X_Original_URL: //EVIL/",
        "X-Rewrite-URL: http://EVIL/",
        "Proxy-Connection: EVIL",
        "Proxy-Authorization: Basic EVIL",
        "Authorization: Bearer EVIL",
        "authorization: a EVIL\r\nAuthorization: b EVIL",
        "Referer: http://EVIL/",
        "Destination: http://EVIL/",
        "X-Link: http://EVIL/",
        "Cookie: host=EVIL",
        "Connection: host, authorization, x-key",
        "Connection: EVIL",
        "Max-Forwards: 0",
        "Keep-Alive: EVIL",
        "X-Auth-Handle: EVIL",
        "Expect: 100-continue",
        "TE: EVIL, trailers",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0",
        "Connection: Upgrade\r\nUpgrade: HTTP/2.0",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Content-Length: 0",
        "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0",
        "Transfer-Encoding: chunked\r\nTrailer: host, authorization, x-forwarded-host\r\n\r\n0\r\nHost: EVIL\r\n\
         Authorization: Bearer EVIL\r\nX-Forwarded-Host: EVIL",
    ] {
        all.push((
            format!("GET /billing/x HTTP/1.1\r\nHost: OWN\r\n{header}"),
            there,
        ));
    }
    for header in [
        "Content-Length: 0\r\nContent-Length: 30",
        "Content-Length: 0, 30",
        "Content-Length: +3",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "X: a\rHost: EVIL",
        "X: a\0b",
        "X a: b",
        ": EVIL",
        "X-Auth-Handle: a\r\nX-Auth-Handle: b",
    ] {
        let head = format!("POST /billing/x HTTP/1.1\r\nHost: OWN\r\n{header}");
        all.push((head, Refused(400)));
    }
    for (line, ends) in [
        ("CONNECT EVIL", Refused(405)),
        ("CONNECT BILLING", Refused(405)),
        ("CONNECT OWN", Refused(405)),
        ("CONNECT api.internal.example:8080", Refused(405)),
        ("CONNECT /billing/x", Refused(405)),
        ("Connect /billing/x", Refused(405)),
        ("TRACE /billing/x", Refused(405)),
        ("trace /billing/x", Refused(405)),
        ("OPTIONS *", Refused(400)),
        ("OPTIONS http://EVIL", Refused(400)),
        ("PROPFIND /billing/x", there),
        ("get /billing/x", there),
    ] {
        all.push((format!("{line} HTTP/1.1\r\nHost: OWN"), ends));
    }
    for (line, host, ends) in [
        ("OPTIONS http://EVIL", "EVIL", Refused(403)),
        ("CONNECT EVIL", "EVIL", Refused(405)),
    ] {
        all.push((format!("{line} HTTP/1.1\r\nHost: {host}"), ends));
    }
    try_all(all).await;
}

/// Neither what follows a request on its connection, nor what hides in its body, is anything but
/// another request, or a body.
#[tokio::test]
async fn no_request_behind_another_moves_a_credential() {
    let scene = Scene::new().await;
    let hidden = "GET http://EVIL/x HTTP/1.1\r\nHost: EVIL\r\n\r\n";
    let before = scene.heard();
    let first = "GET /billing/x HTTP/1.1\r\nHost: OWN\r\n\r\n";
    let last = "GET /plain/y HTTP/1.1\r\nHost: OWN\r\nConnection: close\r\n\r\n";
    let all = scene.filled(&format!("{first}{hidden}{last}"));
    let answers = raw(scene.gatepost.at, all.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 403").count(), 1, "{answers}");
    let [billing, plain, named] = before;
    let after = scene.heard();
    assert_eq!(after, [billing + 1, plain + 1, named], "{answers}");

    let hidden = scene.filled(hidden);
    let length = hidden.len();
    let body = scene.filled(&format!(
        "POST /billing/x HTTP/1.1\r\nHost: OWN\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{hidden}"
    ));
    raw(scene.gatepost.at, body.as_bytes()).await;
    assert_eq!(scene.evil.saw_nothing(), Ok(()));
    let heard = scene.recorder(Billing).last();
    assert_eq!(heard.body.as_deref(), Some(hidden.as_bytes()));
    assert_eq!(scene.recorder(Billing).heard().len(), billing + 2);
}
