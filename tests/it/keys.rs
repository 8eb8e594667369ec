//! The key engine over real sockets: rotation under load, hostile issuers, a way back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use gatepost::authn::issuer::{Accepted, Algorithm, ClaimMap, Preset};
use gatepost::authn::proof::Bound;
use gatepost::authn::{Issuer, Mapping};
use gatepost::client::jwks::{Background, KeyEngine};
use gatepost::client::outgoing::Outgoing;
use gatepost::client::tls::install_crypto_provider;
use gatepost::clock::{Clock, SystemClock};
use gatepost::config::{self, IssuerConfig, Jwks, KeyLocation};
use gatepost::gate::{KeySource, KeysNow, Sought};
use gatepost::telemetry::Telemetry;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

fn jwk(kid: &str) -> Value {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
    })
}

/// An issuer whose answers can be changed while it runs.
struct Fake {
    url: Url,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Path → status and body.
    pages: Mutex<std::collections::BTreeMap<String, (u16, String)>>,
    requests: AtomicUsize,
    /// Each answer takes this long.
    delay: Mutex<Duration>,
}

impl Fake {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let serve = async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let answer = service_fn(move |request| answer(Arc::clone(&state), request));
                open.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer),
                );
            }
        };
        TaskTracker::new().spawn(serve);
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        Self { url, state }
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }

    fn page(&self, path: &str, status: u16, body: &dyn ToString) {
        let mut pages = self.state.pages.lock().unwrap();
        pages.insert(path.to_owned(), (status, body.to_string()));
    }

    fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let delay = *state.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    let page = state
        .pages
        .lock()
        .unwrap()
        .get(request.uri().path())
        .cloned();
    let (status, body) = page.unwrap_or((404, String::new()));
    let response = Response::builder().status(status);
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

