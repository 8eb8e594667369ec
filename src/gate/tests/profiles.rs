//! Name and email of users whose tokens do not carry them.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::certificates::{ORDERS, certificate, present};
use super::memberships::{header, proven};
use super::*;
use crate::authn::claims::Claims;
use crate::authn::profile::Profile;
use crate::authz::decision::Proven;
use crate::certificate::Certificate;

/// What an issuer says of its user, and what it was asked.
#[derive(Debug, Default)]
struct Endpoint {
    says: Mutex<Option<Arc<Profile>>>,
    /// Whether that is known without asking.
    kept: bool,
    found: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Endpoint {
    fn saying(answer: &Value) -> Self {
        Self {
            says: Mutex::new(Some(profile(answer))),
            ..Self::default()
        }
    }
}

impl Profiles for Endpoint {
    fn find(&self, _issuer: usize, _sub: &str) -> ProfileNow {
        self.found.fetch_add(1, Ordering::Relaxed);
        let says = self.says.lock().unwrap().clone();
        let known = says.filter(|_| self.kept).map(ProfileNow::Known);
        known.unwrap_or(ProfileNow::Unknown)
    }

    fn ask<'a>(
        &'a self,
        issuer: usize,
        sub: &'a str,
        token: &'a str,
    ) -> Boxed<'a, Option<(Arc<Profile>, Learnt)>> {
        let asked = format!("{issuer} {sub} {token}");
        self.asked.lock().unwrap().push(asked);
        let says = self.says.lock().unwrap().clone();
        let told = says.map(|profile| (profile, Learnt::Asked));
        Box::pin(std::future::ready(told))
    }
}

fn profile(answer: &Value) -> Arc<Profile> {
    let mut answer = answer.clone();
    answer["sub"] = json!("ada");
    let answer = Claims::parse(answer.to_string()).unwrap();
    Arc::new(Profile::read(&answer, "ada", &ClaimMap::generic()).unwrap())
}

fn ada() -> Value {
    json!({ "name": "Ada L.", "email": "ada@example.com", "groups": ["owners"], "tenant_id": "t" })
}

/// `/any` takes everybody, `/owners` wants a group, `/cookie` takes the token in a cookie, and at
/// `/certificate` a client certificate is the principal.
fn gate_of(endpoint: &Arc<Endpoint>) -> Gate {
    let of = |path: &str, groups: &[&str], change: fn(&mut Protected)| {
        let mut route = route(path, vec![0], groups, false);
        if let Access::Protected(protected) = &mut route.access {
            change(protected);
        }
        route
    };
    let routes = vec![
        of("/any", &[], |_| {}),
        of("/owners", &["owners"], |_| {}),
        of("/cookie", &[], |route| {
            route.token_from = vec![TokenSource::Cookie("t".to_owned())];
        }),
        of("/certificate", &[], |route| {
            route.accepts = vec![Kind::Mtls, Kind::Bearer];
        }),
    ];
    let mut issuer = Arc::unwrap_or_clone(issuer("users", "app"));
    issuer.certificate_bound = Bound::Accepted;
    let keys = Arc::new(FixedKeys(vec![key_set(SECRET)]));
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        profiles: Some(Arc::<Endpoint>::clone(endpoint) as Arc<dyn Profiles>),
        ..parts(keys, vec![Arc::new(issuer)])
    };
    Gate::new(parts, None)
}

fn told(proven: &Proven) -> [Option<String>; 2] {
    ["x-user-name", "x-user-email"].map(|name| header(proven, name))
}

#[tokio::test]
async fn a_plain_bearer_token_of_a_user_is_shown_to_its_issuer_and_no_other_credential() {
    let shown = certificate(ORDERS);
    let thumbprint = URL_SAFE_NO_PAD.encode(shown.fingerprint.0);
    let bound = json!({ "cnf": { "x5t#S256": thumbprint } });
    let mut changed = bound.clone();
    changed["name"] = json!("Ada");
    let whole = json!({ "name": "Ada", "email": "ada@example.com" });
    let with = Some(&shown);
    for (path, changes, certificate, is_asked) in [
        ("/any", json!({}), None, true),
        ("/any", json!({}), with, true),
        ("/any", json!({ "name": "Ada" }), None, true),
        ("/any", whole, None, false),
        (
            "/any",
            json!({ "sub": "batch", "client_id": "batch" }),
            None,
            false,
        ),
        // who holds the key alone may use it
        ("/any", bound.clone(), with, false),
        ("/any", changed, with, false),
        ("/certificate", bound, with, false),
        // an ID token is no access token
        ("/any", json!({ "token_use": "id" }), None, false),
        // the certificate is the principal, the token only beside it
        ("/certificate", json!({}), with, false),
        ("/certificate", json!({}), None, true),
    ] {
        let endpoint = Arc::new(Endpoint::saying(&ada()));
        let gate = gate_of(&endpoint);
        let token = mint(SECRET, &changes);
        let judged = present(&gate, path, Some(&token), certificate, NOW).await;
        let expected = if is_asked {
            vec![format!("0 ada {token}")]
        } else {
            vec![]
        };
        let asked = endpoint.asked.lock().unwrap().clone();
        assert_eq!(outcome(&judged), "allow", "{path} {changes}");
        assert_eq!(asked, expected, "{path} {changes}");
    }
}

