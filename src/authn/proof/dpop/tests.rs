//! Proofs, good and forged, each with what becomes of it.

use serde_json::{Value, json};

use super::*;
use crate::authn::claims::Object;
use crate::authn::mint::{SigningKey, encode};

const NOW: UnixTime = UnixTime(1_800_000_000);
const TOKEN: &[u8] = b"the.access.token";

/// RFC 9449 4.2 and 7.1: the proof, the token it is for, and the thumbprint of its key.
const RFC_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RFC_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const RFC_THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/// A key with what it signs.
struct Client {
    key: SigningKey,
    jwk: Value,
}

impl Client {
    fn new(algorithm: Algorithm) -> Self {
        let key = SigningKey::new(algorithm);
        let mut jwk = key.jwk("k");
        jwk.as_object_mut().unwrap().remove("kid");
        Self { key, jwk }
    }

    fn thumbprint(&self) -> [u8; 32] {
        let jwk = Object::parse(self.jwk.to_string().into()).unwrap();
        thumbprint(jwk.root()).unwrap()
    }

    /// A proof with members of header and claims replaced; `null` removes one.
    fn proof(&self, header: &Value, claims: &Value) -> String {
        let mut all = [
            json!({"typ": "dpop+jwt", "alg": self.key.algorithm.as_str(), "jwk": self.jwk}),
            json!({
                "jti": "one", "htm": "GET", "htu": "https://api.example/orders/17",
                "iat": NOW.0, "ath": encode(sha256(TOKEN)),
            }),
        ];
        for (all, changes) in all.iter_mut().zip([header, claims]) {
            for (name, value) in changes.as_object().unwrap() {
                if value.is_null() {
                    all.as_object_mut().unwrap().remove(name);
                } else {
                    all[name] = value.clone();
                }
            }
        }
        self.key.token_of(&all[0].to_string(), &all[1].to_string())
    }
}

/// Whether a proof holds for `GET https://api.example/orders/17`, its `Host` as given.
fn holds(proof: &str, bound_to: [u8; 32], host: &str) -> bool {
    let host = Host::parse(host).unwrap();
    let path = Path::parse("/orders/17").unwrap();
    let about = Some(About {
        method: "GET",
        host: &host,
        path: &path,
    });
    let shown = Shown {
        proof: Some(proof),
        certificate: None,
        about,
        token: TOKEN,
    };
    judge(proof, bound_to, shown, &Replays::new(), NOW).is_ok()
}

#[test]
fn the_example_of_the_rfc_holds() {
    let (host, path) = (
        Host::parse("resource.example.org").unwrap(),
        Path::parse("/protectedresource").unwrap(),
    );
    let shown = Shown {
        proof: Some(RFC_PROOF),
        certificate: None,
        about: Some(About {
            method: "GET",
            host: &host,
            path: &path,
        }),
        token: RFC_TOKEN.as_bytes(),
    };
    let key = digest(RFC_THUMBPRINT).unwrap();
    let (made, replays) = (UnixTime(1_562_262_618), Replays::new());
    assert_eq!(judge(RFC_PROOF, key, shown, &replays, made), Ok(()));
    assert_eq!(
        judge(RFC_PROOF, key, shown, &replays, made.plus(1)),
        Err("the proof was used before, or may have been")
    );
    let unknown = Shown {
        about: None,
        ..shown
    };
    let fresh = Replays::new();
    assert!(judge(RFC_PROOF, key, unknown, &fresh, made).is_err());
    assert!(judge(RFC_PROOF, key, shown, &fresh, made.plus(MAX_AGE + 1)).is_err());
    assert!(
        judge(
            RFC_PROOF,
            key,
            shown,
            &fresh,
            UnixTime(made.0 - MAX_AHEAD - 1)
        )
        .is_err()
    );
    assert_eq!(judge(RFC_PROOF, key, shown, &fresh, made), Ok(()));
}

