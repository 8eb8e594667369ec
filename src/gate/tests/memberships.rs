//! What the gate asks of whom beside the credential, and what it makes of the answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::authn::membership::{SetFrom, Sets, SetsFrom, Subject};
use crate::authn::principal::Names;
use crate::authz::decision::Proven;
use crate::authz::route::RouteMemberships;

/// One store: what it says of each user, and whom it was asked about.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) sets: Mutex<Option<Arc<Sets>>>,
    pub(super) asked: Mutex<Vec<String>>,
    pub(super) found: AtomicUsize,
    /// Whether an answer is there without waiting.
    pub(super) kept: bool,
}

impl Store {
    pub(super) fn with(groups: &[&str]) -> Self {
        Self {
            sets: Mutex::new(Some(sets(groups))),
            ..Self::default()
        }
    }
}

pub(super) fn names(names: &[&str]) -> Names {
    Names::Known(names.iter().map(|&name| name.to_owned()).collect())
}

fn sets(groups: &[&str]) -> Arc<Sets> {
    Arc::new(Sets {
        groups: names(groups),
        ..Sets::NONE
    })
}

impl Memberships for Store {
    fn find(&self, _store: usize, _subject: &Subject<'_>) -> Option<Told> {
        self.found.fetch_add(1, Ordering::Relaxed);
        let sets = self.sets.lock().unwrap().clone().filter(|_| self.kept)?;
        Some(Told {
            sets,
            how: Learnt::Cached,
        })
    }

    fn ask<'a>(&'a self, store: usize, subject: Subject<'a>) -> Boxed<'a, Result<Told, Duration>> {
        let Subject {
            issuer,
            user_id,
            tenant,
            client_id,
        } = subject;
        let asked = format!("{store} {issuer} {user_id} {tenant:?} {client_id:?}");
        self.asked.lock().unwrap().push(asked);
        let sets = self.sets.lock().unwrap().clone();
        let told = sets.map(|sets| Told {
            sets,
            how: Learnt::Asked,
        });
        Box::pin(std::future::ready(told.ok_or(Duration::from_secs(4))))
    }
}

const STORE: SetsFrom = SetsFrom {
    groups: SetFrom::Store,
    roles: SetFrom::Store,
    permissions: SetFrom::Store,
};

/// A gate whose `/members/**` asks for the group `admins`, which comes `from` there, and whose
/// `/named/**` names the store and asks for nothing.
fn gate_of(store: Arc<Store>, from: SetsFrom, mode: Mode) -> Gate {
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET)]));
    let of = |path: &str, groups: &[&str], optional| {
        let mut route = route(path, vec![0], groups, optional);
        if let Access::Protected(protected) = &mut route.access {
            protected.mode = mode;
            protected.memberships = Some(RouteMemberships {
                store: 0,
                name: Arc::from("main"),
                from,
                asked: !groups.is_empty(),
            });
        }
        route
    };
    let routes = vec![
        of("/members/**", &["admins"], false),
        of("/maybe/**", &["admins"], true),
        of("/named/**", &[], false),
        route("/plain/**", vec![0], &["admins"], false),
    ];
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        memberships: store,
        ..parts(keys, vec![issuer("users", "app")])
    };
    Gate::new(parts, None)
}

pub(super) fn proven(judgement: &Judgement) -> Proven {
    let Ok(Decision::Allow(permit)) = &judgement.outcome else {
        panic!("{judgement:?}");
    };
    permit.proven().unwrap().clone()
}

