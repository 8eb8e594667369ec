//! User names and passwords: what is remembered, and what is asked again.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::authn::password::hash::Cost;
use crate::authn::password::{PasswordHash, UserPassword};
use crate::authz::Permit;

/// Passwords that a test changes, and that count how often they are verified. Each user's stored hash is
/// told by its cost.
#[derive(Debug, Default)]
struct Known {
    users: Mutex<HashMap<String, (String, Arc<PasswordHash>)>>,
    verified: Mutex<Vec<PasswordTag>>,
    locked: Mutex<bool>,
}

impl Known {
    fn set(&self, user: &str, password: &str, cost: u32) {
        let hash = Arc::new(PasswordHash::of_nobody(Cost::Bcrypt { cost }));
        let mut users = self.users.lock().unwrap();
        users.insert(user.to_owned(), (password.to_owned(), hash));
    }

    fn verified(&self) -> usize {
        self.verified.lock().unwrap().len()
    }
}

impl Passwords for Known {
    fn standing(&self, user: &str, proven: &Arc<PasswordHash>, source: Option<Source>) -> Standing {
        if *self.locked.lock().unwrap() && source.is_some() {
            let retry_after = Duration::from_secs(9);
            return Standing::LockedOut { retry_after };
        }
        match self.users.lock().unwrap().get(user) {
            Some((_password, hash)) if hash == proven => Standing::Same,
            Some(_) | None => Standing::Changed,
        }
    }

    fn verify(
        &self,
        tag: PasswordTag,
        presented: UserPassword,
        _source: Option<Source>,
    ) -> Boxed<'_, Result<Arc<PasswordHash>, Refusal>> {
        self.verified.lock().unwrap().push(tag);
        let users = self.users.lock().unwrap();
        let known = users.get(&presented.user);
        let answer = match known {
            Some((password, hash)) if password == presented.password.expose() => {
                Ok(Arc::clone(hash))
            }
            Some(_) | None => Err(Denial::PasswordRefused.into()),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn accepting(kinds: &[Kind], path: &str, optional: bool) -> Route {
    let mut route = route(path, vec![0], &[], optional);
    if let Access::Protected(asked) = &mut route.access {
        asked.accepts = kinds.to_vec();
    }
    route
}

fn gate(known: &Arc<Known>, previous: Option<&Gate>) -> Gate {
    let keys = Scripted::new(KeysNow::Usable(key_set(SECRET)));
    let routes = vec![
        accepting(&[Kind::Basic], "/basic", false),
        accepting(&[Kind::Basic, Kind::Bearer], "/both", false),
        accepting(&[Kind::Basic], "/maybe", true),
        accepting(&[Kind::Bearer], "/bearer", false),
    ];
    let passwords = PasswordParts {
        passwords: Arc::<Known>::clone(known),
        cache: Duration::from_secs(300),
        max_entries: 100,
    };
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        passwords: Some(passwords),
        ..parts(keys, vec![issuer("users", "app")])
    };
    Gate::new(parts, previous)
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

async fn ask(gate: &Gate, path: &str, values: &[&str], now: UnixTime) -> Result<Permit, String> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("api.test").unwrap(),
        path: Path::parse(path).unwrap(),
        headers: &headers,
        client: Some("192.0.2.1".parse().unwrap()),
        certificate: None,
    };
    let judgement = gate.check(&facts, now, &mut ()).await;
    match judgement.outcome {
        Ok(Decision::Allow(permit)) => Ok(permit),
        Ok(Decision::Deny(denial)) => Err(denial.reason().to_owned()),
        Err(failure) => Err(failure.reason().to_owned()),
    }
}

fn user(permit: &Permit) -> &Principal {
    &permit.proven().unwrap().principal
}

#[tokio::test]
async fn a_password_is_verified_once_and_then_known() {
    let known = Arc::new(Known::default());
    known.set("ada", "open sesame", 4);
    let gate = gate(&known, None);
    let ada = basic("ada:open sesame");
    let first = ask(&gate, "/basic", &[&ada], NOW).await.unwrap();
    let proven = first.proven().unwrap();
    assert_eq!(
        (&*user(&first).issuer, &*user(&first).user_id),
        ("basic", "ada")
    );
    assert_eq!(proven.by, Kind::Basic);
    for _each in 0..100 {
        let again = ask(&gate, "/both", &[&ada], NOW).await.unwrap();
        // nothing is made anew
        assert!(Arc::ptr_eq(
            &again.proven().unwrap().principal,
            &proven.principal
        ));
        assert!(Arc::ptr_eq(
            &again.proven().unwrap().headers,
            &proven.headers
        ));
    }
    assert_eq!(known.verified(), 1);
    // five minutes
    assert!(ask(&gate, "/basic", &[&ada], NOW.plus(299)).await.is_ok());
    assert_eq!(known.verified(), 1);
    assert!(ask(&gate, "/basic", &[&ada], NOW.plus(300)).await.is_ok());
    assert_eq!(known.verified(), 2);
    // a wrong one never
    for _each in 0..2 {
        let wrong = ask(&gate, "/basic", &[&basic("ada:wrong")], NOW).await;
        assert_eq!(wrong.unwrap_err(), "password_refused");
    }
    assert_eq!(known.verified(), 4);
}

