use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::authn::claims::ClaimPath;
use crate::authn::issuer::{Accepted, ClaimMap, Preset};
use crate::authn::mapping::Mapping;
use crate::authn::mint::encode;
use crate::authn::principal::{Names, PrincipalKind};

const NOW: UnixTime = UnixTime(1_800_000_000);

fn issuer(answers: Answers) -> Issuer {
    let list = |name: &str| Some(Accepted::OneOf(vec![name.to_owned()]));
    Issuer {
        name: Arc::from("opaque"),
        accepted_iss: vec!["https://op.example".to_owned()],
        algorithms: vec![],
        leeway: 60,
        max_token_age: None,
        required_claims: vec![],
        claims: match answers {
            Answers::Introspection => ClaimMap::introspection(),
            Answers::Remote => ClaimMap::remote(),
        },
        mapping: Mapping::default(),
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        preset: Preset::Opaque(Opaque {
            endpoint: "https://op.example/introspect".to_owned(),
            answers,
            issuers: match answers {
                Answers::Introspection => Accepted::OneOf(vec!["https://op.example".to_owned()]),
                Answers::Remote => Accepted::OneOf(vec![]),
            },
            audiences: (answers == Answers::Introspection)
                .then(|| list("app"))
                .flatten(),
            client_ids: None,
            accept_jwt: false,
            cache: 60,
        }),
    }
}

fn judged(answers: Answers, answer: &Value) -> Result<VerifiedToken, Denial> {
    judged_by(&issuer(answers), answer)
}

fn judged_by(issuer: &Issuer, answer: &Value) -> Result<VerifiedToken, Denial> {
    let claims = Claims::parse(answer.to_string())?;
    let token = read(&claims, issuer, NOW, &mut ())?;
    token.judge(issuer, NOW, &mut ())?;
    Ok(token)
}

#[test]
fn a_token_is_what_rfc_6750_lets_stand_in_a_header() {
    for good in [
        "a",
        "abc.def",
        "AZaz09-._~+/",
        "abc==",
        "a.b.c.d.e",
        "...",
        &"x".repeat(16_000),
    ] {
        assert!(is_token(good.as_bytes()), "{good}");
    }
    for bad in [
        "", "=", "==", "a=b", "a b", "a\tb", "a,b", "a;b", "a\"b", "a%b", "a\u{0}", "ä",
    ] {
        assert!(!is_token(bad.as_bytes()), "{bad:?}");
    }
}

#[test]
fn three_parts_with_a_json_header_are_like_a_jwt() {
    let header = encode("{\"alg\":\"RS256\"}");
    for like in [
        format!("{header}.{}.AA", encode("{}")),
        format!("{}.{}.", encode("{}"), encode("{}")),
        format!("{}.{}.AA", encode("{\"alg\":\"none\"}"), encode("no json")),
        // what a careless reader takes for one: spare bits, the other alphabet, anything behind
        format!("{header}.{}.AB", encode("{}")),
        format!("{header}.~~~.+/"),
        format!("{header}.."),
        format!(
            "{}=.{}=.AA==",
            encode("{\"alg\":\"RS256\",\"a\":1}"),
            encode("{}")
        ),
    ] {
        assert!(is_like_a_jwt(like.as_bytes()), "{like}");
    }
    for other in [
        "opaque".to_owned(),
        "abc.def.ghi".to_owned(),
        format!("{header}.{}", encode("{}")),
        format!("{header}.{}.AA.AA", encode("{}")),
        format!("{header}.{}.AA.AA.AA", encode("{}")),
        format!("{}.{}.AA", encode("[]"), encode("{}")),
        format!("~~~.{}.AA", encode("{}")),
    ] {
        assert!(!is_like_a_jwt(other.as_bytes()), "{other}");
    }
    for bent in [
        format!("{header}.{}.AB", encode("{}")),
        format!("{header}.{}.+/AA", encode("{}")),
        format!("{header}.~~~.AA"),
    ] {
        let form = form(bent.as_bytes());
        assert_eq!(form, Err(Denial::TokenMalformed), "{bent}");
    }
    let stating =
        |payload: &str| stated_issuer(format!("{header}.{}.AA", encode(payload)).as_bytes());
    assert_eq!(stating("{\"iss\":\"i\"}"), Ok(Some("i".to_owned())));
    assert_eq!(stating("{}"), Ok(None));
    assert_eq!(stating("no json"), Ok(None));
    assert_eq!(
        stating("{\"iss\":\"i\",\"iss\":\"j\"}"),
        Err(Denial::TokenMalformed)
    );
}

