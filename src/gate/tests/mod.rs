//! The order of the steps, seen from outside: what is remembered, what is judged each time.

mod certificates;
mod memberships;
mod overage;
mod passwords;
mod preflight;
mod profiles;
mod shadow;
mod tables;
mod turns;

use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};

use super::*;
use crate::authn::credential::Kind;
use crate::authn::issuer::{Accepted, Algorithm, ClaimMap, Preset};
use crate::authn::jws::MAX_TOKEN_BYTES;
use crate::authn::proof::Bound;
use crate::authn::{KeySet, Mapping};
use crate::authz::route::{HostPattern, Mode, PathPattern, Protected};
use crate::authz::rule::{Rule, SetRule};
use crate::reason::Failure;
use crate::request::{Host, Path};
use crate::secret::Secret;
use crate::steps::Transcript;

const NOW: UnixTime = UnixTime(1_800_000_000);
const SECRET: &str = "a secret that is long enough for HS256";
const OTHER_SECRET: &str = "another secret, long enough for HS256!";

fn issuer(name: &str, audience: &str) -> Arc<Issuer> {
    Arc::new(Issuer {
        name: Arc::from(name),
        accepted_iss: vec!["https://issuer.test".to_owned()],
        algorithms: vec![Algorithm::HS256],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: vec![],
        claims: ClaimMap::generic(),
        mapping: Mapping::default(),
        preset: Preset::Generic {
            audiences: Accepted::OneOf(vec![audience.to_owned()]),
        },
    })
}

fn key_set(secret: &str) -> Arc<KeySet> {
    let secret = Secret::new(secret.to_owned());
    Arc::new(KeySet::from_secret(&secret, &[Algorithm::HS256]).unwrap())
}

fn mint(secret: &str, changes: &Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "app", "sub": "ada", "exp": NOW.0 + 600,
        "iat": NOW.0, "groups": ["admins"],
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn route(path: &str, issuers: Vec<usize>, groups: &[&str], optional: bool) -> Route {
    let groups = (!groups.is_empty()).then(|| SetRule {
        any: groups.iter().map(|&group| group.to_owned()).collect(),
        ..SetRule::default()
    });
    Route {
        name: Arc::from(path),
        hosts: vec![HostPattern::Any],
        pattern: PathPattern::parse(path).unwrap(),
        methods: vec![],
        access: Access::Protected(Box::new(Protected {
            accepts: vec![Kind::Bearer],
            issuers,
            token_from: vec![TokenSource::Authorization],
            optional,
            memberships: None,
            overage: vec![],
            require: Rule {
                groups,
                ..Rule::default()
            },
            mode: Mode::Enforce,
            on_behalf_of: None,
        })),
        allow_encoded_slashes: false,
        pass_overrides: false,
        cors: None,
        forward: None,
    }
}

/// Keys that a test changes, and that count how often they are sought.
#[derive(Debug)]
struct Scripted {
    now: Mutex<KeysNow>,
    sought: Mutex<(u32, Sought)>,
}

impl Scripted {
    fn new(keys: KeysNow) -> Arc<Self> {
        Arc::new(Self {
            now: Mutex::new(keys),
            sought: Mutex::new((0, Sought::Absent)),
        })
    }

    fn set(&self, keys: KeysNow) {
        *self.now.lock().unwrap() = keys;
    }
}

impl KeySource for Scripted {
    fn find(&self, _issuer: usize) -> KeysNow {
        self.now.lock().unwrap().clone()
    }

    fn seek<'s>(&'s self, _issuer: usize, _key_id: &'s str) -> Boxed<'s, Sought> {
        let mut sought = self.sought.lock().unwrap();
        sought.0 += 1;
        Box::pin(std::future::ready(sought.1.clone()))
    }
}

fn parts(keys: Arc<dyn KeySource>, issuers: Vec<Arc<Issuer>>) -> Parts {
    let routes = vec![
        route("/admin/**", vec![0], &["admins"], false),
        route("/users/**", vec![0], &[], false),
        route("/maybe", vec![0], &["admins"], true),
        route("/both", (0..issuers.len()).collect(), &[], false),
        Route {
            access: Access::Public,
            ..route("/public", vec![0], &[], false)
        },
    ];
    Parts {
        routes: RouteTable::new(routes).unwrap(),
        issuers,
        judge: Arc::new(NobodyAsked),
        keys,
        memberships: Arc::new(FixedMemberships::default()),
        profiles: None,
        revocations: vec![],
        passwords: None,
        turns: None,
        identity: IdentityNames::default(),
        lists: ListFormat::Comma,
        max_entries: 100,
        max_bytes: 1 << 20,
        fingerprint_key: [7; 32],
    }
}

fn gate(keys: Arc<dyn KeySource>) -> Gate {
    Gate::new(parts(keys, vec![issuer("users", "app")]), None)
}

async fn ask(gate: &Gate, path: &str, token: Option<&str>, now: UnixTime) -> Judgement {
    certificates::present(gate, path, token, None, now).await
}

/// `allow`, or the reason code.
fn outcome(judgement: &Judgement) -> &'static str {
    match &judgement.outcome {
        Ok(Decision::Allow(_)) => "allow",
        Ok(Decision::Deny(denial)) => denial.reason(),
        Err(failure) => failure.reason(),
    }
}