#[test]
fn keys_of_every_kind_prove() {
    for algorithm in ALGORITHMS {
        let client = Client::new(algorithm);
        let proof = client.proof(&json!({}), &json!({}));
        let holds = holds(&proof, client.thumbprint(), "api.example");
        assert!(holds, "{algorithm:?}");
    }
}

#[test]
fn a_proof_that_is_not_exactly_for_this_request_holds_nothing() {
    let client = Client::new(Algorithm::ES256);
    let none = json!({});
    let mut cases = vec![
        (json!({"typ": "JWT"}), none.clone()),
        (json!({"typ": null}), none.clone()),
        (json!({"jwk": null}), none.clone()),
        (json!({"jwk": "k"}), none.clone()),
        (json!({"alg": "none"}), none.clone()),
        (json!({"alg": "HS256"}), none.clone()),
        (json!({"alg": "ES384"}), none.clone()),
        (json!({"crit": ["b64"]}), none.clone()),
        (json!({"b64": false}), none.clone()),
    ];
    // a key that shows its private part, and one of another client
    let mut private = client.jwk.clone();
    private["d"] = json!("AAAA");
    cases.push((json!({"jwk": private}), none.clone()));
    let other = Client::new(Algorithm::ES256);
    cases.push((json!({"jwk": other.jwk}), none.clone()));
    for claims in [
        json!({"htm": "get"}),
        json!({"htm": "POST"}),
        json!({"htm": null}),
        json!({"htu": null}),
        json!({"htu": "/orders/17"}),
        json!({"htu": "api.example/orders/17"}),
        json!({"htu": "https://api.example/orders/18"}),
        json!({"htu": "https://api.example/orders/17/"}),
        json!({"htu": "https://api.example/orders/./17"}),
        json!({"htu": "https://api.example.evil/orders/17"}),
        json!({"htu": "https://api.example@evil/orders/17"}),
        json!({"htu": "https://evil@api.example/orders/17"}),
        json!({"htu": "https://api.example:8443/orders/17"}),
        json!({"htu": "ftp://api.example/orders/17"}),
        json!({"ath": null}),
        json!({"ath": encode(sha256(b"another token"))}),
        json!({"ath": format!("{}=", encode(sha256(TOKEN)))}),
        json!({"iat": null}),
        json!({"iat": "1800000000"}),
        json!({"iat": NOW.0 - MAX_AGE - 1}),
        json!({"iat": NOW.0 + MAX_AHEAD + 1}),
        json!({"jti": null}),
        json!({"jti": ""}),
        json!({"jti": 1}),
        json!({"jti": "x".repeat(257)}),
    ] {
        cases.push((none.clone(), claims));
    }
    for (header, claims) in cases {
        let proof = client.proof(&header, &claims);
        let holds = holds(&proof, client.thumbprint(), "api.example");
        assert!(!holds, "{header} {claims}");
    }
    let good = client.proof(&none, &none);
    assert!(!holds(&good, other.thumbprint(), "api.example"));
    let (cut, _) = good.split_at(good.len() - 4);
    for broken in ["", "a.b.c", cut] {
        assert!(!holds(broken, client.thumbprint(), "api.example"));
    }
}

#[test]
fn a_url_is_the_requests_in_any_spelling_of_it() {
    let client = Client::new(Algorithm::EdDSA);
    for (url, host, expected) in [
        ("https://API.example./orders/17?a=b", "api.example", true),
        ("https://api.example:443/orders/17", "api.example", true),
        ("https://api.example/orders/17", "api.example:443", true),
        ("http://api.example/orders/17", "api.example", true),
        ("https://api.example/orders/%31%37", "api.example", true),
        (
            "https://api.example:8443/orders/17",
            "api.example:8443",
            true,
        ),
        ("https://api.example/orders/17", "api.example:8443", false),
        ("http://api.example/orders/17", "api.example:443", false),
        ("https://api.example:80/orders/17", "api.example", false),
    ] {
        let proof = client.proof(&json!({}), &json!({"htu": url}));
        let holds = holds(&proof, client.thumbprint(), host);
        assert_eq!(holds, expected, "{url} at {host}");
    }
}
