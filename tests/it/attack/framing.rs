//! Requests framed to be read in two ways: the upstream sees one reading, that which was judged.

use std::collections::HashMap;

use gatepost::authz::route::HostRewrite;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{first_status, talk, with, world};
use crate::support::world::{forward, public};

#[derive(Debug, Deserialize)]
struct Probes {
    cases: Vec<Probe>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    id: String,
    rfc_level: String,
    expected: String,
    expected_text: Option<String>,
    #[serde(default)]
    payload: String,
    #[serde(default)]
    steps: Vec<String>,
}

impl Probe {
    /// Its bytes, the steps of a sequence pipelined.
    fn bytes(&self, host: &str) -> Vec<u8> {
        let text = self.payload.clone() + &self.steps.concat();
        let text = text.replace("{{HOST}}", host);
        text.chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect()
    }

    /// Whether a success would be wrong.
    fn must_fail(&self) -> bool {
        let said = self.expected_text.as_deref().unwrap_or_default();
        self.steps.is_empty()
            && !REFRAMED.contains(&self.id.as_str())
            && (self.expected == "Exact(400)"
                || said.starts_with("400") && !said.contains("2xx") && !said.contains("200"))
    }
}

/// hyper reads these chunk extensions leniently and writes the chunks anew: nobody else reads them.
const REFRAMED: [&str; 3] = [
    "SMUG-CHUNK-BARE-SEMICOLON",
    "SMUG-CHUNK-EXT-INVALID-TOKEN",
    "SMUG-CHUNK-SIZE-TRAILING-OWS",
];

#[tokio::test]
async fn every_probe_is_refused_or_framed_anew() {
    let mut preserving = forward();
    preserving.host = HostRewrite::Preserve;
    let mut open = public("open", "/**");
    open.forward = Some(preserving);
    let (world, upstream) = with(vec![open], |_config| {}).await;
    let probes: Probes =
        serde_json::from_str(include_str!("../../vectors/http1/http11probe.json")).unwrap();
    assert_eq!(probes.cases.len(), 154);

    let mut asked = JoinSet::new();
    for (number, probe) in probes.cases.into_iter().enumerate() {
        let ingress = world.ingress();
        asked.spawn(async move {
            let answer = talk(ingress, &probe.bytes(&format!("probe-{number}.test"))).await;
            (number, probe, answer)
        });
    }
    let answers = asked.join_all().await;
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
    let heard = upstream.heard();
    for (number, probe, answer) in answers {
        let status = first_status(&answer);
        assert!(!answer.contains("HTTP/1.1 101"), "{probe:?} {answer}");
        assert!(!answer.contains("HTTP/1.1 500"), "{probe:?} {answer}");
        if probe.must_fail() {
            assert!(
                status.is_none_or(|status| (400..600).contains(&status)),
                "{probe:?} {answer}"
            );
        }
        if probe.expected == "Exact(400)" && status.is_some() && probe.must_fail() {
            assert_eq!(status, Some(400), "{probe:?} {answer}");
        }
        // `OPTIONS *` is about no path, so no rule can allow it
        if probe.expected == "Range2xx" && probe.id != "COMP-OPTIONS-STAR" {
            assert_eq!(status, Some(200), "{probe:?} {answer}");
        }
        if !probe.steps.is_empty() && probe.rfc_level == "Must" {
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{probe:?} {answer}");
        }
        let here = format!("probe-{number}.test");
        let most = probe.steps.len().max(1);
        let arrived = heard
            .iter()
            .filter(|request| request.folded("host") == [&*here]);
        assert!(arrived.count() <= most, "{probe:?}");
    }
    assert!(
        heard
            .iter()
            .all(|request| request.folded("host")[0].starts_with("probe-")),
        "{heard:?}"
    );

    // what arrived is what was judged
    let mut judged: HashMap<(String, String), usize> = HashMap::new();
    for line in world.log(heard.len()).await {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        *judged.entry((text("method"), text("path"))).or_default() += 1;
    }
    for request in heard {
        let key = (request.method.clone(), request.path().to_owned());
        let left = judged.get_mut(&key).filter(|left| **left > 0);
        *left.unwrap_or_else(|| panic!("never judged: {request:?}")) -= 1;
    }
}

/// What would be read by a server that ends the body too early.
const HIDDEN: &str = "GET /admin/hidden HTTP/1.1\r\nHost: a\r\nX-User-ID: root\r\n\r\n";

