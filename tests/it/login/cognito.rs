//! Cognito, as moto plays it: with and without a client secret.

use http::StatusCode;
use serde_json::{Value, json};

use super::{login, post, reason, start};
use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::upstream::{Upstream, json as answer_json};

const PASSWORD: &str = "Correct-horse-1";

/// A pool with ada, whose password is set, and bob, who must set one.
async fn pool(cognito: &Counterpart) -> String {
    let pool = cognito
        .aws("CreateUserPool", &json!({"PoolName": "users"}))
        .await;
    let id = pool["UserPool"]["Id"].as_str().unwrap().to_owned();
    for name in ["ada", "bob"] {
        let user = json!({
            "UserPoolId": id, "Username": name, "TemporaryPassword": "Temporary-1",
        });
        cognito.aws("AdminCreateUser", &user).await;
    }
    let password = json!({
        "UserPoolId": id, "Username": "ada", "Password": PASSWORD, "Permanent": true,
    });
    cognito.aws("AdminSetUserPassword", &password).await;
    id
}

async fn client(cognito: &Counterpart, pool: &str, secret: bool) -> Value {
    let client = json!({
        "UserPoolId": pool, "ClientName": "app", "GenerateSecret": secret,
        "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH"],
    });
    cognito.aws("CreateUserPoolClient", &client).await["UserPoolClient"].clone()
}

#[tokio::test]
async fn a_cognito_user_gets_her_tokens_with_and_without_a_client_secret() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = pool(&cognito).await;
    let upstream = Upstream::start().await;
    for secret in [false, true] {
        let client = client(&cognito, &pool, secret).await;
        let id = client["ClientId"].as_str().unwrap();
        let mut table = format!(
            "kind = \"cognito\"\nendpoint = \"{}\"\nclient_id = \"{id}\"",
            cognito.url
        );
        if secret {
            let secret = client["ClientSecret"].as_str().unwrap();
            table = format!("{table}\nclient_secret = {{ insecure_literal = \"{secret}\" }}");
        }
        let issuer = format!(
            "\n[issuers.pool]\nkind = \"cognito\"\nuser_pool_id = \"{pool}\"\nclient_ids = [\"{id}\"]\n\
             jwks_url = \"{}/{pool}/.well-known/jwks.json\"\n\
             [[routes]]\npath = \"/mine\"\nissuers = [\"pool\"]\nupstream = \"app\"\n",
            cognito.url
        );
        let gatepost = start_with(&upstream, &table, &issuer).await;
        let reply = post(&gatepost, &login("ada", PASSWORD)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let tokens = reply.json();
        for name in ["access_token", "id_token", "refresh_token"] {
            assert!(
                tokens[name].as_str().is_some_and(|token| !token.is_empty()),
                "{tokens}"
            );
        }
        assert_eq!(
            (&tokens["token_type"], tokens["expires_in"].is_u64()),
            (&json!("Bearer"), true)
        );
        // what it answers is what routes take
        let token = tokens["access_token"].as_str().unwrap();
        let mine = gatepost.get("/mine").await.bearer(token).send().await;
        assert_eq!(mine.status, 200);

        for (user, password) in [("ada", "wrong"), ("nobody", PASSWORD)] {
            let reply = post(&gatepost, &login(user, password)).await;
            assert_eq!(reply.status, 401, "{user}");
            assert_eq!(reason(&gatepost, &reply).await, "password_refused");
        }
        let challenged = post(&gatepost, &login("bob", "Temporary-1")).await;
        assert_eq!(challenged.status, 403, "{}", challenged.text());
        assert_eq!(reason(&gatepost, &challenged).await, "login_challenge");
        assert!(!gatepost.output().contains(PASSWORD) && !gatepost.output().contains(token));
    }
}

async fn start_with(
    upstream: &Upstream,
    table: &str,
    more: &str,
) -> crate::support::gatepost::Gatepost {
    let config = crate::support::sidecar::config(&upstream.url(), "");
    // with two issuers each route names its own
    let config = config.replace(
        "upstream = \"app\"\n\n        [[routes]]",
        "issuers = [\"own\"]\n        upstream = \"app\"\n\n        [[routes]]",
    );
    let config = format!("[login]\n{table}\n{config}{more}");
    let gatepost = crate::support::gatepost::Gatepost::start(&config).await;
    gatepost.ready().await;
    gatepost
}

/// moto looks at no `SECRET_HASH`.
#[tokio::test]
async fn the_clients_secret_is_proven_and_a_wrong_one_is_our_mistake() {
    let pool = Upstream::answering(|request| {
        let target = request.header("x-amz-target");
        assert_eq!(target, "AWSCognitoIdentityProviderService.InitiateAuth");
        assert_eq!(request.header("content-type"), "application/x-amz-json-1.1");
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(
            (&asked["AuthFlow"], &asked["ClientId"]),
            (&json!("USER_PASSWORD_AUTH"), &json!("client"))
        );
        // base64(hmac_sha256("secret", "ada" + "client"))
        if asked["AuthParameters"]["SECRET_HASH"] == "FEW6rzXVdy2RLJp0KqkU9A6/pxQBq5FgsxTWe/Ot+CI="
        {
            return answer_json(&json!({ "AuthenticationResult": { "AccessToken": "of-ada" } }));
        }
        let mut answer = answer_json(&json!({
            "__type": "NotAuthorizedException",
            "message": "Unable to verify secret hash for client client",
        }));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    })
    .await;
    for (secret, status) in [("secret", 200), ("another", 502)] {
        let table = format!(
            "kind = \"cognito\"\nendpoint = \"{}\"\nclient_id = \"client\"\n\
             client_secret = {{ insecure_literal = \"{secret}\" }}",
            pool.url()
        );
        let gatepost = start(&pool, &table).await;
        let reply = post(&gatepost, &login("ada", PASSWORD)).await;
        assert_eq!(reply.status, status, "{secret}");
        if status == 502 {
            assert_eq!(reason(&gatepost, &reply).await, "login_unusable");
            let told = gatepost.output();
            assert!(
                told.contains("the client's secret is not the one configured"),
                "{told}"
            );
        }
    }
}
