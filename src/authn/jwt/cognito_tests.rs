//! Cognito: what its tokens look like, and which of them an issuer table refuses.

use serde_json::{Value, json};

use super::tests::{Bench, NOW, changed, key_set};
use super::*;
use crate::authn::Mapping;
use crate::authn::claims::ClaimPath;
use crate::authn::cognito::PoolId;
use crate::authn::issuer::{Accepted, ClaimMap};
use crate::authn::mint::SigningKey;
use crate::authn::principal::{Names, PrincipalKind};
use crate::authn::proof::Bound;

fn cognito(token_use: &[TokenUse], audiences: &[&str]) -> Bench {
    let key = SigningKey::new(Algorithm::RS256);
    let keys = key_set(&[key.jwk("k")], &[Algorithm::RS256]);
    let issuer = Issuer {
        name: Arc::from("users"),
        accepted_iss: PoolId::parse("us-east-1_ABC").unwrap().issuers().to_vec(),
        algorithms: vec![Algorithm::RS256],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        mapping: Mapping::default(),
        required_claims: Vec::new(),
        claims: ClaimMap {
            tenant: vec![ClaimPath::name("custom:tenant_id")],
            ..ClaimMap::cognito()
        },
        preset: Preset::Cognito {
            client_ids: Accepted::OneOf(vec!["web".to_owned(), "batch".to_owned()]),
            audiences: audiences.iter().map(|&aud| aud.to_owned()).collect(),
            token_use: token_use.to_vec(),
        },
    };
    Bench { key, keys, issuer }
}

fn access() -> Value {
    json!({
        "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC",
        "sub": "aaaa-bbbb", "token_use": "access", "client_id": "web", "username": "ada",
        "scope": "orders/read openid", "cognito:groups": ["readers", "admins"],
        "exp": NOW.0 + 300, "iat": NOW.0 - 10, "jti": "1", "origin_jti": "2", "version": 2,
    })
}

fn id() -> Value {
    json!({
        "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC",
        "sub": "aaaa-bbbb", "token_use": "id", "aud": "web", "cognito:username": "ada",
        "email": "ada@example.com", "name": "Ada", "custom:tenant_id": "acme",
        "cognito:groups": ["admins"], "cognito:roles": ["arn:aws:iam::1:role/x"],
        "exp": NOW.0 + 300, "iat": NOW.0 - 10,
    })
}

fn machine() -> Value {
    changed(
        access(),
        &[
            ("username", json!(null)),
            ("cognito:groups", json!(null)),
            ("client_id", json!("batch")),
            ("sub", json!("batch")),
        ],
    )
}

#[test]
fn cognitos_access_token_proves_a_user() {
    let pool = cognito(&[TokenUse::Access], &[]);
    let updated = "https://issuer-cognito-idp.us-east-1.amazonaws.com/us-east-1_ABC";
    for claims in [access(), changed(access(), &[("iss", json!(updated))])] {
        let principal = pool.outcome(&claims).unwrap();
        assert_eq!(principal.kind, PrincipalKind::User);
        assert_eq!(principal.user_id, "aaaa-bbbb");
        assert_eq!(principal.client_id.as_deref(), Some("web"));
        assert_eq!(principal.name.as_deref(), Some("ada"));
        assert_eq!(principal.groups.known(), ["readers", "admins"]);
        assert_eq!(principal.scopes, ["orders/read", "openid"]);
    }
}

#[test]
fn cognitos_id_token_proves_a_user_where_it_is_accepted() {
    let pool = cognito(&[TokenUse::Access, TokenUse::Id], &[]);
    let principal = pool.outcome(&id()).unwrap();
    assert_eq!(principal.kind, PrincipalKind::User);
    assert_eq!(principal.client_id.as_deref(), Some("web"));
    assert_eq!(principal.tenant_id.as_deref(), Some("acme"));
    assert_eq!(principal.email.as_deref(), Some("ada@example.com"));
    assert_eq!(principal.groups.known(), ["admins"]);
    assert_eq!(
        principal.roles,
        Names::Known(vec![]),
        "IAM roles are not the application's"
    );
    // an ID token without anything of a person is still not a service
    let bare = changed(
        id(),
        &[
            ("cognito:username", json!(null)),
            ("email", json!(null)),
            ("name", json!(null)),
            ("client_id", json!("batch")),
        ],
    );
    let principal = pool.outcome(&bare).unwrap();
    assert_eq!(principal.kind, PrincipalKind::User);
    assert_eq!(principal.client_id.as_deref(), Some("web"));
}

#[test]
fn cognitos_client_credentials_prove_a_service_named_by_its_client() {
    let pool = cognito(&[TokenUse::Access], &[]);
    for claims in [machine(), changed(machine(), &[("sub", json!("other"))])] {
        let principal = pool.outcome(&claims).unwrap();
        assert_eq!(principal.kind, PrincipalKind::Service);
        assert_eq!(principal.user_id, "batch");
        assert_eq!(principal.client_id.as_deref(), Some("batch"));
    }
}

#[test]
fn cognito_tokens_for_another_use_client_or_pool_are_refused() {
    let one = cognito(&[TokenUse::Access], &[]);
    let both = cognito(&[TokenUse::Access, TokenUse::Id], &["api"]);
    let other_pool = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_OTHER";
    let on = |claims: Value, name, value: Value| changed(claims, &[(name, value)]);
    for (pool, claims, denial) in [
        (&one, id(), Denial::TokenUseMismatch),
        (
            &one,
            on(access(), "token_use", json!(null)),
            Denial::TokenUseMismatch,
        ),
        (
            &one,
            on(access(), "token_use", json!(["access"])),
            Denial::TokenUseMismatch,
        ),
        (
            &one,
            on(access(), "token_use", json!("ACCESS")),
            Denial::TokenUseMismatch,
        ),
        (
            &one,
            on(access(), "token_use", json!("refresh")),
            Denial::TokenUseMismatch,
        ),
        (
            &one,
            on(access(), "client_id", json!("evil")),
            Denial::TokenClientRefused,
        ),
        (
            &one,
            on(access(), "client_id", json!("WEB")),
            Denial::TokenClientRefused,
        ),
        (
            &one,
            on(access(), "client_id", json!(null)),
            Denial::TokenClientRefused,
        ),
        (
            &one,
            changed(
                access(),
                &[("client_id", json!("evil")), ("aud", json!("web"))],
            ),
            Denial::TokenClientRefused,
        ),
        (
            &one,
            on(access(), "iss", json!(other_pool)),
            Denial::IssuerUnknown,
        ),
        (
            &both,
            on(id(), "aud", json!("evil")),
            Denial::AudienceMismatch,
        ),
        (
            &both,
            on(id(), "aud", json!(null)),
            Denial::AudienceMismatch,
        ),
        (
            &both,
            on(access(), "aud", json!("other")),
            Denial::AudienceMismatch,
        ),
        (
            &one,
            on(access(), "sub", json!(null)),
            Denial::SubjectInvalid,
        ),
        (
            &one,
            on(access(), "exp", json!(null)),
            Denial::TokenMalformed,
        ),
    ] {
        assert_eq!(pool.outcome(&claims).err(), Some(denial), "{claims}");
    }
    for (pool, claims) in [
        (&both, access()),
        (&both, on(access(), "aud", json!(["x", "api"]))),
        (&one, on(access(), "aud", json!("not asked for"))),
        (&both, id()),
    ] {
        assert_eq!(pool.outcome(&claims).err(), None, "{claims}");
    }
}
