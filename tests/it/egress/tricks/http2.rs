//! In HTTP/2, field by field.

use super::Ends::{At, Refused};
use super::Name::{Billing, Named};
use super::{Ends, Scene};
use crate::attack::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, RST_STREAM, frame};

/// A header block of these fields as they are, none of them indexed (RFC 7541 6.2.2).
fn block(fields: &[(&str, String)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value.as_bytes()] {
            block.push(u8::try_from(text.len()).unwrap());
            assert!(text.len() < 127);
            block.extend(text);
        }
    }
    block
}

#[tokio::test]
async fn no_field_moves_a_credential() {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const OWN: (&str, &str) = (":authority", "OWN");
    const PATH: (&str, &str) = (":path", "/billing/x");
    const NAMED: (&str, &str) = (":authority", "api.internal.example:8080");
    // the status of a refusal does not matter here: nothing is sent
    let no = Refused(0);
    let yes = At(Billing, "/base/x");
    let tricks: Vec<(Vec<(&str, &str)>, Ends)> = vec![
        (vec![METHOD, SCHEME, OWN, PATH], yes),
        (vec![METHOD, SCHEME, PATH, ("host", "OWN")], yes),
        (vec![METHOD, SCHEME, OWN, PATH, ("host", "OWN")], yes),
        (
            vec![METHOD, SCHEME, NAMED, (":path", "/x")],
            At(Named, "/x"),
        ),
        // another authority
        (vec![METHOD, SCHEME, (":authority", "evil.test"), PATH], no),
        (
            vec![METHOD, SCHEME, (":authority", "EVIL"), (":path", "/x")],
            no,
        ),
        (vec![METHOD, SCHEME, (":authority", ""), PATH], no),
        (vec![METHOD, SCHEME, PATH], no),
        (
            vec![METHOD, SCHEME, (":authority", "user@localhost"), PATH],
            no,
        ),
        (
            vec![METHOD, SCHEME, (":authority", "localhost@EVIL"), PATH],
            no,
        ),
        (
            vec![METHOD, SCHEME, (":authority", "localhost,EVIL"), PATH],
            no,
        ),
        (
            vec![METHOD, SCHEME, (":authority", "localhost/EVIL"), PATH],
            no,
        ),
        (
            vec![METHOD, SCHEME, (":authority", "localhost.evil.test"), PATH],
            no,
        ),
        (
            vec![METHOD, SCHEME, (":authority", "http://localhost"), PATH],
            no,
        ),
        // two
        (vec![METHOD, SCHEME, OWN, PATH, ("host", "EVIL")], no),
        (
            vec![
                METHOD,
                SCHEME,
                (":authority", "EVIL"),
                PATH,
                ("host", "OWN"),
            ],
            no,
        ),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("host", "OWN"), ("host", "EVIL")],
            no,
        ),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("host", "OWN"), ("host", "OWN")],
            no,
        ),
        (vec![METHOD, SCHEME, OWN, (":authority", "EVIL"), PATH], no),
        (vec![METHOD, SCHEME, OWN, PATH, PATH], no),
        (vec![METHOD, SCHEME, OWN, PATH, (":path", "/plain/x")], no),
        (vec![METHOD, SCHEME, PATH, ("x-a", "b"), OWN], no),
        (vec![METHOD, SCHEME, OWN, PATH, ("Host", "EVIL")], no),
        (vec![METHOD, SCHEME, OWN, PATH, (":host", "EVIL")], no),
        // paths
        (vec![METHOD, SCHEME, OWN, (":path", "http://EVIL/x")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "//EVIL/x")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "EVIL")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "@EVIL/x")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "billing/x")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "*")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "")], no),
        (vec![METHOD, SCHEME, OWN, (":path", "/billing/../x")], no),
        (
            vec![METHOD, SCHEME, OWN, (":path", "/billing/%2e%2e/x")],
            no,
        ),
        (
            vec![METHOD, SCHEME, OWN, (":path", "/billing/x\r\nHost: EVIL")],
            no,
        ),
        (
            vec![METHOD, SCHEME, OWN, (":path", "/billing/x HTTP/1.1")],
            no,
        ),
        (
            vec![METHOD, SCHEME, OWN, (":path", "/billing/x#@EVIL/")],
            yes,
        ),
        (vec![METHOD, SCHEME, OWN], no),
        // schemes
        (
            vec![METHOD, (":scheme", "https"), NAMED, (":path", "/x")],
            no,
        ),
        (vec![METHOD, (":scheme", "ftp"), NAMED, (":path", "/x")], no),
        (
            vec![METHOD, (":scheme", "http://EVIL/"), NAMED, (":path", "/x")],
            no,
        ),
        (
            vec![
                METHOD,
                (":scheme", "https"),
                (":authority", "secure.internal.example"),
                PATH,
            ],
            no,
        ),
        // tunnels
        (vec![(":method", "CONNECT"), (":authority", "EVIL")], no),
        (vec![(":method", "CONNECT"), NAMED], no),
        (vec![(":method", "CONNECT"), SCHEME, OWN, PATH], no),
        (
            vec![
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                SCHEME,
                OWN,
                PATH,
            ],
            no,
        ),
        (vec![(":method", "TRACE"), SCHEME, OWN, PATH], no),
        // fields of HTTP/1.1, or that would break out of their line there
        (vec![METHOD, SCHEME, OWN, PATH, ("connection", "host")], no),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("transfer-encoding", "chunked")],
            no,
        ),
        (vec![METHOD, SCHEME, OWN, PATH, ("upgrade", "h2c")], no),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("x-a", "b\r\nhost: EVIL")],
            no,
        ),
        (vec![METHOD, SCHEME, OWN, PATH, ("x-a\r\nhost", "EVIL")], no),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("x-a: b\r\nhost", "EVIL")],
            no,
        ),
        // as in HTTP/1.1
        (
            vec![METHOD, SCHEME, OWN, PATH, ("authorization", "Bearer EVIL")],
            yes,
        ),
        (
            vec![METHOD, SCHEME, OWN, PATH, ("x-forwarded-host", "EVIL")],
            yes,
        ),
        (
            vec![
                METHOD,
                SCHEME,
                OWN,
                PATH,
                ("x-original-url", "http://EVIL/"),
            ],
            yes,
        ),
    ];
    let scene = Scene::new().await;
    let mut wrong = Vec::new();
    for (fields, ends) in tricks {
        let what = format!("{fields:?}");
        let before = scene.heard();
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(name, value)| (name, scene.filled(value)))
            .collect();
        let mut client = Http2::connect(scene.gatepost.at).await;
        let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields));
        assert!(client.send(&head).await, "{what}");
        // the end of the answer, of the stream, or of the connection
        while let Some((kind, flags, _payload)) = client.next().await {
            let ended = matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
            if ended || kind == RST_STREAM {
                break;
            }
        }
        if let Err(why) = scene.check(before, ends) {
            wrong.push(format!("{what}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
