use proptest::prelude::*;

use super::*;
use crate::authn::mint::encode;

/// A token of this header and payload, with some signature: parsing does not ask for a good one.
fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.c2lnbmF0dXJl", encode(header), encode(payload))
}

fn of_header(header: &str) -> Result<(), Denial> {
    Jws::parse(&token(header, "{}")).map(|_| ())
}

#[test]
fn a_well_formed_token_gives_its_algorithm_and_kid() {
    for algorithm in Algorithm::ALL {
        let text = token(
            &format!("{{\"alg\":\"{}\",\"kid\":\"k=/+1\"}}", algorithm.as_str()),
            "{\"iss\":\"i\"}",
        );
        let jws = Jws::parse(&text).unwrap();
        assert_eq!(jws.algorithm, algorithm);
        assert_eq!(jws.key_id.as_deref(), Some("k=/+1"));
        assert_eq!(jws.unverified_issuer(), Ok("i"));
    }
}

#[test]
fn only_registered_algorithm_names_exist() {
    for alg in [
        "",
        "\"alg\":\"none\"",
        "\"alg\":\"None\"",
        "\"alg\":\"NONE\"",
        "\"alg\":\"nOnE\"",
        "\"alg\":\"\"",
        "\"alg\":null",
        "\"alg\":[\"RS256\"]",
        "\"alg\":256",
        "\"alg\":{\"RS256\":true}",
        "\"alg\":\"rs256\"",
        "\"alg\":\"RS256 \"",
        "\"alg\":\"RS256\\u0000\"",
        "\"alg\":\"RS1\"",
        "\"alg\":\"ES256K\"",
        "\"alg\":\"RSA-OAEP\"",
        "\"ALG\":\"RS256\"",
    ] {
        assert_eq!(
            of_header(&format!("{{{alg}}}")),
            Err(Denial::AlgorithmRefused),
            "{alg}"
        );
    }
}

#[test]
fn a_token_is_three_parts_of_canonical_base64url() {
    let header = encode("{\"alg\":\"RS256\"}");
    let payload = encode("{}");
    // the last character of each carries bits that must be zero
    assert_eq!(
        (header.as_str(), payload.as_str()),
        ("eyJhbGciOiJSUzI1NiJ9", "e30")
    );
    assert!(Jws::parse(&format!("{header}.{payload}.AA")).is_ok());
    assert!(
        Jws::parse(&format!("{header}.{payload}.")).is_ok(),
        "an empty signature parses"
    );
    let dots = ".".repeat(5000);
    for bad in [
        "",
        ".",
        "..",
        "...",
        &dots,
        &header,
        &format!("{header}.{payload}"),
        &format!("{header}.{payload}.AA.AA"),
        &format!("{header}.{payload}.AA.AA.AA"),
        &format!("{header}.{payload}.AA."),
        &format!(".{header}.{payload}.AA"),
        &format!("{header}..AA"),
        &format!(".{payload}.AA"),
        &format!("{header}.{payload}.AA=="),
        &format!("{header}=.{payload}.AA"),
        &format!("{header}.{payload}=.AA"),
        &format!("{header}.{payload}.A"),
        // the same bytes, spelled otherwise
        &format!("{header}.{payload}.AB"),
        &format!("{header}.e31.AA"),
        &format!("{header}.{payload}.A+"),
        &format!("{header}.{payload}.A/"),
        &format!("{header}.{payload}.A A"),
        &format!(" {header}.{payload}.AA"),
        &format!("{header}.{payload}.AA\n"),
        &format!("{header}.{payload}.A\u{e9}"),
        &format!("{}.{payload}.AA", encode("[]")),
        &format!("{}.{payload}.AA", encode("{\"alg\":\"RS256\"} ,")),
        &format!(
            "{}.{payload}.AA",
            encode("{\"alg\":\"RS256\",\"alg\":\"RS256\"}")
        ),
        &format!(
            "{}.{payload}.AA",
            encode("{\"alg\":\"RS256\",\"kid\":\"a\",\"kid\":\"b\"}")
        ),
        &format!(
            "{}.{payload}.AA",
            encode("{\"alg\":\"RS256\",\"x\":{\"a\":1,\"a\":1}}")
        ),
        &format!(
            "{}.{payload}.AA",
            encode(b"{\"alg\":\"RS256\",\"kid\":\"\xff\"}")
        ),
        &format!("{header}.{}.AA", encode("[]")),
        &format!("{header}.{}.AA", encode("{\"sub\":\"a\",\"sub\":\"b\"}")),
        &format!(
            "{header}.{}.AA",
            encode("{\"groups\":[],\"groups\":[\"admin\"]}")
        ),
        &format!("{header}.{}.AA", encode("[".repeat(5000))),
        "{\"payload\":\"e30\",\"signatures\":[]}",
    ] {
        assert_eq!(
            Jws::parse(bad).map(|_| ()),
            Err(Denial::TokenMalformed),
            "{}",
            bad.get(..99).unwrap_or(bad)
        );
    }
}

