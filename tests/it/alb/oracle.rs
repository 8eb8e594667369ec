//! AWS's own verifier and Gatepost, given the same samples.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::support::counterparts::{self, or_skip};
use crate::support::issuer::hmac_token;

/// The order of P-256's group, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other `s` that verifies: `n - s`.
fn mirrored(mut signature: Vec<u8>) -> Vec<u8> {
    let mut borrow = 0;
    for at in (0..32).rev() {
        let minus = i32::from(ORDER[at]) - i32::from(signature[32 + at]) - borrow;
        borrow = i32::from(minus < 0);
        signature[32 + at] = u8::try_from(minus.rem_euclid(256)).expect("a byte");
    }
    signature
}

/// What Gatepost refuses although AWS's verifier takes it.
const STRICTER: [(&str, &str); 7] = [
    (
        "an end in the payload alone",
        "AWS documents `exp` in the header, and we pin it there",
    ),
    (
        "the header has ended",
        "both ends count, not the payload's alone",
    ),
    (
        "no issuer in the header",
        "AWS documents `iss` in the header, and we pin it there",
    ),
    ("another issuer in the header", "the same"),
    (
        "crit",
        "RFC 7515 4.1.11: an extension that must be understood and is not",
    ),
    (
        "a name twice in the header",
        "RFC 7515 4: which of the two counts is anybody's guess",
    ),
    (
        "a subject with a control character",
        "it goes into a header of the upstream",
    ),
];

