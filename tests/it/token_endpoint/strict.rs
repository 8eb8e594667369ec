//! A strict authorization server (oidc-provider): assertions are taken once, and a refresh token too.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{config, describe};
use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::http::Call;
use crate::support::issuer::now;
use crate::support::key_client::KeyClient;
use crate::support::upstream::Upstream;

fn credential(
    provider: &Counterpart,
    client: &KeyClient,
    directory: &TempDir,
    more: &str,
) -> String {
    let key = directory.path().join(client.name);
    std::fs::write(&key, &client.pem).expect("written");
    format!(
        "kind = \"client_credentials\"\ntoken_url = \"{}/token\"\nclient_id = \"{}\"\n\
         client_key_file = \"{}\"\nclient_key_id = \"key-1\"\nscopes = [\"read\"]\n{more}",
        provider.url,
        client.name,
        key.display()
    )
}

#[tokio::test]
async fn assertions_of_each_kind_of_key_are_taken_and_each_is_new() {
    let clients = [
        (KeyClient::new("rsa", &rcgen::PKCS_RSA_SHA256, "RS256"), ""),
        (
            KeyClient::new("pss", &rcgen::PKCS_RSA_SHA256, "PS256"),
            "client_assertion_algorithm = \"PS256\"\nclient_assertion_audience = \"URL\"",
        ),
        (
            KeyClient::new("ec", &rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
            "",
        ),
    ];
    let metadata = clients.iter().map(|(client, _)| client.metadata.clone());
    let provider =
        or_skip!(counterparts::oidc_provider_with(metadata.collect(), &Value::Null).await);
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start().await;
    for (client, more) in &clients {
        let more = more.replace("URL", &provider.url);
        let text = config(
            &upstream.url(),
            &credential(&provider, client, &directory, &more),
        );
        // several token requests: the provider refuses an assertion it has seen
        for _time in 0..2 {
            let (success, said) = describe(directory.path(), &text, &[]);
            assert!(success, "{}: {said}", client.name);
            assert!(said.contains("private_key_jwt"), "{said}");
        }
        let gatepost = Gatepost::start(&text).await;
        let egress = gatepost.listener("egress").await;
        let sent = Call::get(egress, "/t/x").send().await;
        assert_eq!(sent.status, 200, "{}: {sent:?}", client.name);
        let carried = upstream.last();
        let token = carried.header("authorization").to_owned();
        let claims = token.split('.').nth(1).expect("a JWT");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        assert_eq!(claims["client_id"], client.name);
    }

    // and it does refuse one
    let (rsa, _) = &clients[0];
    let key = EncodingKey::from_rsa_pem(rsa.pem.as_bytes()).expect("a key");
    let claims = json!({"iss": "rsa", "sub": "rsa", "aud": format!("{}/token", provider.url),
                        "jti": "once", "exp": now() + 60});
    let mut header = jsonwebtoken::Header::new(Algorithm::RS256);
    header.kid = Some("key-1".to_owned());
    let assertion = jsonwebtoken::encode(&header, &claims, &key).expect("signed");
    let form = format!(
        "grant_type=client_credentials&client_id=rsa&client_assertion={assertion}&\
         client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let address = provider.url.strip_prefix("http://").expect("a URL");
    for expected in [200, 401] {
        let call = Call::post(address.parse().expect("an address"), "/token");
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let reply = call.body(form.clone()).send().await;
        assert_eq!(reply.status, expected, "{reply:?}");
    }
}

#[tokio::test]
async fn another_key_is_refused_and_a_client_whose_tokens_are_bound_to_a_key_is_told() {
    let known = KeyClient::new("rsa", &rcgen::PKCS_RSA_SHA256, "RS256");
    let mut bound = KeyClient::new("bound", &rcgen::PKCS_RSA_SHA256, "RS256");
    bound.metadata["dpop_bound_access_tokens"] = json!(true);
    let metadata = vec![known.metadata.clone(), bound.metadata.clone()];
    let provider = or_skip!(counterparts::oidc_provider_with(metadata, &Value::Null).await);
    let directory = tempfile::tempdir().expect("a directory");
    let stranger = KeyClient::new("rsa", &rcgen::PKCS_RSA_SHA256, "RS256");
    for (client, words) in [
        (
            &stranger,
            ["401 Unauthorized invalid_client", "key is wrong"],
        ),
        (&bound, ["400 Bad Request", "DPoP"]),
    ] {
        let text = config(
            "http://127.0.0.1:1",
            &credential(&provider, client, &directory, ""),
        );
        let (success, said) = describe(directory.path(), &text, &[]);
        assert!(!success, "{said}");
        for words in words {
            assert!(said.contains(words), "{said}");
        }
    }
}

#[tokio::test]
async fn a_rotated_refresh_token_survives_restarts_and_a_spent_one_ends_it_all() {
    let app = json!({"client_id": "app", "token_endpoint_auth_method": "none", "user": true});
    let provider = or_skip!(counterparts::oidc_provider_with(vec![app], &Value::Null).await);
    let first = provider.said["refresh_token"]
        .as_str()
        .expect("a refresh token");
    let directory = tempfile::tempdir().expect("a directory");
    let (token, state) = (
        directory.path().join("token"),
        directory.path().join("state"),
    );
    std::fs::write(&token, first).expect("written");
    let upstream = Upstream::start().await;
    let lines = |state: &str| {
        let credential = format!(
            "kind = \"refresh_token\"\ntoken_url = \"{}/token\"\nclient_id = \"app\"\n\
             auth_method = \"none\"\nrefresh_token = {{ file = \"{}\" }}\n{state}",
            provider.url,
            token.display()
        );
        config(&upstream.url(), &credential)
    };
    let kept = lines(&format!("state_file = \"{}\"", state.display()));
    let mut seen = vec![first.to_owned()];
    for _restart in 0..3 {
        let gatepost = Gatepost::start(&kept).await;
        let egress = gatepost.listener("egress").await;
        let sent = Call::get(egress, "/t/x").send().await;
        assert_eq!(sent.status, 200, "{sent:?} {}", gatepost.output());
        let carried = upstream.last();
        assert!(carried.header("authorization").starts_with("Bearer ey"));
        let written = tokio::fs::read_to_string(&state).await;
        let written = written.expect("a state file");
        let written: Value = serde_json::from_str(&written).expect("JSON");
        let next = written["refresh_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        assert!(!seen.contains(&next), "not rotated");
        assert!(!gatepost.output().contains(&next), "logged");
        seen.push(next);
    }
    // described without being spent, then spent with the state that is there
    let (success, said) = describe(directory.path(), &kept, &[]);
    assert!(success && said.contains("not asked for"), "{said}");
    let (success, said) = describe(directory.path(), &kept, &["--refresh"]);
    assert!(success && said.contains("lifetime"), "{said}");
    // the first one again: what a process does that forgot
    let (success, said) = describe(directory.path(), &lines(""), &["--refresh"]);
    assert!(!success && said.contains("invalid_grant"), "{said}");
    assert!(said.contains("used already"), "{said}");
}