#[test]
fn a_long_part_is_decoded_as_a_short_one_is() {
    // however many characters are looked at at once, and whatever is left over
    for length in 0..200 {
        let mut sound: String = (0..length)
            .map(|at| char::from(b"aZ09-_"[at % 6]))
            .collect();
        // its last bits are zero, so that the rest of it is what decides
        if sound.pop().is_some() {
            sound.push('A');
        }
        for at in 0..length {
            for other in 0..=0x7f {
                let mut text = sound.clone();
                text.replace_range(at..=at, char::from(other).encode_utf8(&mut [0]));
                let one_by_one = general_purpose::URL_SAFE_NO_PAD.decode(&text).ok();
                assert_eq!(decode(&text).ok(), one_by_one, "{text}");
            }
        }
        assert_eq!(decode(&sound).is_ok(), length % 4 != 1, "{sound}");
    }
}

#[test]
fn a_token_over_the_bound_is_not_read() {
    let fitting = format!("{}.", "a".repeat(MAX_TOKEN_BYTES - 1));
    assert_eq!(
        Jws::parse(&fitting).map(|_| ()),
        Err(Denial::TokenMalformed)
    );
    let long = format!("{fitting}.");
    assert_eq!(Jws::parse(&long).map(|_| ()), Err(Denial::TokenTooLarge));
    let dots = ".".repeat(1 << 20);
    assert_eq!(Jws::parse(&dots).map(|_| ()), Err(Denial::TokenTooLarge));
}

#[test]
fn extensions_and_nested_tokens_are_refused() {
    for member in [
        "\"crit\":[\"exp2\"]",
        "\"crit\":[\"exp\"]",
        "\"crit\":[\"b64\"],\"b64\":false",
        "\"crit\":[]",
        "\"crit\":null",
        "\"crit\":\"exp\"",
        "\"b64\":false",
        "\"b64\":true",
        "\"cty\":\"JWT\"",
        "\"cty\":null",
    ] {
        assert_eq!(
            of_header(&format!("{{\"alg\":\"RS256\",{member}}}")),
            Err(Denial::TokenMalformed),
            "{member}"
        );
    }
}

#[test]
fn a_type_is_text_and_application_may_be_left_out() {
    for (typ, read) in [
        ("JWT", "JWT"),
        ("application/at+jwt", "at+jwt"),
        ("Application/AT+jwt", "AT+jwt"),
        ("application/a/b", "application/a/b"),
        ("", ""),
    ] {
        let header = format!("{{\"alg\":\"RS256\",\"typ\":\"{typ}\"}}");
        let token = format!("{}.{}.AAAA", encode(header), encode("{}"));
        assert_eq!(Jws::parse(&token).unwrap().typ.as_deref(), Some(read));
    }
    for typ in ["null", "[\"JWT\"]", "1"] {
        assert_eq!(
            of_header(&format!("{{\"alg\":\"RS256\",\"typ\":{typ}}}")),
            Err(Denial::TokenTypeRefused),
            "{typ}"
        );
    }
}

#[test]
fn a_kid_is_short_plain_text() {
    let long = "k".repeat(257);
    for kid in [
        "1",
        "null",
        "[\"k\"]",
        "{}",
        "true",
        "\"a\\u0000b\"",
        "\"a\\r\\nb\"",
        "\"\\u0085\"",
        &format!("\"{long}\""),
    ] {
        assert_eq!(
            of_header(&format!("{{\"alg\":\"RS256\",\"kid\":{kid}}}")),
            Err(Denial::KeyUnknown),
            "{kid}"
        );
    }
    for kid in [
        "",
        "../../etc/passwd",
        "' OR 1=1 --",
        "https://a/b",
        long.split_at(256).0,
    ] {
        assert_eq!(
            of_header(&format!("{{\"alg\":\"RS256\",\"kid\":\"{kid}\"}}")),
            Ok(()),
            "{kid}: some text, which no key has"
        );
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let header = "{\"alg\":\"RS256\",\"kid\":\"k\",\"jku\":\"https://evil.example\",\"x5u\":7,\
        \"jwk\":{\"kty\":\"oct\"},\"x5c\":\"x\",\"x5t\":null}";
    assert_eq!(of_header(header), Ok(()));
}

#[test]
fn the_issuer_is_one_string() {
    for payload in [
        "{}",
        "{\"iss\":null}",
        "{\"iss\":1}",
        "{\"iss\":[\"https://issuer.example\"]}",
        "{\"iss\":{\"a\":1}}",
        "{\"ISS\":\"https://issuer.example\"}",
    ] {
        let text = token("{\"alg\":\"RS256\"}", payload);
        let jws = Jws::parse(&text).unwrap();
        assert_eq!(
            jws.unverified_issuer(),
            Err(Denial::IssuerUnknown),
            "{payload}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*", parts in prop::collection::vec("[A-Za-z0-9_=-]{0,40}", 0..6)) {
        drop(Jws::parse(&text));
        drop(Jws::parse(&parts.join(".")));
    }

    #[test]
    fn no_json_makes_the_parser_panic(header in "\\PC{0,60}", payload in "[\\[\\]{}\",:a0.e-]{0,60}") {
        drop(Jws::parse(&token(&header, &payload)));
        drop(Jws::parse(&token("{\"alg\":\"ES256\"}", &payload)));
    }
}