#[tokio::test]
async fn no_request_is_smuggled_in_a_body() {
    let (world, upstream) = world(|_config| {}).await;
    let length = HIDDEN.len();
    let ended = format!("0\r\n\r\n{HIDDEN}");
    let both = ended.len();
    let chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let mut bodies = vec![
        (format!("Content-Length: {length}"), HIDDEN.to_owned()),
        (
            format!("Content-Length: 0\r\nContent-Length: {length}"),
            HIDDEN.to_owned(),
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 0"),
            HIDDEN.to_owned(),
        ),
        (format!("Content-Length: {length}, 0"), HIDDEN.to_owned()),
        (
            format!("Content-Length: {length}\r\nContent_Length: 0"),
            HIDDEN.to_owned(),
        ),
        (
            format!("Content-Length: {length}\r\nConnection: content-length"),
            HIDDEN.to_owned(),
        ),
        (
            format!("Content-Length: {length}\r\nExpect: 100-continue"),
            HIDDEN.to_owned(),
        ),
        (
            format!("Content-Length: {length}\r\nExpect: x 100-continue"),
            HIDDEN.to_owned(),
        ),
        (
            format!("Content-Length: {length}\r\nUpgrade: h2c\r\nConnection: upgrade"),
            HIDDEN.to_owned(),
        ),
        (format!("Content-Length : {length}"), HIDDEN.to_owned()),
        (format!("Content-Length:\r\n {length}"), HIDDEN.to_owned()),
        (
            "Transfer-Encoding: chunked\r\nConnection: transfer-encoding".to_owned(),
            chunk.clone(),
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 4".to_owned(),
            chunk.clone(),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("0;\n\r\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("2;\n\r\nxx\r\n{chunk}"),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("0\r\nX-T: 1\r\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("0\r\nX-T: 1\n\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("10000000000000000\r\n{HIDDEN}"),
        ),
        (
            "Transfer-Encoding: chunked".to_owned(),
            format!("-1\r\n{ended}"),
        ),
    ];
    for encoding in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\n: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer_Encoding: chunked",
        "Transfer.Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked\r\nConnection: close, transfer-encoding",
    ] {
        bodies.push((
            format!("{encoding}\r\nContent-Length: {both}"),
            ended.clone(),
        ));
        bodies.push((
            format!("Content-Length: {both}\r\n{encoding}"),
            ended.clone(),
        ));
        bodies.push((encoding.to_owned(), ended.clone()));
    }
    let mut asked = JoinSet::new();
    for (fields, body) in bodies {
        for line in [
            "POST / HTTP/1.1",
            "GET / HTTP/1.1",
            "HEAD / HTTP/1.1",
            "OPTIONS / HTTP/1.1",
            "POST / HTTP/1.0",
        ] {
            let request = format!("{line}\r\nHost: a\r\n{fields}\r\n\r\n{body}");
            let ingress = world.ingress();
            asked.spawn(async move { talk(ingress, request.as_bytes()).await });
        }
    }
    asked.join_all().await;
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
    let heard = upstream.heard();
    assert!(heard.len() > 20, "most of these are plain requests");
    for request in heard {
        assert_eq!(request.target, "/", "{request:?}");
        assert!(request.folded("x-user-id").is_empty(), "{request:?}");
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_no_request() {
    let (world, upstream) = world(|_config| {}).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (line, status) in [
        ("POST /admin HTTP/1.1", 401),
        ("POST /x/../y HTTP/1.1", 400),
        ("TRACE / HTTP/1.1", 405),
        ("GET /admin HTTP/1.1", 401),
    ] {
        for padding in [0, 300_000] {
            let body = format!("{hidden}{}", "x".repeat(padding));
            let length = body.len();
            let expecting =
                format!("Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n{body}");
            for rest in [
                format!("Content-Length: {length}\r\n\r\n{body}"),
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
                expecting,
            ] {
                let request = format!("{line}\r\nHost: a\r\n{rest}{next}");
                let answer = talk(world.ingress(), request.as_bytes()).await;
                // a reset may swallow the refusal of a large body
                if padding == 0 {
                    assert_eq!(
                        first_status(&answer),
                        Some(status),
                        "{line} {rest} {answer}"
                    );
                }
            }
        }
    }
    assert_eq!(upstream.ambiguous(), Vec::<String>::new());
    for request in upstream.heard() {
        assert_eq!(request.target, "/next", "{request:?}");
    }
}