#[test]
fn an_answer_names_a_user_or_the_client_that_acts_for_itself() {
    let answer = |more: &Value| {
        let mut whole =
            json!({"active": true, "aud": "app", "client_id": "c", "scope": "read write"});
        for (name, value) in more.as_object().unwrap() {
            whole[name] = value.clone();
        }
        whole
    };
    for (more, kind, id) in [
        (
            json!({"sub": "ada", "username": "Ada"}),
            PrincipalKind::User,
            "ada",
        ),
        (json!({"sub": "c"}), PrincipalKind::Service, "c"),
        (json!({}), PrincipalKind::Service, "c"),
    ] {
        let token = judged(Answers::Introspection, &answer(&more)).unwrap();
        let principal = &token.principal;
        assert_eq!(
            (principal.kind, principal.user_id.as_str()),
            (kind, id),
            "{more}"
        );
        assert_eq!(principal.client_id.as_deref(), Some("c"));
        assert_eq!(principal.scopes, ["read", "write"]);
        assert_eq!(token.expires_at, NOW.plus(300), "nobody says when it ends");
    }
    let nobody = judged(Answers::Introspection, &answer(&json!({"username": "Ada"})));
    assert_eq!(nobody.unwrap_err(), Denial::SubjectInvalid);
}

#[test]
fn what_an_active_answer_says_is_judged() {
    for (more, expected) in [
        (json!({}), None),
        (
            json!({"token_type": "bearer", "iss": "https://op.example"}),
            None,
        ),
        (json!({"exp": NOW.0 - 59}), None),
        (json!({"exp": NOW.0 - 60}), Some(Denial::TokenExpired)),
        (json!({"exp": "soon"}), Some(Denial::TokenMalformed)),
        (json!({"nbf": NOW.0 + 61}), Some(Denial::TokenNotYetValid)),
        (
            json!({"iss": "https://other.example"}),
            Some(Denial::IssuerUnknown),
        ),
        (json!({"iss": 1}), Some(Denial::IssuerUnknown)),
        (json!({"aud": "other"}), Some(Denial::AudienceMismatch)),
        (json!({"aud": null}), Some(Denial::AudienceMismatch)),
        (
            json!({"exp": null, "nbf": null, "iat": null, "scope": null, "client_id": null}),
            None,
        ),
        (
            json!({"iss": null, "token_type": null, "username": null}),
            None,
        ),
        (json!({"cnf": null}), Some(Denial::TokenTypeRefused)),
        (
            json!({"token_type": ["Bearer"]}),
            Some(Denial::TokenTypeRefused),
        ),
        (
            json!({"token_type": "DPoP"}),
            Some(Denial::TokenTypeRefused),
        ),
        (
            json!({"token_type": "refresh_token"}),
            Some(Denial::TokenTypeRefused),
        ),
        (
            json!({"token_use": "refresh_token"}),
            Some(Denial::TokenTypeRefused),
        ),
        (json!({"token_use": "id"}), Some(Denial::TokenTypeRefused)),
        (json!({"token_use": "access"}), None),
        // Keycloak says `active` of these too
        (json!({"typ": "Bearer"}), None),
        (json!({"typ": "Refresh"}), Some(Denial::TokenTypeRefused)),
        (json!({"typ": "Offline"}), Some(Denial::TokenTypeRefused)),
        (json!({"typ": "ID"}), Some(Denial::TokenTypeRefused)),
        (json!({"typ": "Logout"}), Some(Denial::TokenTypeRefused)),
        (json!({"cnf": {"jkt": "x"}}), Some(Denial::TokenTypeRefused)),
        (json!({"sub": ""}), Some(Denial::SubjectInvalid)),
        (json!({"sub": "a\u{0}"}), Some(Denial::SubjectInvalid)),
    ] {
        let mut answer = json!({"active": true, "aud": ["x", "app"], "sub": "ada"});
        for (name, value) in more.as_object().unwrap() {
            answer[name] = value.clone();
        }
        assert_eq!(
            judged(Answers::Introspection, &answer).err(),
            expected,
            "{more}"
        );
    }
}

#[test]
fn a_user_whom_the_table_does_not_find_is_not_the_client() {
    let mut issuer = issuer(Answers::Introspection);
    issuer.claims.user_id = vec![ClaimPath::name("uid")];
    let answer = |more: &Value| {
        let mut whole = json!({"active": true, "aud": "app", "client_id": "c"});
        for (name, value) in more.as_object().unwrap() {
            whole[name] = value.clone();
        }
        judged_by(&issuer, &whole).map(|token| token.principal.kind)
    };
    assert_eq!(answer(&json!({"uid": "ada"})), Ok(PrincipalKind::User));
    assert_eq!(answer(&json!({})), Ok(PrincipalKind::Service));
    for named in [json!({"sub": "ada"}), json!({"username": "ada"})] {
        assert_eq!(answer(&named), Err(Denial::SubjectInvalid), "{named}");
    }
}

#[test]
fn a_token_of_type_dpop_is_bound_or_refused() {
    let mut issuer = issuer(Answers::Introspection);
    issuer.dpop = Bound::Accepted;
    let answer = |more: &Value| {
        let mut whole = json!({"active": true, "aud": "app", "sub": "ada", "token_type": "DPoP"});
        for (name, value) in more.as_object().unwrap() {
            whole[name] = value.clone();
        }
        judged_by(&issuer, &whole).map(|token| token.confirmation.key.is_some())
    };
    let key = json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}});
    assert_eq!(answer(&key), Ok(true));
    assert_eq!(answer(&json!({})), Err(Denial::TokenTypeRefused));
}

