//! Groups that a token of Entra has no room for.

use super::memberships::{Store, header, names, proven};
use super::*;
use crate::authn::mapping::Set;
use crate::authn::membership::{SetFrom, SetsFrom};
use crate::authz::route::{Overage, RouteMemberships};

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const ADA: &str = "aaaaaaaa-0000-0000-0000-000000000001";

/// A gate of one tenant, whose routes ask store 1 for its overage: `/members/**` wants the group `admins`,
/// `/unbanned/**` anybody outside `banned`, `/both/**` merges with store 0, and `/plain/**` asks nobody.
fn gate_of(memberships: Arc<dyn Memberships>, mapping: Mapping) -> Gate {
    let mut tenant = Arc::unwrap_or_clone(issuer("staff", "app"));
    tenant.claims = ClaimMap::entra();
    tenant.mapping = mapping;
    tenant.preset = Preset::Entra {
        tenant_id: TENANT.to_owned(),
        audiences: Accepted::OneOf(vec!["app".to_owned()]),
    };
    let of = |path: &str, from: Option<SetFrom>, change: fn(&mut Protected)| {
        let mut route = route(path, vec![0], &["admins"], false);
        let Access::Protected(protected) = &mut route.access else {
            panic!("{path} is public");
        };
        protected.overage = vec![Overage {
            issuer: Arc::from("staff"),
            store: 1,
            name: Arc::from("graph:staff"),
        }];
        protected.memberships = from.map(|groups| RouteMemberships {
            store: 0,
            name: Arc::from("main"),
            from: SetsFrom {
                groups,
                roles: SetFrom::Claims,
                permissions: SetFrom::Claims,
            },
            asked: groups != SetFrom::Claims,
        });
        change(protected);
        route
    };
    let none = |protected: &mut Protected| {
        protected.require.groups = Some(SetRule {
            none: vec!["banned".to_owned()],
            ..SetRule::default()
        });
    };
    let roles = |protected: &mut Protected| {
        protected.require.roles = protected.require.groups.take();
    };
    let routes = vec![
        of("/members/**", None, |_| {}),
        of("/unbanned/**", None, none),
        of("/roles/**", None, roles),
        of("/claims/**", Some(SetFrom::Claims), |_| {}),
        of("/both/**", Some(SetFrom::Both), |_| {}),
        of("/plain/**", None, |protected| protected.overage.clear()),
    ];
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        memberships,
        ..parts(
            Arc::new(FixedKeys(vec![key_set(SECRET)])),
            vec![Arc::new(tenant)],
        )
    };
    Gate::new(parts, None)
}

