//! Entra: what one tenant's tokens look like, and which of them an issuer table refuses.

use serde_json::{Value, json};

use super::tests::{Bench, NOW, changed, key_set, outcome};
use super::*;
use crate::authn::Mapping;
use crate::authn::issuer::{Accepted, ClaimMap};
use crate::authn::mint::SigningKey;
use crate::authn::principal::{Names, PrincipalKind};
use crate::authn::proof::Bound;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "99999999-2222-3333-4444-555555555555";

fn entra() -> Bench {
    let key = SigningKey::new(Algorithm::RS256);
    let jwk = |key_id: &str, issuer: Option<&str>| {
        let mut jwk = key.jwk(key_id);
        jwk["issuer"] = json!(issuer);
        jwk
    };
    let consumers = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";
    let keys = key_set(
        &[
            jwk(
                "k",
                Some("https://login.microsoftonline.com/{tenantid}/v2.0"),
            ),
            jwk("plain", None),
            jwk("consumers", Some(consumers)),
        ],
        &[Algorithm::RS256],
    );
    let issuer = Issuer {
        name: Arc::from("staff"),
        accepted_iss: entra::issuers(TENANT).to_vec(),
        algorithms: vec![Algorithm::RS256],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: Vec::new(),
        claims: ClaimMap::entra(),
        mapping: Mapping::default(),
        preset: Preset::Entra {
            tenant_id: TENANT.to_owned(),
            audiences: Accepted::OneOf(vec!["api://orders".to_owned(), "app-guid".to_owned()]),
        },
    };
    Bench { key, keys, issuer }
}

fn v2_user() -> Value {
    json!({
        "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "aud": "app-guid",
        "tid": TENANT, "oid": "object", "sub": "pairwise", "azp": "web", "azpacr": "0",
        "scp": "orders.read orders.write", "roles": ["approver"], "groups": ["g-1", "g-2"],
        "wids": ["w-1"], "name": "Ada", "preferred_username": "ada@example.com", "ver": "2.0",
        "exp": NOW.0 + 300, "nbf": NOW.0 - 10, "iat": NOW.0 - 10, "uti": "x",
    })
}

fn v1_user() -> Value {
    changed(
        v2_user(),
        &[
            ("iss", json!(format!("https://sts.windows.net/{TENANT}/"))),
            ("aud", json!("api://orders")),
            ("azp", json!(null)),
            ("appid", json!("web")),
            ("ver", json!("1.0")),
        ],
    )
}

fn app_only() -> Value {
    changed(v2_user(), &[("scp", json!(null)), ("name", json!(null))])
}

#[test]
fn entras_user_tokens_of_both_versions_prove_the_object_in_its_tenant() {
    let tenant = entra();
    for claims in [v2_user(), v1_user()] {
        let principal = tenant.outcome(&claims).unwrap();
        assert_eq!(principal.kind, PrincipalKind::User);
        assert_eq!(principal.user_id, "object");
        assert_eq!(principal.tenant_id.as_deref(), Some(TENANT));
        assert_eq!(principal.client_id.as_deref(), Some("web"));
        assert_eq!(principal.scopes, ["orders.read", "orders.write"]);
        assert_eq!(principal.roles.known(), ["approver"]);
        assert_eq!(principal.groups.known(), ["g-1", "g-2"]);
        assert_eq!(
            principal.email, None,
            "preferred_username is no mail address"
        );
    }
    let no_oid = changed(v2_user(), &[("oid", json!(null))]);
    assert_eq!(tenant.outcome(&no_oid).unwrap().user_id, "pairwise");
}

#[test]
fn entras_app_only_token_proves_a_service() {
    let tenant = entra();
    for (changes, kind) in [
        (vec![], PrincipalKind::Service),
        (vec![("roles", json!(null))], PrincipalKind::Service),
        (vec![("idtyp", json!("app"))], PrincipalKind::Service),
        (vec![("idtyp", json!("user"))], PrincipalKind::User),
    ] {
        let principal = tenant.outcome(&changed(app_only(), &changes)).unwrap();
        assert_eq!(principal.kind, kind, "{changes:?}");
        assert_eq!(principal.user_id, "object");
    }
}