#[tokio::test]
async fn a_known_token_is_judged_on_every_request() {
    let gate = gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let token = mint(SECRET, &json!({}));
    let first = ask(&gate, "/admin/x", Some(&token), NOW).await;
    let second = ask(&gate, "/admin/x", Some(&token), NOW).await;
    for met in [&first, &second] {
        assert_eq!(
            (outcome(met), met.evidence.cached),
            ("allow", Some(false)),
            "kept from its second use"
        );
    }
    let again = ask(&gate, "/admin/x", Some(&token), NOW).await;
    assert_eq!(
        (outcome(&again), again.evidence.cached),
        ("allow", Some(true))
    );
    assert_eq!(first.evidence.token, again.evidence.token);
    assert_eq!(again.evidence.principal.unwrap().user_id, "ada");

    let late = ask(&gate, "/admin/x", Some(&token), NOW.plus(661)).await;
    assert_eq!(
        (outcome(&late), late.evidence.cached),
        ("token_expired", Some(true))
    );

    let reader = mint(SECRET, &json!({"groups": ["readers"]}));
    for _ in 0..2 {
        let met = ask(&gate, "/users/x", Some(&reader), NOW).await;
        assert_eq!(outcome(&met), "allow");
    }
    let refused = ask(&gate, "/admin/x", Some(&reader), NOW).await;
    assert_eq!(
        (outcome(&refused), refused.evidence.cached),
        ("group_missing", Some(true))
    );
}

#[tokio::test]
async fn what_was_presented_decides() {
    let gate = gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let good = mint(SECRET, &json!({}));
    let forged = mint(OTHER_SECRET, &json!({}));
    for (path, token, expected) in [
        ("/public", None, "allow"),
        ("/public", Some("rubbish"), "allow"),
        ("/users/1", None, "credential_missing"),
        ("/users/1", Some("rubbish"), "token_malformed"),
        ("/users/1", Some(""), "token_malformed"),
        ("/users/1", Some(&*forged), "signature_invalid"),
        (
            "/users/1",
            Some(&*"x".repeat(MAX_TOKEN_BYTES + 1)),
            "token_too_large",
        ),
        ("/maybe", None, "allow"),
        ("/maybe", Some(&*good), "allow"),
        ("/maybe", Some(&*forged), "signature_invalid"),
        ("/nowhere", Some(&*good), "no_route"),
    ] {
        assert_eq!(
            outcome(&ask(&gate, path, token, NOW).await),
            expected,
            "{path}"
        );
    }
    let anonymous = ask(&gate, "/maybe", None, NOW).await;
    assert!(matches!(&anonymous.outcome, Ok(Decision::Allow(permit)) if permit.proven().is_none()));
}

#[tokio::test]
async fn a_verified_token_dies_with_the_key_that_verified_it() {
    let keys = Scripted::new(KeysNow::Usable(key_set(SECRET)));
    let gate = gate(Arc::clone(&keys) as Arc<dyn KeySource>);
    let token = mint(SECRET, &json!({}));
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&token), NOW).await),
        "allow"
    );

    keys.set(KeysNow::Usable(key_set(OTHER_SECRET)));
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&token), NOW).await),
        "signature_invalid"
    );

    keys.set(KeysNow::Unavailable {
        retry_after: Duration::from_secs(3),
    });
    let outage = ask(&gate, "/users/1", Some(&token), NOW).await;
    assert!(
        matches!(outage.outcome, Err(Failure::KeysUnavailable { retry_after }) if retry_after.as_secs() == 3)
    );
}

