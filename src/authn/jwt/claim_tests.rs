//! Signed tokens whose claims are wrong, or odd and right.

use serde_json::json;

use super::tests::{Bench, ISS, NOW, good, outcome, with};
use super::*;
use crate::authn::claims::ClaimPath;
use crate::authn::issuer::Accepted;
use crate::authn::principal::PrincipalKind;
use crate::steps::Transcript;

#[test]
fn claims_that_say_nothing_sure_are_refused() {
    let bench = Bench::new();
    let (now, at) = (NOW.0, |name, value| with(name, value));
    assert_eq!(bench.outcome(&good()).err(), None);
    for (claims, denial) in [
        (at("iss", json!(null)), Denial::IssuerUnknown),
        (at("iss", json!([ISS])), Denial::IssuerUnknown),
        (at("iss", json!(5)), Denial::IssuerUnknown),
        (at("iss", json!("")), Denial::IssuerUnknown),
        (
            at("iss", json!("https://issuer.example/")),
            Denial::IssuerUnknown,
        ),
        (
            at("iss", json!("https://issuer.exampl")),
            Denial::IssuerUnknown,
        ),
        (
            at("iss", json!("https://issuer.example.evil")),
            Denial::IssuerUnknown,
        ),
        (
            at("iss", json!("HTTPS://issuer.example")),
            Denial::IssuerUnknown,
        ),
        (
            at("iss", json!("https://a@issuer.example")),
            Denial::IssuerUnknown,
        ),
        (at("aud", json!(null)), Denial::AudienceMismatch),
        (at("aud", json!([])), Denial::AudienceMismatch),
        (at("aud", json!(["other"])), Denial::AudienceMismatch),
        (at("aud", json!("order")), Denial::AudienceMismatch),
        (at("aud", json!("orders2")), Denial::AudienceMismatch),
        (at("aud", json!("Orders")), Denial::AudienceMismatch),
        (at("aud", json!("orders,stock")), Denial::AudienceMismatch),
        (at("aud", json!(5)), Denial::TokenMalformed),
        (at("aud", json!([1])), Denial::TokenMalformed),
        (at("aud", json!([["orders"]])), Denial::TokenMalformed),
        (at("aud", json!({"orders": true})), Denial::TokenMalformed),
        (at("exp", json!(null)), Denial::TokenMalformed),
        (at("exp", json!("1900000000")), Denial::TokenMalformed),
        (at("exp", json!(true)), Denial::TokenMalformed),
        (at("exp", json!([now + 300])), Denial::TokenMalformed),
        (at("exp", json!(-1)), Denial::TokenMalformed),
        (at("exp", json!(1e30)), Denial::TokenMalformed),
        (at("exp", json!(0)), Denial::TokenExpired),
        (at("exp", json!(now - 60)), Denial::TokenExpired),
        (at("nbf", json!("0")), Denial::TokenMalformed),
        (at("nbf", json!([0])), Denial::TokenMalformed),
        (at("nbf", json!(now + 61)), Denial::TokenNotYetValid),
        (
            at("nbf", json!(4_070_908_800_u64)),
            Denial::TokenNotYetValid,
        ),
        (at("iat", json!("0")), Denial::TokenMalformed),
        (at("iat", json!(now + 61)), Denial::TokenNotYetValid),
        (at("sub", json!(null)), Denial::SubjectInvalid),
        (at("sub", json!("")), Denial::SubjectInvalid),
        (at("sub", json!(["ada"])), Denial::SubjectInvalid),
        (at("sub", json!(7)), Denial::SubjectInvalid),
        (
            at("sub", json!("a\r\nX-User-ID: b")),
            Denial::SubjectInvalid,
        ),
        (at("sub", json!("a\0")), Denial::SubjectInvalid),
        (at("sub", json!("a\u{85}")), Denial::SubjectInvalid),
        (at("sub", json!("a".repeat(257))), Denial::SubjectInvalid),
        (at("client_id", json!("a\nb")), Denial::SubjectInvalid),
        (at("client_id", json!(["a"])), Denial::SubjectInvalid),
        (at("scope", json!(7)), Denial::TokenMalformed),
        (at("cnf", json!({"jkt": "x"})), Denial::TokenTypeRefused),
        (
            at("cnf", json!({"x5t#S256": "x"})),
            Denial::TokenTypeRefused,
        ),
    ] {
        assert_eq!(bench.outcome(&claims).err(), Some(denial), "{claims}");
    }
    for claims in [
        at("aud", json!(["other", "stock"])),
        at("exp", json!(now - 59)),
        at("exp", json!(u64::MAX)),
        at("exp", json!(1_800_000_000.5)),
        at("nbf", json!(now + 60)),
        at("iat", json!(now + 60)),
        at("iat", json!(null)),
        at("sub", json!("é".repeat(256))),
    ] {
        assert_eq!(bench.outcome(&claims).err(), None, "{claims}");
    }
}