#[tokio::test]
async fn the_token_that_was_proven_is_the_one_that_is_shown() {
    let endpoint = Arc::new(Endpoint::saying(&ada()));
    let gate = gate_of(&endpoint);
    let token = mint(SECRET, &json!({}));
    let mut headers = HeaderMap::new();
    let other = HeaderValue::from_static("Bearer of-somebody-else");
    headers.append(header::AUTHORIZATION, other);
    let cookie = HeaderValue::from_str(&format!("s=1; t={token}")).unwrap();
    headers.append(header::COOKIE, cookie);
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("app.test").unwrap(),
        path: Path::parse("/cookie").unwrap(),
        headers: &headers,
        client: None,
        certificate: None::<&Certificate>,
    };
    let judged = gate.check(&facts, NOW, &mut ()).await;
    assert_eq!(outcome(&judged), "allow");
    let asked = endpoint.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("0 ada {token}")]);
}

#[tokio::test]
async fn a_profile_decides_nothing_there_or_not() {
    for says in [Some(ada()), Some(json!({})), None] {
        let endpoint = Arc::new(Endpoint {
            says: Mutex::new(says.as_ref().map(profile)),
            ..Endpoint::default()
        });
        let gate = gate_of(&endpoint);
        let token = mint(SECRET, &json!({}));
        let judged = ask(&gate, "/owners", Some(&token), NOW).await;
        assert_eq!(outcome(&judged), "group_missing", "{says:?}");
        let judged = ask(&gate, "/any", Some(&token), NOW).await;
        let proven = proven(&judged);
        let is_told = says.is_some_and(|says| says == ada());
        let expected = ["Ada%20L.", "ada@example.com"].map(|text| is_told.then(|| text.to_owned()));
        assert_eq!(told(&proven), expected);
        assert_eq!(header(&proven, "x-user-groups").as_deref(), Some("admins"));
        assert_eq!(header(&proven, "x-tenant-id"), None);
        assert_eq!(judged.evidence.memberships, None);
    }
}

#[tokio::test]
async fn a_known_token_with_a_known_profile_asks_nobody_and_makes_nothing() {
    let endpoint = Arc::new(Endpoint {
        kept: true,
        ..Endpoint::saying(&ada())
    });
    let gate = gate_of(&endpoint);
    let token = mint(SECRET, &json!({}));
    let again = async || {
        let judged = ask(&gate, "/any", Some(&token), NOW).await;
        proven(&judged)
    };
    let is_same = |one: &Proven, other: &Proven| {
        Arc::ptr_eq(&one.principal, &other.principal) && Arc::ptr_eq(&one.headers, &other.headers)
    };
    // before it is kept
    again().await;
    let first = again().await;
    for _ in 0..3 {
        assert!(is_same(&first, &again().await));
    }
    assert_eq!(told(&first)[1].as_deref(), Some("ada@example.com"));
    // another answer is another principal, from then on
    *endpoint.says.lock().unwrap() = Some(profile(&json!({ "email": "ada@example.org" })));
    let other = again().await;
    assert!(!is_same(&first, &other));
    assert!(is_same(&other, &again().await));
    assert_eq!(told(&other), [None, Some("ada@example.org".to_owned())]);
    assert_eq!(*endpoint.asked.lock().unwrap(), [""; 0]);
    assert_eq!(endpoint.found.load(Ordering::Relaxed), 7);
}

#[tokio::test]
async fn the_steps_tell_how_a_profile_became_known_and_never_what_it_says() {
    let bound = json!({ "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode([9; 32]) } });
    let not_shown = "not asked: the token is not one to show its issuer; no rule asks it";
    for (says, kept, changes, expected) in [
        (Some(ada()), true, json!({}), "cached; no rule asks it"),
        (Some(ada()), false, json!({}), "asked; no rule asks it"),
        (
            None,
            false,
            json!({}),
            "not known: the issuer does not tell now; no rule asks it",
        ),
        (Some(ada()), false, bound, not_shown),
    ] {
        let endpoint = Arc::new(Endpoint {
            says: Mutex::new(says.as_ref().map(profile)),
            kept,
            ..Endpoint::default()
        });
        let gate = gate_of(&endpoint);
        let token = mint(SECRET, &changes);
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        headers.append(header::AUTHORIZATION, bearer);
        let shown = certificate(ORDERS);
        let facts = RequestFacts {
            method: &Method::GET,
            host: Host::parse("app.test").unwrap(),
            path: Path::parse("/any").unwrap(),
            headers: &headers,
            client: None,
            certificate: Some(&shown),
        };
        let mut steps = Transcript::default();
        let judged = gate.check(&facts, NOW, &mut steps).await;
        assert_eq!(outcome(&judged), "allow");
        let mut profiles = steps.0.iter().filter(|(name, _)| *name == "profile");
        let found = profiles.next().map(|(_, found)| &**found);
        assert_eq!((found, profiles.next()), (Some(expected), None));
        let said = format!("{steps:?}");
        assert!(
            !said.contains("example.com") && !said.contains(&token),
            "{said}"
        );
    }
}
