//! Schedule, budget and searches against a scripted network, in paused time.

mod outage;
mod reload;
mod search;
mod single;
mod snapshot;
mod source;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;
use url::Url;

use super::source::Fetch;
use super::*;
use crate::authn::Mapping;
use crate::authn::issuer::{Accepted, Algorithm, ClaimMap, Issuer, Preset};
use crate::authn::proof::Bound;
use crate::client::outgoing::{FetchError, Fetched};
use crate::clock::{ManualClock, UnixTime};
use crate::config::{IssuerConfig, Jwks, KeyLocation};

const START: u64 = 1_800_000_000;
const SECOND: Duration = Duration::from_secs(1);

/// A public ES256 JWK; each call makes another key.
fn jwk(kid: &str) -> Value {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
    })
}

fn set_of(keys: &[Value]) -> Reply {
    Reply::Body(json!({ "keys": keys }).to_string())
}

#[derive(Clone, Debug)]
enum Reply {
    Body(String),
    Cached(String, u64),
    Error(FetchError),
    Status(StatusCode),
    Hang,
    Panic,
    /// The reply, after a while.
    Slow(Duration, Box<Self>),
}

/// Plays the next reply of the script for each fetch; the last one for ever.
#[derive(Debug)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    fetches: AtomicUsize,
}

impl Script {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.into_iter().collect()),
            fetches: AtomicUsize::new(0),
        })
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// From now on.
    fn play(&self, reply: Reply) {
        *self.replies.lock().unwrap() = VecDeque::from([reply]);
    }
}

impl Fetch for Script {
    fn fetch<'f>(
        &'f self,
        _url: &'f Url,
        _deadline: Duration,
        _max_bytes: usize,
    ) -> Boxed<'f, Result<Fetched, FetchError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let mut replies = self.replies.lock().unwrap();
        let mut reply = replies.front().unwrap().clone();
        if replies.len() > 1 {
            replies.pop_front();
        }
        drop(replies);
        Box::pin(async move {
            if let Reply::Slow(by, then) = reply {
                sleep(by).await;
                reply = *then;
            }
            let mut status = StatusCode::OK;
            let (body, max_age) = match reply {
                Reply::Status(other) => {
                    status = other;
                    (String::new(), None)
                }
                Reply::Body(body) => (body, None),
                Reply::Cached(body, seconds) => (body, Some(Duration::from_secs(seconds))),
                Reply::Error(error) => return Err(error),
                Reply::Hang => return std::future::pending().await,
                Reply::Panic => panic!("scripted"),
                Reply::Slow(..) => panic!("one delay at a time"),
            };
            Ok(Fetched {
                status,
                body: Bytes::from(body),
                max_age,
                retry_after: None,
            })
        })
    }
}

fn issuer_named(name: &str, keys: KeyLocation) -> IssuerConfig {
    IssuerConfig {
        issuer: Arc::new(Issuer {
            name: name.into(),
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
        }),
        keys,
        required: true,
        insecure_http: false,
        userinfo: None,
    }
}

fn at(url: &str) -> KeyLocation {
    KeyLocation::JwksUrl(Url::parse(url).unwrap())
}

fn discovery() -> KeyLocation {
    KeyLocation::Discovery {
        issuer: "https://issuer.example".to_owned(),
        url: Url::parse("https://issuer.example/.well-known/openid-configuration").unwrap(),
    }
}

fn policy() -> Jwks {
    Jwks {
        refresh_interval: Duration::from_secs(1800),
        max_stale: Duration::from_secs(86400),
        unknown_kid_cooldown: Duration::from_secs(30),
        fetch_timeout: Duration::from_secs(5),
        snapshot_dir: None,
        readiness_strict: true,
    }
}

struct Bench {
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    background: Background,
    engine: Arc<KeyEngine>,
}

impl Bench {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let keys = at("https://issuer.example/jwks");
        Self::with(Script::new(replies), &[issuer_named("a", keys)], &policy())
    }

    fn with(script: Arc<Script>, issuers: &[IssuerConfig], jwks: &Jwks) -> Self {
        Self::at(UnixTime(START), script, issuers, jwks)
    }

    fn at(now: UnixTime, script: Arc<Script>, issuers: &[IssuerConfig], jwks: &Jwks) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let background = Background {
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let engine = engine(&script, issuers, jwks, &clock, &background, None);
        Self {
            script,
            clock,
            background,
            engine,
        }
    }

    fn reload(&mut self, script: &Arc<Script>, issuers: &[IssuerConfig], jwks: &Jwks) {
        let old = Some(&*self.engine);
        self.engine = engine(script, issuers, jwks, &self.clock, &self.background, old);
        self.engine.go_into_force();
    }

    /// Both clocks.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        sleep(time).await;
    }

    fn holds(&self, kid: &str) -> bool {
        match self.engine.find(0) {
            KeysNow::Usable(set) => set.holds(kid),
            KeysNow::Unavailable { .. } => false,
        }
    }

    fn is_unavailable(&self) -> bool {
        matches!(self.engine.find(0), KeysNow::Unavailable { .. })
    }

    async fn seek(&self, kid: &str) -> Sought {
        self.engine.seek(0, kid).await
    }

    fn report(&self) -> Value {
        self.engine.report()[0].clone()
    }
}

fn engine(
    script: &Arc<Script>,
    issuers: &[IssuerConfig],
    jwks: &Jwks,
    clock: &Arc<ManualClock>,
    background: &Background,
    previous: Option<&KeyEngine>,
) -> Arc<KeyEngine> {
    let network: Network = Arc::clone(script) as Network;
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let start = Start {
        network,
        clock: &clock,
        telemetry: &Telemetry::quiet(),
        background,
        hold: background.stop.child_token(),
        previous,
    };
    Arc::new(start.engine(issuers, jwks))
}

fn status_500() -> Reply {
    Reply::Error(FetchError::Status {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        retry_after: None,
    })
}