fn start(keys: KeyLocation) -> (Arc<KeyEngine>, Background) {
    install_crypto_provider();
    let issuer = Issuer {
        name: "users".into(),
        accepted_iss: vec!["https://issuer.example".to_owned()],
        algorithms: vec![Algorithm::ES256],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: Vec::new(),
        claims: ClaimMap::default(),
        mapping: Mapping::default(),
        preset: Preset::Generic {
            audiences: Accepted::Any,
        },
    };
    let issuers = [IssuerConfig {
        issuer: Arc::new(issuer),
        keys,
        required: true,
        insecure_http: false,
        userinfo: None,
    }];
    let jwks = Jwks {
        refresh_interval: Duration::from_secs(1800),
        max_stale: Duration::from_secs(86_400),
        unknown_kid_cooldown: Duration::from_secs(30),
        fetch_timeout: Duration::from_secs(5),
        snapshot_dir: None,
        readiness_strict: true,
    };
    let background = Background {
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let outgoing = Outgoing::new(&config::Client::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let telemetry = Telemetry::quiet();
    let engine = KeyEngine::start(
        &issuers,
        &jwks,
        &outgoing,
        &clock,
        &telemetry,
        &background,
        None,
    );
    (Arc::new(engine), background)
}

async fn until_ready(engine: &KeyEngine) {
    let ready = async {
        while !engine.is_ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), ready).await;
    assert!(waited.is_ok(), "no keys: {}", engine.report());
}

fn holds(engine: &KeyEngine, kid: &str) -> bool {
    matches!(engine.find(0), KeysNow::Usable(set) if set.holds(kid))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_never_calls_a_key_absent_that_is_published() {
    let issuer = Fake::start().await;
    let (old, new) = (jwk("old"), jwk("new"));
    issuer.page("/jwks", 200, &json!({ "keys": [old] }));
    let (engine, background) = start(KeyLocation::JwksUrl(issuer.at("/jwks")));
    until_ready(&engine).await;
    *issuer.state.delay.lock().unwrap() = Duration::from_millis(20);

    // published first, used afterwards: so a `kid` in a token is in the set from its first use on
    issuer.page("/jwks", 200, &json!({ "keys": [old, new] }));
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (engine, stop) = (Arc::clone(&engine), Arc::clone(&stop));
        load.spawn(async move {
            let mut found = 0;
            while !stop.load(Ordering::SeqCst) {
                for kid in ["old", "new"] {
                    if !holds(&engine, kid) {
                        match engine.seek(0, kid).await {
                            Sought::Found(set) => assert!(set.holds(kid)),
                            lost @ (Sought::Absent | Sought::Unknown { .. }) => {
                                panic!("{kid}: {lost:?}")
                            }
                        }
                    }
                    found += 1;
                }
                tokio::task::yield_now().await;
            }
            found
        });
    }
    while !holds(&engine, "new") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let found: usize = load.join_all().await.into_iter().sum();
    assert!(found >= 64);
    assert_eq!(issuer.requests(), 2, "one fetch for all");
    background.stop.cancel();
}

#[tokio::test]
async fn a_storm_of_unknown_kids_costs_the_issuer_its_budget_only() {
    let issuer = Fake::start().await;
    issuer.page("/jwks", 200, &json!({ "keys": [jwk("k1")] }));
    let (engine, background) = start(KeyLocation::JwksUrl(issuer.at("/jwks")));
    until_ready(&engine).await;
    let mut storm = tokio::task::JoinSet::new();
    for number in 0..200 {
        let engine = Arc::clone(&engine);
        storm.spawn(async move { engine.seek(0, &format!("random-{number}")).await });
    }
    for sought in storm.join_all().await {
        assert!(!matches!(sought, Sought::Found(_)));
    }
    for number in 0..20 {
        engine.seek(0, &format!("later-{number}")).await;
    }
    assert_eq!(issuer.requests(), 1 + 4);
    assert!(holds(&engine, "k1"));
    background.stop.cancel();
}

#[tokio::test]
async fn a_cold_start_recovers_from_every_kind_of_failure() {
    let huge = " ".repeat(1024 * 1024 + 1);
    let cases = [
        (500, "down", "status 500"),
        (429, "slow down", "status 429"),
        (302, "", "redirect refused (status 302)"),
        (200, "<html>maintenance</html>", "not a key set"),
        (200, r#"{"keys":[]}"#, "no usable key"),
        (200, huge.as_str(), "more than 1048576 bytes"),
    ];
    for (status, body, error) in cases {
        let issuer = Fake::start().await;
        issuer.page("/jwks", status, &body);
        let (engine, background) = start(KeyLocation::JwksUrl(issuer.at("/jwks")));
        let reported = || engine.report()[0]["last_error"].clone();
        while reported().is_null() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let reported = reported();
        assert!(reported.as_str().unwrap().contains(error), "{reported}");
        assert!(matches!(engine.find(0), KeysNow::Unavailable { .. }));
        assert!(!engine.is_ready());
        issuer.page("/jwks", 200, &json!({ "keys": [jwk("k1")] }));
        until_ready(&engine).await;
        assert!(holds(&engine, "k1"));
        background.stop.cancel();
    }
}

#[tokio::test]
async fn discovery_finds_the_key_set_on_another_host() {
    let (issuer, keys) = (Fake::start().await, Fake::start().await);
    let name = issuer.url.to_string();
    let document = json!({ "issuer": name, "jwks_uri": keys.at("/k").as_str(), "more": [1] });
    issuer.page("/.well-known/openid-configuration", 200, &document);
    keys.page("/k", 200, &json!({ "keys": [jwk("k1")] }));
    let (engine, background) = start(KeyLocation::Discovery {
        url: issuer.at("/.well-known/openid-configuration"),
        issuer: name,
    });
    until_ready(&engine).await;
    assert!(holds(&engine, "k1"));
    assert_eq!((issuer.requests(), keys.requests()), (1, 1));
    background.stop.cancel();
    background.tasks.close();
    background.tasks.wait().await;
}