#[test]
fn duplicate_names_are_refused_though_signed() {
    let bench = Bench::new();
    let text = good().to_string();
    for name in ["sub", "exp", "groups", "iss"] {
        let doubled = text.replacen('{', &format!("{{\"{name}\":1,\"{name}\":1,"), 1);
        let token = bench
            .key
            .token_of("{\"alg\":\"ES256\",\"kid\":\"k\"}", &doubled);
        assert_eq!(
            outcome(&token, &bench.issuer, &bench.keys),
            Err(Denial::TokenMalformed),
            "{name}"
        );
    }
}

#[test]
fn the_issuers_table_can_ask_for_more() {
    let mut bench = Bench::new();
    bench.issuer.max_token_age = Some(600);
    assert_eq!(bench.outcome(&with("iat", json!(NOW.0 - 660))).err(), None);
    assert_eq!(
        bench.outcome(&with("iat", json!(NOW.0 - 661))).err(),
        Some(Denial::TokenExpired)
    );
    assert_eq!(
        bench.outcome(&with("iat", json!(null))).err(),
        Some(Denial::TokenClaimMismatch)
    );
    bench.issuer.required_claims = vec![(
        ClaimPath::name("plan"),
        vec!["gold".to_owned(), "1".to_owned()],
    )];
    assert_eq!(
        bench.outcome(&good()).err(),
        Some(Denial::TokenClaimMismatch)
    );
    assert_eq!(
        bench.outcome(&with("plan", json!("silver"))).err(),
        Some(Denial::TokenClaimMismatch)
    );
    for plan in [json!("gold"), json!(["silver", "gold"]), json!(1)] {
        assert_eq!(bench.outcome(&with("plan", plan)).err(), None);
    }
    bench.issuer.preset = Preset::Generic {
        audiences: Accepted::Any,
    };
    let anyones = {
        let mut claims = with("plan", json!("gold"));
        claims.as_object_mut().unwrap().remove("aud");
        claims
    };
    assert_eq!(bench.outcome(&anyones).err(), None);
}

#[test]
fn a_client_that_is_its_own_subject_is_a_service() {
    let bench = Bench::new();
    for (claims, kind, client) in [
        (good(), PrincipalKind::User, None),
        (with("azp", json!("web")), PrincipalKind::User, Some("web")),
        (
            with("azp", json!("ada")),
            PrincipalKind::Service,
            Some("ada"),
        ),
        (
            with("client_id", json!("ada")),
            PrincipalKind::Service,
            Some("ada"),
        ),
    ] {
        let principal = bench.outcome(&claims).unwrap();
        assert_eq!(principal.kind, kind, "{claims}");
        assert_eq!(principal.client_id.as_deref(), client, "{claims}");
    }
}

#[test]
fn scopes_groups_roles_and_permissions_stay_apart() {
    let bench = Bench::new();
    let mut claims = good();
    for (name, value) in [
        ("scope", json!("read write")),
        ("groups", json!(["g"])),
        ("roles", json!(["r"])),
        ("permissions", json!(["p"])),
        ("name", json!("Ada")),
        ("email", json!("ada@example.com")),
    ] {
        claims[name] = value;
    }
    let principal = bench.outcome(&claims).unwrap();
    assert_eq!(principal.scopes, ["read", "write"]);
    assert_eq!(principal.groups.known(), ["g"]);
    assert_eq!(principal.roles.known(), ["r"]);
    assert_eq!(principal.permissions.known(), ["p"]);
    assert_eq!(principal.name.as_deref(), Some("Ada"));
    assert_eq!(principal.email.as_deref(), Some("ada@example.com"));
    assert_eq!(principal.tenant_id, None);
}

#[test]
fn the_steps_are_told_without_the_token() {
    let bench = Bench::new();
    let token = bench.key.token("k", &good());
    let mut steps = Transcript::default();
    let jws = Jws::parse(&token).unwrap();
    let verified = verify(&jws, &bench.issuer, &bench.keys, &mut steps).unwrap();
    verified.judge(&bench.issuer, NOW, &mut steps).unwrap();
    let names: Vec<&str> = steps.0.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["alg", "iss", "signature", "principal", "aud", "exp", "iat"]
    );
    for part in token.split('.') {
        assert!(steps.0.iter().all(|(_, detail)| !detail.contains(part)));
    }
}
