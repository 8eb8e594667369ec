//! Client certificates, alone and beside tokens.

use super::*;
use crate::certificate::{Certificate, Fingerprint};

pub(super) const ORDERS: &str = "spiffe://example.org/orders";

pub(super) fn certificate(uri: &str) -> Certificate {
    Certificate {
        subject: "CN=orders".to_owned(),
        uris: vec![uri.to_owned()],
        not_before: UnixTime(0),
        not_after: NOW.plus(60),
        fingerprint: Fingerprint([9; 32]),
    }
}

/// A route for these kinds, and this client if one is named.
fn accepting(path: &str, accepts: &[Kind], client: Option<&str>, optional: bool) -> Route {
    let route = route(path, vec![0], &[], optional);
    let Access::Protected(asked) = route.access else {
        panic!("public");
    };
    Route {
        access: Access::Protected(Box::new(Protected {
            accepts: accepts.to_vec(),
            memberships: None,
            require: Rule {
                clients: client.map(|client| vec![client.to_owned()]),
                ..Rule::default()
            },
            ..*asked
        })),
        ..route
    }
}

/// The same for members of none of these groups.
fn without(mut route: Route, groups: &[&str]) -> Route {
    if let Access::Protected(asked) = &mut route.access {
        asked.require.groups = Some(SetRule {
            none: groups.iter().map(|&name| name.to_owned()).collect(),
            ..SetRule::default()
        });
    }
    route
}

fn gate() -> Gate {
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET)]));
    let both = [Kind::Mtls, Kind::Bearer];
    let routes = vec![
        accepting("/mtls", &both[..1], None, false),
        accepting("/orders", &both[..1], Some(ORDERS), false),
        accepting("/mtls-bearer", &both, None, false),
        accepting("/bearer-mtls", &[Kind::Bearer, Kind::Mtls], None, false),
        accepting("/bearer", &both[1..], None, false),
        accepting("/optional", &both, None, true),
        without(accepting("/none", &both, None, false), &["banned"]),
    ];
    let parts = parts(keys, vec![issuer("users", "app")]);
    let routes = RouteTable::new(routes).unwrap();
    Gate::new(Parts { routes, ..parts }, None)
}

pub(super) async fn present(
    gate: &Gate,
    path: &str,
    token: Option<&str>,
    certificate: Option<&Certificate>,
    now: UnixTime,
) -> Judgement {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.append(header::AUTHORIZATION, value);
    }
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("app.test").unwrap(),
        path: Path::parse(path).unwrap(),
        headers: &headers,
        client: None,
        certificate,
    };
    gate.check(&facts, now, &mut ()).await
}

#[tokio::test]
async fn one_accepted_kind_suffices_and_all_that_are_presented_must_be_valid() {
    let gate = gate();
    let good = mint(SECRET, &json!({}));
    let forged = mint(OTHER_SECRET, &json!({}));
    let orders = certificate(ORDERS);
    let nobody = certificate("spiffe://");
    for (path, token, shown, expected, who) in [
        ("/mtls", None, Some(&orders), "allow", Some(ORDERS)),
        ("/mtls", None, None, "credential_missing", None),
        ("/mtls", Some(&good), None, "credential_missing", None),
        // what the route does not accept is not looked at
        ("/mtls", Some(&forged), Some(&orders), "allow", Some(ORDERS)),
        ("/bearer", Some(&good), Some(&nobody), "allow", Some("ada")),
        ("/bearer", None, Some(&orders), "credential_missing", None),
        ("/mtls-bearer", Some(&good), None, "allow", Some("ada")),
        ("/mtls-bearer", None, Some(&orders), "allow", Some(ORDERS)),
        (
            "/mtls-bearer",
            Some(&good),
            Some(&orders),
            "allow",
            Some(ORDERS),
        ),
        (
            "/bearer-mtls",
            Some(&good),
            Some(&orders),
            "allow",
            Some("ada"),
        ),
        (
            "/mtls-bearer",
            Some(&forged),
            Some(&orders),
            "signature_invalid",
            Some(ORDERS),
        ),
        (
            "/bearer-mtls",
            Some(&good),
            Some(&nobody),
            "subject_invalid",
            Some("ada"),
        ),
        ("/mtls-bearer", None, None, "credential_missing", None),
        ("/optional", None, None, "allow", None),
        ("/optional", None, Some(&nobody), "subject_invalid", None),
        ("/orders", None, Some(&orders), "allow", Some(ORDERS)),
        // a certificate does not say that there are no groups
        ("/none", Some(&good), None, "allow", Some("ada")),
        (
            "/none",
            None,
            Some(&orders),
            "groups_unresolved",
            Some(ORDERS),
        ),
        (
            "/orders",
            None,
            Some(&certificate("spiffe://example.org/billing")),
            "client_refused",
            Some("spiffe://example.org/billing"),
        ),
    ] {
        let case = format!("{path} {token:?} {shown:?}");
        let judged = present(&gate, path, token.map(String::as_str), shown, NOW).await;
        assert_eq!(outcome(&judged), expected, "{case}");
        let found = judged.evidence.principal.as_ref();
        assert_eq!(found.map(|found| &*found.user_id), who, "{case}");
        if let Ok(Decision::Allow(permit)) = &judged.outcome {
            let proven = permit.proven().map(|proven| &*proven.principal.user_id);
            assert_eq!(proven, who, "{case}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_runs_out_on_an_open_connection_is_refused() {
    let gate = gate();
    let orders = certificate(ORDERS);
    let token = mint(SECRET, &json!({}));
    for (path, after, expected) in [
        ("/mtls", 60, "allow"),
        ("/mtls", 61, "token_expired"),
        ("/bearer-mtls", 61, "token_expired"),
        ("/bearer", 61, "allow"),
    ] {
        let now = NOW.plus(after);
        let judged = present(&gate, path, Some(&token), Some(&orders), now).await;
        assert_eq!(outcome(&judged), expected, "{path} {after}");
    }
}

#[tokio::test]
async fn the_upstream_and_the_log_are_told_of_the_certificate() {
    let gate = gate();
    let orders = certificate(ORDERS);
    let judged = present(&gate, "/mtls", None, Some(&orders), NOW).await;
    assert_eq!(judged.evidence.certificate, Some(orders.fingerprint));
    assert_eq!(judged.evidence.expires_at, Some(orders.not_after));
    assert_eq!(judged.evidence.token, None);
    let Ok(Decision::Allow(permit)) = judged.outcome else {
        panic!("{judged:?}");
    };
    let told: Vec<_> = permit
        .proven()
        .unwrap()
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "x-user-id: spiffe://example.org/orders",
            "x-auth-issuer: mtls",
            "x-client-id: spiffe://example.org/orders",
            "x-principal-kind: service",
        ]
    );
    // of two credentials the first to run out counts
    let token = mint(SECRET, &json!({"exp": NOW.0 + 30}));
    let judged = present(&gate, "/mtls-bearer", Some(&token), Some(&orders), NOW).await;
    assert_eq!(judged.evidence.expires_at, Some(NOW.plus(30)));
}

/// `/api/v1/validate?route=NAME`, like all of forward auth, is asked by somebody else.
#[tokio::test]
async fn a_route_judged_by_its_headers_alone_sees_no_certificate() {
    let gate = gate();
    let route = Arc::clone(gate.routes().named("/mtls").unwrap());
    let judged = gate
        .check_route(&route, &HeaderMap::new(), None, NOW, &mut ())
        .await;
    assert_eq!(outcome(&judged), "credential_missing");
}