fn samples(edge: &Edge) -> Vec<(&'static str, String)> {
    let none = json!({});
    let says = |header: Value| edge.says(&header, &json!({}));
    let pays = |payload: Value| edge.says(&none, &payload);
    let good = says(json!({}));
    let (input_text, signature) = good.rsplit_once('.').expect("three parts");
    let (head, payload) = input_text.split_once('.').expect("three parts");
    let signature = signature.to_owned();
    let bob = part(
        json!({"sub": "bob", "iss": ISSUER, "exp": now() + 120})
            .to_string()
            .as_bytes(),
    );
    let past = now() - 3600;
    let twice = format!(
        "{{\"alg\":\"ES256\",\"kid\":\"{KID}\",\"signer\":\"{SIGNER}\",\"signer\":\"{SIGNER}\",\
         \"iss\":\"{ISSUER}\",\"client\":\"{CLIENT}\",\"exp\":{}}}",
        now() + 120
    );
    let twice = format!("{}.{payload}", part(twice.as_bytes()));
    let signed = |text: &str| format!("{text}.{}", part(&edge.sign(text)));
    let other = Edge::new();
    let unsigned = input(&URL_SAFE, &json!({"alg": "none"}), &none);
    let hmac = hmac_token(
        edge.pem().as_bytes(),
        KID,
        &json!({"sub": "ada", "iss": ISSUER, "exp": now() + 120}),
    );
    vec![
        ("as it comes", good.clone()),
        (
            "without padding",
            edge.says_in(&URL_SAFE_NO_PAD, &none, &none),
        ),
        (
            "the other s",
            format!("{input_text}.{}", part(&mirrored(edge.sign(input_text)))),
        ),
        ("no end in the payload", pays(json!({"exp": null}))),
        ("no typ", says(json!({"typ": null}))),
        (
            "more members",
            edge.says(&json!({"x": [1, {"y": 2}]}), &json!({"z": {"a": null}})),
        ),
        (
            "another signer",
            says(json!({"signer": SIGNER.replace("edge", "evil")})),
        ),
        (
            "a longer signer",
            says(json!({"signer": format!("{SIGNER}0")})),
        ),
        ("no signer", says(json!({"signer": null}))),
        ("a list of signers", says(json!({"signer": [SIGNER]}))),
        ("another client", says(json!({"client": "other"}))),
        ("no client", says(json!({"client": null}))),
        (
            "another issuer",
            edge.says(
                &json!({"iss": "https://evil.example"}),
                &json!({"iss": "https://evil.example"}),
            ),
        ),
        (
            "another issuer in the header",
            says(json!({"iss": "https://evil.example"})),
        ),
        (
            "another issuer in the payload",
            pays(json!({"iss": "https://evil.example"})),
        ),
        ("no issuer in the header", says(json!({"iss": null}))),
        ("no issuer in the payload", pays(json!({"iss": null}))),
        (
            "ended",
            edge.says(&json!({"exp": past}), &json!({"exp": past})),
        ),
        ("the header has ended", says(json!({"exp": past}))),
        ("the payload has ended", pays(json!({"exp": past}))),
        ("an end in the payload alone", says(json!({"exp": null}))),
        ("an end that is text", pays(json!({"exp": "soon"}))),
        ("not yet valid", pays(json!({"nbf": now() + 3600}))),
        ("alg none, unsigned", format!("{unsigned}.")),
        ("alg none, signed", says(json!({"alg": "none"}))),
        ("alg HS256, signed ES256", says(json!({"alg": "HS256"}))),
        ("alg HS256 with the public key", hmac),
        ("alg RS256", says(json!({"alg": "RS256"}))),
        ("alg ES384", says(json!({"alg": "ES384"}))),
        ("no alg", says(json!({"alg": null}))),
        ("kid with ../", says(json!({"kid": format!("../{KID}")}))),
        (
            "kid of 36 bytes with ../",
            says(json!({"kid": "../ffee00-1111-2222-3333-444455556666"})),
        ),
        ("kid with a query", says(json!({"kid": format!("{KID}?x")}))),
        ("no kid", says(json!({"kid": null}))),
        ("kid that is a number", says(json!({"kid": 1}))),
        (
            "another kid",
            says(json!({"kid": KID.replace("c0ffee", "decade")})),
        ),
        ("padding taken off", good.replace('=', "")),
        (
            "a signature padded twice over",
            format!("{input_text}.{signature}="),
        ),
        (
            "a signature with half its padding",
            format!("{input_text}.{}=", signature.trim_end_matches('=')),
        ),
        (
            "a payload padded twice over",
            format!("{head}.{payload}=.{signature}"),
        ),
        ("truncated", good.split_at(good.len() - 20).0.to_owned()),
        ("no signature", format!("{input_text}.")),
        ("two parts", input_text.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("payload swapped", format!("{head}.{bob}.{signature}")),
        ("signed by another key", other.says(&none, &none)),
        ("crit", says(json!({"crit": ["exp"]}))),
        ("a name twice in the header", signed(&twice)),
        (
            "a payload that is a list",
            signed(&format!("{head}.{}", part(b"[]"))),
        ),
        (
            "a subject with a control character",
            pays(json!({"sub": "a\u{0}b"})),
        ),
        ("empty", String::new()),
    ]
}

#[tokio::test]
async fn what_awss_own_verifier_accepts_is_accepted_and_what_it_refuses_is_refused() {
    let site = Site::start().await;
    let samples = samples(&site.edge);
    let texts: Vec<&str> = samples.iter().map(|(_, text)| text.as_str()).collect();
    let order = json!({
        "signer": SIGNER, "issuer": ISSUER, "client": CLIENT, "kid": KID, "pem": site.edge.pem(),
        "samples": texts,
    });
    let theirs = or_skip!(counterparts::alb_verifier(order).await);
    let mut stricter = Vec::new();
    for ((name, text), theirs) in samples.iter().zip(theirs.as_array().expect("a list")) {
        let call = site
            .gatepost
            .get("/x")
            .await
            .header("x-amzn-oidc-data", text);
        let reply = call.send().await;
        let accepted = reply.status == StatusCode::OK;
        if !accepted {
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{name}: {reply:?}");
        }
        match (theirs.is_null(), accepted) {
            (true, false) => stricter.push(*name),
            (false, true) => panic!("{name}: AWS's verifier says {theirs}, we let it in"),
            (true, true) | (false, false) => {}
        }
    }
    stricter.sort_unstable();
    let mut known: Vec<&str> = STRICTER.iter().map(|(name, _why)| *name).collect();
    known.sort_unstable();
    assert_eq!(stricter, known);
    // the endpoint of the keys saw no path that a kid had made up
    for request in site.keys.requests() {
        let path = request.uri.path().to_owned();
        assert!(path.starts_with("/keys/") && path.len() == 42, "{path}");
    }
}