/// A user's token whose groups are elsewhere, with these claims added, replaced or (`null`) `null`.
fn token(changes: &Value) -> String {
    let mut claims = json!({
        "tid": TENANT, "oid": ADA, "scp": "x", "groups": null, "azp": "web",
        "_claim_names": { "groups": "src1" },
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    mint(SECRET, &claims)
}

#[tokio::test]
async fn groups_that_are_elsewhere_are_asked_for_and_the_rule_is_evaluated_on_them() {
    let as_roles = Mapping {
        roles_from: vec![Set::Roles, Set::Groups],
        ..Mapping::default()
    };
    for (path, told, expected) in [
        ("/members/1", &["admins"][..], "allow"),
        ("/members/1", &["other"], "group_missing"),
        ("/members/1", &[], "group_missing"),
        ("/unbanned/1", &["other"], "allow"),
        ("/unbanned/1", &["other", "banned"], "group_missing"),
        ("/roles/1", &["admins"], "allow"),
        ("/roles/1", &["other"], "role_missing"),
        ("/claims/1", &["admins"], "allow"),
        ("/both/1", &["admins"], "allow"),
        ("/both/1", &["other"], "group_missing"),
    ] {
        let store = Arc::new(Store::with(told));
        let gate = gate_of(Arc::<Store>::clone(&store), as_roles.clone());
        let judged = ask(&gate, path, Some(&token(&json!({}))), NOW).await;
        assert_eq!(outcome(&judged), expected, "{path} {told:?}");
        assert_eq!(judged.evidence.memberships, Some("asked"));
        let asked = store.asked.lock().unwrap().clone();
        let about = format!("1 staff {ADA} Some({TENANT:?}) None");
        assert_eq!(asked.first(), Some(&about), "{path}");
        assert_eq!(asked.len(), if path == "/both/1" { 2 } else { 1 }, "{path}");
        if expected == "allow" {
            let groups = header(&proven(&judged), "x-user-groups");
            assert_eq!(groups, Some(told.join(",")), "{path}");
        }
    }
}

#[tokio::test]
async fn an_application_is_asked_about_as_one() {
    let store = Arc::new(Store::with(&["admins"]));
    let gate = gate_of(Arc::<Store>::clone(&store), Mapping::default());
    let app = token(&json!({ "idtyp": "app" }));
    let judged = ask(&gate, "/members/1", Some(&app), NOW).await;
    assert_eq!(outcome(&judged), "allow");
    let about = format!("1 staff {ADA} Some({TENANT:?}) Some({ADA:?})");
    assert_eq!(*store.asked.lock().unwrap(), [about]);
}

#[tokio::test]
async fn nobody_is_asked_about_whom_the_token_says_nothing_of_the_sort() {
    let store = Arc::new(Store::with(&["admins"]));
    let gate = gate_of(Arc::<Store>::clone(&store), Mapping::default());
    let none = json!({});
    for (path, changes, expected) in [
        ("/plain/1", &none, "groups_unresolved"),
        (
            "/members/1",
            &json!({ "groups": ["admins"], "_claim_names": {} }),
            "allow",
        ),
        (
            "/members/1",
            &json!({ "groups": ["x"], "_claim_names": {} }),
            "group_missing",
        ),
        (
            "/members/1",
            &json!({ "_claim_names": "x" }),
            "groups_unresolved",
        ),
        (
            "/members/1",
            &json!({ "_claim_names": {}, "groups": 5 }),
            "groups_unresolved",
        ),
        ("/members/1", &json!({ "oid": "ada" }), "groups_unresolved"),
    ] {
        let judged = ask(&gate, path, Some(&token(changes)), NOW).await;
        assert_eq!(outcome(&judged), expected, "{path} {changes}");
        assert_eq!(judged.evidence.memberships, None);
    }
    assert_eq!(*store.asked.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_directory_that_cannot_be_asked_is_no_denial_and_no_allow() {
    for offline in [false, true] {
        let down: Arc<dyn Memberships> = if offline {
            Arc::new(FixedMemberships::default())
        } else {
            Arc::new(Store::default())
        };
        let gate = gate_of(down, Mapping::default());
        for path in ["/members/1", "/unbanned/1", "/both/1"] {
            let judged = ask(&gate, path, Some(&token(&json!({}))), NOW).await;
            assert_eq!(outcome(&judged), "memberships_unavailable", "{path}");
            assert_eq!(judged.evidence.memberships, Some("unavailable"));
        }
    }
}

#[tokio::test]
async fn what_was_learned_is_kept_beside_the_token_until_the_answer_changes() {
    let store = Arc::new(Store {
        kept: true,
        ..Store::with(&["admins"])
    });
    let gate = gate_of(Arc::<Store>::clone(&store), Mapping::default());
    let token = token(&json!({}));
    let ask = async |path| proven(&ask(&gate, path, Some(&token), NOW).await);
    // before it is kept
    ask("/members/1").await;
    let (first, second) = (ask("/members/1").await, ask("/members/1").await);
    assert!(Arc::ptr_eq(&first.principal, &second.principal));
    assert!(Arc::ptr_eq(&first.headers, &second.headers));
    *store.sets.lock().unwrap() = Some(Arc::new(crate::authn::membership::Sets {
        groups: names(&["admins", "ops"]),
        ..crate::authn::membership::Sets::NONE
    }));
    let third = ask("/members/1").await;
    let groups = header(&third, "x-user-groups");
    assert_eq!(groups.as_deref(), Some("admins,ops"));
    assert_eq!(*store.asked.lock().unwrap(), [""; 0]);
}
