//! Shadow mode, with real tokens.

use super::*;

/// The gate whose `/admin/**` is in shadow mode.
fn shadow_gate(keys: Arc<dyn KeySource>) -> Gate {
    let mut parts = parts(keys, vec![issuer("users", "app")]);
    let mut routes: Vec<Route> = parts
        .routes
        .routes()
        .iter()
        .map(|route| Route::clone(route))
        .collect();
    let Access::Protected(admin) = &mut routes[0].access else {
        panic!("protected");
    };
    admin.mode = Mode::Shadow;
    parts.routes = RouteTable::new(routes).unwrap();
    Gate::new(parts, None)
}

/// `allow`, for whom, and what was not enforced as the log is told.
fn told(judgement: &Judgement) -> (&'static str, Option<String>, Option<&'static str>) {
    let who = match &judgement.outcome {
        Ok(Decision::Allow(permit)) => permit
            .proven()
            .map(|proven| proven.principal.user_id.clone()),
        Ok(Decision::Deny(_)) | Err(_) => None,
    };
    let shadowed = judgement.evidence.shadowed.as_ref();
    (outcome(judgement), who, shadowed.map(Refusal::reason))
}

#[tokio::test]
async fn who_would_be_refused_passes_without_a_name_unless_it_was_proven() {
    let gate = shadow_gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let good = mint(SECRET, &json!({}));
    let reader = mint(SECRET, &json!({"groups": ["readers"]}));
    let forged = mint(OTHER_SECRET, &json!({}));
    let expired = mint(SECRET, &json!({"exp": NOW.0 - 600}));
    let foreign = mint(SECRET, &json!({"aud": "another"}));
    for (token, who, reason) in [
        (Some(&good), Some("ada"), None),
        (Some(&reader), Some("ada"), Some("group_missing")),
        (None, None, Some("credential_missing")),
        (Some(&forged), None, Some("signature_invalid")),
        (Some(&expired), None, Some("token_expired")),
        (Some(&foreign), None, Some("audience_mismatch")),
        (Some(&"x".to_owned()), None, Some("token_malformed")),
    ] {
        let token = token.map(String::as_str);
        for _again in 0..2 {
            let judged = ask(&gate, "/admin/x", token, NOW).await;
            let expected = ("allow", who.map(str::to_owned), reason);
            assert_eq!(told(&judged), expected, "{reason:?}");
        }
        // no other route is touched
        if let Some(reason) = reason.filter(|reason| *reason != "group_missing") {
            let judged = ask(&gate, "/users/x", token, NOW).await;
            assert_eq!(told(&judged), (reason, None, None));
        }
    }
    let nowhere = ask(&gate, "/nowhere", Some(&good), NOW).await;
    assert_eq!(told(&nowhere), ("no_route", None, None));
}

#[tokio::test]
async fn an_outage_is_noted_and_validation_is_never_in_shadow() {
    let keys = Scripted::new(KeysNow::Unavailable {
        retry_after: Duration::from_secs(3),
    });
    let gate = shadow_gate(Arc::clone(&keys) as Arc<dyn KeySource>);
    let reader = mint(SECRET, &json!({"groups": ["readers"]}));
    let judged = ask(&gate, "/admin/x", Some(&reader), NOW).await;
    assert_eq!(told(&judged), ("allow", None, Some("keys_unavailable")));

    let route = Arc::clone(gate.routes().named("/admin/**").unwrap());
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {reader}")).unwrap();
    headers.append(header::AUTHORIZATION, value);
    let judged = gate.check_route(&route, &headers, None, NOW, &mut ()).await;
    assert_eq!(told(&judged), ("keys_unavailable", None, None));
    keys.set(KeysNow::Usable(key_set(SECRET)));
    let judged = gate.check_route(&route, &headers, None, NOW, &mut ()).await;
    assert_eq!(told(&judged), ("group_missing", None, None));
}

#[tokio::test]
async fn the_steps_say_that_it_was_not_enforced() {
    let gate = shadow_gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let headers = HeaderMap::new();
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("app.test").unwrap(),
        path: Path::parse("/admin/x").unwrap(),
        headers: &headers,
        client: None,
        certificate: None,
    };
    let mut steps = Transcript::default();
    gate.check(&facts, NOW, &mut steps).await;
    let last = steps.0.last().unwrap();
    assert_eq!(
        (last.0, &*last.1),
        ("mode", "shadow: credential_missing is noted, not enforced")
    );
}
