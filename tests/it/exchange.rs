//! Calls for a user against real counterparts: Cognito's users (moto), whose tokens oidc-provider
//! exchanges; Entra's on-behalf-of flow, as MSAL asks for it.

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::cognito::Pool;
use crate::support::counterparts::{self, or_skip};
use crate::support::entra::{API_CLIENT, API_SECRET, AUDIENCE, CAREFUL, Entra, TENANT, USER};
use crate::support::gatepost::{self, Gatepost};
use crate::support::http::{Call, Reply};
use crate::support::upstream::{Recorded, Upstream};

const SECRET: &str = "p+s/%w rd:&=~\"'";

/// The claims of the token that a request carries.
fn claims(request: &Recorded) -> Value {
    let token = request.header("authorization");
    let token = token.strip_prefix("Bearer ").expect("a bearer token");
    let payload = token.split('.').nth(1).expect("a JWT");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims")
}

/// The app answers a request with this token, and meanwhile calls the target `orders`.
async fn called_for(gatepost: &Gatepost, app: &Upstream, token: &str) -> Reply {
    let reply = gatepost.get("/").await.bearer(token).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let handle = app.last().header("x-auth-handle").to_owned();
    let egress = gatepost.listener("egress").await;
    Call::get(egress, "/orders/x")
        .header("x-auth-handle", &handle)
        .send()
        .await
}

/// Runs `gatepost token` on a token of this user.
fn tried(config: &str, token: &str, environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (config, token) = (file("gatepost.toml", config), file("token", token));
    let arguments = [
        "token",
        "user",
        "--config",
        &config,
        "--subject-token-file",
        &token,
    ];
    gatepost::run(&arguments, environment)
}