#[test]
fn a_set_that_is_null_or_stands_in_something_that_is_none_is_unknown() {
    let mut issuer = issuer(Answers::Remote);
    let path = vec!["user".to_owned(), "groups".to_owned()];
    issuer.claims.groups = ClaimPath::nested(path).into_iter().collect();
    for (user, expected) in [
        (json!(null), Names::Unresolved),
        (json!("ada"), Names::Unresolved),
        (json!({"groups": null}), Names::Unresolved),
        (json!({}), Names::Known(vec![])),
        (json!({"groups": ["x"]}), Names::Known(vec!["x".to_owned()])),
    ] {
        let token = judged_by(&issuer, &json!({"id": "ada", "user": user})).unwrap();
        assert_eq!(token.principal.groups, expected, "{user}");
    }
    let scopes = judged_by(&issuer, &json!({"id": "ada", "scopes": null}));
    assert_eq!(scopes.unwrap_err(), Denial::TokenMalformed);
}

#[test]
fn an_answer_is_used_no_longer_than_its_token() {
    for (answer, cache, until) in [
        (json!({"exp": NOW.0 + 3600}), 60, 60),
        (json!({"exp": NOW.0 + 30}), 60, 30),
        (json!({"expiry": NOW.0 + 30}), 60, 30),
        (json!({"expiry": NOW.0 + 30, "exp": NOW.0 + 20}), 60, 20),
        (json!({}), 60, 60),
        (json!({"exp": null}), 60, 60),
        // within the leeway: not with every request
        (json!({"exp": NOW.0 - 30}), 60, 1),
        (json!({"exp": NOW.0 - 30}), 0, 0),
    ] {
        let claims = Claims::parse(answer.to_string()).unwrap();
        assert_eq!(used_until(&claims, NOW, cache), NOW.plus(until), "{answer}");
    }
}

#[test]
fn another_gatepost_is_understood() {
    let whole = json!({
        "id": "ada", "name": "Ada", "email": null, "issuer": "users", "groups": ["ops"], "roles": null,
        "permissions": [], "scopes": ["read"], "tenant": null, "client": "c", "kind": "user",
        "expiry": NOW.0 + 30,
    });
    let mut users = issuer(Answers::Remote);
    if let Preset::Opaque(opaque) = &mut users.preset {
        opaque.issuers = Accepted::OneOf(vec!["users".to_owned()]);
    }
    let token = judged_by(&users, &whole).unwrap();
    let principal = &token.principal;
    assert_eq!(
        (principal.user_id.as_str(), principal.kind),
        ("ada", PrincipalKind::User)
    );
    assert_eq!(
        (principal.email.as_ref(), principal.tenant_id.as_ref()),
        (None, None)
    );
    assert_eq!(principal.groups, Names::Known(vec!["ops".to_owned()]));
    // null is not "none of them": a rule that forbids a role must not take it for that
    assert_eq!(principal.roles, Names::Unresolved);
    assert_eq!(principal.permissions, Names::Known(vec![]));
    assert_eq!(token.expires_at, NOW.plus(30));
    let service = judged(
        Answers::Remote,
        &json!({"id": "c", "client": "c", "kind": "service"}),
    );
    assert_eq!(service.unwrap().principal.kind, PrincipalKind::Service);
    for nobody in [
        json!({"id": null, "kind": "anonymous", "scopes": null}),
        json!({}),
        json!({"id": 7}),
    ] {
        let denied = judged(Answers::Remote, &nobody).unwrap_err();
        assert_eq!(denied, Denial::SubjectInvalid, "{nobody}");
    }
}

#[test]
fn an_issuer_that_an_endpoint_of_ones_own_names_must_be_one_that_is_meant() {
    let list =
        |names: &[&str]| Accepted::OneOf(names.iter().map(|name| (*name).to_owned()).collect());
    let (users, staff) = (json!({"issuer": "users"}), json!({"issuer": "staff"}));
    let nobody = json!({"issuer": null});
    let iss = json!({"iss": "https://a.example", "issuer": "users"});
    for (accepted, answer, is_taken) in [
        // one id of two issuers is two users: whose is meant must be said
        (list(&[]), &users, false),
        (list(&[]), &nobody, true),
        (list(&[]), &iss, false),
        (list(&["users"]), &users, true),
        (list(&["users"]), &staff, false),
        (list(&["users"]), &nobody, false),
        (list(&["users"]), &iss, false),
        (list(&["users", "https://a.example"]), &iss, true),
        (list(&["users"]), &json!({"issuer": ["users"]}), false),
        (list(&["users"]), &json!({"issuer": "Users"}), false),
        (Accepted::Any, &users, true),
        (Accepted::Any, &nobody, true),
    ] {
        let mut issuer = issuer(Answers::Remote);
        if let Preset::Opaque(opaque) = &mut issuer.preset {
            opaque.issuers = accepted.clone();
        }
        let mut whole = json!({"id": "ada", "kind": "user"});
        for (name, value) in answer.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let judged = judged_by(&issuer, &whole).map(|_token| ());
        let expected = if is_taken {
            Ok(())
        } else {
            Err(Denial::IssuerUnknown)
        };
        assert_eq!(judged, expected, "{accepted:?} {answer}");
    }
}