#[tokio::test]
async fn what_was_known_ends_with_the_stored_password_and_outlives_a_reload() {
    let known = Arc::new(Known::default());
    known.set("ada", "open sesame", 4);
    let first = gate(&known, None);
    let ada = basic("ada:open sesame");
    assert!(ask(&first, "/basic", &[&ada], NOW).await.is_ok());
    let gate = gate(&known, Some(&first));
    assert!(ask(&gate, "/basic", &[&ada], NOW).await.is_ok());
    assert_eq!(known.verified(), 1);
    // hashed again, the same password: verified again
    known.set("ada", "open sesame", 5);
    assert!(ask(&gate, "/basic", &[&ada], NOW).await.is_ok());
    assert_eq!(known.verified(), 2);
    known.set("ada", "another", 6);
    assert_eq!(
        ask(&gate, "/basic", &[&ada], NOW).await.unwrap_err(),
        "password_refused"
    );
    known.set("ada", "open sesame", 5);
    assert!(ask(&gate, "/basic", &[&ada], NOW).await.is_ok());
    known.users.lock().unwrap().clear();
    assert_eq!(
        ask(&gate, "/basic", &[&ada], NOW).await.unwrap_err(),
        "password_refused"
    );
    known.set("ada", "open sesame", 5);
    assert!(ask(&gate, "/basic", &[&ada], NOW).await.is_ok());
    *known.locked.lock().unwrap() = true;
    assert_eq!(
        ask(&gate, "/basic", &[&ada], NOW).await.unwrap_err(),
        "locked_out"
    );
}

#[tokio::test]
async fn nobody_is_taken_for_somebody_else() {
    let known = Arc::new(Known::default());
    for name in ["ada", "bob", "a"] {
        known.set(name, "same", 4);
    }
    known.set("a", "b:same", 4);
    known.set("a b", "same", 4);
    let gate = gate(&known, None);
    for (pair, expected) in [
        ("ada:same", Some("ada")),
        ("bob:same", Some("bob")),
        ("a:b:same", Some("a")),
        ("a b:same", Some("a b")),
        // no name holds a colon, and names are compared byte for byte
        ("Ada:same", None),
        ("a:same", None),
        ("ada :same", None),
        ("ada:same ", None),
    ] {
        for _known_then in 0..2 {
            let asked = ask(&gate, "/basic", &[&basic(pair)], NOW).await;
            let who = asked.as_ref().ok().map(|permit| &*user(permit).user_id);
            assert_eq!(who, expected, "{pair}");
        }
    }
}

#[tokio::test]
async fn one_authorization_of_one_scheme_is_read() {
    let known = Arc::new(Known::default());
    known.set("ada", "open sesame", 4);
    let gate = gate(&known, None);
    let (ada, token) = (basic("ada:open sesame"), mint(SECRET, &json!({})));
    let bearer = format!("Bearer {token}");
    let bare = ada.replacen("Basic ", "", 1);
    let (as_bearer, as_basic) = (format!("Bearer {bare}"), format!("Basic {token}"));
    let (lower, listed) = (
        ada.replacen("Basic", "bAsIc", 1),
        format!("{ada}, {bearer}"),
    );
    for (path, values, expected) in [
        ("/basic", vec![&*ada], Ok("ada")),
        ("/basic", vec![&*lower], Ok("ada")),
        ("/both", vec![&*ada], Ok("ada")),
        ("/both", vec![&*bearer], Ok("ada")),
        ("/basic", vec![], Err("credential_missing")),
        ("/basic", vec![&*bearer], Err("credential_missing")),
        ("/bearer", vec![&*ada], Err("credential_missing")),
        ("/both", vec![&*ada, &*bearer], Err("credential_ambiguous")),
        ("/both", vec![&*ada, &*ada], Err("credential_ambiguous")),
        ("/basic", vec![&*listed], Err("password_refused")),
        ("/basic", vec!["Basic"], Err("password_refused")),
        ("/basic", vec!["Basic =="], Err("password_refused")),
        ("/both", vec![&*as_bearer], Err("token_malformed")),
        ("/both", vec![&*as_basic], Err("password_refused")),
        ("/maybe", vec!["Basic x"], Err("password_refused")),
    ] {
        let asked = ask(&gate, path, &values, NOW).await;
        let who = asked.as_ref().map(|permit| &*user(permit).user_id);
        assert_eq!(
            who.map_err(|reason| &**reason),
            expected,
            "{path} {values:?}"
        );
    }
    let issuer = |permit: Result<Permit, String>| user(&permit.unwrap()).issuer.to_string();
    assert_eq!(issuer(ask(&gate, "/both", &[&ada], NOW).await), "basic");
    assert_eq!(issuer(ask(&gate, "/both", &[&bearer], NOW).await), "users");
    assert!(
        ask(&gate, "/maybe", &[], NOW)
            .await
            .unwrap()
            .proven()
            .is_none()
    );
}

#[tokio::test]
async fn a_gate_that_knows_nobody_who_can_tell_fails() {
    let keys = Scripted::new(KeysNow::Usable(key_set(SECRET)));
    let routes = vec![accepting(&[Kind::Basic], "/basic", false)];
    let parts = Parts {
        routes: RouteTable::new(routes).unwrap(),
        ..parts(keys, vec![issuer("users", "app")])
    };
    let gate = Gate::new(parts, None);
    let asked = ask(&gate, "/basic", &[&basic("ada:open sesame")], NOW).await;
    assert_eq!(asked.unwrap_err(), "passwords_unavailable");
}
