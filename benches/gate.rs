//! What one decision costs: `cargo bench --bench gate`.
//!
//! `first` is a token seen for the first time: parse, signature, claims, judgement. `known` is the
//! whole gate with a token seen before, among few and many routes; it counts allocations.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up stops"
)]

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use divan::{Bencher, black_box};
use gatepost::authn::credential::{Kind, TokenSource};
use gatepost::authn::issuer::{Accepted, Algorithm, ClaimMap, Preset};
use gatepost::authn::jws::Jws;
use gatepost::authn::proof::Bound;
use gatepost::authn::{Issuer, KeySet, Mapping, jwt};
use gatepost::authz::identity::ListFormat;
use gatepost::authz::route::{Access, HostPattern, Mode, PathPattern, Protected};
use gatepost::authz::rule::{Rule, SetRule};
use gatepost::authz::{Decision, Route, RouteTable};
use gatepost::clock::UnixTime;
use gatepost::gate::{FixedKeys, FixedMemberships, Gate, NobodyAsked, Parts};
use gatepost::request::{Host, IdentityNames, Path, RequestFacts};
use gatepost::secret::Secret;
use http::{HeaderMap, HeaderValue, Method, header};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

const NOW: UnixTime = UnixTime(1_800_000_000);
const ISS: &str = "https://issuer.example";
const SECRET: &str = "a secret as long as its hash: 32";

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A token like those of a real user: twenty groups, about a kilobyte of claims.
fn claims() -> serde_json::Value {
    let groups: Vec<String> = (0..20).map(|n| format!("team-{n}-members")).collect();
    json!({
        "iss": ISS, "aud": "orders", "sub": "6e2f7c1e-8a55-4d67-9a3c-0f1f5f6f9a10",
        "exp": NOW.0 + 300, "nbf": NOW.0, "iat": NOW.0, "jti": "f8f9f7c0-2f4e-4e5f-9a2b-5a1d3c4b5e6f",
        "scope": "openid orders/read orders/write", "client_id": "1example23456789",
        "name": "Ada Lovelace", "email": "ada@example.com", "groups": groups,
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A key set and a token it verifies.
fn minted(algorithm: Algorithm) -> (KeySet, String) {
    let (keys, key) = match algorithm.as_str() {
        "HS256" => (
            KeySet::from_secret(&Secret::new(SECRET.to_owned()), &[algorithm]),
            EncodingKey::from_secret(SECRET.as_bytes()),
        ),
        "ES256" => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
            (
                KeySet::from_pem(pem("PUBLIC KEY", spki.as_ref()).as_bytes(), &[algorithm]),
                EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            )
        }
        _ => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
            let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap();
            let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
            (
                KeySet::from_pem(pem("PUBLIC KEY", spki.as_ref()).as_bytes(), &[algorithm]),
                EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).unwrap(),
            )
        }
    };
    let header = Header::new(algorithm.as_str().parse().unwrap());
    let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    (keys.unwrap(), token)
}

fn issuer(algorithm: Algorithm) -> Issuer {
    Issuer {
        name: Arc::from("users"),
        accepted_iss: vec![ISS.to_owned()],
        algorithms: vec![algorithm],
        leeway: 60,
        typ: vec![],
        dpop: Bound::Refused,
        certificate_bound: Bound::Refused,
        max_token_age: None,
        required_claims: Vec::new(),
        claims: ClaimMap::generic(),
        mapping: Mapping::default(),
        preset: Preset::Generic {
            audiences: Accepted::OneOf(vec!["orders".to_owned()]),
        },
    }
}

/// Pure verification, without the gate.
#[divan::bench(args = [Algorithm::RS256, Algorithm::ES256, Algorithm::HS256])]
fn first(bencher: Bencher<'_, '_>, algorithm: Algorithm) {
    let (keys, token) = minted(algorithm);
    let issuer = issuer(algorithm);
    bencher.bench_local(|| {
        let jws = Jws::parse(black_box(&token)).unwrap();
        let verified = jwt::verify(&jws, &issuer, &keys, &mut ()).unwrap();
        verified.judge(&issuer, NOW, &mut ()).unwrap();
        verified
    });
}

/// What is left of it with a token seen before: the judgement.
#[divan::bench]
fn judge(bencher: Bencher<'_, '_>) {
    let (keys, token) = minted(Algorithm::HS256);
    let issuer = issuer(Algorithm::HS256);
    let jws = Jws::parse(&token).unwrap();
    let verified = jwt::verify(&jws, &issuer, &keys, &mut ()).unwrap();
    bencher.bench_local(|| black_box(&verified).judge(&issuer, NOW, &mut ()));
}

fn route(number: usize) -> Route {
    let require = Rule {
        groups: Some(SetRule {
            any: vec!["team-19-members".to_owned()],
            ..SetRule::default()
        }),
        ..Rule::default()
    };
    Route {
        name: Arc::from(format!("orders-{number}")),
        hosts: vec![HostPattern::Any],
        pattern: PathPattern::parse(&format!("/orders-{number}/{{id}}/**")).unwrap(),
        methods: vec![Method::GET, Method::POST],
        access: Access::Protected(Box::new(Protected {
            accepts: vec![Kind::Bearer],
            issuers: vec![0],
            token_from: vec![TokenSource::Authorization],
            optional: false,
            memberships: None,
            overage: vec![],
            require,
            mode: Mode::Enforce,
            on_behalf_of: None,
        })),
        allow_encoded_slashes: false,
        pass_overrides: false,
        cors: None,
        forward: None,
    }
}

/// The whole gate with a token it knows: route, credential, cache, judgement, rule.
#[divan::bench(args = [1, 200])]
fn known(bencher: Bencher<'_, '_>, routes: usize) {
    let (keys, token) = minted(Algorithm::HS256);
    let gate = Gate::new(
        Parts {
            routes: RouteTable::new((0..routes).map(route).collect()).unwrap(),
            issuers: vec![Arc::new(issuer(Algorithm::HS256))],
            judge: Arc::new(NobodyAsked),
            keys: Arc::new(FixedKeys(vec![Arc::new(keys)])),
            memberships: Arc::new(FixedMemberships::default()),
            profiles: None,
            revocations: vec![],
            passwords: None,
            turns: None,
            identity: IdentityNames::default(),
            lists: ListFormat::Comma,
            max_entries: 1000,
            max_bytes: 1 << 24,
            fingerprint_key: [7; 32],
        },
        None,
    );
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    headers.append(header::AUTHORIZATION, value);
    bencher.bench_local(|| {
        let facts = RequestFacts {
            method: &Method::GET,
            host: Host::parse(black_box("api.example.com")).unwrap(),
            path: Path::parse(black_box("/orders-0/7/items/3")).unwrap(),
            headers: &headers,
            client: None,
            certificate: None,
        };
        let judged =
            futures_util::FutureExt::now_or_never(gate.check(&facts, NOW, &mut ())).unwrap();
        assert!(matches!(judged.outcome, Ok(Decision::Allow(_))));
        judged
    });
}