#[test]
fn entras_groups_overage_leaves_groups_unresolved() {
    let tenant = entra();
    let overage = json!({"groups": "src1"});
    for changes in [
        vec![("groups", json!(null)), ("_claim_names", overage.clone())],
        vec![("_claim_names", overage)],
        vec![("groups", json!(null)), ("hasgroups", json!(true))],
        vec![("groups", json!(null)), ("hasgroups", json!("true"))],
    ] {
        let principal = tenant.outcome(&changed(v2_user(), &changes)).unwrap();
        assert_eq!(principal.groups, Names::Unresolved, "{changes:?}");
        assert_eq!(principal.roles.known(), ["approver"]);
    }
    let none = changed(v2_user(), &[("groups", json!(null))]);
    let principal = tenant.outcome(&none).unwrap();
    assert_eq!(principal.groups, Names::Known(vec![]));
}

#[test]
fn entra_tokens_of_another_tenant_audience_or_use_are_refused() {
    let tenant = entra();
    let on = |name, value: Value| changed(v2_user(), &[(name, value)]);
    let of = |iss: String| on("iss", json!(iss));
    for (claims, denial) in [
        (on("tid", json!(OTHER)), Denial::IssuerUnknown),
        (on("tid", json!(null)), Denial::IssuerUnknown),
        (on("tid", json!([TENANT])), Denial::IssuerUnknown),
        (
            of(format!("https://login.microsoftonline.com/{OTHER}/v2.0")),
            Denial::IssuerUnknown,
        ),
        (
            of("https://login.microsoftonline.com/{tenantid}/v2.0".to_owned()),
            Denial::IssuerUnknown,
        ),
        (
            of(format!("https://login.microsoftonline.com/{TENANT}/v2.0/")),
            Denial::IssuerUnknown,
        ),
        (
            of(format!("https://sts.windows.net/{TENANT}")),
            Denial::IssuerUnknown,
        ),
        (on("aud", json!("api://orders/")), Denial::AudienceMismatch),
        (
            on("aud", json!("https://graph.microsoft.com")),
            Denial::AudienceMismatch,
        ),
        // an ID token: same audience, no client
        (on("azp", json!(null)), Denial::TokenUseMismatch),
        (
            changed(
                app_only(),
                &[
                    ("azp", json!(null)),
                    ("nonce", json!("n")),
                    ("roles", json!(["admin"])),
                ],
            ),
            Denial::TokenUseMismatch,
        ),
        (on("oid", json!("")), Denial::SubjectInvalid),
        (on("exp", json!(NOW.0 - 60)), Denial::TokenExpired),
        (on("nbf", json!(NOW.0 + 61)), Denial::TokenNotYetValid),
    ] {
        assert_eq!(tenant.outcome(&claims).err(), Some(denial), "{claims}");
    }
}

#[test]
fn an_entra_key_speaks_for_its_own_issuer_only() {
    let tenant = entra();
    let by = |key_id: &str, claims: &Value| {
        let token = tenant.key.token(key_id, claims);
        outcome(&token, &tenant.issuer, &tenant.keys).err()
    };
    for claims in [v2_user(), v1_user()] {
        assert_eq!(by("k", &claims), None);
        assert_eq!(by("plain", &claims), None);
        assert_eq!(by("consumers", &claims), Some(Denial::IssuerUnknown));
    }
}

#[test]
fn a_graph_token_fails_by_its_signature() {
    // Graph's tokens are signed over another header than the one they carry
    let tenant = entra();
    let signed = tenant.key.token("k", &v2_user());
    let (_, rest) = signed.split_once('.').unwrap();
    let header = crate::authn::mint::encode("{\"alg\":\"RS256\",\"kid\":\"k\",\"nonce\":\"n\"}");
    let token = format!("{header}.{rest}");
    assert_eq!(
        outcome(&token, &tenant.issuer, &tenant.keys),
        Err(Denial::SignatureInvalid)
    );
}