pub(super) fn header(proven: &Proven, name: &str) -> Option<String> {
    let mut headers = proven.headers.iter();
    let (_, value) = headers.find(|(header, _)| *header == name)?;
    Some(value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_rule_is_evaluated_on_the_merged_sets_and_the_upstream_is_told_them() {
    let both = SetsFrom {
        groups: SetFrom::Both,
        ..STORE
    };
    let claims = SetsFrom {
        groups: SetFrom::Claims,
        ..STORE
    };
    // the token says `claimed` and the store says `kept`
    let token = |group: &str| mint(SECRET, &json!({ "groups": [group] }));
    for (from, claimed, kept, expected, told) in [
        (STORE, "x", &["admins"][..], "allow", Some("admins")),
        (STORE, "admins", &["x"], "group_missing", None),
        (STORE, "admins", &[], "group_missing", None),
        (claims, "admins", &["x"], "allow", Some("admins")),
        (claims, "x", &["admins"], "group_missing", None),
        (both, "x", &["admins"], "allow", Some("x,admins")),
        (both, "admins", &["x"], "allow", Some("admins,x")),
        (both, "x", &["y"], "group_missing", None),
    ] {
        let gate = gate_of(Arc::new(Store::with(kept)), from, Mode::Enforce);
        let judged = ask(&gate, "/members/1", Some(&token(claimed)), NOW).await;
        assert_eq!(outcome(&judged), expected, "{from:?} {claimed} {kept:?}");
        assert_eq!(judged.evidence.memberships, Some("asked"));
        if expected == "allow" {
            let groups = header(&proven(&judged), "x-user-groups");
            assert_eq!(groups.as_deref(), told, "{from:?} {claimed} {kept:?}");
        }
    }
}

#[tokio::test]
async fn the_subject_is_who_was_proven_and_nothing_a_client_writes() {
    let store = Arc::new(Store::with(&["admins"]));
    let mut issuer = Arc::unwrap_or_clone(issuer("users", "app"));
    issuer.claims.tenant = vec![crate::authn::claims::ClaimPath::name("org")];
    let gate = {
        let gate = gate_of(Arc::<Store>::clone(&store), STORE, Mode::Enforce);
        let parts = Parts {
            routes: gate.routes.clone(),
            memberships: Arc::<Store>::clone(&store) as Arc<dyn Memberships>,
            ..parts(
                Arc::new(FixedKeys(vec![key_set(SECRET)])),
                vec![Arc::new(issuer)],
            )
        };
        Gate::new(parts, None)
    };
    let token = mint(SECRET, &json!({ "org": "acme", "client_id": "web" }));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("x-user-id", "bob".to_owned()),
        ("x-tenant-id", "other".to_owned()),
        ("x-client-id", "cli".to_owned()),
        ("x-auth-issuer", "staff".to_owned()),
    ] {
        headers.append(
            http::HeaderName::try_from(name).unwrap(),
            HeaderValue::try_from(value).unwrap(),
        );
    }
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("app.test").unwrap(),
        path: Path::parse("/members/1").unwrap(),
        headers: &headers,
        client: None,
        certificate: None,
    };
    let judged = gate.check(&facts, NOW, &mut ()).await;
    assert_eq!(outcome(&judged), "allow");
    assert_eq!(
        *store.asked.lock().unwrap(),
        ["0 users ada Some(\"acme\") Some(\"web\")"]
    );
}

