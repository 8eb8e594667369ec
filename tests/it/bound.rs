//! Tokens bound to a key, with the real binary: `DPoP` tokens of oidc-provider and their proofs, and tokens
//! bound to the client certificate.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::{Call, Reply};
use crate::support::issuer::now;
use crate::support::sidecar;
use crate::support::tls::{Authority, Client, Files};
use crate::support::upstream::Upstream;

const SECRET: &str = "a secret of the client";

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

/// A client with a key of its own (P-256).
pub(crate) struct Holder {
    key: EncodingKey,
    jwk: Jwk,
}

impl Holder {
    pub(crate) fn new() -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.public_key_use = None::<PublicKeyUse>;
        Self { key, jwk }
    }

    /// What a token that is bound to the key says of it (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        self.jwk.thumbprint(ThumbprintHash::SHA256).unwrap()
    }

    /// A proof made now; `token` if it is for a resource server.
    pub(crate) fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let mut claims = json!({
            "jti": format!("{:x}", uuid::Uuid::now_v7()), "htm": method, "htu": url, "iat": now(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(sha256(token.as_bytes()));
        }
        let header = Header {
            typ: Some("dpop+jwt".to_owned()),
            jwk: Some(self.jwk.clone()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }
}

/// An access token of the provider: bound to this client's key, or to nothing.
async fn issued(provider: &Counterpart, holder: Option<&Holder>) -> String {
    let address = provider.url.strip_prefix("http://").unwrap();
    let basic = base64::engine::general_purpose::STANDARD
        .encode(format!("svc:{}", "a+secret+of+the+client"));
    let mut call = Call::post(address.parse().unwrap(), "/token")
        .header("authorization", &format!("Basic {basic}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=read&resource=https://es256.example");
    if let Some(holder) = holder {
        let url = format!("{}/token", provider.url);
        call = call.header("dpop", &holder.proof("POST", &url, None));
    }
    let reply = call.send().await;
    let answer = reply.json();
    let kind = if holder.is_some() { "DPoP" } else { "Bearer" };
    assert_eq!(answer["token_type"], kind, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

fn config(provider: &Counterpart, upstream: &Upstream, dpop: &str) -> String {
    format!(
        r#"
        [forward_auth]
        listen = "127.0.0.1:0"
        trusted_proxies = ["127.0.0.0/8"]
        [issuers.partner]
        kind = "oidc"
        issuer = "{}"
        audiences = ["https://es256.example"]
        algorithms = ["ES256"]
        typ = ["at+jwt"]
        dpop = "{dpop}"
        [upstreams.app]
        url = "{}"
        [[routes]]
        path = "/**"
        require = {{ scopes = ["read"] }}
        upstream = "app"
        "#,
        provider.url,
        upstream.url()
    )
}

#[tokio::test]
async fn a_dpop_token_is_good_with_a_proof_for_each_request_and_no_other_way() {
    let clients = [("svc", SECRET, "client_secret_basic")];
    let provider = or_skip!(counterparts::oidc_provider(&clients).await);
    let upstream = Upstream::start().await;
    let gatepost = Gatepost::start(&config(&provider, &upstream, "accepted")).await;
    gatepost.ready().await;
    let ingress = gatepost.listener("ingress").await;
    let (holder, thief) = (Holder::new(), Holder::new());
    let token = issued(&provider, Some(&holder)).await;
    let url = format!("http://{ingress}/orders/1");
    let get = async |scheme: &str, token: &str, proofs: &[&str]| -> Reply {
        let call = Call::get(ingress, "/orders/1?a=b");
        let call = call.header("authorization", &format!("{scheme} {token}"));
        let call = proofs
            .iter()
            .fold(call, |call, proof| call.header("dpop", proof));
        call.send().await
    };

    let proof = holder.proof("GET", &url, Some(&token));
    let reply = get("DPoP", &token, &[&proof]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = upstream.last();
    assert_eq!(seen.header("authorization"), format!("DPoP {token}"));
    assert_eq!(
        (seen.header("dpop"), seen.header("x-user-id")),
        (&*proof, "svc")
    );

    // how to come with one is said to who comes with nothing
    let bare = Call::get(ingress, "/orders/1").send().await;
    let challenges: Vec<&str> = bare
        .headers
        .get_all("www-authenticate")
        .iter()
        .map(|challenge| challenge.to_str().unwrap())
        .collect();
    let [bearer, dpop] = &challenges[..] else {
        panic!("{challenges:?}");
    };
    assert_eq!(*bearer, "Bearer realm=\"gatepost\"");
    assert!(
        dpop.starts_with("DPoP realm=\"gatepost\", algs=\"ES256 "),
        "{dpop}"
    );

    // once
    let again = get("DPoP", &token, &[&proof]).await;
    assert_eq!(again.status, 401);
    let challenge = again.header("www-authenticate");
    assert!(
        challenge.starts_with("DPoP ") && challenge.contains("invalid_dpop_proof"),
        "{challenge}"
    );
    assert_eq!(gatepost.line_of(&again).await["reason"], "proof_invalid");
    // nor after a reload
    let changed = config(&provider, &upstream, "required");
    gatepost.reload(&changed, "accepted", 1).await;
    assert_eq!(get("DPoP", &token, &[&proof]).await.status, 401);
    gatepost
        .reload(&config(&provider, &upstream, "accepted"), "accepted", 2)
        .await;

    let fresh = |method: &str, url: &str| holder.proof(method, url, Some(&token));
    for (scheme, proofs, status, reason) in [
        ("Bearer", vec![], 401, "token_type_refused"),
        (
            "Bearer",
            vec![fresh("GET", &url)],
            401,
            "token_type_refused",
        ),
        ("DPoP", vec![], 401, "proof_invalid"),
        ("DPoP", vec![fresh("POST", &url)], 401, "proof_invalid"),
        (
            "DPoP",
            vec![fresh("GET", "http://elsewhere.example/orders/1")],
            401,
            "proof_invalid",
        ),
        (
            "DPoP",
            vec![fresh("GET", &url.replace("/1", "/2"))],
            401,
            "proof_invalid",
        ),
        (
            "DPoP",
            vec![holder.proof("GET", &url, None)],
            401,
            "proof_invalid",
        ),
        (
            "DPoP",
            vec![thief.proof("GET", &url, Some(&token))],
            401,
            "proof_invalid",
        ),
        (
            "DPoP",
            vec![fresh("GET", &url), fresh("GET", &url)],
            400,
            "credential_ambiguous",
        ),
        ("dpop", vec![fresh("GET", &url)], 200, ""),
    ] {
        let shown: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let reply = get(scheme, &token, &shown).await;
        assert_eq!(reply.status, status, "{scheme} {reason}");
        if status != 200 {
            assert_eq!(gatepost.line_of(&reply).await["reason"], reason);
        }
    }

    // a token bound to nothing is a bearer token, and no proof makes it more
    let plain = issued(&provider, None).await;
    assert_eq!(get("Bearer", &plain, &[]).await.status, 200);
    let proof = holder.proof("GET", &url, Some(&plain));
    assert_eq!(get("DPoP", &plain, &[&proof]).await.status, 401);
    gatepost.reload(&changed, "accepted", 3).await;
    assert_eq!(get("Bearer", &plain, &[]).await.status, 401);
    let proof = holder.proof("GET", &url, Some(&token));
    assert_eq!(get("DPoP", &token, &[&proof]).await.status, 200);

    // forward auth: the original request is what the proof is for
    let forward_auth = gatepost.listener("forward_auth").await;
    for (original, status) in [
        ("https://api.example/orders/9", 200),
        ("https://api.example/orders/8", 401),
    ] {
        let proof = holder.proof("GET", "https://api.example/orders/9", Some(&token));
        let call = Call::get(forward_auth, "/auth/nginx")
            .header("x-original-url", original)
            .header("x-original-method", "GET")
            .header("authorization", &format!("DPoP {token}"))
            .header("dpop", &proof);
        assert_eq!(call.send().await.status, status, "{original}");
    }
    // nobody knows what the request was
    let proof = holder.proof(
        "GET",
        &format!("http://{forward_auth}/api/v1/validate"),
        Some(&token),
    );
    let call = Call::get(forward_auth, "/api/v1/validate")
        .header("authorization", &format!("DPoP {token}"))
        .header("dpop", &proof);
    assert_eq!(call.send().await.status, 401);
    // neither token nor proof is in what was said
    let said = gatepost.output();
    for secret in [&token, &plain, &proof] {
        assert!(!said.contains(secret.as_str()));
    }
}

#[tokio::test]
async fn a_certificate_bound_token_is_good_with_its_certificate_only() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server(), &clients);
    let upstream = Upstream::start().await;
    let config = sidecar::config(&upstream.url(), "");
    let mutual = files.mutual("optional");
    let own = "audiences = [\"app\"]";
    let started = async |bound: &str| {
        let table = format!("{own}\ncertificate_bound = \"{bound}\"");
        let config = config.replacen(own, &table, 1);
        Gatepost::start(&format!("{config}[ingress]\n{mutual}")).await
    };
    let (owner, thief) = (
        clients.client("spiffe://a/own"),
        clients.client("spiffe://a/thief"),
    );
    let cnf = |thumbprint: &Value| sidecar::token(&json!({"cnf": {"x5t#S256": thumbprint}}));
    let bound = cnf(&json!(sha256(&owner.certificate)));
    let plain = sidecar::token(&json!({}));
    let broken = cnf(&json!("AAAA"));
    for (table, token, shown, status) in [
        ("accepted", &bound, Some(&owner), 200),
        ("accepted", &bound, Some(&thief), 401),
        ("accepted", &bound, None, 401),
        ("accepted", &plain, None, 200),
        ("accepted", &plain, Some(&thief), 200),
        ("accepted", &broken, Some(&owner), 401),
        ("required", &bound, Some(&owner), 200),
        ("required", &plain, Some(&owner), 401),
        ("refused", &bound, Some(&owner), 401),
    ] {
        let gatepost = started(table).await;
        let ingress = gatepost.listener("ingress").await;
        for protocol in ["http/1.1", "h2"] {
            let client = Client::new(&authority, shown, &[protocol]);
            let mut session = client.open(ingress).await.unwrap();
            let bearer = format!("Bearer {token}");
            let reply = session.get("/", &[("authorization", &bearer)]).await;
            assert_eq!(reply.unwrap().status, status, "{table} {protocol}");
        }
    }
}