#[tokio::test]
async fn a_cognito_users_token_is_exchanged_by_a_strict_server_and_the_service_is_its_actor() {
    let cognito = or_skip!(counterparts::cognito().await);
    let pool = Pool::create(&cognito, &[]).await;
    let subjects = json!({"issuer": pool.iss(), "jwks_url": pool.jwks_url()});
    let clients = [("gateway", SECRET, "client_secret_basic")];
    let provider = or_skip!(counterparts::exchanging(&clients, &subjects).await);
    let (app, orders) = (Upstream::start().await, Upstream::start().await);
    let client = format!(
        r#"
        token_url = "{}/token"
        client_id = "gateway"
        client_secret = {{ env = "OAUTH_SECRET" }}
        scopes = ["read"]
        "#,
        provider.url
    );
    let config = format!(
        r#"
        {issuer}

        [upstreams.app]
        url = "{app}"

        [[routes]]
        path = "/**"
        upstream = "app"

        [egress]
        listen = "127.0.0.1:0"

        [credentials.service]
        kind = "client_credentials"
        {client}

        [credentials.user]
        kind = "token_exchange"
        {client}
        resource = "https://es256.example"
        actor = "service"

        [[egress_targets]]
        name = "orders"
        url = "{orders}"
        credential = ["user", "service"]
        "#,
        issuer = pool.issuer(),
        app = app.url(),
        orders = orders.url(),
    );
    let environment = [("OAUTH_SECRET", SECRET)];
    let gatepost = Gatepost::start_with(&config, &environment).await;
    gatepost.ready().await;
    let (ada, bob) = (
        pool.sign_in("ada", &[]).await,
        pool.sign_in("bob", &[]).await,
    );
    for (user, times) in [(&ada, 2), (&bob, 1), (&ada, 1)] {
        for _time in 0..times {
            let reply = called_for(&gatepost, &app, &user.access).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        let seen = claims(&orders.last());
        assert_eq!(seen["sub"], json!(user.sub));
        assert_eq!(seen["aud"], "https://es256.example");
        assert_eq!(seen["iss"], json!(provider.url));
        assert_eq!(seen["act"]["sub"], "gateway");
    }
    gatepost
        .counts(r#"gatepost_credential_fetch_total{credential="user",result="success"} 2"#)
        .await;
    gatepost
        .counts(r#"gatepost_credential_subjects{credential="user"} 2"#)
        .await;
    let output = gatepost.output();
    for secret in [&ada.access, &bob.access, SECRET] {
        assert!(!output.contains(secret), "logged");
    }

    let tried_ada = tried(&config, &ada.access, &environment);
    let shown = String::from_utf8_lossy(&tried_ada.stdout).into_owned();
    assert!(tried_ada.status.success(), "{tried_ada:?}");
    for row in [
        "profile      rfc8693",
        "lifetime     600 s (expires_in)",
        "format       JWT",
    ] {
        assert!(shown.contains(row), "{row} in {shown}");
    }
    assert!(!shown.contains("eyJ"), "{shown}");
    let forged = format!("{}x", ada.access);
    let refused = tried(&config, &forged, &environment);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("invalid_request"), "{told}");
}

#[tokio::test]
async fn entra_is_asked_on_behalf_of_its_user_just_as_msal_does() {
    let entra = Entra::start().await;
    let (app, orders) = (Upstream::start().await, Upstream::start().await);
    let gatepost = Gatepost::start_with(
        &format!(
            r#"
            [issuers.staff]
            kind = "entra"
            tenant_id = "{TENANT}"
            audiences = ["{AUDIENCE}"]
            jwks_url = "{keys}"

            [upstreams.app]
            url = "{app}"

            [[routes]]
            path = "/**"
            upstream = "app"

            [egress]
            listen = "127.0.0.1:0"

            [credentials.user]
            kind = "token_exchange"
            profile = "entra_on_behalf_of"
            token_url = "{token}"
            client_id = "{API_CLIENT}"
            client_secret = {{ env = "API_SECRET" }}
            auth_method = "client_secret_post"
            scopes = ["api://billing/.default"]

            [[egress_targets]]
            name = "orders"
            url = "{orders}"
            credential = "user"
            "#,
            keys = entra.jwks_url(),
            token = entra.token_url(),
            app = app.url(),
            orders = orders.url(),
        ),
        &[("API_SECRET", API_SECRET)],
    )
    .await;
    gatepost.ready().await;
    let ada = entra.v2(&json!({}));
    let reply = called_for(&gatepost, &app, &ada).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = claims(&orders.last());
    assert_eq!(seen["oid"], USER);
    assert_eq!(seen["aud"], "api://billing");
    assert_eq!(seen["azp"], API_CLIENT);
    let ours = asked(&entra);

    // a policy wants another factor; an application is no user
    let application = entra.app(&json!({"roles": ["Jobs.Run"]}));
    for (token, why) in [
        (entra.v2(&json!({"oid": CAREFUL})), "sign in again"),
        (application, "does not take this user's token"),
    ] {
        let reply = called_for(&gatepost, &app, &token).await;
        assert_eq!(reply.status, 403, "{reply:?}");
        assert_eq!(reply.header("x-auth-reason"), "egress_token_unavailable");
        assert!(reply.text().contains(why), "{}", reply.text());
    }
    assert_eq!(orders.requests().len(), 1);

    let order = json!({
        "url": entra.server.url(), "tenant": TENANT, "client_id": API_CLIENT,
        "client_secret": API_SECRET, "scopes": ["api://billing/.default"], "assertion": ada,
    });
    let answer = or_skip!(counterparts::msal_on_behalf_of(order).await);
    assert!(answer["access_token"].is_string(), "{answer}");
    let msals = asked(&entra);
    for parameter in [
        "grant_type",
        "assertion",
        "requested_token_use",
        "client_id",
        "client_secret",
    ] {
        assert!(ours[parameter].is_string(), "{parameter}");
        assert_eq!(ours[parameter], msals[parameter], "{parameter}");
    }
    // MSAL wants a refresh token and an ID token too, which a service has no use for
    let scopes = msals["scope"].as_str().expect("scopes");
    assert!(
        scopes.split(' ').any(|scope| ours["scope"] == scope),
        "{scopes}"
    );
}

/// What the token endpoint was asked last.
fn asked(entra: &Entra) -> Value {
    let request = entra.server.last();
    assert!(request.uri.path().ends_with("/oauth2/v2.0/token"));
    let pairs = url::form_urlencoded::parse(&request.body);
    let members = pairs.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned())));
    Value::Object(members.collect())
}