#[tokio::test]
async fn an_unknown_kid_asks_the_issuer_and_an_outage_is_no_denial() {
    let rsa_like = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"new","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let set = Arc::new(KeySet::parse(rsa_like.as_bytes(), &[Algorithm::EdDSA]).unwrap());
    let keys = Scripted::new(KeysNow::Usable(set));
    let mut ed = (*issuer("users", "app")).clone();
    ed.algorithms = vec![Algorithm::EdDSA];
    let gate = Gate::new(
        parts(Arc::clone(&keys) as Arc<dyn KeySource>, vec![Arc::new(ed)]),
        None,
    );

    // an unsigned draft of a token is enough: its kid is looked for before its signature
    let encode = |json: Value| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string())
    };
    let draft = |kid: &str| {
        let header = encode(json!({"alg": "EdDSA", "kid": kid}));
        let claims = encode(
            json!({"iss": "https://issuer.test", "aud": "app", "sub": "a", "exp": NOW.0 + 9}),
        );
        format!("{header}.{claims}.{}", "A".repeat(86))
    };
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&draft("new")), NOW).await),
        "signature_invalid"
    );
    assert_eq!(
        keys.sought.lock().unwrap().0,
        0,
        "a known kid is never sought"
    );
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&draft("odd")), NOW).await),
        "key_unknown"
    );
    keys.sought.lock().unwrap().1 = Sought::Unknown {
        retry_after: Duration::from_secs(9),
    };
    assert_eq!(
        outcome(&ask(&gate, "/users/1", Some(&draft("odd")), NOW).await),
        "keys_unavailable"
    );
    assert_eq!(keys.sought.lock().unwrap().0, 2);
}

#[tokio::test]
async fn a_reload_keeps_the_tokens_of_unchanged_issuers_only() {
    let keys = || Arc::new(FixedKeys(vec![key_set(SECRET)])) as Arc<dyn KeySource>;
    let first = gate(keys());
    let token = mint(SECRET, &json!({}));
    for _ in 0..2 {
        let met = ask(&first, "/users/1", Some(&token), NOW).await;
        assert_eq!(outcome(&met), "allow");
    }

    let same = Gate::new(parts(keys(), vec![issuer("users", "app")]), Some(&first));
    assert_eq!(
        ask(&same, "/users/1", Some(&token), NOW)
            .await
            .evidence
            .cached,
        Some(true)
    );

    let narrower = Gate::new(parts(keys(), vec![issuer("users", "other")]), Some(&same));
    let judged = ask(&narrower, "/users/1", Some(&token), NOW).await;
    assert_eq!(
        (outcome(&judged), judged.evidence.cached),
        ("audience_mismatch", Some(false))
    );

    let mut renamed = parts(keys(), vec![issuer("users", "app")]);
    renamed.identity.user_id = None;
    let renamed = Gate::new(renamed, Some(&first));
    assert_eq!(
        ask(&renamed, "/users/1", Some(&token), NOW)
            .await
            .evidence
            .cached,
        Some(false)
    );
}

#[tokio::test]
async fn memory_is_bounded_by_entries_and_bytes() {
    let gate = gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    for number in 0..400 {
        let token = mint(SECRET, &json!({"jti": number}));
        for _ in 0..2 {
            let met = ask(&gate, "/users/1", Some(&token), NOW).await;
            assert_eq!(outcome(&met), "allow");
        }
    }
    let kept = gate.cached_tokens();
    assert!((50..=100).contains(&kept), "{kept}");
}

#[tokio::test]
async fn tokens_that_come_once_are_not_kept_and_drive_nobody_out() {
    let gate = gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let regular = mint(SECRET, &json!({}));
    for _ in 0..2 {
        ask(&gate, "/users/1", Some(&regular), NOW).await;
    }
    for number in 0..400 {
        let token = mint(SECRET, &json!({"jti": number}));
        let met = ask(&gate, "/users/1", Some(&token), NOW).await;
        assert_eq!(outcome(&met), "allow");
    }
    assert_eq!(gate.cached_tokens(), 1);
    let again = ask(&gate, "/users/1", Some(&regular), NOW).await;
    assert_eq!(again.evidence.cached, Some(true));
}

#[tokio::test]
async fn the_steps_tell_the_decision_and_never_the_token() {
    let gate = gate(Arc::new(FixedKeys(vec![key_set(SECRET)])));
    let token = mint(SECRET, &json!({"groups": ["readers"]}));
    let mut headers = HeaderMap::new();
    headers.append(
        header::AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
    );
    let facts = RequestFacts {
        method: &Method::GET,
        host: Host::parse("app.test").unwrap(),
        path: Path::parse("/admin/x").unwrap(),
        headers: &headers,
        client: None,
        certificate: None,
    };
    let mut steps = Transcript::default();
    let judged = gate.check(&facts, NOW, &mut steps).await;
    assert_eq!(outcome(&judged), "group_missing");
    let names: Vec<_> = steps.0.iter().map(|(name, _)| *name).collect();
    for name in ["request", "route", "credential", "issuer", "rule groups"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let told = format!("{:?}", steps.0);
    for part in token.split('.') {
        assert!(!told.contains(part), "{told}");
    }
}
