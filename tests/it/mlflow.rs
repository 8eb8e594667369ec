//! `MLflow`, server and client, with Gatepost between them and Cognito's tokens. Slow: `scripts/slow`.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cognito::Pool;
use crate::support::counterparts::{self, Counterpart, or_skip};
use crate::support::gatepost::Gatepost;
use crate::support::issuer::{hmac_token, now};

/// Writers may do everything; readers may GET and search.
fn config(pool: &Pool<'_>, mlflow: &Counterpart) -> String {
    format!(
        r#"
        {issuer}

        [upstreams.mlflow]
        url = "{upstream}"

        [[routes]]
        name = "write"
        path = "/mlflow/**"
        methods = ["POST", "PUT", "PATCH", "DELETE"]
        require = {{ groups = ["writers"] }}
        strip_prefix = "/mlflow"
        upstream = "mlflow"

        [[routes]]
        name = "read"
        path = "/mlflow/**"
        methods = ["GET"]
        require = {{ groups = ["readers", "writers"] }}
        strip_prefix = "/mlflow"
        upstream = "mlflow"

        [[routes]]
        name = "search"
        path = "/mlflow/api/2.0/mlflow/{{kind}}/search"
        methods = ["POST"]
        require = {{ groups = ["readers", "writers"] }}
        strip_prefix = "/mlflow"
        upstream = "mlflow"
        "#,
        issuer = pool.issuer(),
        upstream = mlflow.url
    )
}

/// What a step fails with.
fn error(kind: &str, code: Option<&str>, status: u16) -> Value {
    json!({"error": {"type": kind, "error_code": code, "status": status}})
}

#[tokio::test]
#[ignore = "slow: MLflow loads for half a minute"]
async fn a_writer_logs_a_reader_reads_and_the_client_knows_why_others_may_not() {
    let directory = TempDir::new().expect("a directory");
    let mlflow = or_skip!(counterparts::mlflow_server(directory.path()).await);
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, &["readers", "writers"]).await;
    let gatepost = Gatepost::start(&config(&pool, &mlflow)).await;
    gatepost.ready().await;
    let uri = format!("http://{}/mlflow", gatepost.listener("ingress").await);

    let writer = pool.sign_in("ada", &["writers"]).await;
    let done = or_skip!(
        counterparts::mlflow_client(json!({
            "tracking_uri": uri, "token": writer.access,
            "steps": ["log", "upload", "download", "read", "search"],
        }))
        .await
    );
    let run = &done["log"];
    assert!(run.is_string(), "{done}");
    let read = json!({
        "params": {"depth": "3", "name": "ä / %2F"},
        "metrics": {"loss": 1.0 / 3.0},
        "steps": [0, 1, 2],
    });
    assert_eq!(done["upload"], json!(["models/a b/artifact.bin"]), "{done}");
    assert_eq!(done["download"], true, "{done}");
    assert_eq!(done["read"], read, "{done}");
    assert_eq!(done["search"], json!([run]), "{done}");

    let reader = pool.sign_in("bob", &["readers"]).await;
    let steps = [
        "read",
        "search",
        "download",
        "log_metric",
        "upload_small",
        "delete",
    ];
    let done = or_skip!(
        counterparts::mlflow_client(json!({
            "tracking_uri": uri, "token": reader.access, "run": run, "steps": steps,
        }))
        .await
    );
    assert_eq!(done["read"], read, "{done}");
    assert_eq!(done["search"], json!([run]), "{done}");
    assert_eq!(done["download"], true, "{done}");
    let denied = error("RestException", Some("PERMISSION_DENIED"), 403);
    assert_eq!(done["log_metric"], denied, "{done}");
    assert_eq!(done["delete"], denied, "{done}");
    // the artifact client raises what requests raises
    assert_eq!(
        done["upload_small"],
        error("HTTPError", None, 403),
        "{done}"
    );

    let unknown = error("RestException", Some("UNAUTHENTICATED"), 401);
    let forged = writer.access.clone() + "x";
    for token in [Value::Null, json!("not a token"), json!(forged)] {
        let order = json!({
            "tracking_uri": uri, "token": token, "run": run, "steps": ["read", "log_metric"],
        });
        let done = or_skip!(counterparts::mlflow_client(order).await);
        assert_eq!(
            done,
            json!({"read": unknown, "log_metric": unknown}),
            "{token}"
        );
    }
    for token in [&writer.access, &reader.access] {
        assert!(!gatepost.output().contains(token), "a token was logged");
    }
}

/// The client knows no token: egress has it, and ingress of another Gatepost asks for it.
#[tokio::test]
#[ignore = "slow: MLflow loads for half a minute"]
async fn a_client_without_a_token_logs_and_reads_through_egress() {
    let directory = TempDir::new().expect("a directory");
    let mlflow = or_skip!(counterparts::mlflow_server(directory.path()).await);
    let secret = "a secret of at least thirty-two bytes";
    let guarding = format!(
        r#"
        [issuers.robots]
        kind = "jwt"
        issuer = "https://robots.example"
        secret = {{ insecure_literal = "{secret}" }}
        algorithms = ["HS256"]
        audiences = ["mlflow"]
        [upstreams.mlflow]
        url = "{}"
        [[routes]]
        path = "/mlflow/**"
        strip_prefix = "/mlflow"
        upstream = "mlflow"
        "#,
        mlflow.url
    );
    let guarding = Gatepost::start(&guarding).await;
    let claims = json!({
        "iss": "https://robots.example", "aud": "mlflow", "sub": "robot", "exp": now() + 3600,
    });
    let token = hmac_token(secret.as_bytes(), "k", &claims);
    let sending = format!(
        r#"
        [egress]
        listen = "127.0.0.1:0"
        [credentials.robot]
        kind = "static_token"
        token = {{ env = "ROBOT" }}
        [[egress_targets]]
        name = "mlflow"
        url = "http://{}/mlflow"
        credential = "robot"
        "#,
        guarding.listener("ingress").await
    );
    let gatepost = Gatepost::start_with(&sending, &[("ROBOT", &token)]).await;
    let uri = format!("http://{}/mlflow", gatepost.listener("egress").await);
    let done = or_skip!(
        counterparts::mlflow_client(json!({
            "tracking_uri": uri,
            "steps": ["log", "upload", "download", "read", "search", "delete"],
        }))
        .await
    );
    let run = &done["log"];
    assert!(run.is_string(), "{done}");
    assert_eq!(done["upload"], json!(["models/a b/artifact.bin"]), "{done}");
    assert_eq!(done["download"], true, "{done}");
    assert_eq!(done["search"], json!([run]), "{done}");
    assert_eq!(done["delete"], Value::Null, "{done}");
    assert!(!gatepost.output().contains(&token));
}