#[tokio::test]
async fn nobody_is_asked_where_nothing_needs_it() {
    let store = Arc::new(Store::with(&["kept"]));
    let gate = gate_of(Arc::<Store>::clone(&store), STORE, Mode::Enforce);
    let token = mint(SECRET, &json!({}));
    // without a store named the token's own groups count
    let plain = ask(&gate, "/plain/1", Some(&token), NOW).await;
    assert_eq!(
        header(&proven(&plain), "x-user-groups").as_deref(),
        Some("admins")
    );
    // named, and nothing asked: what would come from the store is not told
    let named = ask(&gate, "/named/1", Some(&token), NOW).await;
    let named_proven = proven(&named);
    assert_eq!(header(&named_proven, "x-user-groups"), None);
    assert_eq!(named_proven.principal.groups, Names::Unresolved);
    // nobody was proven
    assert_eq!(outcome(&ask(&gate, "/maybe/1", None, NOW).await), "allow");
    let forged = mint(OTHER_SECRET, &json!({}));
    let refused = ask(&gate, "/members/1", Some(&forged), NOW).await;
    assert_eq!(outcome(&refused), "signature_invalid");
    let expired = mint(SECRET, &json!({ "exp": NOW.0 - 3600 }));
    let expired = ask(&gate, "/members/1", Some(&expired), NOW).await;
    assert_eq!(outcome(&expired), "token_expired");
    for judged in [plain, named, refused, expired] {
        assert_eq!(judged.evidence.memberships, None);
    }
    assert_eq!(*store.asked.lock().unwrap(), [""; 0]);
    assert_eq!(store.found.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_is_no_denial_and_no_allow() {
    let down = || Arc::new(Store::default());
    // the token says `admins`, which does not stand in for what the store would say
    let token = mint(SECRET, &json!({}));
    let gate = gate_of(down(), STORE, Mode::Enforce);
    let judged = ask(&gate, "/members/1", Some(&token), NOW).await;
    assert!(
        matches!(judged.outcome, Err(Failure::MembershipsUnavailable { retry_after }) if retry_after.as_secs() == 4)
    );
    assert_eq!(judged.evidence.memberships, Some("unavailable"));
    // shadow mode lets it through, says who it was, and nothing the store would have said
    let gate = gate_of(down(), STORE, Mode::Shadow);
    let judged = ask(&gate, "/members/1", Some(&token), NOW).await;
    let shadowed = judged.evidence.shadowed.as_ref().map(Refusal::reason);
    assert_eq!(shadowed, Some("memberships_unavailable"));
    let proven = proven(&judged);
    assert_eq!(header(&proven, "x-user-id").as_deref(), Some("ada"));
    assert_eq!(header(&proven, "x-user-groups"), None);
}

#[tokio::test]
async fn a_merged_principal_is_made_once_for_each_token_and_answer() {
    let store = Arc::new(Store {
        kept: true,
        ..Store::with(&["admins"])
    });
    let gate = gate_of(Arc::<Store>::clone(&store), STORE, Mode::Enforce);
    let token = mint(SECRET, &json!({}));
    let ask = async || {
        let judged = ask(&gate, "/members/1", Some(&token), NOW).await;
        assert_eq!(judged.evidence.memberships, Some("cached"));
        proven(&judged)
    };
    let is_same = |one: &Proven, other: &Proven| {
        Arc::ptr_eq(&one.principal, &other.principal) && Arc::ptr_eq(&one.headers, &other.headers)
    };
    // before it is kept
    ask().await;
    let (first, second) = (ask().await, ask().await);
    assert!(is_same(&first, &second));
    // an equal answer is another one
    *store.sets.lock().unwrap() = Some(sets(&["admins", "ops"]));
    let third = ask().await;
    assert!(!is_same(&first, &third));
    assert_eq!(
        header(&third, "x-user-groups").as_deref(),
        Some("admins,ops")
    );
    assert!(is_same(&third, &ask().await));
    assert_eq!(*store.asked.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_mapping_reads_the_merged_sets() {
    let store = Arc::new(Store::with(&["app-editor", "other"]));
    let gate = gate_of(Arc::<Store>::clone(&store), STORE, Mode::Enforce);
    let mut issuer = Arc::unwrap_or_clone(issuer("users", "app"));
    issuer.mapping = Mapping {
        group_prefix: Some("app-".to_owned()),
        role_permissions: vec![],
        ..Mapping::default()
    };
    let mut routes = gate.routes.routes().to_vec();
    for route in &mut routes {
        if let Access::Protected(protected) = &mut Arc::make_mut(route).access
            && let Some(groups) = &mut protected.require.groups
        {
            groups.any = vec!["editor".to_owned()];
        }
    }
    let routes = routes.into_iter().map(Arc::unwrap_or_clone).collect();
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        memberships: store,
        ..parts(
            Arc::new(FixedKeys(vec![key_set(SECRET)])),
            vec![Arc::new(issuer)],
        )
    };
    let gate = Gate::new(parts, None);
    // the token's own `app-admins` is not among them
    let token = mint(SECRET, &json!({ "groups": ["app-admins"] }));
    for _twice in 0..2 {
        let judged = ask(&gate, "/members/1", Some(&token), NOW).await;
        let groups = header(&proven(&judged), "x-user-groups");
        assert_eq!(groups.as_deref(), Some("editor"));
    }
    let plain = ask(&gate, "/named/1", Some(&token), NOW).await;
    assert_eq!(header(&proven(&plain), "x-user-groups"), None);
}

#[tokio::test]
async fn the_steps_tell_how_memberships_became_known() {
    let told = async |store: Store, path: &str| {
        let gate = gate_of(Arc::new(store), STORE, Mode::Enforce);
        let token = mint(SECRET, &json!({}));
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        headers.append(header::AUTHORIZATION, value);
        let facts = RequestFacts {
            method: &Method::GET,
            host: Host::parse("app.test").unwrap(),
            path: Path::parse(path).unwrap(),
            headers: &headers,
            client: None,
            certificate: None,
        };
        let mut steps = Transcript::default();
        gate.check(&facts, NOW, &mut steps).await;
        let mut steps = steps.0.into_iter();
        steps.find(|(name, _)| *name == "memberships").unwrap().1
    };
    assert_eq!(
        told(Store::with(&["a"]), "/members/1").await,
        "main, asked: groups [\"a\"], roles [], permissions []"
    );
    assert_eq!(
        told(Store::default(), "/members/1").await,
        "main, the store cannot be asked now"
    );
    assert_eq!(
        told(Store::default(), "/named/1").await,
        "main, not asked: nothing here needs them"
    );
}
