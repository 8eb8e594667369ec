//! Tokens that must not pass, through the real binary: each 401 with its reason in the log line.

use serde_json::{Value, json};

use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, raw};
use crate::support::issuer::{Signer, encode, hmac_token, merge, now};
use crate::support::upstream::{Upstream, json as answer_json};

const ISSUER: &str = "https://login.partner.example";

struct Bench {
    gatepost: Gatepost,
    upstream: Upstream,
    signer: Signer,
    _issuer: Upstream,
}

async fn bench() -> Bench {
    let signer = Signer::new("key-1");
    let jwk = signer.jwk();
    let issuer = Upstream::answering(move |_| answer_json(&json!({"keys": [jwk]}))).await;
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&format!(
        r#"
        [issuers.partner]
        kind = "jwt"
        issuer = "{ISSUER}"
        audiences = ["orders"]
        algorithms = ["RS256"]
        jwks_url = "{}/jwks"

        [upstreams.app]
        url = "{}"

        [[routes]]
        path = "/**"
        upstream = "app"
        "#,
        issuer.url(),
        upstream.url()
    ))
    .await;
    gatepost.ready().await;
    Bench {
        gatepost,
        upstream,
        signer,
        _issuer: issuer,
    }
}

/// Good claims, with some added, replaced or (`null`) removed.
fn claims(changes: &Value) -> Value {
    let now = now();
    let mut claims = json!({
        "iss": ISSUER, "aud": "orders", "sub": "ada", "iat": now, "nbf": now, "exp": now + 600,
    });
    merge(&mut claims, changes);
    claims
}

#[tokio::test]
async fn each_bad_token_is_401_with_its_reason_and_nothing_is_carried() {
    let bench = bench().await;
    let good = |changes: Value| bench.signer.mint(&claims(&changes));
    let header = |members: Value| bench.signer.mint_with(&members, &claims(&json!({})));
    let stranger = Signer::new("key-1");
    let unsigned = format!(
        "{}.{}.",
        encode(&json!({"alg": "none", "typ": "JWT"})),
        encode(&claims(&json!({})))
    );
    let confused = hmac_token(
        bench.signer.public_pem().as_bytes(),
        "key-1",
        &claims(&json!({})),
    );
    let mut altered = good(json!({}));
    let payload = encode(&claims(&json!({"sub": "root"})));
    let parts: Vec<&str> = altered.split('.').collect();
    altered = format!("{}.{payload}.{}", parts[0], parts[2]);

    let now = now();
    let cases = [
        ("expired", good(json!({"exp": now - 120})), "token_expired"),
        (
            "not yet valid",
            good(json!({"nbf": now + 600})),
            "token_not_yet_valid",
        ),
        (
            "wrong issuer",
            good(json!({"iss": "https://evil.example"})),
            "issuer_unknown",
        ),
        (
            "wrong audience",
            good(json!({"aud": "billing"})),
            "audience_mismatch",
        ),
        ("alg none", unsigned, "algorithm_refused"),
        ("HS256 under the public key", confused, "algorithm_refused"),
        ("crit", header(json!({"crit": ["exp"]})), "token_malformed"),
        (
            "another kid",
            header(json!({"kid": "key-2"})),
            "key_unknown",
        ),
        (
            "another key, same kid",
            stranger.mint(&claims(&json!({}))),
            "signature_invalid",
        ),
        ("altered claims", altered, "signature_invalid"),
        (
            "an ID token's typ",
            header(json!({"typ": "dpop+jwt"})),
            "token_type_refused",
        ),
        ("not a token", "not-a-token".to_owned(), "token_malformed"),
    ];
    for (case, token, reason) in cases {
        let reply = bench.gatepost.get("/").await.bearer(&token).send().await;
        assert_eq!(reply.status, 401, "{case}: {reply:?}");
        assert!(
            reply
                .header("www-authenticate")
                .contains("error=\"invalid_token\""),
            "{case}: {reply:?}"
        );
        assert!(
            !reply.text().contains(reason),
            "{case}: the client was told why"
        );
        let line = bench.gatepost.line_of(&reply).await;
        assert_eq!(line["reason"], reason, "{case}");
        assert!(
            !bench.gatepost.output().contains(&token) || token == "not-a-token",
            "{case}"
        );
    }
    assert!(bench.upstream.requests().is_empty());

    let reply = bench
        .gatepost
        .get("/")
        .await
        .bearer(&good(json!({})))
        .send()
        .await;
    assert_eq!(reply.status, 200, "the bench itself is broken: {reply:?}");
}

#[tokio::test]
async fn no_credential_is_401_without_an_error_code_and_two_are_400() {
    let bench = bench().await;
    let reply = bench.gatepost.get("/").await.send().await;
    assert_eq!(reply.status, 401);
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(!challenge.contains("error"), "{challenge}");
    assert_eq!(
        bench.gatepost.line_of(&reply).await["reason"],
        "credential_missing"
    );

    let token = bench.signer.mint(&claims(&json!({})));
    let call = bench.gatepost.get("/").await.bearer(&token);
    let reply = call.header("authorization", "Bearer other").send().await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        bench.gatepost.line_of(&reply).await["reason"],
        "credential_ambiguous"
    );
    assert!(bench.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_good_token_does_not_carry_a_request_no_client_library_would_send() {
    let bench = bench().await;
    let ingress = bench.gatepost.listener("ingress").await;
    let token = bench.signer.mint(&claims(&json!({})));
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
        "GET /a/../admin HTTP/1.1\r\nhost: a\r\n",
    ] {
        let request = format!("{head}authorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        let answer = raw(ingress, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
    assert!(bench.upstream.requests().is_empty());
    assert_eq!(
        Call::get(ingress, "/").bearer(&token).send().await.status,
        200
    );
}
